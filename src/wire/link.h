/* link.h - join links: all that a client needs to find a run and be let in.
 *
 *   trib://host:port/run[?pin=sha256:...]#token    TLS unless host is loopback, or with a pin
 *   http://host[:port][/prefix]/run#token          as it says; prefix for a reverse proxy
 *   https://host[:port][/prefix]/run[?pin=sha256:...]#token
 *
 * A pin is the SHA-256 of the public key (SubjectPublicKeyInfo, as in RFC 7469 section 2.4) that
 * the daemon must prove to have, in hex: who holds such a link needs no other reason to trust it.
 * The token is in the fragment because fragments are not sent and not logged (RFC 3986
 * section 3.5). It may be missing: loopback needs none. */
#ifndef TRIB_WIRE_LINK_H
#define TRIB_WIRE_LINK_H

#include "base/name.h"
#include "base/status.h"

#include <stdint.h>

#define TRIB_LINK_TEXT_BYTES 1024 /* room for every link, with the NUL */
#define TRIB_LINK_PIN_BYTES 65    /* 64 digits */

enum trib_link_scheme { TRIB_LINK_TRIB, TRIB_LINK_HTTP, TRIB_LINK_HTTPS };

struct trib_link {
    enum trib_link_scheme scheme;
    char host[256];   /* name, IPv4, or IPv6 without brackets */
    uint16_t port;    /* never 0 after a parse: 80 and 443 are filled in */
    char prefix[256]; /* "" or "/prefix", without a slash at the end */
    char run[TRIB_NAME_BYTES];
    char token[256];               /* "" when missing */
    char pin[TRIB_LINK_PIN_BYTES]; /* lower-case hex; "": the usual checks of a certificate */
};

/* *link changes only on success; TRIB_EMALFORMED says which part is wrong (never showing the
 * token). */
enum trib_status trib_link_parse(const char *text, struct trib_link *link,
                                 struct trib_error *error);
/* The link as text into buffer[room]; false when it does not fit (TRIB_LINK_TEXT_BYTES always
 * fits). A default port of http and https is left out. parse(format(link)) gives link. */
bool trib_link_format(const struct trib_link *link, char *buffer, size_t room);

/* Must the connection use TLS? */
bool trib_link_is_tls(const struct trib_link *link);
/* "localhost", 127.0.0.0/8 or ::1, as text; never asks a resolver. */
bool trib_host_is_loopback(const char *host);

#endif
