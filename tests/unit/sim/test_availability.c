/* test_availability.c - devices are there for their share of the day, and stretches fit together. */
#include "sim/availability.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "support/check.h"
#include "written.h"

#define HOUR (3600 * TRIB_SECOND)
#define DAY (24 * HOUR)
#define CLIENTS 20000

static struct trib_availability parse(const char *text) {
    struct trib_availability availability;
    struct trib_error error = {0};
    if (trib_availability_parse(&availability, trib_env_system(), text, 3, &error) != TRIB_OK) {
        fail_msg("%s: %s", text, error.text);
    }
    return availability;
}

static double share_at(const struct trib_availability *availability, trib_time_ns now) {
    size_t there = 0;
    for (uint64_t client = 0; client < CLIENTS; client++) {
        there += trib_availability_at(availability, client, now).from <= now;
    }
    return (double)there / CLIENTS;
}

static void always_is_for_good(void **state) {
    (void)state;
    struct trib_availability availability = parse("always");
    struct trib_stretch stretch = trib_availability_at(&availability, 7, 5 * DAY);
    assert_true(stretch.from <= 5 * DAY && stretch.until == TRIB_TIME_NEVER);
}

/* A window of share w whose middle has the density 1 + s cos: at time t there are
 * w + s sin(pi w) / pi cos(2 pi t). */
static void a_day_swings_as_it_says(void **state) {
    (void)state;
    struct trib_availability availability = parse("diurnal:0.25,0.8");
    double amplitude = 0.8 * sin(M_PI * 0.25) / M_PI;
    for (int hour = 0; hour < 48; hour += 3) {
        double expected = 0.25 + amplitude * cos(2 * M_PI * hour / 24.0);
        assert_true(fabs(share_at(&availability, hour * HOUR) - expected) < 0.012);
    }
}

/* Going from stretch to stretch: none is missed, none overlaps, each is as long as the share. */
static void stretches_follow_each_other_day_by_day(void **state) {
    (void)state;
    struct trib_availability availability = parse("diurnal:0.5,1");
    for (uint64_t client = 0; client < 200; client++) {
        struct trib_stretch before = trib_availability_at(&availability, client, 0);
        assert_true(before.until > 0 && before.from < DAY);
        for (int day = 0; day < 3; day++) {
            struct trib_stretch inside =
                trib_availability_at(&availability, client, before.until - 1);
            assert_true(inside.from == before.from && inside.until == before.until);
            struct trib_stretch next = trib_availability_at(&availability, client, before.until);
            assert_true(next.from == before.from + DAY);
            assert_true(next.until - next.from == DAY / 2);
            before = next;
        }
    }
}

static void a_trace_is_lived_again_and_again(void **state) {
    (void)state;
    char path[WRITTEN_PATH_BYTES], text[64];
    written(path, "device,from,until\n3,10,20\n3,50,60\n8,0,100\n");
    (void)snprintf(text, sizeof text, "trace:%s", path);
    struct trib_availability availability = parse(text);
    size_t second = 0;
    for (uint64_t client = 0; client < 1000; client++) {
        struct trib_stretch stretch = trib_availability_at(&availability, client, 0);
        if (stretch.from == 0) {
            second++;
            assert_true(stretch.until == 100 * TRIB_SECOND);
            continue;
        }
        assert_true(stretch.from == 10 * TRIB_SECOND && stretch.until == 20 * TRIB_SECOND);
        stretch = trib_availability_at(&availability, client, 20 * TRIB_SECOND);
        assert_true(stretch.from == 50 * TRIB_SECOND && stretch.until == 60 * TRIB_SECOND);
        stretch = trib_availability_at(&availability, client, 75 * TRIB_SECOND);
        assert_true(stretch.from == 110 * TRIB_SECOND);
        stretch = trib_availability_at(&availability, client, 355 * TRIB_SECOND);
        assert_true(stretch.from == 350 * TRIB_SECOND);
    }
    assert_true(second > 440 && second < 560);
    trib_availability_deinit(&availability);
    unlink(path);
}

static void what_makes_no_sense_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *text, *part;
    } rows[] = {
        {"sometimes", "must be always, diurnal"},
        {"diurnal", "SHARE above 0"},
        {"diurnal:1,0.5", "below 1"},
        {"diurnal:0.5,0.5x", "must be diurnal"},
        {"diurnal:0.5,2", "SWING from 0 to 1"},
        {"trace:/nowhere", "/nowhere"},
    };
    static const struct {
        const char *text, *part;
    } traces[] = {
        {"1,5,5\n", "line 1, column 3: must be after column 2"},
        {"2,0,1\n1,0,1\n", "line 2, column 1: rows must be sorted by device"},
        {"1,0,5\n\n1,4,6\n", "line 3, column 2: begins before"},
        {"1,0\n", "line 1, column 2: fewer columns"},
    };
    struct trib_availability availability;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct trib_error error = {0};
        assert_true(trib_availability_parse(&availability, trib_env_system(), rows[i].text, 1,
                                            &error) != TRIB_OK);
        assert_non_null(strstr(error.text, rows[i].part));
    }
    for (size_t i = 0; i < sizeof traces / sizeof *traces; i++) {
        char path[WRITTEN_PATH_BYTES], text[64];
        struct trib_error error = {0};
        (void)snprintf(text, sizeof text, "trace:%s", written(path, traces[i].text));
        assert_true(trib_availability_parse(&availability, trib_env_system(), text, 1, &error) !=
                    TRIB_OK);
        if (strstr(error.text, traces[i].part) == NULL) {
            fail_msg("%s", error.text);
        }
        unlink(path);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(always_is_for_good),
        cmocka_unit_test(a_day_swings_as_it_says),
        cmocka_unit_test(stretches_follow_each_other_day_by_day),
        cmocka_unit_test(a_trace_is_lived_again_and_again),
        cmocka_unit_test(what_makes_no_sense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
