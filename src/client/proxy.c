/* proxy.c - the environment's proxies, read the way curl and Go read them where these agree. */
#include "client/proxy.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "client/socket.h"
#include "wire/link.h"

#define PLAIN_BYTES 256 /* "user:password" */
#define ENTRY_BYTES 300
#define SCHEME "http://"

/* --- the address of a proxy ------------------------------------------------------------------- */

static int hex_digit(char digit) {
    const char *digits = "0123456789abcdef";
    const char *found = digit == '\0' ? NULL : strchr(digits, digit | 0x20);
    return found == NULL ? -1 : (int)(found - digits);
}

/* Percent-decode [from, limit) into text[room]. Control characters have no place in it. */
static bool decode(const char *from, const char *limit, char *text, size_t room) {
    size_t count = 0;
    while (from < limit) {
        char byte = *from++;
        if (byte == '%') {
            int high = limit - from >= 2 ? hex_digit(from[0]) : -1;
            int low = limit - from >= 2 ? hex_digit(from[1]) : -1;
            if (high < 0 || low < 0) {
                return false;
            }
            byte = (char)(high * 16 + low);
            from += 2;
        }
        if ((unsigned char)byte < ' ' || byte == 0x7f || count + 1 >= room) {
            return false;
        }
        text[count++] = byte;
    }
    text[count] = '\0';
    return true;
}

/* RFC 4648 section 4. */
static void encode_base64(const char *text, char encoded[TRIB_PROXY_CREDENTIALS_BYTES]) {
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t left = strlen(text);
    _Static_assert((PLAIN_BYTES + 2) / 3 * 4 < TRIB_PROXY_CREDENTIALS_BYTES, "every text fits");
    for (const unsigned char *in = (const unsigned char *)text; left > 0; in += 3) {
        size_t taken = left < 3 ? left : 3;
        uint32_t bits = (uint32_t)in[0] << 16;
        bits |= taken > 1 ? (uint32_t)in[1] << 8 : 0;
        bits |= taken > 2 ? (uint32_t)in[2] : 0;
        *encoded++ = letters[bits >> 18];
        *encoded++ = letters[bits >> 12 & 63];
        *encoded++ = taken > 1 ? letters[bits >> 6 & 63] : '=';
        *encoded++ = taken > 2 ? letters[bits & 63] : '=';
        left -= taken;
    }
    *encoded = '\0';
}

/* "user:password" or "user", which is a user with an empty password. */
static bool read_credentials(const char *from, const char *limit, struct trib_proxy *proxy) {
    char plain[PLAIN_BYTES];
    const char *colon = memchr(from, ':', (size_t)(limit - from));
    const char *user_limit = colon == NULL ? limit : colon;
    /* Basic credentials end the user at the first colon: one inside of the name is another name. */
    if (!decode(from, user_limit, plain, sizeof plain - 1) || plain[0] == '\0' ||
        strchr(plain, ':') != NULL) {
        return false;
    }
    size_t count = strlen(plain);
    plain[count++] = ':';
    plain[count] = '\0';
    if (colon != NULL && !decode(colon + 1, limit, plain + count, sizeof plain - count)) {
        return false;
    }
    encode_base64(plain, proxy->credentials);
    return true;
}

/* host[:port], which is a join link without its run, so the parser of links reads it. */
static bool read_authority(const char *from, const char *limit, struct trib_proxy *proxy) {
    char text[sizeof proxy->host + 32];
    struct trib_link link;
    int count = snprintf(text, sizeof text, SCHEME "%.*s/any", (int)(limit - from), from);
    if (count < 0 || (size_t)count >= sizeof text ||
        trib_link_parse(text, &link, NULL) != TRIB_OK) {
        return false;
    }
    strcpy(proxy->host, link.host); /* both have the same room */
    snprintf(proxy->port, sizeof proxy->port, "%u", (unsigned)link.port);
    return true;
}

/* The last '@' before limit, which ends the credentials; NULL: there are none. */
static const char *find_at(const char *from, const char *limit) {
    while (limit > from && limit[-1] != '@') {
        limit--;
    }
    return limit > from ? limit - 1 : NULL;
}

enum trib_status trib_proxy_parse(const char *text, struct trib_proxy *proxy,
                                  struct trib_error *error) {
    struct trib_proxy fresh = {0};
    const char *scheme_limit = strstr(text, "://");
    if (scheme_limit != NULL) {
        if (strncasecmp(text, SCHEME, strlen(SCHEME)) != 0) {
            return trib_error_set(error, TRIB_EUNSUPPORTED,
                                  "a proxy of %.*s:// cannot be used, only "
                                  "http://[user:password@]host[:port]",
                                  (int)strcspn(text, ":@"), text);
        }
        text = scheme_limit + strlen("://");
    }
    const char *limit = text + strcspn(text, "/?#");
    if (strcmp(limit, "/") != 0 && *limit != '\0') {
        return trib_error_set(error, TRIB_EMALFORMED, "a proxy has no path");
    }
    const char *at = find_at(text, limit);
    if (at != NULL && !read_credentials(text, at, &fresh)) {
        return trib_error_set(
            error, TRIB_EMALFORMED,
            "the proxy's user or password is not valid (encode %% : / @ as %%xx)");
    }
    if (!read_authority(at == NULL ? text : at + 1, limit, &fresh)) {
        return trib_error_set(error, TRIB_EMALFORMED,
                              "the proxy must be http://[user:password@]host[:port]");
    }
    *proxy = fresh;
    return TRIB_OK;
}

/* --- who needs none --------------------------------------------------------------------------- */

struct address {
    unsigned char bytes[16];
    unsigned bit_count; /* 32, 128 or, when it is no address, 0 */
};

static struct address read_address(const char *text) {
    struct address address = {.bit_count = 0};
    if (inet_pton(AF_INET, text, address.bytes) == 1) {
        address.bit_count = 32;
    } else if (inet_pton(AF_INET6, text, address.bytes) == 1) {
        address.bit_count = 128;
    }
    return address;
}

static bool has_same_start(const struct address *a, const struct address *b, unsigned bit_count) {
    unsigned whole = bit_count / 8;
    unsigned char mask = (unsigned char)(0xff00 >> bit_count % 8);
    return memcmp(a->bytes, b->bytes, whole) == 0 &&
           (bit_count % 8 == 0 || ((a->bytes[whole] ^ b->bytes[whole]) & mask) == 0);
}

/* "10.0.0.0/8", "192.0.2.7" or "2001:db8::/32" against an address; entry is cut at its slash. */
static bool is_in_network(char *entry, const struct address *host) {
    char *slash = strchr(entry, '/');
    unsigned bit_count = host->bit_count;
    if (slash != NULL) {
        size_t digit_count = strspn(slash + 1, "0123456789");
        if (digit_count == 0 || digit_count > 3 || slash[1 + digit_count] != '\0') {
            return false;
        }
        bit_count = (unsigned)strtoul(slash + 1, NULL, 10);
        *slash = '\0';
    }
    struct address network = read_address(entry);
    return host->bit_count > 0 && network.bit_count == host->bit_count &&
           bit_count <= host->bit_count && has_same_start(&network, host, bit_count);
}

/* "example.org", ".example.org" and "*.example.org" mean the same: the name and all below it. */
static bool is_in_domain(const char *entry, const char *host) {
    entry += entry[0] == '*' && entry[1] == '.' ? 2 : entry[0] == '.' ? 1 : 0;
    size_t entry_bytes = strlen(entry);
    size_t host_bytes = strlen(host);
    if (entry_bytes == 0 || entry_bytes > host_bytes) {
        return false;
    }
    const char *end = host + host_bytes - entry_bytes;
    return strcasecmp(end, entry) == 0 && (end == host || end[-1] == '.');
}

/* Take ":port" and brackets off the entry. False: it is for another port, or for nobody. */
static bool take_port(char **entry, const char *port) {
    if (**entry == '[') {
        char *bracket = strchr(++*entry, ']');
        if (bracket == NULL) {
            return false;
        }
        *bracket = '\0';
        return bracket[1] == '\0' || (bracket[1] == ':' && strcmp(bracket + 2, port) == 0);
    }
    char *colon = strchr(*entry, ':');
    if (colon == NULL || strchr(colon + 1, ':') != NULL) {
        return true; /* no port, or IPv6 */
    }
    *colon = '\0';
    return strcmp(colon + 1, port) == 0;
}

static bool is_named(char *entry, const char *host, const struct address *address,
                     const char *port) {
    if (strcmp(entry, "*") == 0) {
        return true;
    }
    return take_port(&entry, port) &&
           (address->bit_count > 0 ? is_in_network(entry, address) : is_in_domain(entry, host));
}

bool trib_proxy_is_exempt(const char *list, const char *host, const char *port) {
    const char *blanks = ", \t";
    const struct address address = read_address(host);
    while (*(list += strspn(list, blanks)) != '\0') {
        char entry[ENTRY_BYTES];
        size_t count = strcspn(list, blanks);
        if (count < sizeof entry) {
            memcpy(entry, list, count);
            entry[count] = '\0';
            if (is_named(entry, host, &address, port)) {
                return true;
            }
        }
        list += count;
    }
    return false;
}

/* --- the environment -------------------------------------------------------------------------- */

/* The first of two variables that is set and not empty. */
static const char *read_either(const char *const names[2], const char **name) {
    for (int i = 0; i < 2; i++) {
        const char *value = getenv(names[i]);
        if (value != NULL && value[0] != '\0') {
            *name = names[i];
            return value;
        }
    }
    return NULL;
}

enum trib_status trib_proxy_find(const char *host, const char *port, bool is_tls,
                                 struct trib_proxy *proxy, struct trib_error *error) {
    static const char *const variables[2][2] = {{"http_proxy", "HTTP_PROXY"},
                                                {"https_proxy", "HTTPS_PROXY"}};
    static const char *const exemptions[2] = {"no_proxy", "NO_PROXY"};
    *proxy = (struct trib_proxy){0};
    const char *name = NULL;
    const char *exempt = read_either(exemptions, &name);
    const char *text = read_either(variables[is_tls], &name);
    bool is_unix = strncmp(host, TRIB_UNIX_PREFIX, strlen(TRIB_UNIX_PREFIX)) == 0;
    if (text == NULL || is_unix || trib_host_is_loopback(host) ||
        (exempt != NULL && trib_proxy_is_exempt(exempt, host, port))) {
        return TRIB_OK;
    }
    enum trib_status status = trib_proxy_parse(text, proxy, error);
    return status == TRIB_OK ? TRIB_OK : trib_error_prefix(error, status, "%s", name);
}

/* --- asking it for a tunnel ------------------------------------------------------------------- */

size_t trib_proxy_write_head(const struct trib_proxy *proxy, const char *host, const char *port,
                             char head[TRIB_PROXY_HEAD_BYTES]) {
    char authority[sizeof proxy->host + sizeof proxy->port + 4];
    bool has_brackets = strchr(host, ':') != NULL;
    bool has_credentials = proxy->credentials[0] != '\0';
    int count = snprintf(authority, sizeof authority, "%s%s%s:%s", has_brackets ? "[" : "", host,
                         has_brackets ? "]" : "", port);
    TRIB_ASSERT(count > 0 && (size_t)count < sizeof authority); /* a link's host is no longer */
    count = snprintf(head, TRIB_PROXY_HEAD_BYTES, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n%s%s%s\r\n",
                     authority, authority, has_credentials ? "Proxy-Authorization: Basic " : "",
                     proxy->credentials, has_credentials ? "\r\n" : "");
    TRIB_ASSERT(count > 0 && count < TRIB_PROXY_HEAD_BYTES);
    return (size_t)count;
}

static const struct {
    int status;
    const char *text;
} refusals[] = {
    {403, "does not allow this host and port (403)"},
    {405, "does not make tunnels (405)"},
    {407, "wants another user and password, user:password@ in its address (407)"},
    {502, "cannot reach the daemon (502)"},
    {503, "cannot reach the daemon (503)"},
    {504, "cannot reach the daemon in time (504)"},
};

const char *trib_proxy_refusal(int status) {
    if (status >= 200 && status < 300) {
        return NULL;
    }
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        if (refusals[i].status == status) {
            return refusals[i].text;
        }
    }
    return "refuses to make a tunnel";
}
