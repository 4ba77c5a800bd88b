/* socket.h - plain TCP and Unix sockets as a struct trib_transport, through a proxy where there is
 * one, with a bell to interrupt them.
 *
 * Needs POSIX sockets only. All calls in progress return when the bell is rung, and calls that
 * follow fail at once until it is silenced. */
#ifndef TRIB_CLIENT_SOCKET_H
#define TRIB_CLIENT_SOCKET_H

#include <stdbool.h>
#include <stdint.h>

#include "client/proxy.h"
#include "tributary/client.h"

#define TRIB_UNIX_PREFIX "unix:" /* a host that begins so is the path of a socket */

struct trib_sockets {
    int bell[2];             /* private: a pipe; readable while the bell is ringing */
    uint32_t idle_ms;        /* read-only: a peer that takes no bytes for so long is lost */
    struct trib_proxy proxy; /* set it after init: TCP connections go through it; "": directly */
};

/* Without a proxy. False: no descriptors are left for the bell; deinit must not be called then. */
bool trib_sockets_init(struct trib_sockets *sockets, uint32_t idle_ms);
void trib_sockets_deinit(struct trib_sockets *sockets);

/* The transport of these sockets, which must stay where they are while it is used. host: a name,
 * an address, or "unix:/path". The addresses of a name are tried in the resolver's order, each a
 * quarter of a second after the one before unless that has failed sooner; the first that answers
 * is taken (RFC 8305 section 5, without sorting of our own). A proxy resolves names by itself. */
struct trib_transport trib_sockets_transport(struct trib_sockets *sockets);
/* Is this the transport of such sockets? */
bool trib_sockets_made(const struct trib_transport *transport);
/* Send one byte with a descriptor, which stays the caller's (unix(7), SCM_RIGHTS), over a connection
 * of these sockets to "unix:/path". False: it cannot be sent. */
bool trib_socket_hand_over(void *connection, int descriptor);
/* One for everybody, without a bell, idle after 60 s. */
const struct trib_transport *trib_socket_transport(void);

void trib_sockets_ring(struct trib_sockets *sockets); /* any thread; async-signal-safe */
bool trib_sockets_is_ringing(const struct trib_sockets *sockets);
void trib_sockets_silence(struct trib_sockets *sockets);
/* Sleep; false when the bell rings before the time is over. */
bool trib_sockets_pause(const struct trib_sockets *sockets, int64_t pause_ms);

#endif
