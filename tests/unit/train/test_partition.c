/* test_partition.c - every row has one owner, every client has rows, and the kinds differ as they
 * should. */
#include "train/partition.h"

#include <math.h>
#include <stdlib.h>

#include "base/random.h"
#include "support/check.h"
#include "support/env_faulty.h"

enum { ROWS = 6000, CLASSES = 10, CLIENTS = 20 };

struct counts {
    size_t rows[CLIENTS];
    size_t of_label[CLIENTS][CLASSES];
};

/* Labels in no order, each about equally often. */
static void make_labels(int32_t *labels) {
    struct trib_random random;
    trib_random_init(&random, 1);
    for (size_t i = 0; i < ROWS; i++) {
        labels[i] = (int32_t)trib_random_below(&random, CLASSES);
    }
}

static void deal(const struct trib_partition *partition, uint32_t *owners) {
    int32_t labels[ROWS];
    struct trib_error error = {0};
    make_labels(labels);
    if (trib_partition_owners(trib_env_system(), partition, labels, ROWS, CLASSES, owners,
                              &error) != TRIB_OK) {
        fail_msg("%s", error.text);
    }
}

static struct counts deal_and_count(const struct trib_partition *partition) {
    int32_t labels[ROWS];
    uint32_t owners[ROWS];
    struct counts counts = {0};
    make_labels(labels);
    deal(partition, owners);
    for (size_t i = 0; i < ROWS; i++) {
        assert_true(owners[i] < partition->client_count);
        counts.rows[owners[i]]++;
        counts.of_label[owners[i]][labels[i]]++;
    }
    return counts;
}

static struct trib_partition partition_of(enum trib_partition_kind kind, uint64_t seed) {
    return (struct trib_partition){.kind = kind, .client_count = CLIENTS, .seed = seed};
}

static void iid_parts_are_equal_and_see_every_label(void **state) {
    (void)state;
    const struct trib_partition partition = partition_of(TRIB_PARTITION_IID, 1);
    const struct counts counts = deal_and_count(&partition);
    for (size_t client = 0; client < CLIENTS; client++) {
        assert_int_equal(counts.rows[client], ROWS / CLIENTS);
        for (size_t label = 0; label < CLASSES; label++) {
            assert_in_range(counts.of_label[client][label], 8, 60); /* 30 expected */
        }
    }
}

static void parts_that_do_not_come_out_even_differ_by_one(void **state) {
    (void)state;
    struct trib_partition partition = partition_of(TRIB_PARTITION_IID, 1);
    partition.client_count = 7;
    struct counts counts = deal_and_count(&partition);
    for (size_t client = 0; client < 7; client++) {
        assert_in_range(counts.rows[client], ROWS / 7, ROWS / 7 + 1);
    }
    partition.kind = TRIB_PARTITION_SHARDS;
    counts = deal_and_count(&partition);
    for (size_t client = 0; client < 7; client++) {
        assert_in_range(counts.rows[client], ROWS / 7 - 1, ROWS / 7 + 2); /* two shards each */
    }
}

/* A shard of 150 rows lies in one label or across the border of two. */
static void a_client_of_two_shards_sees_few_labels(void **state) {
    (void)state;
    const struct trib_partition partition = partition_of(TRIB_PARTITION_SHARDS, 4);
    const struct counts counts = deal_and_count(&partition);
    size_t label_total = 0;
    for (size_t client = 0; client < CLIENTS; client++) {
        size_t label_count = 0;
        assert_int_equal(counts.rows[client], ROWS / CLIENTS);
        for (size_t label = 0; label < CLASSES; label++) {
            label_count += counts.of_label[client][label] > 0;
        }
        assert_in_range(label_count, 1, 4);
        label_total += label_count;
    }
    /* 40 shards cut at the 9 borders between labels make 49 pieces at most. */
    assert_in_range(label_total, CLIENTS, 49);
}

static void shards_follow_mcmahan_when_labels_are_even(void **state) {
    (void)state;
    enum { EACH = 30 }; /* 10 labels x 30 rows = 20 shards of 15, two for each of 10 clients */
    int32_t labels[CLASSES * EACH];
    uint32_t owners[CLASSES * EACH];
    for (size_t i = 0; i < CLASSES * EACH; i++) {
        labels[i] = (int32_t)(i % CLASSES);
    }
    const struct trib_partition partition = {
        .kind = TRIB_PARTITION_SHARDS, .client_count = 10, .seed = 9};
    assert_int_equal(trib_partition_owners(trib_env_system(), &partition, labels, CLASSES * EACH,
                                           CLASSES, owners, NULL),
                     TRIB_OK);
    size_t count[10][CLASSES] = {0};
    for (size_t i = 0; i < CLASSES * EACH; i++) {
        count[owners[i]][labels[i]]++;
    }
    for (size_t client = 0; client < 10; client++) {
        size_t shard_count = 0;
        for (size_t label = 0; label < CLASSES; label++) {
            assert_int_equal(count[client][label] % 15, 0);
            shard_count += count[client][label] / 15;
        }
        assert_int_equal(shard_count, 2);
    }
}

/* Shares of one label among c clients have mean 1/c and variance (1/c)(1 - 1/c) / (c alpha + 1):
 * a property of the Dirichlet distribution itself, measured here over many labels. */
static void dirichlet_shares_have_the_variance_of_the_distribution(void **state) {
    (void)state;
    enum { LABELS = 3000, EACH = 100, PEERS = 5 };
    static const double alphas[] = {0.1, 0.5, 1.0, 4.0};
    int32_t *labels = malloc(LABELS * EACH * sizeof *labels);
    uint32_t *owners = malloc(LABELS * EACH * sizeof *owners);
    assert_non_null(labels);
    assert_non_null(owners);
    for (size_t i = 0; i < LABELS * EACH; i++) {
        labels[i] = (int32_t)(i / EACH);
    }
    for (size_t k = 0; k < sizeof alphas / sizeof alphas[0]; k++) {
        const struct trib_partition partition = {.kind = TRIB_PARTITION_DIRICHLET,
                                                 .client_count = PEERS,
                                                 .alpha = alphas[k],
                                                 .seed = 11};
        assert_int_equal(trib_partition_owners(trib_env_system(), &partition, labels, LABELS * EACH,
                                               LABELS, owners, NULL),
                         TRIB_OK);
        const double mean = 1.0 / PEERS;
        double variance = 0.0;
        double first_share = 0.0;
        for (size_t label = 0; label < LABELS; label++) {
            double shares[PEERS] = {0};
            for (size_t i = 0; i < EACH; i++) {
                shares[owners[label * EACH + i]] += 1.0 / EACH;
            }
            for (size_t client = 0; client < PEERS; client++) {
                variance += (shares[client] - mean) * (shares[client] - mean) / (LABELS * PEERS);
            }
            first_share += shares[0] / LABELS;
        }
        const double expected = mean * (1.0 - mean) / (PEERS * alphas[k] + 1.0);
        assert_true(fabs(variance / expected - 1.0) < 0.05);
        assert_true(fabs(first_share - mean) < 4.0 * sqrt(expected / LABELS));
    }
    free(owners);
    free(labels);
}

static void nobody_is_left_without_a_row(void **state) {
    (void)state;
    enum { FEW = 40 };
    int32_t labels[FEW];
    uint32_t owners[FEW];
    for (size_t i = 0; i < FEW; i++) {
        labels[i] = (int32_t)(i % 2);
    }
    for (uint32_t client_count = 1; client_count <= FEW; client_count++) {
        for (int kind = 0; kind < TRIB_PARTITION_NATURAL; kind++) {
            const struct trib_partition partition = {.kind = kind,
                                                     .client_count = client_count,
                                                     .shards_per_client = 1,
                                                     .alpha = 0.001,
                                                     .seed = client_count};
            assert_int_equal(
                trib_partition_owners(trib_env_system(), &partition, labels, FEW, 2, owners, NULL),
                TRIB_OK);
            size_t counts[FEW] = {0};
            for (size_t i = 0; i < FEW; i++) {
                assert_true(owners[i] < client_count);
                counts[owners[i]]++;
            }
            for (size_t client = 0; client < client_count; client++) {
                assert_true(counts[client] > 0);
            }
        }
    }
}

static uint64_t fingerprint(const struct trib_partition *partition) {
    uint32_t owners[ROWS];
    uint64_t sum = 0;
    deal(partition, owners);
    for (size_t i = 0; i < ROWS; i++) {
        sum = sum * 31 + owners[i];
    }
    return sum;
}

/* Clients on different machines must come to the same parts, in this release and the next. */
static void the_same_seed_gives_the_same_parts_everywhere(void **state) {
    (void)state;
    static const uint64_t expected[] = {
        [TRIB_PARTITION_IID] = UINT64_C(0x132ab011edfae6e0),
        [TRIB_PARTITION_SHARDS] = UINT64_C(0xaf9f5e18d9569a82),
        [TRIB_PARTITION_DIRICHLET] = UINT64_C(0x80bc84ca46129ab4),
    };
    for (int kind = 0; kind < TRIB_PARTITION_NATURAL; kind++) {
        const struct trib_partition partition = partition_of(kind, 7);
        const struct trib_partition other = partition_of(kind, 8);
        assert_int_equal(fingerprint(&partition), expected[kind]);
        assert_int_not_equal(fingerprint(&other), expected[kind]);
    }
}

static void defaults_are_two_shards_and_alpha_one_half(void **state) {
    (void)state;
    struct trib_partition partition = partition_of(TRIB_PARTITION_SHARDS, 3);
    const uint64_t shards = fingerprint(&partition);
    partition.shards_per_client = 2;
    assert_int_equal(fingerprint(&partition), shards);
    partition = partition_of(TRIB_PARTITION_DIRICHLET, 3);
    const uint64_t dirichlet = fingerprint(&partition);
    partition.alpha = 0.5;
    assert_int_equal(fingerprint(&partition), dirichlet);
}

static void rows_of_a_client_are_those_it_owns_in_ascending_order(void **state) {
    (void)state;
    int32_t labels[ROWS];
    uint32_t owners[ROWS];
    const struct trib_partition partition = partition_of(TRIB_PARTITION_DIRICHLET, 2);
    make_labels(labels);
    deal(&partition, owners);
    size_t total = 0;
    for (uint32_t client = 0; client < CLIENTS; client++) {
        uint32_t *rows = NULL;
        size_t count = 0;
        assert_int_equal(trib_partition_rows(trib_env_system(), &partition, labels, ROWS, CLASSES,
                                             client, &rows, &count, NULL),
                         TRIB_OK);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(owners[rows[i]], client);
            assert_true(i == 0 || rows[i - 1] < rows[i]);
        }
        total += count;
        trib_release(trib_env_system(), rows, count, sizeof *rows);
    }
    assert_int_equal(total, ROWS);
}

static void settings_that_cannot_work_are_refused(void **state) {
    (void)state;
    const int32_t labels[4] = {0, 1, 2, 1};
    const int32_t negative[4] = {0, 1, -1, 1};
    uint32_t owners[4];
    const struct trib_partition bad[] = {
        {.kind = TRIB_PARTITION_COUNT, .client_count = 2},
        {.kind = TRIB_PARTITION_IID, .client_count = 0},
        {.kind = TRIB_PARTITION_IID, .client_count = 5},
        {.kind = TRIB_PARTITION_SHARDS, .client_count = 3}, /* six shards */
        {.kind = TRIB_PARTITION_SHARDS, .client_count = 2, .shards_per_client = 0x80000000},
        {.kind = TRIB_PARTITION_DIRICHLET, .client_count = 2, .alpha = -1},
        {.kind = TRIB_PARTITION_DIRICHLET, .client_count = 2, .alpha = 1e-4},
        {.kind = TRIB_PARTITION_DIRICHLET, .client_count = 2, .alpha = 1e4},
        {.kind = TRIB_PARTITION_DIRICHLET, .client_count = 2, .alpha = NAN},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct trib_error error = {0};
        assert_int_equal(
            trib_partition_owners(trib_env_system(), &bad[i], labels, 4, 3, owners, &error),
            TRIB_EINVALID);
        assert_true(error.text[0] != '\0');
    }
    const struct trib_partition fine = {.kind = TRIB_PARTITION_SHARDS, .client_count = 2};
    assert_int_equal(trib_partition_owners(trib_env_system(), &fine, labels, 4, 3, owners, NULL),
                     TRIB_OK);
    assert_int_equal(trib_partition_owners(trib_env_system(), &fine, labels, 4, 2, owners, NULL),
                     TRIB_EINVALID);
    assert_int_equal(trib_partition_owners(trib_env_system(), &fine, negative, 4, 3, owners, NULL),
                     TRIB_EINVALID);
    uint32_t *rows = NULL;
    size_t count = 0;
    assert_int_equal(
        trib_partition_rows(trib_env_system(), &fine, labels, 4, 3, 2, &rows, &count, NULL),
        TRIB_EINVALID);
    assert_null(rows);
}

/* Owners 1 and 4 have no rows; the others are dealt to two clients in turn: 0, 2 -> 1, 3, 5 -> 1. */
static void natural_clients_keep_their_rows_together(void **state) {
    (void)state;
    const int32_t who[8] = {5, 0, 2, 0, 3, 5, 2, 3};
    const uint32_t expected[8] = {1, 0, 1, 0, 0, 1, 1, 0};
    uint32_t owners[8];
    struct trib_error error = {0};
    struct trib_partition partition = {.kind = TRIB_PARTITION_NATURAL, .client_count = 2};
    assert_int_equal(trib_partition_owners(trib_env_system(), &partition, who, 8, 6, owners, NULL),
                     TRIB_OK);
    assert_memory_equal(owners, expected, sizeof owners);
    partition.client_count = 5; /* more than owners with rows */
    assert_int_equal(
        trib_partition_owners(trib_env_system(), &partition, who, 8, 6, owners, &error),
        TRIB_EINVALID);
    assert_non_null(strstr(error.text, "4 owners"));
}

static void names_lead_to_kinds_and_back(void **state) {
    (void)state;
    for (int kind = 0; kind < TRIB_PARTITION_COUNT; kind++) {
        enum trib_partition_kind found = TRIB_PARTITION_COUNT;
        assert_true(trib_partition_from_name(trib_partition_name(kind), &found));
        assert_int_equal(found, kind);
    }
    enum trib_partition_kind found = TRIB_PARTITION_SHARDS;
    assert_false(trib_partition_from_name("shard", &found));
    assert_int_equal(found, TRIB_PARTITION_SHARDS);
}

static void memory_may_run_out_anywhere(void **state) {
    (void)state;
    int32_t labels[ROWS];
    make_labels(labels);
    for (int kind = 0; kind < TRIB_PARTITION_COUNT; kind++) {
        struct trib_partition partition = partition_of(kind, 7);
        struct trib_env_faulty faulty;
        partition.client_count = CLASSES;
        trib_env_faulty_init(&faulty);
        uint64_t nth = 0;
        do {
            uint32_t *rows = NULL;
            size_t count = 0;
            trib_env_faulty_fail(&faulty, ++nth);
            const enum trib_status status = trib_partition_rows(
                &faulty.env, &partition, labels, ROWS, CLASSES, 0, &rows, &count, NULL);
            assert_int_equal(status, faulty.has_failed ? TRIB_EMEMORY : TRIB_OK);
            trib_release(&faulty.env, rows, count, sizeof *rows);
            assert_int_equal(faulty.blocks_live, 0);
        } while (faulty.has_failed);
        trib_env_faulty_deinit(&faulty);
    }
}

/* As many as are asked for, spread over all rows, and never all or none of them. */
static void what_is_held_out_is_spread(void **state) {
    (void)state;
    static const struct {
        size_t rows;
        uint32_t percent;
        size_t held;
    } cases[] = {{100, 20, 20}, {101, 20, 20}, {7, 50, 3},  {5, 1, 1},
                 {2, 99, 1},    {1, 50, 0},    {100, 0, 0}, {3, 99, 2}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const size_t held = trib_hold_out_count(cases[i].rows, cases[i].percent);
        size_t found = 0, gap = 0;
        assert_int_equal(held, cases[i].held);
        for (size_t row = 0; row < cases[i].rows; row++) {
            const bool is_held = trib_hold_out_has(row, cases[i].rows, held);
            found += is_held;
            gap = is_held ? 0 : gap + 1;
            assert_true(held == 0 || gap <= cases[i].rows / held);
        }
        assert_int_equal(found, held);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_held_out_is_spread),
        cmocka_unit_test(iid_parts_are_equal_and_see_every_label),
        cmocka_unit_test(parts_that_do_not_come_out_even_differ_by_one),
        cmocka_unit_test(a_client_of_two_shards_sees_few_labels),
        cmocka_unit_test(shards_follow_mcmahan_when_labels_are_even),
        cmocka_unit_test(dirichlet_shares_have_the_variance_of_the_distribution),
        cmocka_unit_test(nobody_is_left_without_a_row),
        cmocka_unit_test(the_same_seed_gives_the_same_parts_everywhere),
        cmocka_unit_test(defaults_are_two_shards_and_alpha_one_half),
        cmocka_unit_test(rows_of_a_client_are_those_it_owns_in_ascending_order),
        cmocka_unit_test(settings_that_cannot_work_are_refused),
        cmocka_unit_test(natural_clients_keep_their_rows_together),
        cmocka_unit_test(names_lead_to_kinds_and_back),
        cmocka_unit_test(memory_may_run_out_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
