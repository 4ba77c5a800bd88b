/* secure.h - TLS for the client side: a struct trib_transport around another one.
 *
 * OpenSSL 3, TLS 1.2 or later. The certificate and its host name are checked; with a pin only that
 * the daemon has the key of the pin, which no name, date or CA adds to. */
#ifndef TRIB_CLI_SECURE_H
#define TRIB_CLI_SECURE_H

#include "base/env.h"
#include "base/status.h"
#include "tributary/client.h"

struct trib_secure;

struct trib_secure_options {
    const char *ca_file;          /* PEM file of the certificates to trust; NULL: the system's */
    const char *certificate_file; /* PEM, a chain, leaf first: our own; NULL: none */
    const char *key_file;         /* of that certificate */
    const char *pin;              /* 64 lower-case hex digits (wire/link.h); NULL: none */
};

/* plain    carries the bytes; needs all slots. Borrowed until free, as is env.
 * options  read now and not kept.
 * TRIB_EIO: error says what is wrong with a file; TRIB_EMEMORY. */
enum trib_status trib_secure_new(const struct trib_env *env, const struct trib_transport *plain,
                                 const struct trib_secure_options *options,
                                 struct trib_secure **tls, struct trib_error *error);
void trib_secure_free(struct trib_secure *tls); /* NULL allowed; its connections are closed */
/* Valid as long as tls. */
const struct trib_transport *trib_secure_transport(const struct trib_secure *tls);

#endif
