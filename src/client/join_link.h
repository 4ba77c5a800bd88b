/* join_link.h - join links as clients take them: those of wire/link.h, and Unix sockets. */
#ifndef TRIB_CLIENT_JOIN_LINK_H
#define TRIB_CLIENT_JOIN_LINK_H

#include "base/status.h"
#include "wire/link.h"

/* As trib_link_parse(), and for a daemon on this machine
 *
 *     unix:/path/of/socket/run[#token]
 *
 * whose last part is the run, as in the other links. link->host is then "unix:/path/of/socket" and
 * link->port 0. On error *link is untouched. error may be NULL. */
enum trib_status trib_join_link_parse(const char *text, struct trib_link *link,
                                      struct trib_error *error);

#endif
