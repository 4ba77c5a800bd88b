/* events.c - a pure reader of server-sent events. */
#include "cli/events.h"

#include <stdio.h>
#include <string.h>

void trib_event_stream_init(struct trib_event_stream *stream, const struct trib_env *env) {
    *stream = (struct trib_event_stream){0};
    trib_text_init(&stream->data, env);
    trib_text_init(&stream->line, env);
}

void trib_event_stream_deinit(struct trib_event_stream *stream) {
    trib_text_deinit(&stream->data);
    trib_text_deinit(&stream->line);
}

/* Empty, keeping the memory: events come by the thousand. */
static void clear(struct trib_text *text) {
    text->byte_count = 0;
}

/* The value behind "field:", without the one blank that may follow; NULL: another field. */
static const char *value_of(const char *line, const char *field) {
    size_t bytes = strlen(field);
    if (strncmp(line, field, bytes) != 0) {
        return NULL;
    }
    return line[bytes] == ' ' ? line + bytes + 1 : line + bytes;
}

/* True when the line ended an event. */
static bool take_line(struct trib_event_stream *stream) {
    if (stream->line.byte_count > 0 && stream->line.bytes[stream->line.byte_count - 1] == '\r') {
        stream->line.byte_count--;
    }
    trib_text_add(&stream->line, "", 1); /* so that an empty line is a text too */
    if (stream->line.is_failed) {
        return false;
    }
    const char *line = stream->line.bytes;
    const char *name = value_of(line, "event:");
    const char *data = value_of(line, "data:");
    if (name != NULL) {
        (void)snprintf(stream->name, sizeof stream->name, "%s", name);
    } else if (data != NULL) {
        trib_text_add(&stream->data, data, strlen(data));
        stream->has_data = true;
    }
    bool is_end = line[0] == '\0' && stream->has_data;
    if (line[0] == '\0' && !is_end) {
        stream->name[0] = '\0'; /* an event without data is none */
    }
    clear(&stream->line);
    return is_end && !stream->data.is_failed;
}

bool trib_event_stream_feed(struct trib_event_stream *stream, const char *bytes, size_t count,
                            size_t *used) {
    *used = 0;
    if (stream->is_over) { /* the event of the call before has been looked at */
        stream->name[0] = '\0';
        clear(&stream->data);
        stream->has_data = stream->is_over = false;
    }
    while (*used < count && !trib_event_stream_is_failed(stream)) {
        const char *start = bytes + *used;
        const char *end = memchr(start, '\n', count - *used);
        size_t line_bytes = end == NULL ? count - *used : (size_t)(end - start);
        *used += line_bytes + (end == NULL ? 0 : 1);
        trib_text_add(&stream->line, start, line_bytes);
        if (end != NULL && take_line(stream)) {
            stream->is_over = true;
            return true;
        }
    }
    return false;
}

bool trib_event_stream_is_failed(const struct trib_event_stream *stream) {
    return stream->line.is_failed || stream->data.is_failed ||
           stream->line.byte_count > TRIB_EVENT_LINE_BYTES_MAX ||
           stream->data.byte_count > TRIB_EVENT_LINE_BYTES_MAX;
}
