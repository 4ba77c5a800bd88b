/* test_index.c - what is put is found again; a lost or damaged file is an empty index, no error. */
#include "store/index.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <sqlite3.h>

#include "support/check.h"
#include "support/env_faulty.h"

struct world {
    struct trib_env_faulty faulty;
    char folder[64];
    char path[96];
    struct trib_index *index;
    uint64_t ledger_count;
    struct trib_error error;
};

static void begin_world(struct world *world) {
    memset(world, 0, sizeof *world);
    trib_env_faulty_init(&world->faulty);
    strcpy(world->folder, "/tmp/trib-index-XXXXXX");
    assert_non_null(mkdtemp(world->folder));
    snprintf(world->path, sizeof world->path, "%s/index.sqlite", world->folder);
}

static void end_world(struct world *world) {
    char path[128];
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    trib_index_close(world->index);
    for (size_t index = 0; index < 3; index++) {
        snprintf(path, sizeof path, "%s%s", world->path, suffixes[index]);
        (void)remove(path); /* need not be there */
    }
    assert_int_equal(rmdir(world->folder), 0);
    trib_env_faulty_deinit(&world->faulty);
}

static enum trib_status open_index(struct world *world) {
    trib_index_close(world->index);
    return trib_index_open(&world->faulty.env, world->path, &world->index, &world->ledger_count,
                           &world->error);
}

static struct trib_digest digest_of(const char *text) {
    struct trib_digest digest;
    trib_digest_of(text, strlen(text), &digest);
    return digest;
}

static struct trib_index_update make_update(const char *id) {
    struct trib_index_update update = {.client = "dev-1",
                                       .fate = TRIB_INDEX_COUNTED,
                                       .version = 13,
                                       .digest = digest_of(id),
                                       .weight = UINT64_C(1) << 40,
                                       .staleness = 2};
    snprintf(update.update, sizeof update.update, "%s", id);
    return update;
}

static struct trib_index_version make_version(uint64_t number, const char *evaluation) {
    return (struct trib_index_version){.version = number,
                                       .digest = digest_of("v"),
                                       .parent = digest_of("p"),
                                       .updates = 3,
                                       .weight = 1800,
                                       .bytes = UINT64_C(5) << 32,
                                       .seconds = 4.25,
                                       .wall_s = 1.7e9 + 0.5,
                                       .train = "{\"loss\":0.5}",
                                       .evaluation = evaluation};
}

/* Texts of what a walk visits, each followed by a blank. */
struct walk {
    char text[512];
    enum trib_status answer;
};

static enum trib_status add_version(void *context, const struct trib_index_version *version) {
    struct walk *walk = context;
    struct trib_index_version expected = make_version(version->version, "");
    assert_true(trib_digest_equal(&version->digest, &expected.digest));
    assert_true(trib_digest_equal(&version->parent, &expected.parent));
    assert_int_equal(version->updates, expected.updates);
    assert_int_equal(version->weight, expected.weight);
    assert_int_equal(version->bytes, expected.bytes);
    assert_true(version->seconds == expected.seconds);
    assert_true(version->wall_s == expected.wall_s);
    assert_string_equal(version->train, expected.train);
    size_t used = strlen(walk->text);
    snprintf(walk->text + used, sizeof walk->text - used, "%llu%s ",
             (unsigned long long)version->version, version->evaluation);
    return walk->answer;
}

static const char *versions(struct world *world, uint64_t first, uint64_t last, struct walk *walk) {
    *walk = (struct walk){0};
    assert_int_equal(trib_index_versions(world->index, first, last, walk, add_version), TRIB_OK);
    return walk->text;
}

static void check_same(const struct trib_index_update *a, const struct trib_index_update *b) {
    assert_string_equal(a->client, b->client);
    assert_string_equal(a->update, b->update);
    assert_int_equal(a->fate, b->fate);
    assert_int_equal(a->version, b->version);
    assert_string_equal(a->reason, b->reason);
    assert_true(trib_digest_equal(&a->digest, &b->digest));
    assert_int_equal(a->weight, b->weight);
    assert_int_equal(a->staleness, b->staleness);
}

static void test_updates(void **state) {
    (void)state;
    struct world world;
    struct trib_index_update found;
    uint64_t count;
    begin_world(&world);
    assert_int_equal(open_index(&world), TRIB_OK);
    assert_int_equal(world.ledger_count, 0);
    struct trib_index_update update = make_update("u1");
    assert_int_equal(trib_index_put_update(world.index, &update), TRIB_OK);
    assert_int_equal(trib_index_put_update(world.index, &update), TRIB_OK); /* replayed */
    struct trib_index_update dropped = make_update("u2");
    dropped.fate = TRIB_INDEX_DROPPED;
    dropped.version = 0;
    strcpy(dropped.reason, "run stopped; it's over");
    assert_int_equal(trib_index_put_update(world.index, &dropped), TRIB_OK);

    assert_int_equal(trib_index_get_update(world.index, "dev-1", "u1", &found), TRIB_OK);
    check_same(&found, &update);
    assert_int_equal(trib_index_get_update(world.index, "dev-1", "u2", &found), TRIB_OK);
    check_same(&found, &dropped);
    /* An id belongs to its client. */
    assert_int_equal(trib_index_get_update(world.index, "dev-2", "u1", &found), TRIB_ENOTFOUND);
    assert_int_equal(trib_index_count_updates(world.index, TRIB_INDEX_COUNTED, &count), TRIB_OK);
    assert_int_equal(count, 1);
    assert_int_equal(trib_index_count_updates(world.index, TRIB_INDEX_DROPPED, &count), TRIB_OK);
    assert_int_equal(count, 1);
    end_world(&world);
}

static void test_versions(void **state) {
    (void)state;
    struct world world;
    struct walk walk;
    begin_world(&world);
    assert_int_equal(open_index(&world), TRIB_OK);
    for (uint64_t number = 0; number < 4; number++) {
        struct trib_index_version version = make_version(3 - number, NULL);
        assert_int_equal(trib_index_put_version(world.index, &version), TRIB_OK);
    }
    assert_string_equal(versions(&world, 0, UINT64_MAX, &walk), "0 1 2 3 ");
    assert_string_equal(versions(&world, 1, 2, &walk), "1 2 ");
    assert_string_equal(versions(&world, 9, 9, &walk), "");
    assert_int_equal(trib_index_put_version_evaluation(world.index, 2, "{\"a\":1}"), TRIB_OK);
    assert_int_equal(trib_index_put_version_evaluation(world.index, 9, "{}"), TRIB_ENOTFOUND);
    struct trib_index_version again = make_version(2, NULL); /* replayed: keeps its evaluation */
    assert_int_equal(trib_index_put_version(world.index, &again), TRIB_OK);
    assert_string_equal(versions(&world, 2, 2, &walk), "2{\"a\":1} ");
    again = make_version(2, "{}");
    assert_int_equal(trib_index_put_version(world.index, &again), TRIB_OK);
    assert_string_equal(versions(&world, 2, 2, &walk), "2{} ");
    walk = (struct walk){.answer = TRIB_ESTALE};
    assert_int_equal(trib_index_versions(world.index, 0, 3, &walk, add_version), TRIB_ESTALE);
    assert_string_equal(walk.text, "0 ");
    end_world(&world);
}

static enum trib_status add_evaluation(void *context,
                                       const struct trib_index_evaluation *evaluation) {
    struct walk *walk = context;
    size_t used = strlen(walk->text);
    snprintf(walk->text + used, sizeof walk->text - used, "%s/%s@%llu:%llu%s ", evaluation->client,
             evaluation->evaluation, (unsigned long long)evaluation->version,
             (unsigned long long)evaluation->examples, evaluation->metrics);
    return walk->answer;
}

static enum trib_status add_client(void *context, const struct trib_index_client *client) {
    struct walk *walk = context;
    size_t used = strlen(walk->text);
    snprintf(walk->text + used, sizeof walk->text - used, "%s(%s)%s@%g ", client->client,
             client->role, client->attributes, client->joined_s);
    return walk->answer;
}

static void test_evaluations_and_clients(void **state) {
    (void)state;
    struct world world;
    struct walk walk = {0};
    begin_world(&world);
    assert_int_equal(open_index(&world), TRIB_OK);
    struct trib_index_evaluation evaluation = {.client = "b",
                                               .evaluation = "e1",
                                               .version = 12,
                                               .examples = 360,
                                               .metrics = "{\"auc\":1}"};
    assert_int_equal(trib_index_put_evaluation(world.index, &evaluation), TRIB_OK);
    strcpy(evaluation.evaluation, "e2"); /* once per client and version */
    assert_int_equal(trib_index_put_evaluation(world.index, &evaluation), TRIB_OK);
    strcpy(evaluation.client, "a");
    assert_int_equal(trib_index_put_evaluation(world.index, &evaluation), TRIB_OK);
    evaluation.version = 13;
    assert_int_equal(trib_index_put_evaluation(world.index, &evaluation), TRIB_OK);
    assert_int_equal(trib_index_evaluations(world.index, 12, &walk, add_evaluation), TRIB_OK);
    assert_string_equal(walk.text, "a/e2@12:360{\"auc\":1} b/e2@12:360{\"auc\":1} ");
    assert_int_equal(trib_index_has_evaluation(world.index, 13, "a"), TRIB_OK);
    assert_int_equal(trib_index_has_evaluation(world.index, 13, "b"), TRIB_ENOTFOUND);

    struct trib_index_client client = {
        .client = "dev-2", .role = "trainer", .attributes = "{\"site\":\"mercy\"}", .joined_s = 17};
    assert_int_equal(trib_index_put_client(world.index, &client), TRIB_OK);
    strcpy(client.client, "dev-1");
    client.attributes = "{}";
    assert_int_equal(trib_index_put_client(world.index, &client), TRIB_OK);
    strcpy(client.role, "evaluator");
    client.joined_s = 18;
    assert_int_equal(trib_index_put_client(world.index, &client), TRIB_OK);
    walk = (struct walk){0};
    assert_int_equal(trib_index_clients(world.index, NULL, &walk, add_client), TRIB_OK);
    assert_string_equal(walk.text, "dev-2(trainer){\"site\":\"mercy\"}@17 dev-1(evaluator){}@18 ");
    walk = (struct walk){0};
    assert_int_equal(trib_index_clients(world.index, "dev-2", &walk, add_client), TRIB_OK);
    assert_string_equal(walk.text, "dev-2(trainer){\"site\":\"mercy\"}@17 ");
    end_world(&world);
}

/* What a batch put in and the count it brought the index to appear together or not at all. */
static void test_batches_are_all_or_nothing(void **state) {
    (void)state;
    struct world world;
    struct walk walk;
    begin_world(&world);
    assert_int_equal(open_index(&world), TRIB_OK);
    struct trib_index_version version = make_version(1, NULL);
    assert_int_equal(trib_index_begin(world.index), TRIB_OK);
    assert_int_equal(trib_index_put_version(world.index, &version), TRIB_OK);
    assert_int_equal(trib_index_commit(world.index, 5), TRIB_OK);
    assert_int_equal(trib_index_begin(world.index), TRIB_OK);
    version.version = 2;
    assert_int_equal(trib_index_put_version(world.index, &version), TRIB_OK);
    assert_string_equal(versions(&world, 0, 9, &walk), "1 2 ");
    trib_index_rollback(world.index);
    assert_string_equal(versions(&world, 0, 9, &walk), "1 ");
    trib_index_rollback(world.index); /* nothing */
    assert_int_equal(trib_index_begin(world.index), TRIB_OK);
    assert_int_equal(trib_index_put_version(world.index, &version), TRIB_OK);
    assert_int_equal(open_index(&world), TRIB_OK); /* closed with an open batch */
    assert_int_equal(world.ledger_count, 5);
    assert_string_equal(versions(&world, 0, 9, &walk), "1 ");
    end_world(&world);
}

static void check_empty_and_usable(struct world *world) {
    struct walk walk;
    struct trib_index_version version = make_version(7, NULL);
    assert_string_equal(versions(world, 0, UINT64_MAX, &walk), "");
    assert_int_equal(trib_index_put_version(world->index, &version), TRIB_OK);
    assert_string_equal(versions(world, 0, UINT64_MAX, &walk), "7 ");
}

static void put_something(struct world *world) {
    assert_int_equal(open_index(world), TRIB_OK);
    assert_int_equal(trib_index_begin(world->index), TRIB_OK);
    for (uint64_t number = 0; number < 400; number++) {
        struct trib_index_version version = make_version(number, NULL);
        assert_int_equal(trib_index_put_version(world->index, &version), TRIB_OK);
    }
    assert_int_equal(trib_index_commit(world->index, 400), TRIB_OK);
    trib_index_close(world->index);
    world->index = NULL;
}

static void test_rebuild_empties(void **state) {
    (void)state;
    struct world world;
    begin_world(&world);
    put_something(&world);
    assert_int_equal(open_index(&world), TRIB_OK);
    assert_int_equal(world.ledger_count, 400);
    assert_int_equal(trib_index_rebuild(world.index, &world.error), TRIB_OK);
    check_empty_and_usable(&world);
    assert_int_equal(open_index(&world), TRIB_OK);
    assert_int_equal(world.ledger_count, 0);
    end_world(&world);
}

static void overwrite(const struct world *world, long offset, const char *bytes, size_t count) {
    FILE *file = fopen(world->path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, offset, SEEK_SET), 0);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    assert_int_equal(fclose(file), 0);
}

static void test_damaged_files_are_replaced(void **state) {
    (void)state;
    static const long offsets[] = {0, 4096, 3 * 4096, 8 * 4096};
    static char rubbish[2048];
    memset(rubbish, 0x5a, sizeof rubbish);
    for (size_t index = 0; index < sizeof offsets / sizeof *offsets; index++) {
        struct world world;
        begin_world(&world);
        put_something(&world);
        overwrite(&world, offsets[index], rubbish, sizeof rubbish);
        assert_int_equal(open_index(&world), TRIB_OK);
        assert_int_equal(world.ledger_count, 0);
        check_empty_and_usable(&world);
        end_world(&world);
    }
    struct world world;
    begin_world(&world);
    put_something(&world);
    assert_int_equal(truncate(world.path, 5 * 4096), 0);
    assert_int_equal(open_index(&world), TRIB_OK);
    assert_int_equal(world.ledger_count, 0);
    check_empty_and_usable(&world);
    end_world(&world);
}

static void run_sql(const struct world *world, const char *sql) {
    sqlite3 *database;
    assert_int_equal(sqlite3_open(world->path, &database), SQLITE_OK);
    assert_int_equal(sqlite3_exec(database, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(database), SQLITE_OK);
}

static void test_other_layouts_are_replaced(void **state) {
    (void)state;
    static const char *const sql[] = {
        "PRAGMA user_version = 2",
        "PRAGMA user_version = 0",
        "DROP TABLE clients",
        "ALTER TABLE updates RENAME COLUMN weight TO mass",
    };
    for (size_t index = 0; index < sizeof sql / sizeof *sql; index++) {
        struct world world;
        begin_world(&world);
        put_something(&world);
        run_sql(&world, sql[index]);
        assert_int_equal(open_index(&world), TRIB_OK);
        assert_int_equal(world.ledger_count, 0);
        check_empty_and_usable(&world);
        end_world(&world);
    }
}

/* Rows that no put of ours makes are damage, not data. */
static void test_impossible_rows_are_damage(void **state) {
    (void)state;
    struct world world;
    struct walk walk = {0};
    struct trib_index_update found;
    begin_world(&world);
    put_something(&world);
    run_sql(&world, "INSERT INTO updates VALUES ('c', 'u', 9, 0, '', x'00', 0, 0);"
                    "INSERT INTO updates VALUES ('c', 'v', 1, 0, '', x'00', 0, 0);"
                    "UPDATE versions SET parent = x'0102' WHERE version = 3");
    assert_int_equal(open_index(&world), TRIB_OK);
    assert_int_equal(trib_index_get_update(world.index, "c", "u", &found), TRIB_ECORRUPT);
    assert_int_equal(trib_index_get_update(world.index, "c", "v", &found), TRIB_ECORRUPT);
    assert_int_equal(trib_index_versions(world.index, 3, 4, &walk, add_version), TRIB_ECORRUPT);
    assert_string_equal(walk.text, "");
    end_world(&world);
}

static void test_no_folder_is_an_error(void **state) {
    (void)state;
    struct world world;
    begin_world(&world);
    snprintf(world.path, sizeof world.path, "%s/missing/index.sqlite", world.folder);
    assert_int_equal(open_index(&world), TRIB_EIO);
    assert_null(world.index);
    assert_non_null(strstr(world.error.text, "missing/index.sqlite"));
    end_world(&world);
}

static void test_out_of_memory(void **state) {
    (void)state;
    struct world world;
    begin_world(&world);
    uint64_t nth = 0;
    do {
        trib_env_faulty_fail(&world.faulty, ++nth);
        enum trib_status status = open_index(&world);
        assert_int_equal(status, world.faulty.has_failed ? TRIB_EMEMORY : TRIB_OK);
        trib_index_close(world.index);
        world.index = NULL;
        assert_int_equal(world.faulty.blocks_live, 0);
    } while (world.faulty.has_failed);
    assert_int_equal(nth, 3);
    end_world(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_updates),
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_evaluations_and_clients),
        cmocka_unit_test(test_batches_are_all_or_nothing),
        cmocka_unit_test(test_rebuild_empties),
        cmocka_unit_test(test_damaged_files_are_replaced),
        cmocka_unit_test(test_other_layouts_are_replaced),
        cmocka_unit_test(test_impossible_rows_are_damage),
        cmocka_unit_test(test_no_folder_is_an_error),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
