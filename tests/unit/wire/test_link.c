/* test_link.c - join links: what is read, what is refused, and that nothing is lost in between. */
#include "wire/link.h"

#include "support/check.h"

struct row {
    const char *text;
    struct trib_link link;
    bool is_tls;
};

#define PIN "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define TRIB(...) \
    { .scheme = TRIB_LINK_TRIB, __VA_ARGS__ }
#define HTTP(...) \
    { .scheme = TRIB_LINK_HTTP, __VA_ARGS__ }
#define HTTPS(...) \
    { .scheme = TRIB_LINK_HTTPS, __VA_ARGS__ }

static const struct row rows[] = {
    {"trib://localhost:7700/digits#join~digits~~0a1b",
     TRIB(.host = "localhost", .port = 7700, .run = "digits", .token = "join~digits~~0a1b"), false},
    {"trib://127.0.0.1:7700/digits", TRIB(.host = "127.0.0.1", .port = 7700, .run = "digits"),
     false},
    {"trib://[::1]:7700/digits", TRIB(.host = "::1", .port = 7700, .run = "digits"), false},
    {"trib://fl.example.org:7700/digits#t",
     TRIB(.host = "fl.example.org", .port = 7700, .run = "digits", .token = "t"), true},
    {"trib://[2001:db8::7]:65535/r#t",
     TRIB(.host = "2001:db8::7", .port = 65535, .run = "r", .token = "t"), true},
    {"http://10.0.0.2/r", HTTP(.host = "10.0.0.2", .port = 80, .run = "r"), false},
    {"http://localhost:8080/a/b/r#t",
     HTTP(.host = "localhost", .port = 8080, .prefix = "/a/b", .run = "r", .token = "t"), false},
    {"https://example.org/fl/chest-xray#t",
     HTTPS(.host = "example.org", .port = 443, .prefix = "/fl", .run = "chest-xray", .token = "t"),
     true},
    {"https://example.org:8443/r#t",
     HTTPS(.host = "example.org", .port = 8443, .run = "r", .token = "t"), true},
    {"https://example.org/fl/r?pin=sha256:" PIN "#t",
     HTTPS(.host = "example.org", .port = 443, .prefix = "/fl", .run = "r", .token = "t",
           .pin = PIN),
     true},
    /* A pin says that there is TLS, on loopback too. */
    {"trib://127.0.0.1:7700/r?pin=sha256:" PIN,
     TRIB(.host = "127.0.0.1", .port = 7700, .run = "r", .pin = PIN), true},
};

static void reads_every_form(void **state) {
    (void)state;
    for (size_t index = 0; index < sizeof rows / sizeof *rows; index++) {
        struct trib_link link;
        struct trib_error error = {0};
        if (trib_link_parse(rows[index].text, &link, &error) != TRIB_OK)
            fail_msg("%s: %s", rows[index].text, error.text);
        assert_memory_equal(&link, &rows[index].link, sizeof link);
        assert_int_equal(trib_link_is_tls(&link), rows[index].is_tls);
    }
}

static void writes_what_it_reads(void **state) {
    (void)state;
    char text[TRIB_LINK_TEXT_BYTES];
    for (size_t index = 0; index < sizeof rows / sizeof *rows; index++) {
        assert_true(trib_link_format(&rows[index].link, text, sizeof text));
        assert_string_equal(text, rows[index].text);
        assert_false(trib_link_format(&rows[index].link, text, strlen(rows[index].text)));
    }
}

static void is_lenient_where_people_copy(void **state) {
    (void)state;
    struct trib_link link;
    assert_int_equal(trib_link_parse("HTTPS://Example.org/fl/r/#t", &link, NULL), TRIB_OK);
    assert_string_equal(link.prefix, "/fl");
    assert_string_equal(link.run, "r");
    assert_int_equal(trib_link_parse("https://h/r/?pin=sha256:ABCDEF6789abcdef0123456789abcdef"
                                     "0123456789abcdef0123456789abcdef",
                                     &link, NULL),
                     TRIB_OK);
    assert_memory_equal(link.pin, "abcdef6789", 10);
    assert_int_equal(trib_link_parse("http://h/r#", &link, NULL), TRIB_OK);
    assert_string_equal(link.token, "");
}

static void refuses_what_is_no_link_and_changes_nothing(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",
        "digits",
        "ftp://h/r",
        "http:/h/r",
        "trib://h/r", /* no port */
        "trib://h:0/r",
        "trib://h:65536/r",
        "trib://h:65537/r",
        "http://h:65616/r", /* 80 in sixteen bits */
        "trib://h:99999999999/r",
        "trib://h:7700",
        "trib://h:7700/",
        "trib://h:7700//",
        "trib://h:7700/a/r", /* trib:// has no prefix */
        "trib://:7700/r",
        "trib://[::1/r",
        "trib://[]:1/r",
        "trib://[::g]:1/r",
        "trib://[fe80::1%25eth0]:1/r",
        "trib://[1234]:1/r",
        "http://::1/r",
        "http://user@h/r",
        "http://user:secret@h/r",
        "http://h:80x/r",
        "http://h:80x/a/r", /* not host hx, nor a prefix */
        "http://h",
        "http://h/",
        "http://h/.r",
        "http://h/../r",
        "http://h/a/../r",
        "http://h/./r",
        "http://h//r",
        "http://h/a b/r",
        "http://h/r?x=1#t",
        "http://h/r?pin=sha256:" PIN "#t", /* without TLS there is no key to pin */
        "https://h/r?",
        "https://h/r?pin=" PIN,
        "https://h/r?pin=md5:" PIN,
        "https://h/r?pin=sha256:" PIN "0",
        "https://h/r?pin=sha256:0123",
        "https://h/r?pin=sha256:" PIN "&x=1",
        "https://h/r?pin=sha256:g123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "https://h/r#t?pin=sha256:" PIN,
        "https://h?pin=sha256:" PIN "/r",
        "http://h/r#a b",
        "http://h/r#a#b",
        "http://h/r#\nX: y",
        "http://h\r\n/r",
        "http://h/%72",
    };
    for (size_t index = 0; index < sizeof bad / sizeof *bad; index++) {
        struct trib_link link = {.run = "untouched"};
        struct trib_error error = {0};
        if (trib_link_parse(bad[index], &link, &error) != TRIB_EMALFORMED)
            fail_msg("accepted: %s", bad[index]);
        assert_string_equal(link.run, "untouched");
        assert_true(error.text[0] != '\0');
    }
}

static void refuses_parts_that_are_too_long(void **state) {
    (void)state;
    char text[2048];
    struct trib_link link;
    static const struct {
        const char *before, *after;
        size_t fits;
    } parts[] = {
        {"http://", "/r", 255},
        {"http://h/", "", 64},
        {"http://h/", "/r", 254}, /* with its slash */
        {"http://h/r#", "", 255},
    };
    for (size_t index = 0; index < sizeof parts / sizeof *parts; index++) {
        for (size_t count = parts[index].fits; count <= parts[index].fits + 1; count++) {
            strcpy(text, parts[index].before);
            size_t used = strlen(text);
            memset(text + used, 'a', count);
            strcpy(text + used + count, parts[index].after);
            assert_int_equal(trib_link_parse(text, &link, NULL) == TRIB_OK,
                             count == parts[index].fits);
        }
    }
}

static void errors_never_show_the_token(void **state) {
    (void)state;
    struct trib_link link;
    struct trib_error error = {0};
    assert_int_equal(trib_link_parse("http://h/r#secret token", &link, &error), TRIB_EMALFORMED);
    assert_null(strstr(error.text, "secret"));
    assert_int_equal(trib_link_parse("http://h/.r#secret", &link, &error), TRIB_EMALFORMED);
    assert_null(strstr(error.text, "secret"));
}

static void knows_loopback_by_its_text(void **state) {
    (void)state;
    static const char *const loopback[] = {"localhost", "LOCALHOST", "127.0.0.1", "127.255.0.9",
                                           "::1"};
    static const char *const others[] = {
        "",           "127.0.0",  "127.0.0.1.",   "127.0.0.1.example.org", "127.0.0.256",
        "1270.0.0.1", "12.0.0.1", "127.0.0.0001", "localhost.example.org", "::2",
        "128.0.0.1"};
    for (size_t index = 0; index < sizeof loopback / sizeof *loopback; index++)
        assert_true(trib_host_is_loopback(loopback[index]));
    for (size_t index = 0; index < sizeof others / sizeof *others; index++)
        assert_false(trib_host_is_loopback(others[index]));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_form),
        cmocka_unit_test(writes_what_it_reads),
        cmocka_unit_test(is_lenient_where_people_copy),
        cmocka_unit_test(refuses_what_is_no_link_and_changes_nothing),
        cmocka_unit_test(refuses_parts_that_are_too_long),
        cmocka_unit_test(errors_never_show_the_token),
        cmocka_unit_test(knows_loopback_by_its_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
