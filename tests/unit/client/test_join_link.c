/* test_join_link.c - links to Unix sockets next to the ordinary ones. */
#include "client/join_link.h"

#include <stdio.h>

#include "support/check.h"

static void ordinary_links_are_read_as_ever(void **state) {
    (void)state;
    struct trib_link link;
    assert_int_equal(trib_join_link_parse("trib://127.0.0.1:7070/digits#abc", &link, NULL),
                     TRIB_OK);
    assert_string_equal(link.host, "127.0.0.1");
    assert_int_equal(link.port, 7070);
    assert_string_equal(link.token, "abc");
}

static void unix_links_end_in_the_run(void **state) {
    (void)state;
    struct trib_link link;
    assert_int_equal(trib_join_link_parse("unix:/run/tributary/socket/digits#a.b", &link, NULL),
                     TRIB_OK);
    assert_string_equal(link.host, "unix:/run/tributary/socket");
    assert_int_equal(link.port, 0);
    assert_string_equal(link.prefix, "");
    assert_string_equal(link.run, "digits");
    assert_string_equal(link.token, "a.b");
    assert_false(trib_link_is_tls(&link));
    assert_int_equal(trib_join_link_parse("unix:/s/r", &link, NULL), TRIB_OK);
    assert_string_equal(link.host, "unix:/s");
    assert_string_equal(link.token, "");
}

static void broken_links_change_nothing(void **state) {
    (void)state;
    static const char *const texts[] = {
        "",
        "127.0.0.1:7070/digits",
        "unix:",
        "unix:/",
        "unix:/socket",
        "unix:socket/run",
        "unix:/socket/",
        "unix:/socket/../#x",
        "unix:/socket/run#bad token",
        "unix:/socket/-run",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct trib_link link = {.host = "as before"};
        struct trib_error error = {0};
        assert_int_equal(trib_join_link_parse(texts[i], &link, &error), TRIB_EMALFORMED);
        assert_string_equal(link.host, "as before");
        assert_true(error.text[0] != '\0');
    }
}

static void long_paths_are_refused(void **state) {
    (void)state;
    struct trib_link link;
    char text[2048];
    snprintf(text, sizeof text, "unix:/%0300d/run", 0);
    assert_int_equal(trib_join_link_parse(text, &link, NULL), TRIB_EMALFORMED);
    snprintf(text, sizeof text, "unix:/s/run#%01500d", 0);
    assert_int_equal(trib_join_link_parse(text, &link, NULL), TRIB_EMALFORMED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ordinary_links_are_read_as_ever),
        cmocka_unit_test(unix_links_end_in_the_run),
        cmocka_unit_test(broken_links_change_nothing),
        cmocka_unit_test(long_paths_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
