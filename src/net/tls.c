/* tls.c - TLS 1.3 between two buffers, by OpenSSL over memory BIOs.
 *
 * A session is an SSL with two BIOs that it owns; struct trib_tls_session and struct trib_tls are
 * never defined: they are OpenSSL's own objects under our names. */
#include "net/tls.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

static SSL_CTX *context_of(struct trib_tls *tls) {
    return (SSL_CTX *)tls;
}

static SSL *ssl_of(struct trib_tls_session *session) {
    return (SSL *)session;
}

/* OpenSSL keeps a queue of errors per thread; what is left in it confuses the next caller. */
static enum trib_status explain(struct trib_error *error, enum trib_status status, const char *what,
                                const char *file) {
    char reason[128];
    ERR_error_string_n(ERR_peek_last_error(), reason, sizeof reason);
    ERR_clear_error();
    return trib_error_set(error, status, "%s %s: %s", what, file, reason);
}

enum trib_status trib_tls_new(const char *certificate_file, const char *key_file,
                              struct trib_tls **tls, struct trib_error *error) {
    ERR_clear_error();
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (context == NULL) {
        return trib_error_set(error, TRIB_EMEMORY, "TLS: out of memory");
    }
    enum trib_status status = TRIB_OK;
    if (SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1) {
        status = trib_error_set(error, TRIB_EIO, "TLS 1.3 is not available");
    } else if (SSL_CTX_use_certificate_chain_file(context, certificate_file) != 1) {
        status = explain(error, TRIB_EIO, "certificate", certificate_file);
    } else if (SSL_CTX_use_PrivateKey_file(context, key_file, SSL_FILETYPE_PEM) != 1) {
        bool is_other = ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH;
        status = explain(error, is_other ? TRIB_EINVALID : TRIB_EIO, "key", key_file);
    } else if (SSL_CTX_check_private_key(context) != 1) {
        status = explain(error, TRIB_EINVALID, "key", key_file);
    }
    if (status != TRIB_OK) {
        SSL_CTX_free(context);
        return status;
    }
    /* An idle session gives its record buffers back; by OpenSSL's manual some 34 KiB. */
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    *tls = (struct trib_tls *)context;
    return TRIB_OK;
}

enum trib_status trib_tls_require_clients(struct trib_tls *tls, const char *ca_file,
                                          struct trib_error *error) {
    SSL_CTX *context = context_of(tls);
    ERR_clear_error();
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(ca_file); /* for the peer to choose by */
    if (names == NULL || SSL_CTX_load_verify_file(context, ca_file) != 1) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        return explain(error, TRIB_EIO, "client CA", ca_file);
    }
    SSL_CTX_set_client_CA_list(context, names); /* takes them */
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    /* A resumed session would not be asked for its certificate again. */
    if (SSL_CTX_set_num_tickets(context, 0) != 1) {
        return explain(error, TRIB_EMEMORY, "client CA", ca_file);
    }
    (void)SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    return TRIB_OK;
}

bool trib_tls_pin(const struct trib_tls *tls, const char *host, char pin[TRIB_PIN_BYTES]) {
    const X509 *certificate = SSL_CTX_get0_certificate((const SSL_CTX *)tls);
    bool is_pinned = certificate != NULL && trib_certificate_is_of_lab(certificate) &&
                     trib_certificate_is_for(certificate, host) &&
                     trib_certificate_pin(certificate, pin);
    ERR_clear_error(); /* of questions about hosts that are no addresses */
    return is_pinned;
}

void trib_tls_free(struct trib_tls *tls) {
    SSL_CTX_free(context_of(tls));
}

struct trib_tls_session *trib_tls_session_new(struct trib_tls *tls) {
    SSL *ssl = SSL_new(context_of(tls));
    BIO *incoming = BIO_new(BIO_s_mem());
    BIO *outgoing = BIO_new(BIO_s_mem());
    if (ssl == NULL || incoming == NULL || outgoing == NULL) {
        BIO_free(outgoing);
        BIO_free(incoming);
        SSL_free(ssl);
        ERR_clear_error();
        return NULL;
    }
    SSL_set_bio(ssl, incoming, outgoing);
    SSL_set_accept_state(ssl);
    return (struct trib_tls_session *)ssl;
}

void trib_tls_session_free(struct trib_tls_session *session) {
    SSL_free(ssl_of(session));
}

bool trib_tls_feed(struct trib_tls_session *session, const void *bytes, size_t count) {
    size_t written = 0;
    return count == 0 ||
           (BIO_write_ex(SSL_get_rbio(ssl_of(session)), bytes, count, &written) == 1 &&
            written == count);
}

enum trib_status trib_tls_read(struct trib_tls_session *session, void *bytes, size_t room,
                               size_t *count) {
    SSL *ssl = ssl_of(session);
    *count = 0;
    ERR_clear_error();
    if (SSL_read_ex(ssl, bytes, room, count) == 1) {
        return TRIB_OK;
    }
    int error = SSL_get_error(ssl, 0);
    ERR_clear_error();
    switch (error) {
    case SSL_ERROR_WANT_READ:
        return TRIB_OK;
    case SSL_ERROR_ZERO_RETURN:
        return TRIB_ECLOSED;
    default:
        return TRIB_EMALFORMED;
    }
}

enum trib_status trib_tls_write(struct trib_tls_session *session, const void *bytes, size_t count) {
    SSL *ssl = ssl_of(session);
    size_t written = 0;
    ERR_clear_error();
    /* Without partial writes, and with a BIO that takes everything, it is all or nothing. */
    if (SSL_write_ex(ssl, bytes, count, &written) == 1) {
        TRIB_ASSERT(written == count);
        return TRIB_OK;
    }
    bool is_memory = ERR_GET_REASON(ERR_peek_last_error()) == ERR_R_MALLOC_FAILURE;
    ERR_clear_error();
    return is_memory ? TRIB_EMEMORY : TRIB_EMALFORMED;
}

void trib_tls_finish(struct trib_tls_session *session) {
    /* Its result tells whether the peer has done the same, for which nobody waits; during a
     * handshake it is an error, and nothing is said. */
    (void)SSL_shutdown(ssl_of(session));
    ERR_clear_error();
}

size_t trib_tls_pending(struct trib_tls_session *session) {
    return BIO_ctrl_pending(SSL_get_wbio(ssl_of(session)));
}

void trib_tls_drain(struct trib_tls_session *session, void *bytes, size_t room) {
    size_t done = 0;
    TRIB_ASSERT(BIO_read_ex(SSL_get_wbio(ssl_of(session)), bytes, room, &done) == 1);
    TRIB_ASSERT(done == room);
}

bool trib_tls_is_established(const struct trib_tls_session *session) {
    return SSL_is_init_finished((const SSL *)session) == 1;
}
