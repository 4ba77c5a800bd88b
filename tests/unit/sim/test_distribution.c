/* test_distribution.c - quantities have the moments that their names promise. */
#include "sim/distribution.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "support/check.h"
#include "written.h"

#define DRAWS 200000

static struct trib_distribution parse(const char *text, enum trib_unit unit) {
    struct trib_distribution distribution;
    struct trib_error error = {0};
    if (trib_distribution_parse(&distribution, trib_env_system(), text, unit, &error) != TRIB_OK) {
        fail_msg("%s: %s", text, error.text);
    }
    return distribution;
}

static double mean_of(const char *text, enum trib_unit unit) {
    struct trib_distribution distribution = parse(text, unit);
    const struct trib_chance chance = trib_chance_of(5, "test");
    double sum = 0.0;
    for (uint64_t i = 0; i < DRAWS; i++) {
        double drawn = trib_distribution_draw(&distribution, &chance, i);
        assert_true(drawn >= 0.0 && isfinite(drawn));
        sum += drawn;
    }
    trib_distribution_deinit(&distribution);
    return sum / DRAWS;
}

static void means_are_those_of_the_textbook(void **state) {
    (void)state;
    static const struct {
        const char *text;
        double mean;
    } rows[] = {
        {"12s", 12.0},
        {"constant:12s", 12.0},
        {"uniform:2s,8s", 5.0},
        {"exponential:10s", 10.0},
        {"halfnormal:10s", 7.978845608},    /* 10 sqrt(2 / pi) */
        {"lognormal:10s,0.5", 11.33148453}, /* 10 exp(0.5^2 / 2) */
        {"pareto:6s,3", 9.0},               /* 6 * 3 / 2 */
        {"25% 4s + 75% uniform:0s,8s", 4.0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        double mean = mean_of(rows[i].text, TRIB_UNIT_SECONDS);
        if (fabs(mean - rows[i].mean) > 0.01 * rows[i].mean) {
            fail_msg("%s: the mean is %g, not %g", rows[i].text, mean, rows[i].mean);
        }
    }
}

/* Not only its mean: half are above the median, and a Pareto tail is as heavy as it says. */
static void tails_are_those_of_the_textbook(void **state) {
    (void)state;
    const struct trib_chance chance = trib_chance_of(6, "test");
    struct trib_distribution lognormal = parse("lognormal:10s,1.5", TRIB_UNIT_SECONDS);
    struct trib_distribution pareto = parse("pareto:1s,2", TRIB_UNIT_SECONDS);
    size_t above_median = 0, above_ten = 0;
    for (uint64_t i = 0; i < DRAWS; i++) {
        above_median += trib_distribution_draw(&lognormal, &chance, i) > 10.0;
        above_ten += trib_distribution_draw(&pareto, &chance, i) > 10.0;
    }
    assert_true(fabs((double)above_median / DRAWS - 0.5) < 0.005);
    assert_true(fabs((double)above_ten / DRAWS - 0.01) < 0.001);
}

static void units_are_the_owners(void **state) {
    (void)state;
    assert_true(mean_of("2MB", TRIB_UNIT_BYTES) == 2e6);
    assert_true(mean_of("1.5", TRIB_UNIT_NUMBER) == 1.5);
    assert_true(fabs(mean_of("250ms", TRIB_UNIT_SECONDS) - 0.25) < 1e-9);
}

static void a_trace_is_drawn_from_evenly(void **state) {
    (void)state;
    char path[WRITTEN_PATH_BYTES], text[64];
    (void)snprintf(text, sizeof text, "trace:%s", written(path, "seconds\n1\n\n2\r\n6\n"));
    assert_true(fabs(mean_of(text, TRIB_UNIT_SECONDS) - 3.0) < 0.03);
    unlink(path);
}

static void a_bad_text_is_told_what_is_allowed(void **state) {
    (void)state;
    static const struct {
        const char *text, *part;
    } rows[] = {
        {"", "must be one of constant"},
        {"lognrmal:3s,1", "did you mean lognormal"},
        {"lognormal", "needs a value, such as lognormal:30s"},
        {"lognormal:3s", "needs two values, such as lognormal:30s,1.5"},
        {"lognormal:3s,0", "above 0"},
        {"uniform:5s,2s", "the second value is the larger one"},
        {"constant:5", "must be such as 30s"},
        {"constant:nan", "must be such as 30s"},
        {"50% 3s", "come to 50%, not to 100%"},
        {"0% 3s + 100% 4s", "above 0"},
        {"trace:/nowhere/at/all", "/nowhere/at/all"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct trib_distribution distribution;
        struct trib_error error = {0};
        assert_int_not_equal(trib_distribution_parse(&distribution, trib_env_system(), rows[i].text,
                                                     TRIB_UNIT_SECONDS, &error),
                             TRIB_OK);
        if (strstr(error.text, rows[i].part) == NULL) {
            fail_msg("\"%s\": %s", rows[i].text, error.text);
        }
        assert_int_equal(distribution.part_count, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(means_are_those_of_the_textbook),
        cmocka_unit_test(tails_are_those_of_the_textbook),
        cmocka_unit_test(units_are_the_owners),
        cmocka_unit_test(a_trace_is_drawn_from_evenly),
        cmocka_unit_test(a_bad_text_is_told_what_is_allowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
