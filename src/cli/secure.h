/* secure.h - TLS for the client side: a struct trib_transport around another one.
 *
 * OpenSSL 3, TLS 1.2 or later, certificate and host name checked. */
#ifndef TRIB_CLI_SECURE_H
#define TRIB_CLI_SECURE_H

#include "base/env.h"
#include "base/status.h"
#include "tributary/client.h"

struct trib_secure;

/* plain    carries the bytes; needs all slots. Borrowed until free, as is env.
 * ca_file  PEM file of the certificates to trust; NULL: the system's.
 * TRIB_EIO: error says what is wrong with ca_file; TRIB_EMEMORY. */
enum trib_status trib_secure_new(const struct trib_env *env, const struct trib_transport *plain,
                                 const char *ca_file, struct trib_secure **tls,
                                 struct trib_error *error);
void trib_secure_free(struct trib_secure *tls); /* NULL allowed; its connections are closed */
/* Valid as long as tls. */
const struct trib_transport *trib_secure_transport(const struct trib_secure *tls);

#endif
