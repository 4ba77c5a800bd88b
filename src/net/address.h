/* address.h - socket addresses as text; for this room only. */
#ifndef TRIB_NET_ADDRESS_H
#define TRIB_NET_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/status.h"

#define TRIB_ADDRESS_TEXT_BYTES 56 /* "[" + 45 + "]:65535" + NUL fits */

union trib_address {
    struct sockaddr any;
    struct sockaddr_un path;
    struct sockaddr_storage room;
};

/* "127.0.0.1:80", "[::1]:80", "localhost:80", "unix:/path". Numbers only: a name that resolves to
 * something else tomorrow is no place to listen at. TRIB_OK or TRIB_EINVALID. */
enum trib_status trib_address_parse(const char *text, union trib_address *address);

/* "127.0.0.1:80", "[::1]:80", "unix"; "?" for a family we do not know. Returns text. */
const char *trib_address_format(const struct sockaddr *address, char *text, size_t room);

/* 0 when the family has none. */
unsigned trib_address_port(const struct sockaddr *address);

/* 127.0.0.0/8, ::1, the first mapped into the second, or a Unix socket. */
bool trib_address_is_loopback(const struct sockaddr *address);

/* Make the way free for a Unix socket: create the directory (0700) when it is missing, remove a
 * socket that nobody listens on. TRIB_OK; TRIB_ECONFLICT: somebody listens there, or it is no
 * socket; TRIB_EFORBIDDEN; TRIB_EIO. */
enum trib_status trib_address_prepare(const union trib_address *address);

#endif
