/* test_proxy.c - which proxy the environment means, who is called without one, and what it is asked. */
#include "client/proxy.h"

#include <stdio.h>
#include <stdlib.h>

#include "support/check.h"

/* --- addresses of proxies --------------------------------------------------------------------- */

static void reads_every_form(void **state) {
    (void)state;
    static const struct {
        const char *text, *host, *port, *credentials;
    } rows[] = {
        {"http://proxy.lab:3128", "proxy.lab", "3128", ""},
        {"http://proxy.lab:3128/", "proxy.lab", "3128", ""},
        {"HTTP://proxy.lab", "proxy.lab", "80", ""},
        {"proxy.lab:8080", "proxy.lab", "8080", ""},
        {"http://192.0.2.7:1", "192.0.2.7", "1", ""},
        {"http://[2001:db8::7]:3128", "2001:db8::7", "3128", ""},
        /* RFC 7617 section 2 has this example. */
        {"http://Aladdin:open%20sesame@proxy.lab:3128", "proxy.lab", "3128",
         "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="},
        {"http://a@p:1", "p", "1", "YTo="},
        {"http://a:@p:1", "p", "1", "YTo="},
        {"http://a:b@p:1", "p", "1", "YTpi"},
        {"http://ab:c@d@p:1", "p", "1", "YWI6Y0Bk"}, /* the last @ counts */
        {"http://%C3%A4:%3A%2f@p:1", "p", "1", "w6Q6Oi8="},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct trib_proxy proxy;
        struct trib_error error = {0};
        if (trib_proxy_parse(rows[i].text, &proxy, &error) != TRIB_OK) {
            fail_msg("%s: %s", rows[i].text, error.text);
        }
        assert_string_equal(proxy.host, rows[i].host);
        assert_string_equal(proxy.port, rows[i].port);
        assert_string_equal(proxy.credentials, rows[i].credentials);
    }
}

static void refuses_what_is_no_proxy_without_showing_it(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",
        "http://",
        "http://:3128",
        "http://user:secret@",
        "http://:secret@proxy.lab",
        "http://u%3a:secret@proxy.lab",
        "http://secret:%0d%0aX-Evil:1@proxy.lab",
        "http://secret:%4@proxy.lab",
        "http://secret:%zz@proxy.lab",
        "http://user:secret@proxy.lab:0",
        "http://user:secret@proxy.lab:65536",
        "http://user:secret@proxy lab:1",
        "http://user:secret@proxy.lab:1/path",
        "http://user:secret@proxy.lab:1?query",
        "http://user:secret@proxy.lab:1#fragment",
        "https://user:secret@proxy.lab:1",
        "socks5://user:secret@proxy.lab:1",
    };
    char text[1024];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct trib_proxy proxy = {.host = "untouched"};
        struct trib_error error = {0};
        if (trib_proxy_parse(bad[i], &proxy, &error) == TRIB_OK) {
            fail_msg("accepted: %s", bad[i]);
        }
        assert_string_equal(proxy.host, "untouched");
        assert_true(error.text[0] != '\0');
        assert_null(strstr(error.text, "secret"));
    }
    for (int count = 252; count < 256; count++) { /* with ':', NUL and "@" */
        struct trib_proxy proxy;
        snprintf(text, sizeof text, "http://u:%0*d@p", count, 0);
        assert_int_equal(trib_proxy_parse(text, &proxy, NULL) == TRIB_OK, count <= 253);
    }
}

/* --- exceptions ------------------------------------------------------------------------------- */

static void exempts_whom_the_list_names(void **state) {
    (void)state;
    static const struct {
        const char *list, *host, *port;
        bool is_exempt;
    } rows[] = {
        {"", "lab.org", "443", false},
        {" , ,", "lab.org", "443", false},
        {"*", "lab.org", "443", true},
        {"other.org,*", "lab.org", "443", true},
        {"lab.org", "lab.org", "443", true},
        {"LAB.org", "lab.ORG", "443", true},
        {"lab.org", "fl.lab.org", "443", true},
        {".lab.org", "fl.lab.org", "443", true},
        {"*.lab.org", "fl.lab.org", "443", true},
        {".lab.org", "lab.org", "443", true},
        {"lab.org", "notlab.org", "443", false},
        {"fl.lab.org", "lab.org", "443", false},
        {".", "lab.org", "443", false},
        {"a.org, lab.org\tb.org", "lab.org", "443", true},
        {"lab.org:7700", "lab.org", "7700", true},
        {"lab.org:7700", "lab.org", "443", false},
        {"lab.org:", "lab.org", "443", false},
        {"192.0.2.7", "192.0.2.7", "443", true},
        {"192.0.2.7:443", "192.0.2.7", "443", true},
        {"192.0.2.7", "192.0.2.70", "443", false},
        {"2.7", "192.0.2.7", "443", false}, /* addresses have no domains */
        {"10.0.0.0/8", "10.255.1.2", "443", true},
        {"10.0.0.0/8", "11.0.0.1", "443", false},
        {"10.32.0.0/11", "10.63.255.255", "443", true},
        {"10.32.0.0/11", "10.64.0.0", "443", false},
        {"0.0.0.0/0", "192.0.2.7", "443", true},
        {"10.0.0.0/33", "10.0.0.0", "443", false},
        {"10.0.0.0/", "10.0.0.0", "443", false},
        {"10.0.0.0/8x", "10.0.0.0", "443", false},
        {"10.0.0.0/8", "fl.lab.org", "443", false},
        {"0.0.0.0/0", "2001:db8::7", "443", false},
        {"2001:db8::7", "2001:DB8:0::7", "443", true},
        {"2001:db8::/32", "2001:db8:1::1", "443", true},
        {"2001:db8::/32", "2001:db9::1", "443", false},
        {"[2001:db8::7]", "2001:db8::7", "443", true},
        {"[2001:db8::7]:443", "2001:db8::7", "443", true},
        {"[2001:db8::7]:80", "2001:db8::7", "443", false},
        {"[2001:db8::7", "2001:db8::7", "443", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (trib_proxy_is_exempt(rows[i].list, rows[i].host, rows[i].port) != rows[i].is_exempt) {
            fail_msg("\"%s\" and %s port %s", rows[i].list, rows[i].host, rows[i].port);
        }
    }
}

static void an_endless_entry_names_nobody(void **state) {
    (void)state;
    char list[1024];
    snprintf(list, sizeof list, "%0600d,lab.org", 0);
    assert_true(trib_proxy_is_exempt(list, "lab.org", "443"));
    list[600] = 'x';
    assert_false(trib_proxy_is_exempt(list, "lab.org", "443"));
}

/* --- the environment -------------------------------------------------------------------------- */

static const char *const variables[] = {"http_proxy",  "HTTP_PROXY", "https_proxy",
                                        "HTTPS_PROXY", "no_proxy",   "NO_PROXY"};

static int forget(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        unsetenv(variables[i]);
    }
    return 0;
}

static const char *found(const char *host, bool is_tls) {
    static struct trib_proxy proxy;
    assert_int_equal(trib_proxy_find(host, "7700", is_tls, &proxy, NULL), TRIB_OK);
    return proxy.host;
}

static void each_scheme_has_its_variable(void **state) {
    (void)state;
    setenv("HTTPS_PROXY", "http://secure:1", 1);
    assert_string_equal(found("lab.org", true), "secure");
    assert_string_equal(found("lab.org", false), "");
    setenv("HTTP_PROXY", "http://plain:1", 1);
    assert_string_equal(found("lab.org", false), "plain");
    setenv("https_proxy", "http://lower:1", 1);
    assert_string_equal(found("lab.org", true), "lower");
    setenv("https_proxy", "", 1); /* as if it were not set */
    assert_string_equal(found("lab.org", true), "secure");
}

static void some_are_called_directly(void **state) {
    (void)state;
    setenv("HTTP_PROXY", "http://plain:1", 1);
    assert_string_equal(found("localhost", false), "");
    assert_string_equal(found("127.0.0.1", false), "");
    assert_string_equal(found("::1", false), "");
    assert_string_equal(found("unix:/run/socket", false), "");
    setenv("NO_PROXY", "lab.org:7700", 1);
    assert_string_equal(found("lab.org", false), "");
    assert_string_equal(found("other.org", false), "plain");
}

static void a_bad_address_names_its_variable(void **state) {
    (void)state;
    struct trib_proxy proxy;
    struct trib_error error = {0};
    setenv("https_proxy", "socks5://secret@p", 1);
    assert_int_equal(trib_proxy_find("lab.org", "443", true, &proxy, &error), TRIB_EUNSUPPORTED);
    assert_memory_equal(error.text, "https_proxy: ", 13);
    assert_null(strstr(error.text, "secret"));
    assert_string_equal(proxy.host, "");
}

/* --- the tunnel ------------------------------------------------------------------------------- */

static void asks_for_a_tunnel(void **state) {
    (void)state;
    char head[TRIB_PROXY_HEAD_BYTES];
    struct trib_proxy proxy;
    assert_int_equal(trib_proxy_parse("http://p:1", &proxy, NULL), TRIB_OK);
    size_t head_bytes = trib_proxy_write_head(&proxy, "lab.org", "7700", head);
    assert_int_equal(head_bytes, strlen(head));
    assert_string_equal(head, "CONNECT lab.org:7700 HTTP/1.1\r\nHost: lab.org:7700\r\n\r\n");
    assert_int_equal(trib_proxy_parse("http://a:b@p:1", &proxy, NULL), TRIB_OK);
    (void)trib_proxy_write_head(&proxy, "2001:db8::7", "443", head);
    assert_string_equal(head, "CONNECT [2001:db8::7]:443 HTTP/1.1\r\nHost: [2001:db8::7]:443\r\n"
                              "Proxy-Authorization: Basic YTpi\r\n\r\n");
}

static void tells_what_an_answer_means(void **state) {
    (void)state;
    assert_null(trib_proxy_refusal(200));
    assert_null(trib_proxy_refusal(204));
    assert_non_null(strstr(trib_proxy_refusal(407), "password"));
    assert_non_null(strstr(trib_proxy_refusal(502), "cannot reach"));
    assert_non_null(trib_proxy_refusal(302));
    assert_non_null(trib_proxy_refusal(418));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_form),
        cmocka_unit_test(refuses_what_is_no_proxy_without_showing_it),
        cmocka_unit_test(exempts_whom_the_list_names),
        cmocka_unit_test(an_endless_entry_names_nobody),
        cmocka_unit_test_setup_teardown(each_scheme_has_its_variable, forget, forget),
        cmocka_unit_test_setup_teardown(some_are_called_directly, forget, forget),
        cmocka_unit_test_setup_teardown(a_bad_address_names_its_variable, forget, forget),
        cmocka_unit_test(asks_for_a_tunnel),
        cmocka_unit_test(tells_what_an_answer_means),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
