/* test_order.c - the same updates with the same weights give the same bits (the second promise).
 *
 * 50 updates, in three dtypes, some of one group only; 1,000 times in another order, through
 * another tree of partial sums, cut into ranges for 1 to 8 threads, on each tier of kernels. The
 * next version and the state of the optimizer must have one digest, and it must be the digest
 * that is written here: on every machine, with every compiler. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/random.h"
#include "learn/optimizer.h"
#include "small_model.h"
#include "support/check.h"
#include "tensor/safetensors.h"

#define UPDATES 50
#define TRIALS 1000
#define LEAVES_MAX 7
#define THREADS_MAX 8
#define WEIGHT_MAX 5000
#define WEIGHT_TOTAL_MAX (UPDATES * WEIGHT_MAX)

static const char expected_digest[] =
    "de4cac5dd0dc7866e0810cd257e3864765c1dedddb7561c37d669df14c2ef432";

static const struct trib_optimizer adam = {.kind = TRIB_OPTIMIZER_ADAM,
                                           .variant = TRIB_VARIANT_STANDARD,
                                           .lr = 0.03,
                                           .beta1 = 0.9,
                                           .beta2 = 0.99,
                                           .tau = 1e-3};

static struct trib_layout *layout;
static struct trib_resolution resolution;
static struct small_update updates[UPDATES];
static struct trib_block *current;

static int set_up(void **state) {
    (void)state;
    static const enum trib_dtype dtypes[] = {TRIB_F32, TRIB_BF16, TRIB_F16};
    const struct trib_env *env = trib_env_system();
    struct trib_random random;
    trib_random_init(&random, 2026);
    layout = small_layout(env, 4);
    if (trib_resolution_init(&resolution, env, layout, WEIGHT_MAX, WEIGHT_TOTAL_MAX, NULL)) {
        return -1;
    }
    float values[SMALL_ELEMENTS];
    for (size_t u = 0; u < UPDATES; u++) {
        const enum trib_dtype dtype = dtypes[u % 3];
        for (size_t i = 0; i < SMALL_ELEMENTS; i++) {
            const double value = (trib_random_unit(&random) * 8 - 4) / (double)(1 + i % 97);
            values[i] = dtype == TRIB_F32 ? (float)value : small_round(value);
        }
        const uint32_t groups = u % 10 == 3 ? 1 : u % 10 == 7 ? 2 : SMALL_ALL_GROUPS;
        small_update_init(&updates[u], env, layout, groups, dtype, values,
                          1 + trib_random_below(&random, WEIGHT_MAX));
    }
    for (size_t i = 0; i < SMALL_ELEMENTS; i++) {
        values[i] = (float)(trib_random_unit(&random) - 0.5);
    }
    current = small_version(env, layout, values);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    for (size_t u = 0; u < UPDATES; u++) {
        small_update_deinit(&updates[u]);
    }
    trib_block_unref(current);
    trib_resolution_deinit(&resolution);
    trib_layout_free(layout);
    return 0;
}

/* How one trial does it. */
struct way {
    const struct trib_kernels *kernels;
    size_t thread_count;
    size_t leaf_count;
    struct trib_exact_sum leaves[LEAVES_MAX];
    uint32_t leaf_of[UPDATES];
    uint64_t cuts[THREADS_MAX + 1]; /* thread t has the elements from cuts[t] to cuts[t + 1] */
    struct trib_merge merge;
};

struct thread {
    pthread_t id;
    struct way *way;
    uint64_t seed; /* every thread folds in an order of its own */
    size_t index;
    enum trib_status status;
};

static void shuffled_updates(uint32_t order[UPDATES], struct trib_random *random) {
    for (uint32_t u = 0; u < UPDATES; u++) {
        order[u] = u;
    }
    trib_random_shuffle(random, order, UPDATES);
}

static void *fold_range(void *argument) {
    struct thread *thread = argument;
    struct way *way = thread->way;
    struct trib_random random;
    uint32_t order[UPDATES];
    trib_random_derive(&random, thread->seed, "thread", thread->index);
    shuffled_updates(order, &random);
    const uint64_t first = way->cuts[thread->index];
    const uint64_t count = way->cuts[thread->index + 1] - first;
    for (size_t i = 0; i < UPDATES && thread->status == TRIB_OK; i++) {
        const struct small_update *update = &updates[order[i]];
        thread->status = trib_exact_sum_fold(
            &way->leaves[way->leaf_of[order[i]]], &trib_codec_dense,
            &(struct trib_term){update->update, update->weight}, 1, way->kernels, first, count);
    }
    return NULL;
}

static void *merge_range(void *argument) {
    struct thread *thread = argument;
    const uint64_t first = thread->way->cuts[thread->index];
    const uint64_t count = thread->way->cuts[thread->index + 1] - first;
    thread->status = trib_merge_range(&thread->way->merge, first, count, NULL);
    return NULL;
}

static void run_threads(struct way *way, void *(*work)(void *), uint64_t seed) {
    struct thread threads[THREADS_MAX];
    for (size_t t = 0; t < way->thread_count; t++) {
        threads[t] = (struct thread){.way = way, .seed = seed, .index = t, .status = TRIB_OK};
        assert_int_equal(pthread_create(&threads[t].id, NULL, work, &threads[t]), 0);
    }
    for (size_t t = 0; t < way->thread_count; t++) {
        assert_int_equal(pthread_join(threads[t].id, NULL), 0);
        assert_int_equal(threads[t].status, TRIB_OK);
    }
}

static int compare(const void *a, const void *b) {
    const uint64_t left = *(const uint64_t *)a;
    const uint64_t right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

static void choose_way(struct way *way, size_t trial, struct trib_random *random) {
    *way = (struct way){.kernels = trib_kernels_tier(trial % TRIB_KERNEL_TIERS),
                        .thread_count = 1 + trial % THREADS_MAX,
                        .leaf_count = 1 + trib_random_below(random, LEAVES_MAX)};
    way->kernels = way->kernels ? way->kernels : trib_kernels_tier(0);
    for (size_t t = 1; t < way->thread_count; t++) {
        way->cuts[t] = trib_random_below(random, SMALL_ELEMENTS + 1);
    }
    way->cuts[way->thread_count] = SMALL_ELEMENTS;
    qsort(way->cuts + 1, way->thread_count - 1, sizeof way->cuts[0], compare);
    for (size_t u = 0; u < UPDATES; u++) {
        way->leaf_of[u] = (uint32_t)trib_random_below(random, way->leaf_count);
    }
}

/* Join two partial sums at random until one is left, in leaves[0]. */
static void join_leaves(struct way *way, struct trib_random *random) {
    for (size_t left = way->leaf_count; left > 1; left--) {
        const size_t from = 1 + trib_random_below(random, left - 1);
        const size_t into = trib_random_below(random, from);
        assert_int_equal(trib_exact_sum_merge(&way->leaves[into], &way->leaves[from], way->kernels),
                         TRIB_OK);
        const struct trib_exact_sum joined = way->leaves[from];
        way->leaves[from] = way->leaves[left - 1];
        way->leaves[left - 1] = joined; /* freed with the others */
    }
}

/* The sum of all updates, in way->leaves[0]. */
static void sum_updates(struct way *way, struct trib_random *random) {
    for (size_t leaf = 0; leaf < way->leaf_count; leaf++) {
        assert_int_equal(
            trib_exact_sum_init(&way->leaves[leaf], trib_env_system(), layout, &resolution),
            TRIB_OK);
    }
    uint32_t order[UPDATES];
    shuffled_updates(order, random);
    for (size_t i = 0; i < UPDATES; i++) {
        assert_int_equal(trib_exact_sum_count(&way->leaves[way->leaf_of[order[i]]],
                                              &trib_codec_dense, updates[order[i]].update,
                                              updates[order[i]].weight),
                         TRIB_OK);
    }
    run_threads(way, fold_range, trib_random_u64(random));
    join_leaves(way, random);
}

static void digest_of_trial(size_t trial, struct trib_digest *digest) {
    struct trib_random random;
    struct way way;
    trib_random_derive(&random, 1, "order", trial);
    choose_way(&way, trial, &random);
    sum_updates(&way, &random);

    struct trib_optimizer_state state;
    assert_int_equal(trib_optimizer_state_init(&state, trib_env_system(), &adam, layout), TRIB_OK);
    struct trib_block *next = trib_safetensors_block(trib_env_system(), layout);
    assert_non_null(next);
    way.merge = (struct trib_merge){.layout = layout,
                                    .resolution = &resolution,
                                    .sum = &way.leaves[0],
                                    .optimizer = &adam,
                                    .denominator = TRIB_DENOMINATOR_WEIGHT,
                                    .weight_unit = 1,
                                    .state = &state,
                                    .next_state = &state,
                                    .current = small_values(current, layout),
                                    .next = (float *)(next->bytes + layout->data_offset),
                                    .kernels = way.kernels};
    trib_merge_begin(&way.merge);
    run_threads(&way, merge_range, 0);
    trib_block_seal(next);

    struct trib_digester digester;
    assert_true(trib_digester_begin(&digester));
    trib_digester_add(&digester, next->bytes, next->byte_count);
    trib_digester_add(&digester, state.vectors->bytes, state.vectors->byte_count);
    trib_digester_finish(&digester, digest);
    trib_block_unref(next);
    trib_optimizer_state_deinit(&state);
    for (size_t leaf = 0; leaf < way.leaf_count; leaf++) {
        trib_exact_sum_deinit(&way.leaves[leaf]);
    }
}

static void test_one_digest(void **state) {
    (void)state;
    for (size_t trial = 0; trial < TRIALS; trial++) {
        struct trib_digest digest;
        char hex[TRIB_DIGEST_HEX_BYTES];
        digest_of_trial(trial, &digest);
        trib_digest_to_hex(&digest, hex);
        if (strcmp(hex, expected_digest) != 0) {
            fail_msg("trial %zu gives %s", trial, hex);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_digest),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
