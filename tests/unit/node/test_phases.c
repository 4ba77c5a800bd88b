/* test_phases.c - prepare once, every part once, finish once, done once; a failure ends the job. */
#include "node/phases.h"

#include "support/check.h"

#define PARTS_MAX 17

struct job {
    struct trib_phases phases;
    struct trib_loop *loop;
    struct trib_shares shares;
    struct trib_share share;
    _Atomic int prepared, parts[PARTS_MAX], finished;
    enum trib_status fail_prepare, fail_part, fail_finish;
    int done;
    enum trib_status status;
};

static enum trib_status prepare(void *context) {
    struct job *job = context;
    job->prepared++;
    return job->fail_prepare;
}

static enum trib_status part(void *context, uint32_t number, uint32_t part_count) {
    struct job *job = context;
    assert_int_equal(part_count, job->phases.part_count);
    assert_int_equal(job->prepared, 1);
    assert_int_equal(job->finished, 0);
    job->parts[number]++;
    return number == part_count / 2 ? job->fail_part : TRIB_OK;
}

static enum trib_status finish(void *context) {
    struct job *job = context;
    job->finished++;
    return job->fail_finish;
}

static void done(void *context, enum trib_status status) {
    struct job *job = context;
    job->done++;
    job->status = status;
    trib_loop_stop(job->loop);
}

static void run(struct job *job, uint32_t part_count) {
    assert_int_equal(trib_loop_new(trib_env_system(), NULL, &job->loop), TRIB_OK);
    trib_shares_init(&job->shares, job->loop, 4);
    job->share = (struct trib_share){.shares = &job->shares};
    job->phases = (struct trib_phases){
        .share = &job->share,
        .part_count = part_count,
        .context = job,
        .prepare = prepare,
        .part = part,
        .finish = finish,
        .done = done,
    };
    trib_phases_start(&job->phases);
    trib_loop_run(job->loop);
    trib_loop_free(job->loop);
}

static void each_step_runs_once(void **state) {
    (void)state;
    for (uint32_t part_count = 1; part_count <= PARTS_MAX; part_count += 4) {
        struct job job = {0};
        run(&job, part_count);
        assert_int_equal(job.prepared, 1);
        for (uint32_t i = 0; i < PARTS_MAX; i++) {
            assert_int_equal(job.parts[i], i < part_count);
        }
        assert_int_equal(job.finished, 1);
        assert_int_equal(job.done, 1);
        assert_int_equal(job.status, TRIB_OK);
    }
}

static void a_failed_step_ends_the_job_with_its_status(void **state) {
    (void)state;
    for (uint32_t part_count = 1; part_count <= PARTS_MAX; part_count += 4) {
        struct job no_start = {.fail_prepare = TRIB_EMEMORY};
        run(&no_start, part_count);
        assert_int_equal(no_start.status, TRIB_EMEMORY);
        assert_int_equal(no_start.parts[0] + no_start.finished, 0);
        struct job no_part = {.fail_part = TRIB_EIO};
        run(&no_part, part_count);
        assert_int_equal(no_part.status, TRIB_EIO);
        assert_int_equal(no_part.finished, 0);
        struct job no_end = {.fail_finish = TRIB_EFULL};
        run(&no_end, part_count);
        assert_int_equal(no_end.status, TRIB_EFULL);
        assert_int_equal(no_end.done, 1);
    }
}

static void ranges_cover_everything_once(void **state) {
    (void)state;
    const uint64_t totals[] = {0, 1, 1023, 1024, 1025, 199210, 1663370};
    for (size_t t = 0; t < sizeof totals / sizeof *totals; t++) {
        for (uint32_t part_count = 1; part_count <= PARTS_MAX; part_count++) {
            uint64_t expected = 0;
            for (uint32_t i = 0; i < part_count; i++) {
                uint64_t first, count;
                trib_phases_range(totals[t], i, part_count, &first, &count);
                assert_int_equal(first, expected);
                expected += count;
            }
            assert_int_equal(expected, totals[t]);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_step_runs_once),
        cmocka_unit_test(a_failed_step_ends_the_job_with_its_status),
        cmocka_unit_test(ranges_cover_everything_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
