/* test_tape.c - what was told is read again, as it was; a tape that cannot be written ends. */
#include "node/tape.h"

#include "base/files_memory.h"
#include "support/check.h"
#include "support/env_faulty.h"

#include <math.h>
#include <string.h>

static const struct trib_attribute attributes[] = {
    {.name = "gpu", .kind = TRIB_ATTRIBUTE_FLAG, .number = 1},
    {.name = "site", .kind = TRIB_ATTRIBUTE_TEXT, .text = "mercy"},
    {.name = "beds", .kind = TRIB_ATTRIBUTE_NUMBER, .number = -0.5},
};

/* Between them: every field, both ends of time, and times that go back. */
static const struct trib_told told[] = {
    {.kind = TRIB_TOLD_RESTORE,
     .ledger_count = 17,
     .restored = {.state = TRIB_RUN_PAUSED,
                  .reason = "by the operator",
                  .has_model = true,
                  .version = 5,
                  .now = 1000,
                  .ran_for = TRIB_SECOND,
                  .counted = 40,
                  .dropped = 2,
                  .revised_from = 6}},
    {.kind = TRIB_TOLD_CLIENT,
     .event = {.client = "c1",
               .role = TRIB_CLIENT_EVALUATOR,
               .attributes = attributes,
               .attribute_count = 3}},
    {.kind = TRIB_TOLD_SET_ASIDE, .event = {.client = NULL}},
    {.kind = TRIB_TOLD_EVALUATION,
     .event = {.client = "c1", .version = 4, .examples = 9, .metric = -0.0, .has_metric = true}},
    {.kind = TRIB_TOLD_PENDING,
     .event = {.client = "c2", .id = "4.0", .version = 4, .examples = 9, .digest = {{1, 2, 3}}},
     .target = 6,
     .staleness = 1,
     .weight = UINT64_MAX},
    {.kind = TRIB_TOLD_EVENT,
     .event = {.now = 1234567,
               .kind = TRIB_EVENT_ASK,
               .request = 7,
               .client = "c2",
               .wait_until = TRIB_TIME_NEVER}},
    {.kind = TRIB_TOLD_EVENT,
     .event = {.now = 1234560,
               .kind = TRIB_EVENT_UPDATE,
               .request = 8,
               .client = "c2",
               .id = "",
               .byte_count = 4096,
               .settled = {TRIB_FATE_COUNTED, 3, {{9}}}}},
    {.kind = TRIB_TOLD_EVENT,
     .event = {.now = 1234569,
               .kind = TRIB_EVENT_SPOOLED,
               .slot = TRIB_SLOT_NONE,
               .status = TRIB_EFULL,
               .digest = {{255}}}},
    {.kind = TRIB_TOLD_EVENT,
     .event = {.now = 1234569, .kind = TRIB_EVENT_RECORDED, .record = 300, .metric = NAN}},
    {.kind = TRIB_TOLD_EVENT,
     .event = {.now = TRIB_TIME_NEVER, .kind = TRIB_EVENT_CONTROL, .control = TRIB_CONTROL_STOP}},
};
#define TOLD_COUNT (sizeof told / sizeof *told)

static void tell_all(struct trib_tape *tape) {
    for (size_t i = 0; i < TOLD_COUNT; i++) {
        trib_tape_add(tape, &told[i]);
    }
}

static enum trib_status tell_again(void *context, const struct trib_told *read) {
    trib_tape_add(context, read);
    return TRIB_OK;
}

static void make_run(struct trib_files_memory *memory) {
    trib_files_memory_init(memory);
    (void)memory->files.make_directory(memory->files.context, "runs");
    (void)memory->files.make_directory(memory->files.context, "runs/r");
    (void)memory->files.sync_directory(memory->files.context, ".");
    (void)memory->files.sync_directory(memory->files.context, "runs");
}

/* What is read and told again is written as the same bytes. */
static void what_was_told_is_read_again(void **state) {
    (void)state;
    const struct trib_env *env = trib_env_system();
    struct trib_files_memory memory;
    struct trib_tape tape, again;
    make_run(&memory);
    assert_int_equal(trib_tape_begin(&tape, env, &memory.files, "r"), TRIB_OK);
    for (size_t half = 0; half < 2; half++) { /* in two chunks */
        for (size_t i = half * TOLD_COUNT / 2; i < (half + 1) * TOLD_COUNT / 2; i++) {
            trib_tape_add(&tape, &told[i]);
        }
        trib_tape_take(&tape);
        assert_int_equal(trib_tape_write(&tape), TRIB_OK);
    }
    trib_tape_end(&tape);
    trib_files_memory_crash(&memory); /* it was synced */
    assert_int_equal(trib_tape_begin(&again, env, &memory.files, "r"), TRIB_OK);
    struct trib_error error = {0};
    assert_int_equal(trib_tape_read(env, &memory.files, "r", 1, &error, &again, tell_again),
                     TRIB_OK);
    assert_int_equal(trib_tape_begin(&tape, env, &memory.files, "r"), TRIB_OK);
    tell_all(&tape);
    assert_int_equal(tape.gathered.byte_count, again.gathered.byte_count);
    assert_memory_equal(tape.gathered.bytes, again.gathered.bytes, tape.gathered.byte_count);
    trib_tape_end(&tape);
    trib_tape_end(&again);
    trib_files_memory_deinit(&memory);
}

static enum trib_status look(void *context, const struct trib_told *read) {
    size_t *index = context;
    const struct trib_told *expected = &told[*index];
    ++*index;
    assert_int_equal(read->kind, expected->kind);
    assert_int_equal(read->event.kind, expected->event.kind);
    assert_int_equal(read->event.now, expected->event.now);
    assert_int_equal(read->event.wait_until, expected->event.wait_until);
    assert_int_equal(read->event.slot, expected->event.slot);
    assert_int_equal(read->weight, expected->weight);
    assert_int_equal(read->restored.version, expected->restored.version);
    assert_string_equal(read->restored.reason, expected->restored.reason);
    assert_int_equal(read->event.client == NULL, expected->event.client == NULL);
    if (read->event.client != NULL) {
        assert_string_equal(read->event.client, expected->event.client);
    }
    assert_int_equal(read->event.attribute_count, expected->event.attribute_count);
    for (uint32_t i = 0; i < read->event.attribute_count; i++) {
        assert_true(trib_attribute_equal(&read->event.attributes[i], &attributes[i]));
    }
    assert_int_equal(signbit(read->event.metric) != 0, signbit(expected->event.metric) != 0);
    return *index == 9 ? TRIB_ELIMIT : TRIB_OK;
}

static void it_is_as_it_was_and_reading_can_end(void **state) {
    (void)state;
    const struct trib_env *env = trib_env_system();
    struct trib_files_memory memory;
    struct trib_tape tape;
    struct trib_numbers numbers;
    size_t index = 0;
    make_run(&memory);
    assert_int_equal(trib_tape_list(env, &memory.files, "r", &numbers), TRIB_OK);
    assert_int_equal(numbers.count, 0);
    assert_int_equal(trib_tape_begin(&tape, env, &memory.files, "r"), TRIB_OK);
    tell_all(&tape);
    trib_tape_take(&tape);
    assert_int_equal(trib_tape_write(&tape), TRIB_OK);
    trib_tape_end(&tape);
    assert_int_equal(trib_tape_read(env, &memory.files, "r", 1, NULL, &index, look), TRIB_ELIMIT);
    assert_int_equal(index, 9);
    assert_int_equal(trib_tape_read(env, &memory.files, "r", 2, NULL, &index, look),
                     TRIB_ENOTFOUND);
    trib_files_memory_deinit(&memory);
}

/* The run goes on; what is read is what was written whole. */
static void a_disk_that_fails_ends_the_tape(void **state) {
    (void)state;
    const struct trib_env *env = trib_env_system();
    uint64_t nth = 0;
    bool has_failed = true;
    while (has_failed) {
        struct trib_files_memory memory;
        struct trib_tape tape;
        make_run(&memory);
        assert_int_equal(trib_tape_begin(&tape, env, &memory.files, "r"), TRIB_OK);
        trib_files_memory_stop(&memory, ++nth);
        enum trib_status status = TRIB_OK;
        size_t written = 0;
        for (size_t i = 0; i < 3; i++) {
            tell_all(&tape);
            trib_tape_take(&tape);
            enum trib_status now = trib_tape_write(&tape);
            assert_true(status == TRIB_OK || now == TRIB_OK); /* it is told once */
            status = status == TRIB_OK ? now : status;
            written += status == TRIB_OK;
        }
        has_failed = memory.has_failed;
        assert_int_equal(status != TRIB_OK, has_failed);
        trib_tape_end(&tape);
        trib_files_memory_crash(&memory);
        struct trib_tape read;
        assert_int_equal(trib_tape_begin(&read, env, &memory.files, "r"), TRIB_OK);
        enum trib_status found =
            trib_tape_read(env, &memory.files, "r", 1, NULL, &read, tell_again);
        assert_true(found == TRIB_OK || (found == TRIB_ENOTFOUND && written == 0));
        assert_true(written == 0 || read.gathered.byte_count > 0);
        trib_tape_end(&read);
        trib_files_memory_deinit(&memory);
    }
    assert_true(nth > 10);
}

static void no_memory_ends_the_tape_and_leaves_nothing(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    uint64_t nth = 0;
    do {
        struct trib_files_memory memory;
        struct trib_tape tape = {0};
        make_run(&memory);
        trib_env_faulty_fail(&faulty, ++nth);
        if (trib_tape_begin(&tape, &faulty.env, &memory.files, "r") == TRIB_OK) {
            for (size_t i = 0; i < 3; i++) {
                tell_all(&tape);
                trib_tape_take(&tape);
                (void)trib_tape_write(&tape);
            }
        }
        trib_tape_end(&tape);
        assert_int_equal(faulty.blocks_live, 0);
        trib_files_memory_deinit(&memory);
    } while (faulty.has_failed);
    assert_true(nth > 3);
    trib_env_faulty_deinit(&faulty);
}

static void a_tape_that_is_all_zero_keeps_nothing(void **state) {
    (void)state;
    struct trib_tape tape = {0};
    tell_all(&tape);
    assert_false(trib_tape_is_due(&tape));
    trib_tape_take(&tape);
    assert_int_equal(trib_tape_write(&tape), TRIB_OK);
    trib_tape_end(&tape);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_told_is_read_again),
        cmocka_unit_test(it_is_as_it_was_and_reading_can_end),
        cmocka_unit_test(a_disk_that_fails_ends_the_tape),
        cmocka_unit_test(no_memory_ends_the_tape_and_leaves_nothing),
        cmocka_unit_test(a_tape_that_is_all_zero_keeps_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
