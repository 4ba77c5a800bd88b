/* check.h - trib join --check: which part of the way to a daemon works, and which does not. */
#ifndef TRIB_CLI_CHECK_H
#define TRIB_CLI_CHECK_H

#include "cli/command.h"
#include "cli/way.h"

/* Try DNS, TCP, proxy, TLS, HTTP, token and an upload of 10 MB, in this order, each alone,
 * and print a line for each, up to the first that fails. Nothing stays behind at the daemon.
 *
 * client  as which to join; NULL: the one that the link's token is for, or any.
 *
 * TRIB_EXIT_OK: all works; TRIB_EXIT_UNREACHABLE: there is no way to the daemon; TRIB_EXIT_FAILED:
 * the daemon or a proxy in front of it refuses; TRIB_EXIT_USAGE. */
enum trib_exit trib_check(const struct trib_cli *cli, const struct trib_link *link,
                          const struct trib_way_options *options, const char *client);

#endif
