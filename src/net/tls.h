/* tls.h - TLS 1.3 between two buffers: no sockets; for this room only.
 *
 *     socket --feed()--> | session | --read()--> plain text
 *     socket <--drain()- |         | <--write()-- plain text
 *
 * OpenSSL takes its memory from malloc, not from the environment. Thread: the loop's. */
#ifndef TRIB_NET_TLS_H
#define TRIB_NET_TLS_H

#include "base/env.h"
#include "base/status.h"
#include "net/certificate.h"

struct trib_tls;         /* certificate and key of a server */
struct trib_tls_session; /* one connection */

/* Read a certificate (chain) and its key from PEM files. TRIB_OK; TRIB_EIO: a file cannot be read
 * or understood; TRIB_EINVALID: the key does not belong to the certificate; TRIB_EMEMORY. */
enum trib_status trib_tls_new(const char *certificate_file, const char *key_file,
                              struct trib_tls **tls, struct trib_error *error);
/* Let in only peers with a certificate that one of those in ca_file (PEM) has signed. TRIB_OK;
 * TRIB_EIO: the file cannot be read or understood; TRIB_EMEMORY. On error *tls must be freed. */
enum trib_status trib_tls_require_clients(struct trib_tls *tls, const char *ca_file,
                                          struct trib_error *error);
/* What trib_server_pin() says. */
bool trib_tls_pin(const struct trib_tls *tls, const char *host, char pin[TRIB_PIN_BYTES]);
void trib_tls_free(struct trib_tls *tls); /* NULL allowed; sessions may still be there */

/* NULL: no memory. */
struct trib_tls_session *trib_tls_session_new(struct trib_tls *tls);
void trib_tls_session_free(struct trib_tls_session *session); /* NULL allowed */

/* Take count bytes that came from the peer. False: no memory. */
bool trib_tls_feed(struct trib_tls_session *session, const void *bytes, size_t count);
/* Plain text for bytes[room], room > 0. TRIB_OK with *count == 0: more must be fed first;
 * TRIB_ECLOSED: the peer has said that no more comes; TRIB_EMALFORMED: it does not speak TLS 1.3
 * as it should, and drain() may have the alert to send. */
enum trib_status trib_tls_read(struct trib_tls_session *session, void *bytes, size_t room,
                               size_t *count);
/* Take count > 0 bytes of plain text. TRIB_OK: all of them; TRIB_EMALFORMED; TRIB_EMEMORY. */
enum trib_status trib_tls_write(struct trib_tls_session *session, const void *bytes, size_t count);
/* Say that no more comes. */
void trib_tls_finish(struct trib_tls_session *session);

/* Bytes waiting for the peer, and the first `room` of them (all must fit). */
size_t trib_tls_pending(struct trib_tls_session *session);
void trib_tls_drain(struct trib_tls_session *session, void *bytes, size_t room);

/* The handshake is over. */
bool trib_tls_is_established(const struct trib_tls_session *session);

#endif
