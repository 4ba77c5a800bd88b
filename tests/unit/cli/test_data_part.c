/* test_data_part.c - shares are read strictly, and together they are the data set. */
#include "cli/data_part.h"

#include <math.h>
#include <stdio.h>

#include "folder.h"
#include "support/check.h"
#include "support/env_faulty.h"

static enum trib_status parse(const char *part, const char *partition,
                              struct trib_data_part *share) {
    struct trib_error error = {0};
    enum trib_status status = trib_data_part_parse(part, partition, 7, share, &error);
    assert_true((status == TRIB_OK) == (error.status == TRIB_OK));
    return status;
}

static void every_form_is_read(void **state) {
    (void)state;
    struct trib_data_part share;
    assert_int_equal(parse(NULL, "iid", &share), TRIB_OK);
    assert_true(share.is_whole);
    assert_int_equal(parse("0/1", "iid", &share), TRIB_OK);
    assert_false(share.is_whole);
    assert_int_equal(parse("3/10", "shards", &share), TRIB_OK);
    assert_int_equal(share.part_index, 3);
    assert_int_equal(share.partition.client_count, 10);
    assert_int_equal(share.partition.kind, TRIB_PARTITION_SHARDS);
    assert_int_equal(share.partition.seed, 7);
    assert_int_equal(parse("3/10", "shards:5", &share), TRIB_OK);
    assert_int_equal(share.partition.shards_per_client, 5);
    assert_int_equal(parse("3/10", "dirichlet:0.25", &share), TRIB_OK);
    assert_int_equal(share.partition.kind, TRIB_PARTITION_DIRICHLET);
    assert_true(share.partition.alpha == 0.25);
}

static void other_forms_are_refused(void **state) {
    (void)state;
    static const char *const parts[] = {"",    "3",    "10/10", "11/10",        "-1/10",
                                        "1/0", "1/2x", "x1/2",  "1 /2",         "1/",
                                        "/2",  "1//2", "1.0/2", "0/9999999999", "9999999999/3"};
    static const char *const partitions[] = {"",
                                             "even",
                                             "iid:1",
                                             "shards:",
                                             "shards:0",
                                             "shards:x",
                                             "shards:2x",
                                             "dirichlet:",
                                             "dirichlet:0",
                                             "dirichlet:-1",
                                             "dirichlet:x",
                                             "dirichlet:nan",
                                             "dirichlet:1e9",
                                             "dirichlet:1 2",
                                             "dirichletdirichlet"};
    struct trib_data_part share;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (parse(parts[i], "iid", &share) != TRIB_EINVALID) {
            fail_msg("part %s was taken", parts[i]);
        }
    }
    for (size_t i = 0; i < sizeof partitions / sizeof *partitions; i++) {
        if (parse("0/2", partitions[i], &share) != TRIB_EINVALID) {
            fail_msg("partition %s was taken", partitions[i]);
        }
    }
}

/* Row i is i, i * i; its label alternates. */
static const char *write_table(struct test_folder *folder) {
    char text[1024];
    size_t used = 0;
    for (int i = 0; i < 20; i++) {
        used += (size_t)snprintf(text + used, sizeof text - used, "%d,%d,%d\n", i, i * i, i % 2);
    }
    test_folder_write_text(folder, "train.csv", text);
    test_folder_write_text(folder, "test.csv", "5,25,1\n6,36,0\n");
    return folder->path;
}

static void parts_together_are_the_whole(void **state) {
    const char *path = write_table(*state);
    static const char *const partitions[] = {"iid", "shards:2", "dirichlet:0.5"};
    for (size_t p = 0; p < sizeof partitions / sizeof *partitions; p++) {
        size_t rows = 0;
        double sum = 0.0;
        for (int i = 0; i < 4; i++) {
            char part[8];
            struct trib_data_part share;
            struct trib_dataset dataset = {0};
            (void)snprintf(part, sizeof part, "%d/4", i);
            assert_int_equal(parse(part, partitions[p], &share), TRIB_OK);
            assert_int_equal(trib_data_part_load(trib_env_system(), path, &share, &dataset, NULL),
                             TRIB_OK);
            assert_int_equal(dataset.feature_count, 2);
            for (size_t row = 0; row < dataset.row_count; row++) {
                sum += dataset.features[2 * row];
            }
            rows += dataset.row_count;
            trib_dataset_deinit(&dataset);
        }
        assert_int_equal(rows, 20);
        assert_true(fabs(sum - 190.0 / 361.0) < 1e-5); /* scaled by the largest feature */
    }
}

static void evaluators_get_the_rows_held_out(void **state) {
    const char *path = write_table(*state);
    struct trib_data_part share;
    struct trib_dataset dataset = {0};
    assert_int_equal(parse(NULL, "iid", &share), TRIB_OK);
    share.is_test = true;
    assert_int_equal(trib_data_part_load(trib_env_system(), path, &share, &dataset, NULL), TRIB_OK);
    assert_int_equal(dataset.row_count, 2);
    trib_dataset_deinit(&dataset);
}

static void more_parts_than_rows_is_an_error(void **state) {
    const char *path = write_table(*state);
    struct trib_data_part share;
    struct trib_dataset dataset = {0};
    struct trib_error error = {0};
    assert_int_equal(parse("0/21", "iid", &share), TRIB_OK);
    assert_int_equal(trib_data_part_load(trib_env_system(), path, &share, &dataset, &error),
                     TRIB_EINVALID);
    assert_null(dataset.features);
}

static void memory_may_run_out(void **state) {
    const char *path = write_table(*state);
    struct trib_env_faulty faulty;
    struct trib_data_part share;
    uint64_t nth = 0;
    trib_env_faulty_init(&faulty);
    assert_int_equal(parse("1/4", "shards", &share), TRIB_OK);
    do {
        struct trib_dataset dataset = {0};
        trib_env_faulty_fail(&faulty, ++nth);
        enum trib_status status = trib_data_part_load(&faulty.env, path, &share, &dataset, NULL);
        assert_int_equal(status, faulty.has_failed ? TRIB_EMEMORY : TRIB_OK);
        trib_dataset_deinit(&dataset);
        assert_int_equal(faulty.blocks_live, 0);
    } while (faulty.has_failed);
    assert_true(nth > 4);
    trib_env_faulty_deinit(&faulty);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_is_read),
        cmocka_unit_test(other_forms_are_refused),
        TEST_IN_FOLDER(parts_together_are_the_whole),
        TEST_IN_FOLDER(evaluators_get_the_rows_held_out),
        TEST_IN_FOLDER(more_parts_than_rows_is_an_error),
        TEST_IN_FOLDER(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
