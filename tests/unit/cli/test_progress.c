/* test_progress.c - each version has one line, in order, as soon as all of it is known. */
#include "cli/progress.h"

#include <math.h>

#include "support/check.h"

static void take(struct trib_progress *progress,
                 void (*consume)(struct trib_progress *, const json_t *), const char *json) {
    json_t *document = json_loads(json, 0, NULL);
    assert_non_null(document);
    consume(progress, document);
    json_decref(document);
}

static void begin(struct trib_progress *progress, const char *spec) {
    json_t *document = json_loads(spec, 0, NULL);
    assert_non_null(document);
    trib_progress_init(progress, document);
    json_decref(document);
}

static void make_version(struct trib_progress *progress, int version) {
    char json[128];
    (void)snprintf(json, sizeof json,
                   "{\"version\":%d,\"updates\":10,\"seconds\":0.5,\"bytes\":8000000}", version);
    take(progress, trib_progress_version, json);
}

static void evaluate(struct trib_progress *progress, int version) {
    char json[128];
    (void)snprintf(json, sizeof json,
                   "{\"version\":%d,\"metrics\":{\"accuracy\":0.9%d,\"loss\":0.25}}", version,
                   version);
    take(progress, trib_progress_evaluation, json);
}

/* The versions whose lines are due now, as text. */
static const char *due(struct trib_progress *progress, bool is_over) {
    static char text[64];
    struct trib_progress_row row;
    size_t used = 0;
    text[0] = '\0';
    while (trib_progress_next(progress, is_over, &row)) {
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%d%s", used ? " " : "",
                                 (int)row.version, row.is_evaluated ? "e" : "");
    }
    return text;
}

static void a_line_waits_for_its_evaluation(void **state) {
    (void)state;
    struct trib_progress progress;
    begin(&progress, "{}");
    make_version(&progress, 1);
    assert_string_equal(due(&progress, false), "");
    evaluate(&progress, 1);
    assert_string_equal(due(&progress, false), "1e");
    evaluate(&progress, 1); /* another evaluator: the line is out */
    assert_string_equal(due(&progress, false), "");
}

static void two_newer_versions_end_the_wait(void **state) {
    (void)state;
    struct trib_progress progress;
    begin(&progress, "{}");
    make_version(&progress, 1);
    assert_string_equal(due(&progress, false), "");
    make_version(&progress, 2);
    assert_string_equal(due(&progress, false), "");
    make_version(&progress, 3);
    assert_string_equal(due(&progress, false), "1");
    make_version(&progress, 4);
    assert_string_equal(due(&progress, false), "2");
    evaluate(&progress, 4); /* 3 was passed over; order is kept */
    assert_string_equal(due(&progress, false), "3 4e");
    assert_string_equal(due(&progress, true), "");
}

static void the_end_of_the_run_ends_every_wait(void **state) {
    (void)state;
    struct trib_progress progress;
    begin(&progress, "{}");
    make_version(&progress, 1);
    make_version(&progress, 2);
    assert_string_equal(due(&progress, true), "1 2");
}

static void what_is_told_twice_is_printed_once(void **state) {
    (void)state;
    struct trib_progress progress;
    begin(&progress, "{}");
    make_version(&progress, 0);
    assert_string_equal(due(&progress, true), "");
    make_version(&progress, 1);
    make_version(&progress, 1);
    evaluate(&progress, 1);
    assert_string_equal(due(&progress, false), "1e");
    make_version(&progress, 1);
    assert_string_equal(due(&progress, true), "");
    take(&progress, trib_progress_version,
         "{\"version\":2,\"updates\":3,\"evaluation\":{\"accuracy\":0.5}}");
    assert_string_equal(due(&progress, false), "2e");
}

static void documents_without_sense_do_no_harm(void **state) {
    (void)state;
    struct trib_progress progress;
    begin(&progress, "{\"evaluate\":{\"metric\":7},\"stop\":[]}");
    assert_string_equal(progress.metric, "accuracy");
    trib_progress_version(&progress, NULL);
    trib_progress_evaluation(&progress, NULL);
    trib_progress_status(&progress, NULL);
    take(&progress, trib_progress_version, "{\"version\":-5}");
    take(&progress, trib_progress_version, "{\"version\":\"x\"}");
    take(&progress, trib_progress_version, "{\"version\":9,\"updates\":\"x\",\"seconds\":null}");
    take(&progress, trib_progress_version, "{\"version\":8}"); /* going back */
    struct trib_progress_row row;
    assert_true(trib_progress_next(&progress, true, &row));
    assert_int_equal(row.version, 9);
    assert_true(isnan(row.seconds) && isnan(row.metric));
    assert_false(trib_progress_next(&progress, true, &row));
}

static void check_line(const struct trib_progress *progress, const struct trib_progress_row *row,
                       const char *header, const char *line) {
    struct trib_text text;
    trib_text_init(&text, trib_env_system());
    trib_progress_header(progress, &text);
    assert_string_equal(text.bytes, header);
    trib_text_deinit(&text);
    trib_progress_line(progress, row, &text);
    assert_string_equal(text.bytes, line);
    trib_text_deinit(&text);
}

static void lines_stand_below_their_header(void **state) {
    (void)state;
    struct trib_progress progress;
    struct trib_progress_row row;
    begin(&progress, "{}");
    make_version(&progress, 1);
    evaluate(&progress, 1);
    assert_true(trib_progress_next(&progress, false, &row));
    check_line(&progress, &row, "version  clients  accuracy      loss      MB/s  seconds",
               "      1       10    0.9100    0.2500      16.0    0.500");
    row.metric = NAN;
    row.seconds = 0.0; /* too quick to be measured: no rate */
    check_line(&progress, &row, "version  clients  accuracy      loss      MB/s  seconds",
               "      1       10         -    0.2500         -    0.000");
    begin(&progress, "{\"evaluate\":{\"metric\":\"mean_average_precision\"}}");
    check_line(&progress, &row,
               "version  clients  mean_average_precision      loss      MB/s  seconds",
               "      1       10                       -    0.2500         -    0.000");
    begin(&progress, "{\"evaluate\":{\"metric\":\"loss\"}}");
    check_line(&progress, &row, "version  clients      loss      MB/s  seconds",
               "      1       10    0.2500         -    0.000");
}

static void check_bar(const struct trib_progress *progress, size_t width, const char *expected) {
    struct trib_text text;
    trib_text_init(&text, trib_env_system());
    trib_progress_bar(progress, width, &text);
    assert_string_equal(text.bytes, expected);
    assert_true(text.byte_count <= width);
    trib_text_deinit(&text);
}

static void the_bar_moves_with_updates_and_versions(void **state) {
    (void)state;
    struct trib_progress progress;
    begin(&progress, "{\"stop\":{\"versions\":4}}");
    take(&progress, trib_progress_status, "{\"round\":{\"received\":1,\"wanted\":2}}");
    make_version(&progress, 1);
    check_bar(&progress, 50, "[####.............] version 1 of 4, 0 of 2 updates");
    trib_progress_update(&progress);
    check_bar(&progress, 50, "[######...........] version 1 of 4, 1 of 2 updates");
    check_bar(&progress, 20, "version 1 of 4, 1 of");
    for (int i = 0; i < 100; i++) { /* more than were wanted are still one version at most */
        trib_progress_update(&progress);
    }
    check_bar(&progress, 52, "[########.........] version 1 of 4, 101 of 2 updates");
    begin(&progress, "{}");
    check_bar(&progress, 40, "[.................] version 0, 0 updates");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_waits_for_its_evaluation),
        cmocka_unit_test(two_newer_versions_end_the_wait),
        cmocka_unit_test(the_end_of_the_run_ends_every_wait),
        cmocka_unit_test(what_is_told_twice_is_printed_once),
        cmocka_unit_test(documents_without_sense_do_no_harm),
        cmocka_unit_test(lines_stand_below_their_header),
        cmocka_unit_test(the_bar_moves_with_updates_and_versions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
