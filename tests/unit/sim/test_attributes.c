/* test_attributes.c - groups and files of attributes give each client its own, the same every time. */
#include "sim/attributes.h"

#include <stdio.h>
#include <unistd.h>

#include "support/check.h"
#include "support/env_faulty.h"
#include "written.h"

static struct trib_attributes parsed(const char *text) {
    struct trib_attributes attributes;
    struct trib_error error = {0};
    if (trib_attributes_parse(&attributes, trib_env_system(), text, 1, &error) != TRIB_OK) {
        fail_msg("%s: %s", text, error.text);
    }
    return attributes;
}

static void values_have_their_kinds(void **state) {
    (void)state;
    struct trib_attributes attributes =
        parsed("site=mercy ward, cores=8,gpu=true,beds=1e2,old=false");
    uint32_t count;
    const struct trib_attribute *said = trib_attributes_of(&attributes, 0, &count);
    assert_int_equal(count, 5);
    assert_int_equal(trib_attributes_row(&attributes, 12345), 0);
    assert_string_equal(trib_attribute_find(said, count, "site")->text, "mercy ward");
    assert_int_equal(trib_attribute_find(said, count, "cores")->kind, TRIB_ATTRIBUTE_NUMBER);
    assert_true(trib_attribute_find(said, count, "beds")->number == 100);
    assert_int_equal(trib_attribute_find(said, count, "gpu")->kind, TRIB_ATTRIBUTE_FLAG);
    assert_true(trib_attribute_find(said, count, "gpu")->number == 1);
    assert_true(trib_attribute_find(said, count, "old")->number == 0);
    trib_attributes_deinit(&attributes);
}

static void groups_have_their_shares(void **state) {
    (void)state;
    enum { CLIENTS = 20000 };
    struct trib_attributes attributes = parsed("70% site=a + 20% site=b,gpu=true + 10% site=c");
    struct trib_attributes again = parsed("70% site=a + 20% site=b,gpu=true + 10% site=c");
    uint32_t found[3] = {0};
    for (uint64_t client = 0; client < CLIENTS; client++) {
        uint32_t row = trib_attributes_row(&attributes, client);
        assert_int_equal(row, trib_attributes_row(&again, client));
        found[row]++;
    }
    assert_in_range(found[0], 0.69 * CLIENTS, 0.71 * CLIENTS);
    assert_in_range(found[1], 0.19 * CLIENTS, 0.21 * CLIENTS);
    trib_attributes_deinit(&attributes);
    trib_attributes_deinit(&again);
}

static void a_file_gives_each_client_its_row(void **state) {
    (void)state;
    char path[WRITTEN_PATH_BYTES], text[64];
    snprintf(text, sizeof text, "trace:%s",
             written(path, "site,gpu,cores\r\na,true,\n\nb,,4\n c , false,2"));
    struct trib_attributes attributes = parsed(text);
    unlink(path);
    uint32_t count;
    assert_int_equal(attributes.row_count, 3);
    assert_int_equal(trib_attributes_row(&attributes, 7), 1);
    const struct trib_attribute *said = trib_attributes_of(&attributes, 1, &count);
    assert_int_equal(count, 2);
    assert_string_equal(trib_attribute_find(said, count, "site")->text, "b");
    assert_null(trib_attribute_find(said, count, "gpu"));
    said = trib_attributes_of(&attributes, 2, &count);
    assert_string_equal(trib_attribute_find(said, count, "site")->text, "c");
    assert_int_equal(trib_attribute_find(said, count, "gpu")->kind, TRIB_ATTRIBUTE_FLAG);
    trib_attributes_deinit(&attributes);
}

static void mistakes_have_words(void **state) {
    (void)state;
    static const struct {
        const char *text, *file, *words;
    } bad[] = {
        {"site", NULL, "site: must be such as site=mercy"},
        {"a b=1", NULL, "is not a name"},
        {"site=", NULL, "site: a value has 1 to 64 bytes"},
        {"site=a,site=b", NULL, "site: named twice"},
        {"50% site=a + 40% site=b", NULL, "the shares come to 90%"},
        {"x% site=a", NULL, "a share must be above 0"},
        {"trace:/nowhere", NULL, "/nowhere"},
        {NULL, "site\na,b\n", "line 2, column 2: more cells than names"},
        {NULL, "my site\na\n", "line 2, column 1: \"my site\" is not a name"},
        {NULL, "site\n", "no rows below the names"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct trib_attributes attributes;
        struct trib_error error = {0};
        char path[WRITTEN_PATH_BYTES], text[64];
        if (bad[i].file != NULL) {
            snprintf(text, sizeof text, "trace:%s", written(path, bad[i].file));
        }
        assert_int_not_equal(trib_attributes_parse(&attributes, trib_env_system(),
                                                   bad[i].file != NULL ? text : bad[i].text, 1,
                                                   &error),
                             TRIB_OK);
        if (bad[i].file != NULL) {
            unlink(path);
        }
        if (strstr(error.text, bad[i].words) == NULL) {
            fail_msg("%zu: %s", i, error.text);
        }
    }
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    char path[WRITTEN_PATH_BYTES], text[64];
    snprintf(text, sizeof text, "trace:%s", written(path, "site,gpu\na,true\nb,false\n"));
    struct trib_env_faulty faulty;
    trib_env_faulty_init(&faulty);
    uint64_t nth = 0;
    do {
        struct trib_attributes attributes;
        trib_env_faulty_fail(&faulty, ++nth);
        enum trib_status status = trib_attributes_parse(&attributes, &faulty.env, text, 1, NULL);
        assert_int_equal(status, faulty.has_failed ? TRIB_EMEMORY : TRIB_OK);
        trib_attributes_deinit(&attributes);
        assert_int_equal(faulty.blocks_live, 0);
    } while (faulty.has_failed);
    assert_true(nth > 3);
    trib_env_faulty_deinit(&faulty);
    unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_have_their_kinds),
        cmocka_unit_test(groups_have_their_shares),
        cmocka_unit_test(a_file_gives_each_client_its_row),
        cmocka_unit_test(mistakes_have_words),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
