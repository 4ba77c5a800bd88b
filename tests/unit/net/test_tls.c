/* test_tls.c - TLS 1.3 with a certificate made here, over loopback. */
#include "net/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server_world.h"

/* Two pairs of certificate and key, in files of a directory of their own. */
struct keys {
    char directory[64];
    char certificate[2][128];
    char key[2][128];
};

static X509 *make_certificate(EVP_PKEY *key) {
    X509 *certificate = X509_new();
    assert_non_null(certificate);
    assert_int_equal(X509_set_version(certificate, X509_VERSION_3), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(certificate), -60));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(certificate), 3600));
    X509_NAME *name = X509_get_subject_name(certificate);
    assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                                (const unsigned char *)"localhost", -1, -1, 0),
                     1);
    assert_int_equal(X509_set_issuer_name(certificate, name), 1);
    assert_int_equal(X509_set_pubkey(certificate, key), 1);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    return certificate;
}

static void make_pair(struct keys *keys, const char *directory, int i) {
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    assert_non_null(key);
    X509 *certificate = make_certificate(key);
    (void)snprintf(keys->certificate[i], sizeof keys->certificate[i], "%s/cert%d.pem", directory,
                   i);
    (void)snprintf(keys->key[i], sizeof keys->key[i], "%s/key%d.pem", directory, i);
    FILE *file = fopen(keys->certificate[i], "w");
    assert_non_null(file);
    assert_int_equal(PEM_write_X509(file, certificate), 1);
    assert_int_equal(fclose(file), 0);
    file = fopen(keys->key[i], "w");
    assert_non_null(file);
    assert_int_equal(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(fclose(file), 0);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

static int make_keys(void **state) {
    static struct keys keys;
    char directory[] = "/tmp/trib-tls-XXXXXX";
    assert_non_null(mkdtemp(directory));
    strcpy(keys.directory, directory);
    make_pair(&keys, directory, 0);
    make_pair(&keys, directory, 1);
    *state = &keys;
    return 0;
}

static int remove_keys(void **state) {
    struct keys *keys = *state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(unlink(keys->certificate[i]), 0);
        assert_int_equal(unlink(keys->key[i]), 0);
    }
    assert_int_equal(rmdir(keys->directory), 0);
    return 0;
}

static void begin_tls(struct world *world, const struct keys *keys,
                      struct trib_server_config config) {
    config.certificate_file = keys->certificate[0];
    config.key_file = keys->key[0];
    world_begin(world, &config);
    world_listen(world, "127.0.0.1:0", true);
    world_run(world);
}

/* ---- a client that speaks TLS ---- */

struct tls_client {
    int socket;
    SSL_CTX *context;
    SSL *ssl;
};

/* False: the handshake failed. */
static bool tls_connect(struct world *world, const struct keys *keys, int version,
                        struct tls_client *client) {
    client->socket = client_connect(world);
    client->context = SSL_CTX_new(TLS_client_method());
    assert_non_null(client->context);
    assert_int_equal(SSL_CTX_load_verify_file(client->context, keys->certificate[0]), 1);
    SSL_CTX_set_verify(client->context, SSL_VERIFY_PEER, NULL);
    assert_int_equal(SSL_CTX_set_max_proto_version(client->context, version), 1);
    client->ssl = SSL_new(client->context);
    assert_non_null(client->ssl);
    assert_int_equal(SSL_set1_host(client->ssl, "localhost"), 1);
    assert_int_equal(SSL_set_fd(client->ssl, client->socket), 1);
    return SSL_connect(client->ssl) == 1;
}

static void tls_close(struct tls_client *client) {
    SSL_free(client->ssl);
    SSL_CTX_free(client->context);
    close(client->socket);
    ERR_clear_error();
}

static void tls_say(struct tls_client *client, const void *bytes, size_t count) {
    size_t written = 0;
    assert_int_equal(SSL_write_ex(client->ssl, bytes, count, &written), 1);
    assert_int_equal(written, count);
}

/* Up to `count` bytes; less when the peer says that no more comes. */
static size_t tls_read(struct tls_client *client, void *bytes, size_t count) {
    size_t total = 0;
    size_t got = 0;
    while (total < count &&
           SSL_read_ex(client->ssl, (char *)bytes + total, count - total, &got) == 1) {
        total += got;
    }
    return total;
}

/* Head and body of a reply with Content-Length, as one text that is to be freed. */
static char *tls_receive(struct tls_client *client, size_t *body_bytes) {
    char head[2048];
    size_t count = 0;
    while (count < 4 || memcmp(head + count - 4, "\r\n\r\n", 4) != 0) {
        assert_true(count + 1 < sizeof head);
        assert_int_equal(tls_read(client, head + count, 1), 1);
        count++;
    }
    head[count] = '\0';
    const char *length = strstr(head, "Content-Length: ");
    assert_non_null(length);
    *body_bytes = strtoul(length + 16, NULL, 10);
    char *text = malloc(count + *body_bytes + 1);
    assert_non_null(text);
    memcpy(text, head, count);
    assert_int_equal(tls_read(client, text + count, *body_bytes), *body_bytes);
    text[count + *body_bytes] = '\0';
    return text;
}

static void assert_reply(struct tls_client *client, const char *status, const char *body) {
    size_t body_bytes = 0;
    char *text = tls_receive(client, &body_bytes);
    assert_memory_equal(text + strlen("HTTP/1.1 "), status, strlen(status));
    assert_string_equal(text + strlen(text) - body_bytes, body);
    free(text);
}

static void tls_say_text(struct tls_client *client, const char *text) {
    tls_say(client, text, strlen(text));
}

/* ---- tests ---- */

static void replies_of_every_kind(void **state) {
    struct world world;
    struct tls_client client;
    begin_tls(&world, *state, (struct trib_server_config){0});
    assert_true(tls_connect(&world, *state, TLS1_3_VERSION, &client));
    for (int i = 0; i < 3; i++) {
        tls_say_text(&client, REQUEST("GET /hello") "\r\n");
        assert_reply(&client, "200", "hello\n");
    }
    static const char *const requests[] = {REQUEST("GET /block?5,2999000") "\r\n",
                                           REQUEST("GET /file?5,2999000") "\r\n"};
    for (int i = 0; i < 2; i++) {
        size_t body_bytes = 0;
        tls_say_text(&client, requests[i]);
        char *text = tls_receive(&client, &body_bytes);
        assert_int_equal(body_bytes, 2999000);
        const char *body = strstr(text, "\r\n\r\n") + 4;
        for (size_t n = 0; n < body_bytes; n++) {
            if ((unsigned char)body[n] != world_byte(n + 5)) {
                fail_msg("byte %zu differs", n);
            }
        }
        free(text);
    }
    tls_say_text(&client, REQUEST("GET /who") "\r\n");
    size_t body_bytes = 0;
    char *who = tls_receive(&client, &body_bytes);
    assert_non_null(strstr(who, "loopback tls 127.0.0.1:"));
    free(who);
    /* The last reply ends with TLS's own word for the end, so that nobody can cut it short. */
    tls_say_text(&client, REQUEST("GET /events?2") "\r\n");
    char events[512];
    size_t count = tls_read(&client, events, sizeof events - 1);
    events[count] = '\0';
    assert_non_null(strstr(events, "\r\n\r\n9\r\ndata: 0\n\n\r\n9\r\ndata: 1\n\n\r\n0\r\n\r\n"));
    assert_true((SSL_get_shutdown(client.ssl) & SSL_RECEIVED_SHUTDOWN) != 0);
    tls_close(&client);
    world_end(&world);
}

static void bodies_of_every_kind(void **state) {
    enum { BYTES = 3000000 };
    struct world world;
    struct tls_client client;
    begin_tls(&world, *state, (struct trib_server_config){0});
    assert_true(tls_connect(&world, *state, TLS1_3_VERSION, &client));
    char *bytes = malloc(BYTES);
    assert_non_null(bytes);
    uint64_t sum = 0;
    for (size_t i = 0; i < BYTES; i++) {
        bytes[i] = (char)world_byte(i);
        sum = sum * 31 + world_byte(i);
    }
    char expected[64];
    (void)snprintf(expected, sizeof expected, "%d %llx\n", BYTES, (unsigned long long)sum);
    tls_say_text(&client, REQUEST("PUT /take") "Content-Length: 3000000\r\n\r\n");
    tls_say(&client, bytes, BYTES);
    assert_reply(&client, "200", expected);
    tls_say_text(&client, REQUEST("PUT /take") "Transfer-Encoding: chunked\r\n\r\n2dc6c0\r\n");
    tls_say(&client, bytes, BYTES);
    tls_say_text(&client, "\r\n0\r\n\r\n" REQUEST("GET /hello") "\r\n");
    assert_reply(&client, "200", expected);
    assert_reply(&client, "200", "hello\n");
    /* Little memory, and none every other time: what is decrypted waits. */
    tls_say_text(&client, REQUEST("PUT /lean") "Content-Length: 9\r\n\r\n123456789");
    assert_reply(&client, "200", "9 274d90b21035\n");
    tls_say_text(&client, REQUEST("PUT /refuse") "Content-Length: 3000000\r\n\r\n");
    tls_say(&client, bytes, BYTES);
    assert_reply(&client, "403", "no\n");
    tls_close(&client);
    free(bytes);
    world_end(&world);
}

static void expect_works_and_refuses(void **state) {
    struct world world;
    struct tls_client client;
    begin_tls(&world, *state, (struct trib_server_config){0});
    assert_true(tls_connect(&world, *state, TLS1_3_VERSION, &client));
    tls_say_text(&client, REQUEST("PUT /take") "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    char text[64];
    assert_int_equal(tls_read(&client, text, 25), 25);
    assert_memory_equal(text, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    tls_say_text(&client, "abc");
    assert_reply(&client, "200", "3 17862\n");
    tls_say_text(&client,
                 REQUEST("PUT /refuse") "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    assert_reply(&client, "403", "no\n");
    assert_int_equal(tls_read(&client, text, 1), 0);
    tls_close(&client);
    world_end(&world);
}

static void older_versions_are_refused(void **state) {
    struct world world;
    struct tls_client client;
    begin_tls(&world, *state, (struct trib_server_config){0});
    ERR_clear_error();
    assert_false(tls_connect(&world, *state, TLS1_2_VERSION, &client));
    /* It is told why. */
    assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_TLSV1_ALERT_PROTOCOL_VERSION);
    tls_close(&client);
    int plain = client_connect(&world);
    client_say(plain, REQUEST("GET /hello") "\r\n");
    assert_true(client_sees_end(plain));
    close(plain);
    assert_int_equal(world_read(&world, &world.heads), 0);
    world_end(&world);
}

static void a_silent_handshake_is_closed(void **state) {
    struct world world;
    begin_tls(&world, *state,
              (struct trib_server_config){.idle = {.after = 50 * TRIB_MILLISECOND, .bytes = 1024}});
    int client = client_connect(&world);
    client_send(client, "\x16\x03\x01", 3);
    assert_true(client_sees_end(client));
    close(client);
    world_end(&world);
}

static void a_reset_is_safe_during_the_handshake(void **state) {
    struct world world;
    struct tls_client client;
    begin_tls(&world, *state, (struct trib_server_config){0});
    /* The beginning of a real handshake, as OpenSSL writes it. */
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(context);
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    assert_int_equal(SSL_connect(ssl), -1);
    char hello[4096];
    int hello_bytes = BIO_read(SSL_get_wbio(ssl), hello, sizeof hello);
    assert_true(hello_bytes > 0);
    SSL_free(ssl);
    SSL_CTX_free(context);
    ERR_clear_error();
    for (int bytes = 0; bytes <= hello_bytes; bytes += 7) {
        const struct linger hard = {.l_onoff = 1, .l_linger = 0};
        int socket = client_connect(&world);
        client_send(socket, hello, (size_t)bytes);
        assert_int_equal(setsockopt(socket, SOL_SOCKET, SO_LINGER, &hard, sizeof hard), 0);
        close(socket);
    }
    assert_true(tls_connect(&world, *state, TLS1_3_VERSION, &client));
    tls_say_text(&client, REQUEST("GET /hello") "\r\n");
    assert_reply(&client, "200", "hello\n");
    tls_close(&client);
    world_end(&world);
}

static void bad_files_are_named(void **state) {
    const struct keys *keys = *state;
    struct trib_tls *tls = NULL;
    struct trib_error error;
    assert_int_equal(trib_tls_new("/nowhere.pem", keys->key[0], &tls, &error), TRIB_EIO);
    assert_non_null(strstr(error.text, "certificate /nowhere.pem: "));
    assert_int_equal(trib_tls_new(keys->certificate[0], "/nowhere.pem", &tls, &error), TRIB_EIO);
    assert_non_null(strstr(error.text, "key /nowhere.pem: "));
    assert_int_equal(trib_tls_new(keys->certificate[0], keys->key[1], &tls, &error), TRIB_EINVALID);
    assert_int_equal(trib_tls_new(keys->key[0], keys->key[0], &tls, &error), TRIB_EIO);
    assert_null(tls);
    /* OpenSSL's queue of errors is left empty for whoever comes next. */
    assert_int_equal(ERR_peek_error(), 0);
    assert_int_equal(trib_tls_new(keys->certificate[0], keys->key[0], &tls, &error), TRIB_OK);
    assert_int_equal(trib_tls_require_clients(tls, "/nowhere.pem", &error), TRIB_EIO);
    assert_non_null(strstr(error.text, "client CA /nowhere.pem: "));
    assert_int_equal(trib_tls_require_clients(tls, keys->key[0], &error), TRIB_EIO);
    assert_int_equal(ERR_peek_error(), 0);
    assert_int_equal(trib_tls_require_clients(tls, keys->certificate[0], &error), TRIB_OK);
    trib_tls_free(tls);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_of_every_kind),
        cmocka_unit_test(bodies_of_every_kind),
        cmocka_unit_test(expect_works_and_refuses),
        cmocka_unit_test(older_versions_are_refused),
        cmocka_unit_test(a_silent_handshake_is_closed),
        cmocka_unit_test(a_reset_is_safe_during_the_handshake),
        cmocka_unit_test(bad_files_are_named),
    };
    return cmocka_run_group_tests(tests, make_keys, remove_keys);
}
