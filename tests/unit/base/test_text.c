/* test_text.c - growing texts, durations and sizes. */
#include "base/text.h"

#include "support/check.h"
#include "support/env_faulty.h"

static void test_pieces_add_up(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    struct trib_text text;
    trib_env_faulty_init(&faulty);
    trib_text_init(&text, &faulty.env);
    assert_null(text.bytes);
    trib_text_add(&text, "run ", 4);
    trib_text_format(&text, "%d of %d", 3, 7);
    trib_text_add(&text, "", 0);
    assert_string_equal(text.bytes, "run 3 of 7");
    assert_int_equal(text.byte_count, 10);
    trib_text_deinit(&text);
    trib_env_faulty_deinit(&faulty);
}

static void test_growth_keeps_every_byte(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    struct trib_text text;
    trib_env_faulty_init(&faulty);
    trib_text_init(&text, &faulty.env);
    for (int number = 0; number < 5000; number++)
        trib_text_format(&text, "%05d", number);
    char large[9001];
    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    trib_text_add(&text, large, 9000);
    assert_false(text.is_failed);
    assert_int_equal(text.byte_count, 5000 * 5 + 9000);
    assert_memory_equal(text.bytes + 4321 * 5, "04321", 5);
    assert_string_equal(text.bytes + 25000, large);
    trib_text_deinit(&text);
    trib_env_faulty_deinit(&faulty);
}

static void test_html_is_harmless(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    struct trib_text text;
    trib_env_faulty_init(&faulty);
    trib_text_init(&text, &faulty.env);
    trib_text_add_html(&text, "<a href=\"x\" id='y'>&");
    assert_string_equal(text.bytes, "&#60;a href=&#34;x&#34; id=&#39;y&#39;&#62;&#38;");
    trib_text_deinit(&text);
    trib_env_faulty_deinit(&faulty);
}

static void test_failure_lasts(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    uint64_t nth = 0;
    do {
        struct trib_text text;
        trib_text_init(&text, &faulty.env);
        trib_env_faulty_fail(&faulty, ++nth);
        for (int number = 0; number < 500; number++)
            trib_text_format(&text, "%d,", number);
        assert_true(text.is_failed == faulty.has_failed);
        if (!text.is_failed)
            assert_int_equal(text.byte_count, 10 * 2 + 90 * 3 + 400 * 4);
        trib_text_deinit(&text);
        assert_int_equal(faulty.blocks_live, 0);
    } while (faulty.has_failed);
    assert_true(nth > 2);
    struct trib_text zero = {0};
    trib_text_deinit(&zero);
    trib_env_faulty_deinit(&faulty);
}

static void test_durations(void **state) {
    (void)state;
    static const struct {
        const char *text;
        trib_time_ns ns;
    } cases[] = {
        {"250ms", 250 * TRIB_MILLISECOND},
        {"30s", 30 * TRIB_SECOND},
        {"5m", 300 * TRIB_SECOND},
        {"6h", 6 * 3600 * TRIB_SECOND},
        {"7d", 7 * 86400 * TRIB_SECOND},
        {"1h30m", 5400 * TRIB_SECOND},
        {"1.5h", 5400 * TRIB_SECOND},
        {"0.25s", 250 * TRIB_MILLISECOND},
        {"1s500ms", 1500 * TRIB_MILLISECOND},
        {"0s", 0},
        {"10us", 10000},
        {"106751d", INT64_C(106751) * 86400 * TRIB_SECOND},
    };
    for (size_t index = 0; index < sizeof cases / sizeof *cases; index++) {
        trib_time_ns ns = -1;
        assert_true(trib_duration_parse(cases[index].text, &ns));
        assert_int_equal(ns, cases[index].ns);
    }
}

static void test_what_is_not_a_duration(void **state) {
    (void)state;
    static const char *const texts[] = {"",
                                        "30",
                                        "s",
                                        "-1s",
                                        "+1s",
                                        " 1s",
                                        "1s ",
                                        "1 s",
                                        "30m1h",
                                        "1h1h",
                                        "1.s",
                                        ".5s",
                                        "1e3s",
                                        "106752d",
                                        "99999999999999999999s",
                                        "1.0000000001s",
                                        "1x",
                                        "infs"};
    trib_time_ns ns = 42;
    for (size_t index = 0; index < sizeof texts / sizeof *texts; index++) {
        if (trib_duration_parse(texts[index], &ns))
            fail_msg("%s was accepted", texts[index]);
    }
    assert_int_equal(ns, 42);
}

static void test_sizes(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } cases[] = {
        {"0", 0},
        {"4096", 4096},
        {"64KiB", 65536},
        {"1.5GiB", UINT64_C(1610612736)},
        {"100MB", 100000000},
        {"1.5 GB", 1500000000},
        {"2tib", UINT64_C(1) << 41},
        {"7b", 7},
        {"4194304TiB", UINT64_C(1) << 62},
        {"0.5", 0}, /* rounded down */
    };
    for (size_t index = 0; index < sizeof cases / sizeof *cases; index++) {
        uint64_t bytes = 1;
        assert_true(trib_bytes_parse(cases[index].text, &bytes));
        assert_true(bytes == cases[index].bytes);
    }
    static const char *const wrong[] = {
        "",     "KiB",   "-1",   "1  MB",      "1 MB ",
        "1XB",  "1.2.3", "0x10", "4194305TiB", "18446744073709551616",
        "1,5GB"};
    for (size_t index = 0; index < sizeof wrong / sizeof *wrong; index++) {
        uint64_t bytes;
        if (trib_bytes_parse(wrong[index], &bytes))
            fail_msg("%s was accepted", wrong[index]);
    }
}

static void test_human_sizes(void **state) {
    (void)state;
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {
        {0, "0 B"},           {999, "999 B"},     {1000, "1.0 kB"},        {1500000000, "1.5 GB"},
        {999949, "999.9 kB"}, {999999, "1.0 MB"}, {UINT64_MAX, "18.4 EB"},
    };
    char buffer[24];
    for (size_t index = 0; index < sizeof cases / sizeof *cases; index++) {
        assert_ptr_equal(trib_bytes_human(buffer, sizeof buffer, cases[index].bytes), buffer);
        assert_string_equal(buffer, cases[index].text);
    }
}

static void test_human_durations(void **state) {
    (void)state;
    static const struct {
        trib_time_ns ns;
        const char *text;
    } cases[] = {
        {0, "0us"},
        {1500, "1us"},
        {250 * TRIB_MILLISECOND, "250ms"},
        {3200 * TRIB_MILLISECOND, "3.2s"},
        {307 * TRIB_SECOND, "5m 07s"},
        {7500 * TRIB_SECOND, "2h 05m"},
        {INT64_C(273600) * TRIB_SECOND, "3d 04h"},
        {-3200 * TRIB_MILLISECOND, "-3.2s"},
        {TRIB_TIME_NEVER, "never"},
        {INT64_MIN, "-106751d 23h"},
    };
    char buffer[24];
    for (size_t index = 0; index < sizeof cases / sizeof *cases; index++)
        assert_string_equal(trib_duration_human(buffer, sizeof buffer, cases[index].ns),
                            cases[index].text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces_add_up),
        cmocka_unit_test(test_growth_keeps_every_byte),
        cmocka_unit_test(test_html_is_harmless),
        cmocka_unit_test(test_failure_lasts),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_what_is_not_a_duration),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_human_sizes),
        cmocka_unit_test(test_human_durations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
