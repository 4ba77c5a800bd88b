/* test_plot.c - pictures have their curves where the numbers are. */
#include "sim/plot.h"

#include <math.h>
#include <stdio.h>

#include "support/check.h"
#include "support/env_faulty.h"

static void add(struct trib_curve *curve, double x, double y) {
    const double values[TRIB_CURVE_COLUMNS] = {x, y};
    assert_true(trib_curve_add(curve, values));
}

static char *draw(const struct trib_plot *plot, const struct trib_curve *curve,
                  struct trib_text *svg) {
    const struct trib_curve *const curves[] = {curve};
    trib_text_init(svg, trib_env_system());
    assert_true(trib_plot_draw(plot, curves, 1, svg));
    assert_false(svg->is_failed);
    return svg->bytes;
}

static const struct trib_plot plain = {
    .title = "a < b", .x_label = "x", .y_label = "y", .x_column = 0, .y_column = 1};

/* 0 and 1000 are ends of the x axis, 0.5 and 0.9 of the other: two corners of the frame. */
static void points_are_where_the_axes_say(void **state) {
    (void)state;
    struct trib_curve curve;
    struct trib_text svg;
    trib_curve_init(&curve, trib_env_system(), "one & two");
    add(&curve, 0, 0.5);
    add(&curve, 500, NAN); /* not measured */
    add(&curve, 1000, 0.9);
    const char *picture = draw(&plain, &curve, &svg);
    assert_non_null(strstr(picture, "d=\"M78.0 378.0L736.0 52.0\""));
    assert_non_null(strstr(picture, ">1 k</text>"));
    assert_non_null(strstr(picture, ">0.9</text>"));
    assert_non_null(strstr(picture, "a &#60; b"));
    assert_non_null(strstr(picture, "one &#38; two"));
    assert_null(strstr(picture, "nan"));
    trib_text_deinit(&svg);
    trib_curve_deinit(&curve);
}

static void ticks_speak_of_time_and_size(void **state) {
    (void)state;
    struct trib_curve curve;
    struct trib_text svg;
    struct trib_plot plot = plain;
    trib_curve_init(&curve, trib_env_system(), "run");
    add(&curve, 60, 1);
    add(&curve, 5400, 2);
    plot.is_seconds = true;
    const char *picture = draw(&plot, &curve, &svg);
    assert_non_null(strstr(picture, ">15 min</text>"));
    assert_non_null(strstr(picture, ">90 min</text>"));
    trib_text_deinit(&svg);
    plot.is_seconds = false;
    plot.is_bytes = true;
    picture = draw(&plot, &curve, &svg);
    assert_non_null(strstr(picture, ">5 kB</text>"));
    trib_text_deinit(&svg);
    trib_curve_deinit(&curve);
}

/* One point, or many of the same: the axes still have a length. */
static void a_single_point_is_a_picture(void **state) {
    (void)state;
    static const double values[] = {0.0, 0.25, -3.0, 1e12, 1e-12};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        struct trib_curve curve;
        struct trib_text svg;
        trib_curve_init(&curve, trib_env_system(), "run");
        add(&curve, values[i], values[i]);
        const char *picture = draw(&plain, &curve, &svg);
        assert_null(strstr(picture, "nan"));
        assert_null(strstr(picture, "inf"));
        trib_text_deinit(&svg);
        trib_curve_deinit(&curve);
    }
}

static void without_points_there_is_no_picture(void **state) {
    (void)state;
    struct trib_curve curve;
    struct trib_text svg;
    const struct trib_curve *const curves[] = {&curve};
    trib_text_init(&svg, trib_env_system());
    trib_curve_init(&curve, trib_env_system(), "run");
    add(&curve, NAN, 1);
    assert_false(trib_plot_draw(&plain, curves, 1, &svg));
    assert_int_equal(svg.byte_count, 0);
    trib_curve_deinit(&curve);
}

static void without_memory_a_curve_stays_as_it_is(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    struct trib_curve curve;
    const double values[TRIB_CURVE_COLUMNS] = {1, 2};
    trib_env_faulty_init(&faulty);
    trib_curve_init(&curve, &faulty.env, "run");
    trib_env_faulty_fail(&faulty, 1);
    assert_false(trib_curve_add(&curve, values));
    assert_int_equal(curve.count, 0);
    assert_true(trib_curve_add(&curve, values));
    trib_curve_deinit(&curve);
    trib_env_faulty_deinit(&faulty);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(points_are_where_the_axes_say),
        cmocka_unit_test(ticks_speak_of_time_and_size),
        cmocka_unit_test(a_single_point_is_a_picture),
        cmocka_unit_test(without_points_there_is_no_picture),
        cmocka_unit_test(without_memory_a_curve_stays_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
