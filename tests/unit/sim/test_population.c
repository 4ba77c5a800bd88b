/* test_population.c - what a client does follows from its number alone. */
#include "sim/population.h"

#include <math.h>

#include "support/check.h"

static struct trib_population parse(const struct trib_population_texts *texts) {
    struct trib_population population;
    struct trib_error error = {0};
    if (trib_population_parse(&population, trib_env_system(), texts, &error) != TRIB_OK) {
        fail_msg("%s", error.text);
    }
    return population;
}

static double seconds(trib_time_ns time) {
    return (double)time / TRIB_SECOND;
}

static void nothing_said_is_ten_seconds(void **state) {
    (void)state;
    struct trib_population population = parse(&(struct trib_population_texts){0});
    const struct trib_errand_task task = {
        .client = 5, .examples = 7, .model_bytes = 1000000, .update_bytes = 1000000};
    struct trib_errand errand = trib_population_errand(&population, &task);
    assert_true(errand.download == 0 && errand.upload == 0);
    assert_true(errand.compute == 10 * TRIB_SECOND && errand.vanishes_after == 1.0);
    assert_int_equal(population.clients, 0);
    trib_population_deinit(&population);
}

static void work_is_counted_as_it_is_paid(void **state) {
    (void)state;
    static const struct {
        const char *per;
        double seconds;
    } rows[] = {{"task", 2}, {"example", 14}, {"step", 6}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct trib_population population =
            parse(&(struct trib_population_texts){.speed = "2s", .per = rows[i].per});
        const struct trib_errand_task task = {.client = 5, .examples = 7, .steps = 3};
        assert_true(fabs(seconds(trib_population_errand(&population, &task).compute) -
                         rows[i].seconds) < 1e-9);
        trib_population_deinit(&population);
    }
}

/* Speed and link are the client's, jitter and silence those of the task. */
static void draws_belong_to_client_or_task(void **state) {
    (void)state;
    struct trib_population population = parse(&(struct trib_population_texts){
        .speed = "lognormal:10s,1", .upload = "uniform:1kB,9kB", .dropout = "0.5"});
    struct trib_errand_task task = {.client = 1, .number = 1, .update_bytes = 5000};
    const struct trib_errand first = trib_population_errand(&population, &task);
    task.number = 2;
    const struct trib_errand again = trib_population_errand(&population, &task);
    task.client = 2;
    const struct trib_errand other = trib_population_errand(&population, &task);
    assert_true(first.compute == again.compute && first.upload == again.upload);
    assert_true(first.compute != other.compute && first.upload != other.upload);
    assert_true(again.vanishes_after == other.vanishes_after);
    trib_population_deinit(&population);
}

static void as_many_fall_silent_as_it_says(void **state) {
    (void)state;
    struct trib_population population = parse(&(struct trib_population_texts){.dropout = "0.2"});
    struct trib_errand_task task = {.client = 1};
    size_t silent = 0;
    double sum = 0.0;
    for (task.number = 0; task.number < 50000; task.number++) {
        double after = trib_population_errand(&population, &task).vanishes_after;
        silent += after < 1.0;
        sum += after < 1.0 ? after : 0.0;
    }
    assert_true(fabs((double)silent / 50000 - 0.2) < 0.006);
    assert_true(fabs(sum / (double)silent - 0.5) < 0.01); /* at any time of the task */
    trib_population_deinit(&population);
}

static void a_bad_field_is_named(void **state) {
    (void)state;
    static const struct {
        struct trib_population_texts texts;
        const char *part;
    } rows[] = {
        {{.clients = "0"}, "clients: 0: must be a whole number from 1 to 10000000"},
        {{.clients = "12x"}, "clients: 12x"},
        {{.seed = "-1"}, "seed: -1"},
        {{.dropout = "1"}, "dropout: 1: must be a number of at least 0 and below 1"},
        {{.per = "hour"}, "per: hour: must be task, example or step"},
        {{.speed = "fast"}, "speed: fast"},
        {{.upload = "3s"}, "upload: constant:3s: must be such as 2MB"},
        {{.availability = "never"}, "availability: never"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct trib_population population;
        struct trib_error error = {0};
        assert_int_equal(
            trib_population_parse(&population, trib_env_system(), &rows[i].texts, &error),
            TRIB_EINVALID);
        if (strstr(error.text, rows[i].part) == NULL) {
            fail_msg("%s", error.text);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_said_is_ten_seconds),
        cmocka_unit_test(work_is_counted_as_it_is_paid),
        cmocka_unit_test(draws_belong_to_client_or_task),
        cmocka_unit_test(as_many_fall_silent_as_it_says),
        cmocka_unit_test(a_bad_field_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
