/* http.h - HTTP/1.1 heads and chunked framing: bytes in, typed requests out; no sockets.
 *
 * The only file that knows http_parser. That library, as Debian builds it, accepts a bare LF,
 * blanks in names and targets, folded fields, and a missing or repeated Host. Two readers of one
 * head that disagree are how requests are smuggled past a proxy, so everything that is not plainly
 * HTTP/1.1 (RFC 9112) is refused here before the library sees it.
 *
 *     GET /v1/runs?x=1 HTTP/1.1 CRLF     at most 16 KiB and 64 fields; names lower-cased and
 *     Host: localhost:7700 CRLF          all texts NUL-terminated in place, so that a request
 *     Accept: application/json CRLF      borrows from the caller's buffer and allocates nothing
 *     CRLF
 *
 * Thread: any; nothing is shared. */
#ifndef TRIB_WIRE_HTTP_H
#define TRIB_WIRE_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define TRIB_HTTP_HEAD_BYTES_MAX 16384 /* a head of more is refused with 431 */
#define TRIB_HTTP_FIELDS_MAX 64        /* and one of more fields */
#define TRIB_HTTP_REPLY_BYTES_MAX 4096 /* room that is enough for every reply head of ours */
#define TRIB_HTTP_CHUNK_HEAD_BYTES 20  /* room for trib_http_chunk_head_write() */

enum trib_http_method {
    TRIB_HTTP_GET,
    TRIB_HTTP_HEAD,
    TRIB_HTTP_PUT,
    TRIB_HTTP_POST,
    TRIB_HTTP_DELETE,
    TRIB_HTTP_PATCH,
};

/* "GET"; for logs and the Allow field. */
const char *trib_http_method_name(enum trib_http_method method);

struct trib_http_field {
    const char *name;  /* lower case in requests */
    const char *value; /* no blanks around it; no control character but TAB in it */
};

struct trib_http_request {
    enum trib_http_method method;
    const char *path;        /* begins with '/', printable ASCII, not decoded */
    const char *query;       /* what follows '?', not decoded; "" when there is none */
    const char *host;        /* the Host field, not empty; never judged here */
    const char *origin;      /* the Origin field; NULL: none */
    bool has_length;         /* Content-Length was sent */
    bool is_chunked;         /* Transfer-Encoding: chunked was sent (then has_length is false) */
    bool expects_continue;   /* Expect: 100-continue, and a body is announced */
    bool is_persistent;      /* the peer keeps the connection open after the reply */
    uint64_t content_length; /* unit: bytes, at most 2^62; 0 without Content-Length */
    size_t field_count;
    struct trib_http_field fields[TRIB_HTTP_FIELDS_MAX]; /* in the order sent */
};

/* Why a request is refused; static, ready for an error document. */
struct trib_http_refusal {
    int status;          /* 400, 408, 413, 417, 431, 500, 501, 503, 505 */
    const char *code;    /* the error code of docs/protocol.md: "header", "malformed", ... */
    const char *message; /* one line for people; printable ASCII without quotes */
};

/* Look for the end of a head in what has arrived so far.
 *
 * bytes       count bytes from the start of the head; may go on beyond it.
 * scanned     in and out: how many were seen by earlier calls on the same head; start with 0.
 * head_bytes  out: length of the head with its final empty line; 0 while it is not complete.
 *
 * Returns NULL, or why the head can be refused already: a bare CR or LF, a control character, an
 * empty first line, no end within TRIB_HTTP_HEAD_BYTES_MAX.  Cost: each byte is seen once. */
const struct trib_http_refusal *trib_http_head_scan(const char *bytes, size_t count,
                                                    size_t *scanned, size_t *head_bytes);

/* Check and read one complete head.
 *
 * head     head_bytes bytes that end with the empty line; rewritten in place, and *request
 *          borrows from it: it must stay as long as the request is looked at. After a refusal its
 *          contents are not defined.
 *
 * Returns NULL and fills *request, or the refusal: 505 for another version of HTTP, 501 for a
 * method that is not of ours, 431 for too many fields, 417 for an expectation that is not
 * 100-continue, otherwise 400. Also refused is the repetition of a field that means one thing
 * (Authorization, Content-Type, Range, ... and every Tributary- field). */
const struct trib_http_refusal *trib_http_request_parse(char *head, size_t head_bytes,
                                                        struct trib_http_request *request);

/* The value of the first field of that name (lower case); NULL when it was not sent. */
const char *trib_http_request_field(const struct trib_http_request *request, const char *name);

/* ---- chunked bodies ---- */

/* Removes the framing of a chunked body, piece by piece. All-zero is the start. The library is
 * not used for it: it takes a bare LF in trailers, which we do not.
 * Source: RFC 9112, section 7.1. */
struct trib_http_chunks {
    uint64_t chunk_left; /* read-only: payload bytes of this chunk still to come */
    bool is_done;        /* read-only: the last chunk and the trailers have been read */
    unsigned char state; /* private */
    bool has_digits;     /* private */
    uint32_t line_bytes; /* private: of this size line, or of all trailers */
};

/* Take the framing out of bytes[count]: the payload moves to the front.
 *
 * payload   out: how many bytes of payload are at the front now.
 * consumed  out: how many of the bytes belonged to the body; less than count only when is_done,
 *           then the rest is untouched at bytes + consumed and begins the next request.
 *
 * Extensions are skipped and trailers dropped; both are bounded.
 * Returns TRIB_OK; TRIB_EMALFORMED when the framing is broken; TRIB_ELIMIT when a size line is
 * longer than 256 bytes, the trailers than 4 KiB or a chunk than 2^62. After an error the decoder
 * and the bytes are of no more use.  Cost: one pass over framing, one memmove per chunk. */
enum trib_status trib_http_chunks_decode(struct trib_http_chunks *chunks, char *bytes, size_t count,
                                         size_t *payload, size_t *consumed);

/* ---- replies ---- */

enum trib_http_framing {
    TRIB_HTTP_NO_BODY, /* no framing field at all: 204 and 304 */
    TRIB_HTTP_LENGTH,  /* Content-Length: body_bytes */
    TRIB_HTTP_CHUNKED, /* Transfer-Encoding: chunked */
};

struct trib_http_reply {
    int status; /* 200..599 */
    enum trib_http_framing framing;
    uint64_t body_bytes;                  /* with TRIB_HTTP_LENGTH */
    const char *content_type;             /* NULL: none */
    bool is_closing;                      /* say Connection: close */
    int64_t date_s;                       /* seconds since 1970, for Date; negative: none */
    const struct trib_http_field *fields; /* more fields; may be NULL when field_count is 0 */
    size_t field_count;
};

/* Write the head of a reply with its final empty line. Every one carries Tributary-Version.
 *
 * head_bytes  out: bytes written; not NUL-terminated.
 *
 * Returns TRIB_OK; TRIB_EINVALID when a field name is not a token, or a value holds a CR, LF or
 * another control character (so no text from outside can add a field or split the reply);
 * TRIB_ELIMIT when room is too small. After an error nothing in head may be sent. */
enum trib_status trib_http_reply_write(const struct trib_http_reply *reply, char *head, size_t room,
                                       size_t *head_bytes);

/* "Not Found"; "" for a status that we never send. */
const char *trib_http_reason(int status);

/* Write "1f4\r\n", what goes before count (> 0) bytes of a chunked body; "\r\n" goes after
 * them and "0\r\n\r\n" after all. Returns its length, less than TRIB_HTTP_CHUNK_HEAD_BYTES. */
size_t trib_http_chunk_head_write(char head[TRIB_HTTP_CHUNK_HEAD_BYTES], size_t count);

#endif
