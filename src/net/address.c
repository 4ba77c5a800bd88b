/* address.c - socket addresses as text. */
#include "net/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool parse_port(const char *text, in_port_t *port) {
    unsigned value = 0;
    if (*text == '\0' || strlen(text) > 5) {
        return false;
    }
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9') {
            return false;
        }
        value = value * 10 + (unsigned)(*text - '0');
    }
    *port = htons((uint16_t)value);
    return value <= UINT16_MAX;
}

static enum trib_status parse_path(const char *path, union trib_address *address) {
    /* libuv would cut a longer path without a word. */
    if (path[0] != '/' || strlen(path) >= sizeof address->path.sun_path) {
        return TRIB_EINVALID;
    }
    address->path.sun_family = AF_UNIX;
    strcpy(address->path.sun_path, path);
    return TRIB_OK;
}

enum trib_status trib_address_parse(const char *text, union trib_address *address) {
    memset(address, 0, sizeof *address);
    if (strncmp(text, "unix:", 5) == 0) {
        return parse_path(text + 5, address);
    }
    const char *colon = strrchr(text, ':');
    char host[INET6_ADDRSTRLEN + 2];
    if (colon == NULL || (size_t)(colon - text) >= sizeof host) {
        return TRIB_EINVALID;
    }
    size_t host_bytes = (size_t)(colon - text);
    memcpy(host, text, host_bytes);
    host[host_bytes] = '\0';
    if (host_bytes > 2 && host[0] == '[' && host[host_bytes - 1] == ']') {
        host[host_bytes - 1] = '\0';
        struct sockaddr_in6 *six = (struct sockaddr_in6 *)&address->room;
        six->sin6_family = AF_INET6;
        bool is_valid = inet_pton(AF_INET6, host + 1, &six->sin6_addr) == 1 &&
                        parse_port(colon + 1, &six->sin6_port);
        return is_valid ? TRIB_OK : TRIB_EINVALID;
    }
    struct sockaddr_in *four = (struct sockaddr_in *)&address->room;
    four->sin_family = AF_INET;
    const char *number = strcmp(host, "localhost") == 0 ? "127.0.0.1" : host;
    bool is_valid =
        inet_pton(AF_INET, number, &four->sin_addr) == 1 && parse_port(colon + 1, &four->sin_port);
    return is_valid ? TRIB_OK : TRIB_EINVALID;
}

unsigned trib_address_port(const struct sockaddr *address) {
    if (address->sa_family == AF_INET) {
        return ntohs(((const struct sockaddr_in *)address)->sin_port);
    }
    if (address->sa_family == AF_INET6) {
        return ntohs(((const struct sockaddr_in6 *)address)->sin6_port);
    }
    return 0;
}

const char *trib_address_format(const struct sockaddr *address, char *text, size_t room) {
    char host[INET6_ADDRSTRLEN] = "?";
    unsigned port = trib_address_port(address);
    int written;
    switch (address->sa_family) {
    case AF_INET:
        (void)inet_ntop(AF_INET, &((const struct sockaddr_in *)address)->sin_addr, host,
                        sizeof host); /* host is large enough */
        written = snprintf(text, room, "%s:%u", host, port);
        break;
    case AF_INET6:
        (void)inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)address)->sin6_addr, host,
                        sizeof host); /* as above */
        written = snprintf(text, room, "[%s]:%u", host, port);
        break;
    default:
        written = snprintf(text, room, "%s", address->sa_family == AF_UNIX ? "unix" : "?");
        break;
    }
    TRIB_ASSERT(written > 0 && (size_t)written < room);
    return text;
}

bool trib_address_is_loopback(const struct sockaddr *address) {
    if (address->sa_family == AF_INET) {
        return ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24 == 127;
    }
    if (address->sa_family == AF_INET6) {
        const struct in6_addr *six = &((const struct sockaddr_in6 *)address)->sin6_addr;
        return IN6_IS_ADDR_LOOPBACK(six) || (IN6_IS_ADDR_V4MAPPED(six) && six->s6_addr[12] == 127);
    }
    return address->sa_family == AF_UNIX;
}

/* A socket file outlives the process that made it; only connecting tells whether one listens. */
static bool somebody_listens(const union trib_address *address) {
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0) {
        return true; /* not known: leave it alone */
    }
    int result = connect(probe, &address->any, sizeof address->path);
    bool is_refused = result != 0 && errno == ECONNREFUSED;
    close(probe);
    return !is_refused;
}

enum trib_status trib_address_prepare(const union trib_address *address) {
    const char *path = address->path.sun_path;
    char directory[sizeof address->path.sun_path];
    size_t directory_bytes = (size_t)(strrchr(path, '/') - path);
    memcpy(directory, path, directory_bytes);
    directory[directory_bytes] = '\0';
    if (directory_bytes > 0 && mkdir(directory, 0700) != 0 && errno != EEXIST) {
        return errno == EACCES ? TRIB_EFORBIDDEN : TRIB_EIO;
    }
    struct stat found;
    if (lstat(path, &found) != 0) {
        return errno == ENOENT ? TRIB_OK : TRIB_EIO;
    }
    if (!S_ISSOCK(found.st_mode) || somebody_listens(address)) {
        return TRIB_ECONFLICT;
    }
    if (unlink(path) != 0) {
        return errno == EACCES || errno == EPERM ? TRIB_EFORBIDDEN : TRIB_EIO;
    }
    return TRIB_OK;
}
