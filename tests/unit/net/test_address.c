/* test_address.c - socket addresses as text; the way for a Unix socket. */
#include "net/address.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/check.h"

static void addresses_are_read_and_written(void **state) {
    (void)state;
    static const struct {
        const char *text, *formatted;
        bool is_loopback;
    } cases[] = {
        {"127.0.0.1:7700", "127.0.0.1:7700", true},
        {"localhost:0", "127.0.0.1:0", true},
        {"127.255.3.4:65535", "127.255.3.4:65535", true},
        {"0.0.0.0:1", "0.0.0.0:1", false},
        {"126.0.0.1:1", "126.0.0.1:1", false},
        {"[::1]:7700", "[::1]:7700", true},
        {"[::]:7700", "[::]:7700", false},
        {"[::ffff:127.0.0.1]:1", "[::ffff:127.0.0.1]:1", true},
        {"[::ffff:10.0.0.1]:1", "[::ffff:10.0.0.1]:1", false},
        {"[2001:DB8:0:0:0:0:0:1]:80", "[2001:db8::1]:80", false},
        {"[0000:0000:0000:0000:0000:ffff:127.100.100.100]:65535", NULL, true},
        {"unix:/run/t/socket", "unix", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        union trib_address address;
        char text[TRIB_ADDRESS_TEXT_BYTES];
        assert_int_equal(trib_address_parse(cases[i].text, &address), TRIB_OK);
        trib_address_format(&address.any, text, sizeof text);
        if (cases[i].formatted != NULL) {
            assert_string_equal(text, cases[i].formatted);
        }
        assert_int_equal(trib_address_is_loopback(&address.any), cases[i].is_loopback);
    }
    union trib_address address;
    assert_int_equal(trib_address_parse("unix:/run/t/socket", &address), TRIB_OK);
    assert_string_equal(address.path.sun_path, "/run/t/socket");
    assert_int_equal(trib_address_port(&address.any), 0);
}

static void other_texts_are_no_addresses(void **state) {
    (void)state;
    static const char *const texts[] = {
        "",         "7700",       ":7700",     "127.0.0.1",      "127.0.0.1:",
        "1.2.3:80", "example:80", "::1:80",    "[::1]",          "[::1]:65536",
        "[::1:80",  "1.2.3.4:-1", "1.2.3.4:a", "1.2.3.4:080000", "[1.2.3.4]:80",
        "unix:a/b", "unix:",      "[]:80",     "1.2.3.4 :80",    "unix",
    };
    union trib_address address;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (trib_address_parse(texts[i], &address) != TRIB_EINVALID) {
            fail_msg("accepted: %s", texts[i]);
        }
    }
    /* A path that would be cut is refused, not cut. */
    char text[256] = "unix:/";
    memset(text + 6, 'a', 106);
    assert_int_equal(trib_address_parse(text, &address), TRIB_OK);
    text[6 + 106] = 'a';
    assert_int_equal(trib_address_parse(text, &address), TRIB_EINVALID);
}

static void stale_sockets_make_way_and_nothing_else(void **state) {
    (void)state;
    char root[] = "/tmp/trib-address-XXXXXX";
    assert_non_null(mkdtemp(root));
    char text[128];
    (void)snprintf(text, sizeof text, "unix:%s/dir/socket", root);
    union trib_address address;
    assert_int_equal(trib_address_parse(text, &address), TRIB_OK);
    /* The directory is made, for its owner alone. */
    assert_int_equal(trib_address_prepare(&address), TRIB_OK);
    char directory[128];
    (void)snprintf(directory, sizeof directory, "%s/dir", root);
    struct stat found;
    assert_int_equal(stat(directory, &found), 0);
    assert_int_equal(found.st_mode & 0777, 0700);
    /* Somebody listens: no. Nobody any more: yes. */
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, &address.any, sizeof address.path), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(trib_address_prepare(&address), TRIB_ECONFLICT);
    close(listener);
    assert_int_equal(trib_address_prepare(&address), TRIB_OK);
    assert_int_equal(lstat(address.path.sun_path, &found), -1);
    /* A file that is no socket is never removed. */
    int file = open(address.path.sun_path, O_CREAT | O_WRONLY, 0600);
    assert_true(file >= 0);
    close(file);
    assert_int_equal(trib_address_prepare(&address), TRIB_ECONFLICT);
    assert_int_equal(unlink(address.path.sun_path), 0);
    assert_int_equal(rmdir(directory), 0);
    assert_int_equal(rmdir(root), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_read_and_written),
        cmocka_unit_test(other_texts_are_no_addresses),
        cmocka_unit_test(stale_sockets_make_way_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
