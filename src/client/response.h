/* response.h - a pure reader of HTTP/1.1 responses: bytes in, head fields and body spans out.
 *
 * Knows Content-Length, chunked, bodies that end with the connection, and replies without a body;
 * interim replies (1xx) are skipped. Allocates nothing. Source: RFC 9112, sections 4 to 7. */
#ifndef TRIB_CLIENT_RESPONSE_H
#define TRIB_CLIENT_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRIB_RESPONSE_HEAD_MAX 16384 /* what the daemon accepts too; its own are under 1 KiB */

enum trib_response_state {
    TRIB_RESPONSE_HEAD,  /* the head is not complete */
    TRIB_RESPONSE_BODY,  /* status and fields are known; body bytes may follow */
    TRIB_RESPONSE_DONE,  /* complete; the connection may be used again if keeps_alive */
    TRIB_RESPONSE_BROKEN /* not HTTP, or ends too early; error says what */
};

struct trib_response {
    enum trib_response_state state;    /* read-only */
    int status;                        /* read-only: 200 .. 599, from BODY on */
    bool keeps_alive;                  /* read-only, from BODY on */
    bool has_length;                   /* read-only: body_bytes was announced */
    uint64_t body_bytes;               /* read-only: Content-Length; of a HEAD too */
    bool has_continued;                /* read-only: 100 Continue came before what is to come */
    const char *error;                 /* read-only: static text when BROKEN */
    bool is_head_request;              /* private */
    uint8_t framing;                   /* private */
    uint8_t chunk_state;               /* private */
    uint32_t line_bytes;               /* private: of the size line or the trailers so far */
    uint64_t span_bytes_left;          /* private: of the body, or of the current chunk */
    size_t head_bytes;                 /* private */
    char head[TRIB_RESPONSE_HEAD_MAX]; /* private */
};

/* is_head_request: the response to a HEAD has no body whatever it announces. */
void trib_response_begin(struct trib_response *response, bool is_head_request);
/* Read from bytes[count]; returns how many were consumed. A span of the body, if any came, is in
 * *body and *body_bytes (inside `bytes`); call again with the rest until nothing is consumed. */
size_t trib_response_feed(struct trib_response *response, const char *bytes, size_t count,
                          const char **body, size_t *body_bytes);
/* The connection was closed by the peer: DONE where that ends the body, BROKEN otherwise. */
void trib_response_closed(struct trib_response *response);
/* Value of the first field of that name (any case), trimmed, copied to value[room]; false when it
 * is absent or too long. */
bool trib_response_field(const struct trib_response *response, const char *name, char *value,
                         size_t room);

#endif
