/* events.h - a pure reader of server-sent events: bytes in, (event, data) out.
 *
 * Knows what the daemon sends: `event:` and `data:` of one line each, `id:` and comments are passed
 * over, an empty line ends an event. Source: WHATWG HTML, section 9.2 (event stream). */
#ifndef TRIB_CLI_EVENTS_H
#define TRIB_CLI_EVENTS_H

#include "base/text.h"

#define TRIB_EVENT_NAME_BYTES 32
#define TRIB_EVENT_LINE_BYTES_MAX ((size_t)1 << 20) /* what the daemon lets a reader fall behind */

struct trib_event_stream {
    /* read-only, after feed has returned true */
    char name[TRIB_EVENT_NAME_BYTES];
    struct trib_text data; /* NUL-terminated */

    /* private */
    struct trib_text line;
    bool has_data, is_over;
};

void trib_event_stream_init(struct trib_event_stream *stream, const struct trib_env *env);
void trib_event_stream_deinit(struct trib_event_stream *stream); /* all-zero is safe */

/* Take bytes[count] up to the end of the next event; *used says how many. True: name and data are
 * an event, valid until the next call; call again with the rest. False: all were taken, or
 * is_failed. */
bool trib_event_stream_feed(struct trib_event_stream *stream, const char *bytes, size_t count,
                            size_t *used);
/* Memory ran out, or a line was too long: nothing more can be read from this stream. */
bool trib_event_stream_is_failed(const struct trib_event_stream *stream);

#endif
