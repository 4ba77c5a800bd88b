/* proxy.h - which HTTP proxy leads to a daemon: HTTPS_PROXY, HTTP_PROXY and NO_PROXY.
 *
 *   HTTPS_PROXY   for links that ask for TLS        [http://][user:password@]host[:port][/]
 *   HTTP_PROXY    for the others                    likewise; without a port: 80
 *   NO_PROXY      who is called directly            "*", or a list of names (with all that is below
 *                                                   them), addresses and networks, each perhaps
 *                                                   with a port: "lab.org, 10.0.0.0/8, [::1]:7700"
 *
 * Names in lower case go before those in upper case, as with curl. Loopback and Unix sockets are
 * always called directly. No password is ever shown. Thread: any; the environment is only read. */
#ifndef TRIB_CLIENT_PROXY_H
#define TRIB_CLIENT_PROXY_H

#include <stdbool.h>

#include <stddef.h>

#include "base/status.h"

#define TRIB_PROXY_HEAD_BYTES 2048
#define TRIB_PROXY_CREDENTIALS_BYTES 512

struct trib_proxy {
    char host[256]; /* name or address without brackets; "": there is no proxy */
    char port[8];
    char credentials[TRIB_PROXY_CREDENTIALS_BYTES]; /* "user:password" in base64 (RFC 7617); "":
                                                       none */
};

/* Read the address of a proxy. On error *proxy is untouched and error says what is wrong, without
 * showing the text. TRIB_EMALFORMED; TRIB_EUNSUPPORTED: it is spoken to in another way than plain
 * HTTP (https://, socks5://). error may be NULL. */
enum trib_status trib_proxy_parse(const char *text, struct trib_proxy *proxy,
                                  struct trib_error *error);

/* Does a list in the form of NO_PROXY name this host (without brackets) at this port? Entries that
 * make no sense name nobody. */
bool trib_proxy_is_exempt(const char *list, const char *host, const char *port);

/* What the environment says about a daemon at this host and port; proxy->host is "" when it is to
 * be called directly. Errors as of trib_proxy_parse(), with the name of the variable. */
enum trib_status trib_proxy_find(const char *host, const char *port, bool is_tls,
                                 struct trib_proxy *proxy, struct trib_error *error);

/* --- asking it for a tunnel (RFC 9110 section 9.3.6) ------------------------------------------ */

/* The head of a CONNECT to host (without brackets) and port; how many bytes it has. Always CONNECT,
 * for plain HTTP too: then no proxy has to understand, keep or change what is said to the daemon. */
size_t trib_proxy_write_head(const struct trib_proxy *proxy, const char *host, const char *port,
                             char head[TRIB_PROXY_HEAD_BYTES]);
/* What people are told behind "proxy HOST port PORT" about an answer with this status; NULL: the
 * tunnel is there. */
const char *trib_proxy_refusal(int status);

#endif
