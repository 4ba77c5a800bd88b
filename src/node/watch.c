/* watch.c - server-sent events: everything that happens in a run, told to whoever listens. */
#include "node/watch.h"

#include "wire/documents.h"

#define SILENCE_MAX (15 * TRIB_SECOND)

bool trib_watchers_add(struct trib_watchers *watchers, struct trib_exchange *exchange,
                       trib_time_ns now) {
    if (watchers->count == TRIB_WATCHERS_MAX) {
        return false;
    }
    struct trib_reply head = {
        .status = 200,
        .content_type = "text/event-stream",
        .fields = {{"Cache-Control", "no-store"}},
    };
    trib_exchange_stream(exchange, &head);
    watchers->exchanges[watchers->count++] = exchange;
    watchers->spoken_at = now;
    return true;
}

void trib_watchers_remove(struct trib_watchers *watchers, const struct trib_exchange *exchange) {
    for (size_t i = 0; i < watchers->count; i++) {
        if (watchers->exchanges[i] == exchange) {
            watchers->exchanges[i] = watchers->exchanges[--watchers->count];
            return;
        }
    }
}

/* Whoever has fallen too far behind is cut off; its exchange ends with gone(). */
static void send_all(struct trib_watchers *watchers, trib_time_ns now, const char *text,
                     size_t text_bytes) {
    watchers->spoken_at = now;
    for (size_t i = 0; i < watchers->count;) {
        if (trib_exchange_write(watchers->exchanges[i], text, text_bytes)) {
            i++;
            continue;
        }
        trib_exchange_abort(watchers->exchanges[i]);
        watchers->exchanges[i] = watchers->exchanges[--watchers->count];
    }
}

void trib_watchers_tell(struct trib_watchers *watchers, const struct trib_env *env,
                        trib_time_ns now, const char *event, json_t *data) {
    struct trib_text text;
    watchers->event_number++;
    trib_text_init(&text, env);
    if (watchers->count > 0) {
        trib_text_format(&text,
                         "id: %llu\nevent: %s\ndata: ", (unsigned long long)watchers->event_number,
                         event);
        trib_document_write(&text, data);
        trib_text_add(&text, "\n\n", 2);
    }
    if (watchers->count > 0 && !text.is_failed) {
        send_all(watchers, now, text.bytes, text.byte_count);
    }
    json_decref(data);
    trib_text_deinit(&text);
}

void trib_watchers_keep_awake(struct trib_watchers *watchers, trib_time_ns now) {
    if (now - watchers->spoken_at >= SILENCE_MAX) {
        send_all(watchers, now, ":\n\n", 3);
    }
}

void trib_watchers_end(struct trib_watchers *watchers) {
    while (watchers->count > 0) {
        trib_exchange_end(watchers->exchanges[--watchers->count]);
    }
}
