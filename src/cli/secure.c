/* secure.c - TLS for the client side: a struct trib_transport around another one.
 *
 * OpenSSL reads and writes through a BIO whose bytes the plain transport carries, so that its
 * time-outs and its bell work here too. While a caller only looks whether there is something to
 * read, the BIO does not block: records that carry no data (session tickets) must not count. */
#include "cli/secure.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <stdio.h>
#include <string.h>

#include "net/certificate.h"

/* How long a daemon that has asked in vain for our certificate may take to say that it minds. */
#define VERDICT_MS 2000

struct trib_secure {
    const struct trib_env *env;
    const struct trib_transport *plain;
    struct trib_transport transport;
    SSL_CTX *settings;
    BIO_METHOD *method;
    char pin[TRIB_PIN_BYTES];  /* "": none */
    char seen[TRIB_PIN_BYTES]; /* the key of the last daemon, where there is a pin */
    bool is_bare;              /* the last daemon asked for a certificate, and we have none */
};

struct connection {
    struct trib_secure *tls;
    void *plain;
    SSL *ssl;
    bool is_looking;
};

/* --- bytes for OpenSSL ------------------------------------------------------------------------ */

static int bio_read(BIO *bio, char *bytes, int count) {
    struct connection *connection = BIO_get_data(bio);
    const struct trib_transport *plain = connection->tls->plain;
    BIO_clear_retry_flags(bio);
    if (connection->is_looking && plain->wait(plain->context, connection->plain, 0) == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    return (int)plain->read(plain->context, connection->plain, bytes, (size_t)count);
}

static int bio_write(BIO *bio, const char *bytes, int count) {
    struct connection *connection = BIO_get_data(bio);
    const struct trib_transport *plain = connection->tls->plain;
    BIO_clear_retry_flags(bio);
    return (int)plain->write(plain->context, connection->plain, bytes, (size_t)count);
}

static long bio_control(BIO *bio, int command, long number, void *pointer) {
    (void)bio, (void)number, (void)pointer; /* nothing is buffered here */
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static BIO_METHOD *new_method(void) {
    BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "transport");
    if (method != NULL && BIO_meth_set_read(method, bio_read) == 1 &&
        BIO_meth_set_write(method, bio_write) == 1 && BIO_meth_set_ctrl(method, bio_control) == 1) {
        return method;
    }
    BIO_meth_free(method);
    return NULL;
}

/* --- connections ------------------------------------------------------------------------------ */

static void tls_close(void *context, void *handle) {
    (void)context; /* the connection knows it */
    struct connection *connection = handle;
    const struct trib_secure *tls = connection->tls;
    if (connection->ssl != NULL) {
        ERR_clear_error();
        (void)SSL_shutdown(connection->ssl); /* a courtesy */
        SSL_free(connection->ssl);           /* and its BIO */
    }
    tls->plain->close(tls->plain->context, connection->plain);
    trib_release(tls->env, connection, 1, sizeof *connection);
}

/* The certificate must be for this host: a name, or an address. */
static bool expect_host(SSL *ssl, const char *host) {
    X509_VERIFY_PARAM *rules = SSL_get0_param(ssl);
    if (X509_VERIFY_PARAM_set1_ip_asc(rules, host) == 1) {
        return true;
    }
    ERR_clear_error();
    return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

static bool prepare(struct connection *connection, const char *host) {
    connection->ssl = SSL_new(connection->tls->settings);
    BIO *bio = BIO_new(connection->tls->method);
    if (connection->ssl == NULL || bio == NULL || !expect_host(connection->ssl, host)) {
        BIO_free(bio);
        return false;
    }
    BIO_set_data(bio, connection);
    BIO_set_init(bio, 1);
    SSL_set_bio(connection->ssl, bio, bio);
    return true;
}

/* Is there a byte for the caller, an end, or an error (both of which read will tell)? */
static bool has_something(struct connection *connection) {
    char byte;
    size_t done = 0;
    ERR_clear_error();
    connection->is_looking = true;
    int result = SSL_peek_ex(connection->ssl, &byte, 1, &done);
    connection->is_looking = false;
    return result == 1 || SSL_get_error(connection->ssl, result) != SSL_ERROR_WANT_READ;
}

static int tls_wait(void *context, void *handle, int timeout_ms) {
    const struct trib_secure *tls = context;
    struct connection *connection = handle;
    trib_time_ns until = tls->env->monotonic(tls->env->context) + timeout_ms * TRIB_MILLISECOND;
    while (!has_something(connection)) {
        trib_time_ns left = until - tls->env->monotonic(tls->env->context);
        int left_ms = left > 0 ? (int)(left / TRIB_MILLISECOND) : 0;
        int ready = tls->plain->wait(tls->plain->context, connection->plain, left_ms);
        if (ready != 1) {
            return ready;
        }
    }
    return 1;
}

/* Why there is no TLS, before the handshake was over or behind it; what connect returns. */
static int explain(const struct connection *connection, bool is_shaken, char *text,
                   size_t text_room) {
    const struct trib_secure *tls = connection->tls;
    long verdict = SSL_get_verify_result(connection->ssl);
    unsigned long code = ERR_peek_last_error();
    const char *reason = code == 0 ? NULL : ERR_reason_error_string(code);
    if (verdict != X509_V_OK && tls->pin[0] != '\0') {
        (void)snprintf(text, text_room, "its key is sha256:%s, but the link's pin is sha256:%s",
                       tls->seen, tls->pin);
        return TRIB_CONNECT_REFUSED;
    }
    if (verdict != X509_V_OK) {
        (void)snprintf(text, text_room, "its certificate is not trusted: %s",
                       X509_verify_cert_error_string(verdict));
        return TRIB_CONNECT_REFUSED;
    }
    if (is_shaken) {
        (void)snprintf(text, text_room, "it wants a certificate of ours (--cert, --key): %s",
                       reason == NULL ? "it hung up" : reason);
        return TRIB_CONNECT_REFUSED;
    }
    (void)snprintf(text, text_room, "no TLS: %s",
                   reason == NULL ? "the connection was closed" : reason);
    return -1;
}

/* In TLS 1.3 the daemon judges our certificate when the handshake is over on our side. Who has
 * none to show, and was asked, waits for that: a refusal is understood here and nowhere else. */
static bool is_accepted(struct connection *connection) {
    char byte;
    size_t done = 0;
    if (!connection->tls->is_bare || tls_wait(connection->tls, connection, VERDICT_MS) != 1) {
        return true;
    }
    ERR_clear_error();
    return SSL_peek_ex(connection->ssl, &byte, 1, &done) == 1;
}

static int tls_connect(void *context, const char *host, const char *port, void **handle, char *text,
                       size_t text_room) {
    struct trib_secure *tls = context;
    struct connection *connection = trib_allocate(tls->env, 1, sizeof *connection);
    if (connection == NULL) {
        (void)snprintf(text, text_room, "out of memory");
        return -1;
    }
    connection->tls = tls;
    int result =
        tls->plain->connect(tls->plain->context, host, port, &connection->plain, text, text_room);
    if (result != 0) {
        trib_release(tls->env, connection, 1, sizeof *connection);
        return result;
    }
    tls->is_bare = false;
    ERR_clear_error();
    if (!prepare(connection, host)) {
        (void)snprintf(text, text_room, "out of memory");
        result = -1;
    } else {
        bool is_shaken = SSL_connect(connection->ssl) == 1;
        if (is_shaken && is_accepted(connection)) {
            *handle = connection;
            return 0;
        }
        result = explain(connection, is_shaken, text, text_room);
    }
    tls_close(tls, connection);
    return result;
}

static long tls_read(void *context, void *handle, void *bytes, size_t count) {
    (void)context; /* the connection knows it */
    const struct connection *connection = handle;
    size_t done = 0;
    ERR_clear_error();
    if (SSL_read_ex(connection->ssl, bytes, count, &done) == 1) {
        return (long)done;
    }
    return SSL_get_error(connection->ssl, 0) == SSL_ERROR_ZERO_RETURN ? 0 : -1;
}

static long tls_write(void *context, void *handle, const void *bytes, size_t count) {
    (void)context; /* the connection knows it */
    const struct connection *connection = handle;
    size_t done = 0;
    ERR_clear_error();
    return SSL_write_ex(connection->ssl, bytes, count, &done) == 1 ? (long)done : -1;
}

/* --- the transport ---------------------------------------------------------------------------- */

/* In place of all other checks of the daemon's certificate: is its key the one of the pin? */
static int check_pin(X509_STORE_CTX *check, void *context) {
    struct trib_secure *tls = context;
    const X509 *certificate = X509_STORE_CTX_get0_cert(check);
    if (certificate != NULL && trib_certificate_pin(certificate, tls->seen) &&
        strcmp(tls->seen, tls->pin) == 0) {
        X509_STORE_CTX_set_error(check, X509_V_OK);
        return 1;
    }
    X509_STORE_CTX_set_error(check, X509_V_ERR_CERT_REJECTED);
    return 0;
}

/* Called when the daemon asks for a certificate and there is none. */
static int note_request(SSL *ssl, X509 **certificate, EVP_PKEY **key) {
    struct trib_secure *tls = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    (void)certificate, (void)key; /* stay as they are: go on without */
    tls->is_bare = true;
    return 0;
}

static enum trib_status trust(struct trib_secure *tls, const struct trib_secure_options *options,
                              struct trib_error *error) {
    const char *ca_file = options->ca_file;
    SSL_CTX_set_verify(tls->settings, SSL_VERIFY_PEER, NULL);
    if (options->pin != NULL) {
        (void)snprintf(tls->pin, sizeof tls->pin, "%s", options->pin);
        SSL_CTX_set_cert_verify_callback(tls->settings, check_pin, tls);
        return TRIB_OK;
    }
    bool is_read = ca_file == NULL ? SSL_CTX_set_default_verify_paths(tls->settings) == 1
                                   : SSL_CTX_load_verify_file(tls->settings, ca_file) == 1;
    return is_read ? TRIB_OK
                   : trib_error_set(error, TRIB_EIO, "%s: no certificates to trust",
                                    ca_file == NULL ? "the system" : ca_file);
}

static enum trib_status show(const struct trib_secure *tls,
                             const struct trib_secure_options *options, struct trib_error *error) {
    if (options->certificate_file == NULL) {
        SSL_CTX_set_client_cert_cb(tls->settings, note_request);
        return TRIB_OK;
    }
    if (SSL_CTX_use_certificate_chain_file(tls->settings, options->certificate_file) != 1) {
        return trib_error_set(error, TRIB_EIO, "%s: no certificate", options->certificate_file);
    }
    if (SSL_CTX_use_PrivateKey_file(tls->settings, options->key_file, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(tls->settings) != 1) {
        return trib_error_set(error, TRIB_EIO, "%s: not the key of %s", options->key_file,
                              options->certificate_file);
    }
    return TRIB_OK;
}

enum trib_status trib_secure_new(const struct trib_env *env, const struct trib_transport *plain,
                                 const struct trib_secure_options *options,
                                 struct trib_secure **tls, struct trib_error *error) {
    *tls = NULL;
    struct trib_secure *fresh = trib_allocate(env, 1, sizeof *fresh);
    if (fresh == NULL) {
        return trib_error_set(error, TRIB_EMEMORY, "out of memory");
    }
    fresh->env = env;
    fresh->plain = plain;
    fresh->transport = (struct trib_transport){
        .context = fresh,
        .connect = tls_connect,
        .read = tls_read,
        .write = tls_write,
        .close = tls_close,
        .wait = tls_wait,
    };
    fresh->settings = SSL_CTX_new(TLS_client_method());
    fresh->method = new_method();
    enum trib_status status = TRIB_OK;
    if (fresh->settings == NULL || fresh->method == NULL ||
        SSL_CTX_set_app_data(fresh->settings, fresh) != 1 ||
        SSL_CTX_set_min_proto_version(fresh->settings, TLS1_2_VERSION) != 1) {
        status = trib_error_set(error, TRIB_EMEMORY, "out of memory");
    } else {
        status = trust(fresh, options, error);
    }
    if (status == TRIB_OK) {
        status = show(fresh, options, error);
    }
    if (status != TRIB_OK) {
        trib_secure_free(fresh);
        return status;
    }
    *tls = fresh;
    return TRIB_OK;
}

void trib_secure_free(struct trib_secure *tls) {
    if (tls != NULL) {
        SSL_CTX_free(tls->settings);
        BIO_meth_free(tls->method);
        trib_release(tls->env, tls, 1, sizeof *tls);
    }
}

const struct trib_transport *trib_secure_transport(const struct trib_secure *tls) {
    return &tls->transport;
}
