/* link.c - join links, taken apart by hand: what is allowed in them is much less than RFC 3986
 * allows, and everything else is refused. */
#include "wire/link.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"
#define HOST_CHARACTERS LETTERS DIGITS ".-_"
#define ADDRESS_CHARACTERS "ABCDEFabcdef" DIGITS ":." /* IPv6, also with IPv4 at its end */
#define PATH_CHARACTERS LETTERS DIGITS "._~-"
#define TOKEN_CHARACTERS LETTERS DIGITS "._~-+/="
#define PIN_CHARACTERS DIGITS "abcdefABCDEF"
#define PIN_PARAMETER "?pin=sha256:"

struct scheme {
    const char *text;
    uint16_t port; /* 0: must be given */
};

static const struct scheme schemes[] = {
    [TRIB_LINK_TRIB] = {"trib://", 0},
    [TRIB_LINK_HTTP] = {"http://", 80},
    [TRIB_LINK_HTTPS] = {"https://", 443},
};

/* Copy [from, limit) into text[room] if it fits and consists of `allowed` only. */
static bool take(const char *from, const char *limit, const char *allowed, char *text,
                 size_t room) {
    size_t byte_count = (size_t)(limit - from);
    if (byte_count >= room || strspn(from, allowed) < byte_count)
        return false;
    memcpy(text, from, byte_count);
    text[byte_count] = '\0';
    return true;
}

static const char *read_scheme(const char *text, struct trib_link *link) {
    for (size_t index = 0; index < sizeof schemes / sizeof *schemes; index++) {
        size_t byte_count = strlen(schemes[index].text);
        if (strncasecmp(text, schemes[index].text, byte_count) == 0) {
            link->scheme = (enum trib_link_scheme)index;
            return text + byte_count;
        }
    }
    return NULL;
}

/* Host, with or without brackets. Returns what follows, NULL when it is not valid. */
static const char *read_host(const char *text, struct trib_link *link) {
    const char *limit;
    if (*text == '[') {
        limit = strchr(++text, ']');
        bool is_address = limit && memchr(text, ':', (size_t)(limit - text)) &&
                          take(text, limit, ADDRESS_CHARACTERS, link->host, sizeof link->host);
        return is_address ? limit + 1 : NULL;
    }
    limit = text + strcspn(text, ":/#");
    return limit > text && take(text, limit, HOST_CHARACTERS, link->host, sizeof link->host) ? limit
                                                                                             : NULL;
}

/* ":port" or nothing. Returns what follows, NULL when it is not valid or missing. */
static const char *read_port(const char *text, struct trib_link *link) {
    link->port = schemes[link->scheme].port;
    if (*text == ':') {
        size_t digit_count = strspn(++text, DIGITS);
        uint32_t port = 0;
        for (size_t index = 0; index < digit_count && port <= UINT16_MAX; index++)
            port = port * 10 + (uint32_t)(text[index] - '0');
        if (port > UINT16_MAX)
            return NULL;
        link->port = (uint16_t)port;
        text += digit_count;
    }
    return link->port > 0 ? text : NULL;
}

/* "/a/b" without empty, "." or ".." segments. */
static bool is_prefix_valid(const char *prefix) {
    while (*prefix) {
        const char *segment = prefix + 1;
        size_t byte_count = strcspn(segment, "/");
        bool is_dots = byte_count <= 2 && strspn(segment, ".") >= byte_count;
        if (is_dots) /* the empty one included */
            return false;
        prefix = segment + byte_count;
    }
    return true;
}

/* "/prefix/run": the last segment is the run. */
static bool read_path(const char *from, const char *limit, struct trib_link *link) {
    if (*from != '/') /* letters behind the port would become a part of the host */
        return false;
    if (limit > from && limit[-1] == '/') /* people copy addresses with a slash at the end */
        limit--;
    const char *run = limit;
    while (run > from && run[-1] != '/')
        run--;
    if (run == from || !trib_name_is_valid(run, (size_t)(limit - run)) ||
        !take(run, limit, PATH_CHARACTERS, link->run, sizeof link->run) ||
        !take(from, run - 1, PATH_CHARACTERS "/", link->prefix, sizeof link->prefix))
        return false;
    return is_prefix_valid(link->prefix);
}

/* "?pin=sha256:..." or nothing, up to limit: there are no other parameters. */
static bool read_pin(const char *from, const char *limit, struct trib_link *link) {
    size_t parameter_bytes = strlen(PIN_PARAMETER);
    if (from == limit)
        return true;
    if (strncmp(from, PIN_PARAMETER, parameter_bytes) != 0 ||
        !take(from + parameter_bytes, limit, PIN_CHARACTERS, link->pin, sizeof link->pin) ||
        strlen(link->pin) != sizeof link->pin - 1)
        return false;
    for (char *digit = link->pin; *digit; digit++)
        *digit = (char)tolower((unsigned char)*digit);
    return true;
}

enum trib_status trib_link_parse(const char *text, struct trib_link *link,
                                 struct trib_error *error) {
    struct trib_link fresh;
    memset(&fresh, 0, sizeof fresh);
    const char *next = read_scheme(text, &fresh);
    if (!next)
        return trib_error_set(error, TRIB_EMALFORMED,
                              "a join link starts with trib://, http:// or https://");
    next = read_host(next, &fresh);
    if (!next)
        return trib_error_set(error, TRIB_EMALFORMED,
                              "join link: the host is missing or not valid");
    next = read_port(next, &fresh);
    if (!next)
        return trib_error_set(error, TRIB_EMALFORMED,
                              "join link: the port is missing or not from 1 to 65535");
    const char *path_limit = next + strcspn(next, "?#");
    const char *limit = path_limit + strcspn(path_limit, "#");
    if (!read_path(next, path_limit, &fresh))
        return trib_error_set(error, TRIB_EMALFORMED,
                              "join link: the path must end in the name of a run");
    if (fresh.scheme == TRIB_LINK_TRIB && fresh.prefix[0])
        return trib_error_set(error, TRIB_EMALFORMED,
                              "join link: trib:// takes no prefix; use https://");
    if (!read_pin(path_limit, limit, &fresh))
        return trib_error_set(error, TRIB_EMALFORMED,
                              "join link: after ? only pin=sha256: and 64 hex digits may come");
    if (fresh.scheme == TRIB_LINK_HTTP && fresh.pin[0])
        return trib_error_set(error, TRIB_EMALFORMED,
                              "join link: a pin needs TLS; use https:// or trib://");
    if (*limit &&
        !take(limit + 1, limit + strlen(limit), TOKEN_CHARACTERS, fresh.token, sizeof fresh.token))
        return trib_error_set(error, TRIB_EMALFORMED, "join link: the token is not valid");
    *link = fresh;
    return TRIB_OK;
}

bool trib_link_format(const struct trib_link *link, char *buffer, size_t room) {
    const struct scheme *scheme = &schemes[link->scheme];
    bool has_brackets = strchr(link->host, ':') != NULL;
    char port[8] = "";
    if (link->port != scheme->port)
        snprintf(port, sizeof port, ":%u", link->port);
    int byte_count = snprintf(buffer, room, "%s%s%s%s%s%s/%s%s%s%s%s", scheme->text,
                              has_brackets ? "[" : "", link->host, has_brackets ? "]" : "", port,
                              link->prefix, link->run, link->pin[0] ? PIN_PARAMETER : "", link->pin,
                              link->token[0] ? "#" : "", link->token);
    return byte_count >= 0 && (size_t)byte_count < room;
}

bool trib_link_is_tls(const struct trib_link *link) {
    return link->scheme == TRIB_LINK_HTTPS ||
           (link->scheme == TRIB_LINK_TRIB &&
            (link->pin[0] != '\0' || !trib_host_is_loopback(link->host)));
}

bool trib_host_is_loopback(const char *host) {
    if (strcasecmp(host, "localhost") == 0 || strcmp(host, "::1") == 0)
        return true;
    /* 127.x.y.z: a name such as 127.example.org is none, so all four parts are read. */
    for (int part = 0; part < 4; part++) {
        size_t digit_count = strspn(host, DIGITS);
        if (digit_count == 0 || digit_count > 3 ||
            (part == 0 && (digit_count != 3 || strncmp(host, "127", 3) != 0)))
            return false;
        int value = 0;
        for (size_t index = 0; index < digit_count; index++)
            value = value * 10 + (host[index] - '0');
        if (value > 255)
            return false;
        host += digit_count;
        if (*host != (part < 3 ? '.' : '\0'))
            return false;
        host += part < 3;
    }
    return true;
}
