/* test_spec_files.c - what is sent is what was written, but for what the command line adds. */
#include "cli/spec_files.h"

#include "cli/command.h"
#include "folder.h"
#include "screen.h"
#include "support/check.h"
#include "support/env_faulty.h"

static enum trib_status read_spec(struct test_folder *folder, const char *text, const char *model,
                                  const char *data, struct trib_spec_file *file,
                                  struct trib_error *error) {
    test_folder_write_text(folder, "spec.yaml", text);
    const struct trib_spec_file_request request = {test_folder_path(folder, "spec.yaml"), model,
                                                   data};
    *error = (struct trib_error){0};
    return trib_spec_file_read(trib_env_system(), &request, file, error);
}

static void check_document(const struct trib_spec_file *file, const char *expected) {
    json_t *wanted = json_loads(expected, 0, NULL);
    assert_non_null(wanted);
    if (!json_equal(wanted, file->document)) {
        char *text = json_dumps(file->document, 0);
        fail_msg("%s instead of %s", text, expected);
    }
    json_decref(wanted);
}

static void a_spec_is_passed_on_as_it_was_written(void **state) {
    struct trib_spec_file file;
    struct trib_error error;
    assert_int_equal(read_spec(*state, "name: a\nmodel: {init: upload}\nno_such: [1]\n", NULL, NULL,
                               &file, &error),
                     TRIB_OK);
    check_document(&file, "{\"name\":\"a\",\"model\":{\"init\":\"upload\"},\"no_such\":[1]}");
    assert_null(file.model_path);
    trib_spec_file_deinit(&file);
}

static void a_model_file_in_the_spec_lies_beside_it(void **state) {
    struct test_folder *folder = *state;
    struct trib_spec_file file;
    struct trib_error error;
    char expected[128];
    assert_int_equal(read_spec(folder, "{name: a, model: {init: first.safetensors, delta_max: 2}}",
                               NULL, NULL, &file, &error),
                     TRIB_OK);
    check_document(&file, "{\"name\":\"a\",\"model\":{\"init\":\"upload\",\"delta_max\":2}}");
    (void)snprintf(expected, sizeof expected, "%s/first.safetensors", folder->path);
    assert_string_equal(file.model_path, expected);
    trib_spec_file_deinit(&file);
    assert_int_equal(read_spec(folder, "{name: a, model: {init: /m/first.safetensors}}", NULL, NULL,
                               &file, &error),
                     TRIB_OK);
    assert_string_equal(file.model_path, "/m/first.safetensors");
    trib_spec_file_deinit(&file);
    assert_int_equal(
        read_spec(folder, "{name: a, model: {init: .safetensors}}", NULL, NULL, &file, &error),
        TRIB_OK);
    assert_null(file.model_path); /* no name: the daemon will say so */
    trib_spec_file_deinit(&file);
}

static void a_model_from_the_command_line_goes_first(void **state) {
    struct trib_spec_file file;
    struct trib_error error;
    static const char *const specs[] = {"{name: a, model: {init: x.safetensors}}",
                                        "{name: a, model: {init: {trainer: mlp}}}",
                                        "{name: a, model: {}}", "{name: a}"};
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        assert_int_equal(read_spec(*state, specs[i], "mine.st", NULL, &file, &error), TRIB_OK);
        check_document(&file, "{\"name\":\"a\",\"model\":{\"init\":\"upload\"}}");
        assert_string_equal(file.model_path, "mine.st");
        trib_spec_file_deinit(&file);
    }
    assert_int_equal(read_spec(*state, "{name: a, model: 3}", "mine.st", NULL, &file, &error),
                     TRIB_OK);
    check_document(&file, "{\"name\":\"a\",\"model\":3}"); /* refused later, not changed here */
    trib_spec_file_deinit(&file);
}

static void data_fills_in_only_what_is_missing(void **state) {
    struct test_folder *folder = *state;
    struct trib_spec_file file;
    struct trib_error error;
    char data[128];
    test_folder_write_text(folder, "train.csv", "1,2,3,0\n4,5,6,4\n");
    test_folder_write_text(folder, "test.csv", "1,2,3,0\n");
    (void)snprintf(data, sizeof data, "%s", folder->path);
    assert_int_equal(
        read_spec(folder, "{name: a, model: {init: {trainer: mlp}}}", NULL, data, &file, &error),
        TRIB_OK);
    check_document(&file, "{\"name\":\"a\",\"model\":{\"init\":"
                          "{\"trainer\":\"mlp\",\"features\":3,\"classes\":5}}}");
    trib_spec_file_deinit(&file);
    assert_int_equal(read_spec(folder, "{name: a, model: {init: {trainer: mlp, classes: 9}}}", NULL,
                               data, &file, &error),
                     TRIB_OK);
    check_document(&file, "{\"name\":\"a\",\"model\":{\"init\":"
                          "{\"trainer\":\"mlp\",\"features\":3,\"classes\":9}}}");
    trib_spec_file_deinit(&file);
    assert_int_equal(read_spec(folder, "{name: a, model: {init: {trainer: mlp, features: 8}}}",
                               NULL, data, &file, &error),
                     TRIB_OK);
    check_document(&file, "{\"name\":\"a\",\"model\":{\"init\":"
                          "{\"trainer\":\"mlp\",\"features\":8,\"classes\":5}}}");
    trib_spec_file_deinit(&file);
    /* Not looked at where nothing is missing or nobody asks. */
    assert_int_equal(
        read_spec(folder, "{name: a, model: {init: upload}}", NULL, "/none", &file, &error),
        TRIB_OK);
    trib_spec_file_deinit(&file);
    assert_int_equal(
        read_spec(folder, "{name: a, model: {init: {trainer: mlp}}}", NULL, "/none", &file, &error),
        TRIB_ENOTFOUND);
    assert_null(file.document);
}

static void errors_name_the_file(void **state) {
    struct test_folder *folder = *state;
    struct trib_spec_file file;
    struct trib_error error;
    assert_int_equal(read_spec(folder, "name: [", NULL, NULL, &file, &error), TRIB_EMALFORMED);
    assert_non_null(strstr(error.text, "spec.yaml: line "));
    assert_int_equal(read_spec(folder, "[1]", NULL, NULL, &file, &error), TRIB_EINVALID);
    assert_non_null(strstr(error.text, "spec.yaml: a spec must be an object"));
    assert_int_equal(read_spec(folder, "", NULL, NULL, &file, &error), TRIB_EMALFORMED);
    const struct trib_spec_file_request missing = {"/nonexistent.yaml", NULL, NULL};
    assert_int_equal(trib_spec_file_read(trib_env_system(), &missing, &file, &error),
                     TRIB_ENOTFOUND);
    assert_non_null(strstr(error.text, "/nonexistent.yaml: "));
    const struct trib_spec_file_request directory = {folder->path, NULL, NULL};
    assert_int_equal(trib_spec_file_read(trib_env_system(), &directory, &file, &error), TRIB_EIO);
}

static void a_file_without_end_is_given_up(void **state) {
    (void)state;
    struct trib_spec_file file;
    struct trib_error error = {0};
    const struct trib_spec_file_request request = {"/dev/zero", NULL, NULL};
    assert_int_equal(trib_spec_file_read(trib_env_system(), &request, &file, &error), TRIB_ELIMIT);
}

static void memory_may_run_out(void **state) {
    struct test_folder *folder = *state;
    struct trib_env_faulty faulty;
    uint64_t nth = 0;
    test_folder_write_text(folder, "spec.yaml", "{name: a, model: {init: x.safetensors}}");
    const struct trib_spec_file_request request = {test_folder_path(folder, "spec.yaml"), NULL,
                                                   NULL};
    trib_env_faulty_init(&faulty);
    do {
        struct trib_spec_file file;
        trib_env_faulty_fail(&faulty, ++nth);
        enum trib_status status = trib_spec_file_read(&faulty.env, &request, &file, NULL);
        assert_int_equal(status, faulty.has_failed ? TRIB_EMEMORY : TRIB_OK);
        trib_spec_file_deinit(&file);
        assert_int_equal(faulty.blocks_live, 0);
    } while (faulty.has_failed);
    assert_true(nth > 3);
    trib_env_faulty_deinit(&faulty);
}

static void validate_prints_every_default(void **state) {
    struct test_folder *folder = *state;
    struct test_screen screen;
    test_screen_init(&screen, trib_env_system());
    test_folder_write_text(folder, "spec.yaml", "{name: a, model: {init: upload}}");
    const char *path = test_folder_path(folder, "spec.yaml");
    assert_int_equal(TEST_RUN(&screen, "run", "validate", path), TRIB_EXIT_OK);
    assert_non_null(strstr(screen.out, "name: a\n"));
    assert_non_null(strstr(screen.out, "  preset: fedavg\n"));
    assert_int_equal(TEST_RUN(&screen, "run", "validate", path, "--json"), TRIB_EXIT_OK);
    assert_non_null(strstr(screen.out, "\"preset\": \"fedavg\""));
    test_folder_write_text(folder, "spec.yaml", "{name: a, model: {}, strategy: {quorm: 3}}");
    assert_int_equal(TEST_RUN(&screen, "run", "validate", path), TRIB_EXIT_USAGE);
    assert_non_null(strstr(screen.err, "spec.yaml: strategy.quorm: unknown field; did you mean "
                                       "quorum?\n"));
    test_screen_deinit(&screen);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST_IN_FOLDER(a_spec_is_passed_on_as_it_was_written),
        TEST_IN_FOLDER(a_model_file_in_the_spec_lies_beside_it),
        TEST_IN_FOLDER(a_model_from_the_command_line_goes_first),
        TEST_IN_FOLDER(data_fills_in_only_what_is_missing),
        TEST_IN_FOLDER(errors_name_the_file),
        cmocka_unit_test(a_file_without_end_is_given_up),
        TEST_IN_FOLDER(memory_may_run_out),
        TEST_IN_FOLDER(validate_prints_every_default),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
