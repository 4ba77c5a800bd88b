/* fuzz_link.c - what people paste and set: join links, addresses of proxies, lists for NO_PROXY.
 *
 * Rules: a link that parses is written again as a link that parses to the same; a proxy that parses
 * makes a head of four lines at most, whatever its user and password are; a list names the same
 * hosts whether it has blanks or commas. */
#include "fuzz/target.h"

#include "client/join_link.h"
#include "client/proxy.h"

#define TEXT_BYTES_MAX 4096

static void check_link(const char *text) {
    struct trib_link link, again;
    struct trib_error error = {0};
    char written[TRIB_LINK_TEXT_BYTES];
    if (trib_join_link_parse(text, &link, &error) != TRIB_OK) {
        TRIB_ASSERT(error.text[0] != '\0');
        return;
    }
    if (link.port == 0) {
        return; /* a Unix socket, of which only clients know */
    }
    TRIB_ASSERT(trib_link_format(&link, written, sizeof written));
    TRIB_ASSERT(trib_link_parse(written, &again, NULL) == TRIB_OK);
    TRIB_ASSERT(memcmp(&link, &again, sizeof link) == 0);
    TRIB_ASSERT(link.pin[0] == '\0' || trib_link_is_tls(&link));
}

static void check_proxy(const char *text) {
    struct trib_proxy proxy;
    struct trib_error error = {0};
    char head[TRIB_PROXY_HEAD_BYTES];
    if (trib_proxy_parse(text, &proxy, &error) != TRIB_OK) {
        TRIB_ASSERT(error.text[0] != '\0');
        return;
    }
    size_t bytes = trib_proxy_write_head(&proxy, "lab.org", "7700", head);
    size_t lines = 0;
    TRIB_ASSERT(bytes == strlen(head));
    for (size_t i = 0; i < bytes; i++) {
        TRIB_ASSERT(head[i] != '\r' || head[i + 1] == '\n');
        lines += head[i] == '\n';
    }
    TRIB_ASSERT(lines == (proxy.credentials[0] == '\0' ? 3 : 4));
}

static void check_list(char *list) {
    static const char *const hosts[] = {"fl.lab.org", "10.1.2.3", "2001:db8::7"};
    bool is_exempt[3];
    for (size_t i = 0; i < 3; i++) {
        is_exempt[i] = trib_proxy_is_exempt(list, hosts[i], "7700");
    }
    for (char *byte = list; *byte != '\0'; byte++) {
        *byte = *byte == ',' ? ' ' : *byte;
    }
    for (size_t i = 0; i < 3; i++) {
        TRIB_ASSERT(trib_proxy_is_exempt(list, hosts[i], "7700") == is_exempt[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > TEXT_BYTES_MAX) {
        return 0;
    }
    char *text = malloc(size + 1);
    TRIB_ASSERT(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    check_link(text);
    check_proxy(text);
    check_list(text);
    free(text);
    return 0;
}
