/* test_cert.c - trib cert makes a lab's certificates: for these names, this use, and one CA. */
#include "cli/command.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "folder.h"
#include "screen.h"
#include "support/check.h"

static X509 *read_certificate(struct test_folder *folder, const char *name) {
    FILE *file = fopen(test_folder_path(folder, name), "re");
    assert_non_null(file);
    X509 *certificate = PEM_read_X509(file, NULL, NULL, NULL);
    assert_non_null(certificate);
    assert_int_equal(fclose(file), 0);
    return certificate;
}

static EVP_PKEY *read_private_key(struct test_folder *folder, const char *name) {
    struct stat about;
    const char *path = test_folder_path(folder, name);
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    assert_non_null(key);
    assert_int_equal(fclose(file), 0);
    return key;
}

/* Would OpenSSL let this one in, at that time, for that use? */
static bool is_trusted(X509 *ca, X509 *leaf, int purpose, time_t moment) {
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *check = X509_STORE_CTX_new();
    assert_int_equal(X509_STORE_add_cert(store, ca), 1);
    assert_int_equal(X509_STORE_CTX_init(check, store, leaf, NULL), 1);
    assert_int_equal(X509_STORE_CTX_set_purpose(check, purpose), 1);
    X509_STORE_CTX_set_time(check, 0, moment);
    bool is_good = X509_verify_cert(check) == 1;
    X509_STORE_CTX_free(check);
    X509_STORE_free(store);
    return is_good;
}

static void each_certificate_is_for_its_use_alone(void **state) {
    struct test_folder *folder = *state;
    struct test_screen screen;
    time_t now = time(NULL), day = 86400;
    test_screen_init(&screen, trib_env_system());
    assert_int_equal(TEST_RUN(&screen, "cert", "--dir", folder->path, "--name", "fl.lab", "--name",
                              "127.0.0.1", "--name", "*.fl.lab", "--client", "dev-1", "--days",
                              "30"),
                     TRIB_EXIT_OK);
    assert_non_null(strstr(screen.out, "server.key: for DNS:fl.lab,IP:127.0.0.1,DNS:*.fl.lab"));
    X509 *ca = read_certificate(folder, "ca.crt");
    X509 *server = read_certificate(folder, "server.crt");
    X509 *client = read_certificate(folder, "client-dev-1.crt");
    static const char *const keys[] = {"ca.key", "server.key", "client-dev-1.key"};
    X509 *const owners[] = {ca, server, client};
    for (size_t i = 0; i < 3; i++) {
        EVP_PKEY *key = read_private_key(folder, keys[i]);
        assert_int_equal(X509_check_private_key(owners[i], key), 1);
        EVP_PKEY_free(key);
    }
    assert_true(is_trusted(ca, server, X509_PURPOSE_SSL_SERVER, now));
    assert_false(is_trusted(ca, server, X509_PURPOSE_SSL_CLIENT, now));
    assert_true(is_trusted(ca, client, X509_PURPOSE_SSL_CLIENT, now));
    assert_false(is_trusted(ca, client, X509_PURPOSE_SSL_SERVER, now));
    assert_true(is_trusted(ca, server, X509_PURPOSE_SSL_SERVER, now + 29 * day));
    assert_false(is_trusted(ca, server, X509_PURPOSE_SSL_SERVER, now + 31 * day));
    assert_false(is_trusted(ca, server, X509_PURPOSE_SSL_SERVER, now - day));
    assert_int_equal(X509_check_ca(ca), 1);
    assert_int_equal(X509_check_ca(server), 0);
    assert_int_equal(X509_check_ip_asc(server, "127.0.0.1", 0), 1);
    assert_int_equal(X509_check_ip_asc(server, "127.0.0.2", 0), 0);
    assert_int_equal(X509_check_host(server, "fl.lab", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(server, "a.fl.lab", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(server, "evil.lab", 0, 0, NULL), 0);
    assert_int_equal(X509_check_host(client, "dev-1", 0, 0, NULL), 1);
    X509_free(ca);
    X509_free(server);
    X509_free(client);
    test_screen_deinit(&screen);
}

/* So that links with a pin, and files that clients have, stay good. */
static void ca_and_server_key_are_made_once(void **state) {
    struct test_folder *folder = *state;
    struct test_screen screen;
    test_screen_init(&screen, trib_env_system());
    const char *const words[] = {"cert",  "--dir",    folder->path, "--name",
                                 "a.lab", "--client", "dev-1",      NULL};
    assert_int_equal(test_screen_run(&screen, words), TRIB_EXIT_OK);
    X509 *ca = read_certificate(folder, "ca.crt"), *server = read_certificate(folder, "server.crt");
    X509 *client = read_certificate(folder, "client-dev-1.crt");
    assert_int_equal(test_screen_run(&screen, words), TRIB_EXIT_OK);
    assert_null(strstr(screen.out, "a CA"));
    X509 *same_ca = read_certificate(folder, "ca.crt");
    X509 *next_server = read_certificate(folder, "server.crt");
    X509 *next_client = read_certificate(folder, "client-dev-1.crt");
    assert_int_equal(X509_cmp(ca, same_ca), 0);
    assert_int_not_equal(X509_cmp(server, next_server), 0);
    assert_int_equal(EVP_PKEY_eq(X509_get0_pubkey(server), X509_get0_pubkey(next_server)), 1);
    assert_int_equal(EVP_PKEY_eq(X509_get0_pubkey(client), X509_get0_pubkey(next_client)), 0);
    assert_int_not_equal(
        ASN1_INTEGER_cmp(X509_get0_serialNumber(server), X509_get0_serialNumber(next_server)), 0);
    X509 *const all[] = {ca, server, client, same_ca, next_server, next_client};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        X509_free(all[i]);
    }
    test_screen_deinit(&screen);
}

static void names_that_could_mean_more_are_refused(void **state) {
    struct test_folder *folder = *state;
    struct test_screen screen;
    static const struct {
        const char *option, *name;
    } cases[] = {
        {"--name", "a.lab,DNS:bank.test"},
        {"--name", ""},
        {"--name", "-a"},
        {"--name", ".lab"},
        {"--name", "*."},
        {"--name", "a lab"},
        {"--name", "a*.lab"},
        {"--name", "a\n"},
        {"--client", "a/b"},
        {"--client", "../ca"},
        {"--client", "a,IP:1"},
        {"--client", ""},
    };
    test_screen_init(&screen, trib_env_system());
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(
            TEST_RUN(&screen, "cert", "--dir", folder->path, cases[i].option, cases[i].name),
            TRIB_EXIT_USAGE);
        assert_int_not_equal(access(test_folder_path(folder, "server.crt"), F_OK), 0);
    }
    assert_int_equal(TEST_RUN(&screen, "cert", "--dir", folder->path), TRIB_EXIT_USAGE);
    test_screen_deinit(&screen);
}

/* Another key would make every certificate that was given out worthless. */
static void a_ca_that_is_not_whole_is_left_alone(void **state) {
    struct test_folder *folder = *state;
    struct test_screen screen;
    test_screen_init(&screen, trib_env_system());
    const char *const words[] = {"cert", "--dir", folder->path, "--client", "dev-1", NULL};
    assert_int_equal(test_screen_run(&screen, words), TRIB_EXIT_OK);
    X509 *before = read_certificate(folder, "ca.crt");
    test_folder_remove(folder, "ca.key");
    assert_int_equal(test_screen_run(&screen, words), TRIB_EXIT_FAILED);
    assert_non_null(strstr(screen.err, "are not a CA with its key"));
    test_folder_write_text(folder, "ca.key", "rubbish");
    assert_int_equal(test_screen_run(&screen, words), TRIB_EXIT_FAILED);
    X509 *after = read_certificate(folder, "ca.crt");
    assert_int_equal(X509_cmp(before, after), 0);
    X509_free(before);
    X509_free(after);
    test_screen_deinit(&screen);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST_IN_FOLDER(each_certificate_is_for_its_use_alone),
        TEST_IN_FOLDER(ca_and_server_key_are_made_once),
        TEST_IN_FOLDER(names_that_could_mean_more_are_refused),
        TEST_IN_FOLDER(a_ca_that_is_not_whole_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
