/* join_link.c - the path is taken off; what is left is read as a link to localhost. */
#include "client/join_link.h"

#include <stdio.h>
#include <string.h>

#include "client/socket.h"

static enum trib_status parse_unix(const char *text, struct trib_link *link,
                                   struct trib_error *error) {
    const char *limit = text + strcspn(text, "#");
    const char *slash = limit;
    while (slash > text && *slash != '/') {
        slash--;
    }
    size_t host_bytes = (size_t)(slash - text);
    if (text[strlen(TRIB_UNIX_PREFIX)] != '/' || host_bytes <= strlen(TRIB_UNIX_PREFIX) ||
        host_bytes >= sizeof link->host) {
        return trib_error_set(error, TRIB_EMALFORMED,
                              "join link: after unix: come the socket's path and the run");
    }
    char rest[TRIB_LINK_TEXT_BYTES];
    int count = snprintf(rest, sizeof rest, "http://localhost%s", slash);
    if (count < 0 || (size_t)count >= sizeof rest) {
        return trib_error_set(error, TRIB_EMALFORMED, "join link: too long");
    }
    enum trib_status status = trib_link_parse(rest, link, error);
    if (status == TRIB_OK) {
        memcpy(link->host, text, host_bytes);
        link->host[host_bytes] = '\0';
        link->port = 0;
    }
    return status;
}

enum trib_status trib_join_link_parse(const char *text, struct trib_link *link,
                                      struct trib_error *error) {
    return strncmp(text, TRIB_UNIX_PREFIX, strlen(TRIB_UNIX_PREFIX)) == 0
               ? parse_unix(text, link, error)
               : trib_link_parse(text, link, error);
}
