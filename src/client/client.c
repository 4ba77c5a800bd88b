/* client.c - include/tributary/client.h: the machine says what, http says how, this file carries
 * the one to the other and keeps what must stay between calls. */
#include "tributary/client.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/env.h"
#include "base/name.h"
#include "client/http.h"
#include "client/join_link.h"
#include "client/machine.h"
#include "client/socket.h"
#include "client/working_copy.h"

#define RETRY_FOR_S 600.0
#define RETRY_FOR_S_MAX 1e9
#define SOCKET_IDLE_MS 60000
#define REPLY_BYTES_MAX (2u << 20) /* documents are at most 1 MiB; a task holds one */
#define METRICS_BYTES 1025         /* docs/protocol.md: 1 KiB at most */
#define EXAMPLES_MAX (UINT64_C(1) << 53)
/* More than the buffers between two machines hold: a body that got so far has truly moved. */
#define PROGRESS_BYTES (16u << 20)
/* From here on an update goes in parts (docs/protocol.md), once a connection has broken: one that comes
 * whole costs the daemon less, and may be handed over. */
#define PARTS_BYTES (UINT64_C(4) << 20)
#define PARTS_ALIGNMENT 64 /* sources are read at multiples of it */

/* A version on its way. What has arrived is kept over a lost connection. */
struct download {
    unsigned char *file; /* NULL: nothing yet */
    size_t file_bytes;   /* announced */
    size_t byte_count;   /* of these, here */
};

struct trib_client {
    const struct trib_env *env;
    struct trib_sockets sockets; /* its bell interrupts also those who bring their own transport */
    bool has_bell;
    struct trib_transport plain; /* over the sockets */
    struct trib_http *http;
    struct trib_link link;
    char name[TRIB_NAME_BYTES];
    char *attributes;
    struct trib_machine machine;
    char *settings; /* of the latest task; NULL: none */
    char metrics[METRICS_BYTES];
    struct trib_working_copy copy;
    uint64_t copy_version; /* of what the copy holds, if anything */
    struct download download;
};

/* --- carrying an errand --------------------------------------------------------------------- */

static enum trib_client_result fail(struct trib_client *client, enum trib_client_result result,
                                    const char *text) {
    trib_machine_end(&client->machine, result, text);
    return result;
}

static trib_time_ns now(const struct trib_client *client) {
    return client->env->monotonic(client->env->context);
}

static enum trib_client_result result_of(enum trib_status status) {
    return status == TRIB_EMEMORY ? TRIB_CLIENT_MEMORY : TRIB_CLIENT_INVALID;
}

/* No reply, or not a whole one: try again where that may help. */
static void lose(struct trib_client *client, enum trib_status status,
                 const struct trib_error *error) {
    bool was_joined = client->machine.token[0] != '\0';
    if (status == TRIB_EMEMORY || status == TRIB_EINVALID || status == TRIB_ELIMIT ||
        status == TRIB_ECONFLICT) {
        trib_machine_end(&client->machine, result_of(status), error->text);
    } else if (status == TRIB_EFORBIDDEN && !was_joined) {
        /* A certificate or proxy that says no at the very start is nothing that passes. Later it
         * may be a mistake that somebody is about to mend: hours of work are worth some patience. */
        trib_machine_end(&client->machine, TRIB_CLIENT_REFUSED, error->text);
    } else {
        trib_machine_lose(&client->machine, error->text, now(client));
    }
}

static void drop_download(struct trib_client *client) {
    struct download *download = &client->download;
    trib_release(client->env, download->file, download->file_bytes, 1);
    *download = (struct download){0};
}

/* The version must be the one of the task, if the task said which that is. */
static bool is_expected(const struct trib_client *client, uint64_t version) {
    const struct trib_heard_task *task = &client->machine.task;
    char expected[70];
    char tag[70];
    snprintf(expected, sizeof expected, "\"%s\"", task->digest);
    return task->digest[0] == '\0' || task->version != version ||
           (trib_http_reply_field(client->http, "ETag", tag, sizeof tag) &&
            strcmp(tag, expected) == 0);
}

/* Make room for the reply whose head has come, or go on where the last one ended. */
static enum trib_status begin_download(struct trib_client *client, uint64_t version,
                                       struct trib_error *error) {
    struct download *download = &client->download;
    uint64_t announced;
    if (!is_expected(client, version)) {
        return trib_error_set(error, TRIB_ECONFLICT,
                              "version %" PRIu64 " of the daemon is not the one of the task",
                              version);
    }
    if (!trib_http_reply_bytes(client->http, &announced)) {
        return trib_error_set(error, TRIB_EINVALID, "the daemon sends a model without its length");
    }
    if (trib_http_reply_status(client->http) == 206) {
        if (download->file == NULL || announced != download->file_bytes - download->byte_count) {
            return trib_error_set(error, TRIB_EINVALID,
                                  "the daemon sends another part of the model");
        }
        return TRIB_OK;
    }
    drop_download(client);
    if (announced > 0 && announced <= PTRDIFF_MAX) {
        download->file = trib_allocate(client->env, (size_t)announced, 1);
    }
    if (download->file == NULL) {
        return trib_error_set(error, TRIB_EMEMORY, "no memory for a model of %" PRIu64 " bytes",
                              announced);
    }
    download->file_bytes = (size_t)announced;
    return TRIB_OK;
}

static enum trib_status receive_version(struct trib_client *client, uint64_t version,
                                        struct trib_error *error) {
    struct download *download = &client->download;
    enum trib_status status = begin_download(client, version, error);
    while (status == TRIB_OK && download->byte_count < download->file_bytes) {
        size_t count;
        status = trib_http_read(client->http, download->file + download->byte_count,
                                download->file_bytes - download->byte_count, &count, error);
        if (status == TRIB_OK && count == 0) {
            return trib_error_set(error, TRIB_ECLOSED, "the model ends too early");
        }
        download->byte_count += count;
        trib_machine_progress(&client->machine);
    }
    return status;
}

static void hear(struct trib_client *client, const char *body, size_t body_bytes) {
    struct trib_machine_reply reply = {
        .status = trib_http_reply_status(client->http),
        .retry_after_s = -1,
        .body = body,
        .body_bytes = body_bytes,
    };
    char seconds[8]; /* a date (RFC 9110, section 10.2.3) is longer, and the daemon sends none */
    if (trib_http_reply_field(client->http, "Retry-After", seconds, sizeof seconds) &&
        seconds[0] != '\0' && strspn(seconds, "0123456789") == strlen(seconds)) {
        reply.retry_after_s = 0;
        for (const char *digit = seconds; *digit != '\0'; digit++) {
            reply.retry_after_s = reply.retry_after_s * 10 + (*digit - '0');
        }
    }
    trib_machine_hear(&client->machine, &reply, now(client));
}

/* Settings are borrowed from a reply that is about to go; the user reads them for longer. */
static void keep_settings(struct trib_client *client) {
    const struct trib_heard_task *task = &client->machine.task;
    const char *text = task->settings == NULL ? "{}" : task->settings;
    size_t count = task->settings == NULL ? 2 : task->settings_bytes;
    char *kept = trib_allocate(client->env, count + 1, 1);
    if (kept == NULL) {
        (void)fail(client, TRIB_CLIENT_MEMORY, "no memory for the task's settings");
        return; /* the machine has it */
    }
    memcpy(kept, text, count);
    trib_text_release(client->env, client->settings);
    client->settings = kept;
    client->machine.task.settings = NULL;
}

static void hear_document(struct trib_client *client) {
    struct trib_error error = {0};
    char *body;
    size_t body_bytes;
    enum trib_status status =
        trib_http_read_all(client->http, REPLY_BYTES_MAX, &body, &body_bytes, &error);
    if (status != TRIB_OK) {
        lose(client, status, &error);
        return;
    }
    bool is_task = client->machine.request.kind == TRIB_ERRAND_ASK;
    hear(client, body, body_bytes);
    if (is_task && trib_machine_is_done(&client->machine)) {
        keep_settings(client);
    }
    trib_release(client->env, body, body_bytes + 1, 1);
}

/* --- updates ---------------------------------------------------------------------------------- */

/* The update as it is sent, with a note to the machine when much of it has gone. */
struct parcel {
    struct trib_client *client;
    struct trib_source update;
    bool is_in_parts;  /* the daemon keeps what has come when the connection breaks */
    bool is_uncertain; /* how much it has kept is not known */
    uint64_t first;    /* the first byte that it does not have */
    unsigned odds;     /* how often it has had others than we thought, without progress */
};

static enum trib_status read_parcel(void *context, uint64_t offset, void *bytes, size_t count) {
    const struct parcel *parcel = context;
    if (offset >= PROGRESS_BYTES) {
        trib_machine_progress(&parcel->client->machine);
    }
    return parcel->update.read(parcel->update.context, parcel->first + offset, bytes, count);
}

/* What is still to be sent of it; borrows the parcel. */
static struct trib_source rest_of(struct parcel *parcel) {
    return (struct trib_source){
        .context = parcel,
        .byte_count = parcel->update.byte_count - parcel->first,
        .read = read_parcel,
    };
}

static void begin_parcel(struct parcel *parcel) {
    parcel->is_in_parts = parcel->is_uncertain = false;
    parcel->first = 0;
    parcel->odds = 0;
}

/* It did not get through. Small ones are sent again as they are. */
static void doubt_parcel(struct parcel *parcel) {
    if (parcel->is_in_parts) {
        parcel->is_uncertain = true;
    } else {
        parcel->is_in_parts = parcel->update.byte_count >= PARTS_BYTES;
    }
}

/* The answer to GET of the update. Known as a whole: only a whole one can be compared with it. What
 * lies askew cannot be made from whole numbers, and was sent by somebody else. */
static void hear_what_is_held(struct parcel *parcel, int status, const char *body,
                              size_t body_bytes) {
    double next = 0;
    bool is_receiving = status == 200 && trib_heard_number(body, body_bytes, "next", &next) &&
                        next >= 0 && next < (double)parcel->update.byte_count;
    uint64_t first = is_receiving ? (uint64_t)next : 0;
    if (first > parcel->first) {
        trib_machine_progress(&parcel->client->machine);
        parcel->odds = 0;
    }
    parcel->is_uncertain = false;
    parcel->is_in_parts = first % PARTS_ALIGNMENT == 0 && (is_receiving || status == 404);
    parcel->first = parcel->is_in_parts ? first : 0;
}

static void ask_what_is_held(struct trib_client *client, struct parcel *parcel) {
    const struct trib_machine_request *request = &client->machine.request;
    const struct trib_http_call call = {.method = "GET", .target = request->target};
    struct trib_error error = {0};
    char *body = NULL;
    size_t body_bytes = 0;
    enum trib_status status = trib_http_set_token(client->http, request->token, &error);
    if (status == TRIB_OK) {
        status = trib_http_call(client->http, &call, &error);
    }
    if (status == TRIB_OK) {
        status = trib_http_read_all(client->http, REPLY_BYTES_MAX, &body, &body_bytes, &error);
    }
    if (status != TRIB_OK) {
        lose(client, status, &error);
        return;
    }
    int code = trib_http_reply_status(client->http);
    if (code < 300 || code == 404) {
        hear_what_is_held(parcel, code, body, body_bytes);
    } else {
        hear(client, body, body_bytes);
    }
    trib_release(client->env, body, body_bytes + 1, 1);
}

/* --- requests --------------------------------------------------------------------------------- */

/* The request's own fields with one that depends on how far a transfer has come. */
#define FIELDS_BYTES (sizeof((struct trib_machine_request *)NULL)->fields + 96)

static void write_fields(const struct trib_client *client, const struct parcel *parcel,
                         char fields[FIELDS_BYTES]) {
    const struct trib_machine_request *request = &client->machine.request;
    char further[96] = "";
    if (request->kind == TRIB_ERRAND_FETCH && client->download.byte_count > 0) {
        snprintf(further, sizeof further, "Range: bytes=%zu-\r\n", client->download.byte_count);
    } else if (request->kind == TRIB_ERRAND_SUBMIT && parcel->is_in_parts) {
        uint64_t total = parcel->update.byte_count;
        snprintf(further, sizeof further,
                 "Content-Range: bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64 "\r\n", parcel->first,
                 total - 1, total);
    }
    snprintf(fields, FIELDS_BYTES, "%s%s", request->fields, further);
}

static enum trib_status send_request(struct trib_client *client, struct parcel *parcel,
                                     struct trib_error *error) {
    const struct trib_machine_request *request = &client->machine.request;
    const bool is_submit = request->kind == TRIB_ERRAND_SUBMIT;
    const struct trib_source update = is_submit ? rest_of(parcel) : (struct trib_source){0};
    char fields[FIELDS_BYTES];
    write_fields(client, parcel, fields);
    const struct trib_source text = trib_source_of_memory(request->body, request->body_bytes);
    struct trib_http_call call = {
        .method = request->method,
        .target = request->target,
        .fields = fields,
        .content_type = request->content_type,
        .body = is_submit                       ? &update
                : request->content_type != NULL ? &text
                                                : NULL,
        .may_hand_over = is_submit && !parcel->is_in_parts,
    };
    enum trib_status status =
        trib_http_set_token(client->http, request->token[0] == '\0' ? NULL : request->token, error);
    return status == TRIB_OK ? trib_http_call(client->http, &call, error) : status;
}

/* The daemon has other bytes of it than we think: those of a connection that broke, and was silently
 * replaced by the one that this answer came on. */
static bool is_at_odds(const struct parcel *parcel, int status, const char *body,
                       size_t body_bytes) {
    struct trib_heard_error said;
    trib_heard_error(body, body_bytes, &said);
    return parcel->is_in_parts &&
           (status == 202 || (status == 409 && strcmp(said.code, "conflict") == 0));
}

static void hear_of_parcel(struct trib_client *client, struct parcel *parcel) {
    struct trib_error error = {0};
    char *body;
    size_t body_bytes;
    enum trib_status status =
        trib_http_read_all(client->http, REPLY_BYTES_MAX, &body, &body_bytes, &error);
    if (status != TRIB_OK) {
        doubt_parcel(parcel);
        lose(client, status, &error);
        return;
    }
    const int code = trib_http_reply_status(client->http);
    if (is_at_odds(parcel, code, body, body_bytes)) {
        parcel->is_uncertain = true;
        if (++parcel->odds > 1) { /* the whole gets a final answer */
            parcel->is_in_parts = parcel->is_uncertain = false;
            parcel->first = 0;
        }
        trib_machine_lose(&client->machine, "the daemon has other parts of the update",
                          now(client));
    } else {
        if (code != 200) {
            doubt_parcel(parcel);
        }
        hear(client, body, body_bytes);
    }
    trib_release(client->env, body, body_bytes + 1, 1);
}

static void submit(struct trib_client *client, struct parcel *parcel) {
    struct trib_error error = {0};
    if (parcel->is_uncertain) {
        ask_what_is_held(client, parcel);
        return;
    }
    enum trib_status status = send_request(client, parcel, &error);
    if (status == TRIB_OK) {
        hear_of_parcel(client, parcel);
    } else {
        doubt_parcel(parcel);
        lose(client, status, &error);
    }
}

static void exchange(struct trib_client *client, const struct trib_errand *errand,
                     struct parcel *parcel) {
    struct trib_error error = {0};
    if (client->machine.request.kind == TRIB_ERRAND_SUBMIT) {
        submit(client, parcel);
        return;
    }
    bool is_fetch = client->machine.request.kind == TRIB_ERRAND_FETCH;
    enum trib_status status = send_request(client, parcel, &error);
    if (status == TRIB_OK && (!is_fetch || trib_http_reply_status(client->http) >= 300)) {
        hear_document(client);
        return;
    }
    if (status == TRIB_OK) {
        status = receive_version(client, errand->version, &error);
    }
    if (status == TRIB_OK) {
        hear(client, "", 0);
    } else {
        lose(client, status, &error);
    }
}

static void pause_until(struct trib_client *client, trib_time_ns until) {
    trib_time_ns left = until - now(client);
    /* Cut short by the bell, which is looked at next. */
    (void)trib_sockets_pause(&client->sockets, left / TRIB_MILLISECOND + 1);
}

/* Carry one errand to its end. parcel: the update of SUBMIT; NULL for others. */
static enum trib_client_result carry(struct trib_client *client, const struct trib_errand *errand,
                                     struct parcel *parcel) {
    struct trib_machine *machine = &client->machine;
    if (parcel != NULL) {
        begin_parcel(parcel);
    }
    trib_machine_begin(machine, errand);
    for (;;) {
        enum trib_machine_turn turn = trib_machine_next(machine);
        bool may_ring = turn != TRIB_MACHINE_OVER || machine->result == TRIB_CLIENT_UNREACHABLE;
        if (may_ring && trib_sockets_is_ringing(&client->sockets)) {
            trib_sockets_silence(&client->sockets);
            return fail(client, TRIB_CLIENT_INTERRUPTED, "interrupted");
        }
        if (turn == TRIB_MACHINE_OVER) {
            return machine->result;
        }
        if (turn == TRIB_MACHINE_PAUSE) {
            pause_until(client, machine->pause_until);
        } else {
            exchange(client, errand, parcel);
        }
    }
}

/* --- opening -------------------------------------------------------------------------------- */

enum trib_client_result trib_client_pin(const char *link, char pin[65]) {
    struct trib_link parsed;
    if (link == NULL || trib_join_link_parse(link, &parsed, NULL) != TRIB_OK) {
        return TRIB_CLIENT_INVALID;
    }
    memcpy(pin, parsed.pin, sizeof parsed.pin);
    return TRIB_CLIENT_OK;
}

static enum trib_status open_http(struct trib_client *client,
                                  const struct trib_client_options *options,
                                  struct trib_error *error) {
    if (trib_link_is_tls(&client->link) && options->transport == NULL) {
        return trib_error_set(error, TRIB_EINVALID,
                              "the link asks for TLS: options.transport has to bring it");
    }
    client->has_bell = trib_sockets_init(&client->sockets, SOCKET_IDLE_MS);
    if (!client->has_bell) {
        return trib_error_set(error, TRIB_EMEMORY, "no file descriptors are left");
    }
    client->plain = trib_sockets_transport(&client->sockets);
    char port[8] = "";
    if (client->link.port != 0) {
        snprintf(port, sizeof port, "%u", (unsigned)client->link.port);
    }
    bool is_ours = options->transport == NULL;
    enum trib_status status =
        is_ours ? trib_proxy_find(client->link.host, port, false, &client->sockets.proxy, error)
                : TRIB_OK;
    if (status != TRIB_OK) {
        return status;
    }
    const struct trib_http_options http = {
        .env = client->env,
        .transport = is_ours ? &client->plain : options->transport,
        .host = client->link.host,
        .port = port,
    };
    return trib_http_open(&http, &client->http, error);
}

static enum trib_status open_machine(struct trib_client *client,
                                     const struct trib_client_options *options,
                                     struct trib_error *error) {
    double retry_for_s = options->retry_for_s;
    const char *role = options->role == NULL ? "trainer" : options->role;
    bool is_evaluator = strcmp(role, "evaluator") == 0;
    if (!is_evaluator && strcmp(role, "trainer") != 0) {
        return trib_error_set(error, TRIB_EINVALID, "the role is trainer or evaluator");
    }
    if (!(retry_for_s >= 0 && retry_for_s <= RETRY_FOR_S_MAX)) {
        return trib_error_set(error, TRIB_EINVALID, "retry_for_s must be from 0 to 1e9");
    }
    if (options->attributes != NULL) {
        if (!trib_heard_is_object(options->attributes, strlen(options->attributes))) {
            return trib_error_set(error, TRIB_EINVALID, "the attributes are no JSON object");
        }
        client->attributes = trib_text_copy(client->env, options->attributes);
        if (client->attributes == NULL) {
            return trib_error_set(error, TRIB_EMEMORY, "no memory for the attributes");
        }
    }
    const struct trib_machine_settings settings = {
        .prefix = client->link.prefix,
        .run = client->link.run,
        .client = client->name,
        .role = is_evaluator ? "evaluator" : "trainer",
        .attributes = client->attributes,
        .token = client->link.token,
        .retry_for = (trib_time_ns)((retry_for_s == 0 ? RETRY_FOR_S : retry_for_s) * 1e9),
    };
    return trib_machine_init(&client->machine, &settings)
               ? TRIB_OK
               : trib_error_set(error, TRIB_EINVALID, "the attributes are too long");
}

static enum trib_status set_up(struct trib_client *client,
                               const struct trib_client_options *options,
                               struct trib_error *error) {
    if (options->link == NULL || options->client == NULL ||
        !trib_name_is_valid(options->client, strlen(options->client))) {
        return trib_error_set(error, TRIB_EINVALID,
                              "a link is needed, and a client id of 1 to 64 of [A-Za-z0-9._-]");
    }
    strcpy(client->name, options->client); /* valid names fit */
    enum trib_status status = trib_join_link_parse(options->link, &client->link, error);
    status = status == TRIB_OK ? open_machine(client, options, error) : status;
    return status == TRIB_OK ? open_http(client, options, error) : status;
}

/* A client that is ready to join, or NULL, *result and text. */
static struct trib_client *make(const struct trib_client_options *options,
                                enum trib_client_result *result, char *text, size_t text_room) {
    const struct trib_env *env = trib_env_system();
    struct trib_error error = {0};
    struct trib_client *client = trib_allocate(env, 1, sizeof *client);
    enum trib_status status = TRIB_EMEMORY;
    if (client != NULL) {
        client->env = env;
        trib_working_copy_init(&client->copy, env);
        status = set_up(client, options, &error);
    }
    if (status == TRIB_OK) {
        return client;
    }
    *result = result_of(status);
    snprintf(text, text_room, "%s", client == NULL ? "no memory for a client" : error.text);
    trib_client_close(client);
    return NULL;
}

enum trib_client_result trib_client_open(const struct trib_client_options *options,
                                         struct trib_client **client, char *text,
                                         size_t text_room) {
    /* Options may come from a program built with an older header or a newer one. */
    struct trib_client_options known = {0};
    enum trib_client_result result = TRIB_CLIENT_INVALID;
    char unwanted[1];
    text = text == NULL ? unwanted : text;
    text_room = text == unwanted ? sizeof unwanted : text_room;
    *client = NULL;
    if (options == NULL || options->size == 0) {
        snprintf(text, text_room, "options.size is not set");
        return TRIB_CLIENT_INVALID;
    }
    memcpy(&known, options, options->size < sizeof known ? options->size : sizeof known);
    struct trib_client *fresh = make(&known, &result, text, text_room);
    if (fresh == NULL) {
        return result;
    }
    result = known.joins_later ? TRIB_CLIENT_OK : trib_client_join(fresh);
    if (result != TRIB_CLIENT_OK) {
        snprintf(text, text_room, "%s", fresh->machine.text);
        trib_client_close(fresh);
        return result;
    }
    *client = fresh;
    return TRIB_CLIENT_OK;
}

enum trib_client_result trib_client_join(struct trib_client *client) {
    const struct trib_errand join = {.kind = TRIB_ERRAND_JOIN};
    return carry(client, &join, NULL);
}

void trib_client_close(struct trib_client *client) {
    if (client == NULL) {
        return;
    }
    trib_http_close(client->http);
    if (client->has_bell) {
        trib_sockets_deinit(&client->sockets);
    }
    drop_download(client);
    trib_working_copy_deinit(&client->copy);
    trib_text_release(client->env, client->settings);
    trib_text_release(client->env, client->attributes);
    trib_release(client->env, client, 1, sizeof *client);
}

const char *trib_client_error(const struct trib_client *client) {
    return client->machine.text;
}

void trib_client_interrupt(struct trib_client *client) {
    trib_sockets_ring(&client->sockets);
}

/* --- tasks ---------------------------------------------------------------------------------- */

enum trib_client_result trib_client_next(struct trib_client *client,
                                         struct trib_client_task *task) {
    const struct trib_errand ask = {.kind = TRIB_ERRAND_ASK};
    enum trib_client_result result = carry(client, &ask, NULL);
    if (result != TRIB_CLIENT_OK) {
        return result;
    }
    const struct trib_heard_task *heard = &client->machine.task;
    *task = (struct trib_client_task){
        .kind = heard->kind == TRIB_HEARD_TRAIN ? TRIB_CLIENT_TRAIN : TRIB_CLIENT_EVALUATE,
        .version = heard->version,
        .global_step = heard->global_step,
        .expected_by_s = heard->expected_by_s,
        .settings = client->settings,
    };
    strcpy(task->id, heard->id); /* both have room for 31 characters */
    return TRIB_CLIENT_OK;
}

double trib_client_setting(const struct trib_client_task *task, const char *name, double fallback) {
    double number;
    return task->settings != NULL &&
                   trib_heard_number(task->settings, strlen(task->settings), name, &number)
               ? number
               : fallback;
}

/* --- the model ------------------------------------------------------------------------------ */

static enum trib_client_result fetch(struct trib_client *client, uint64_t version) {
    struct trib_error error = {0};
    const struct trib_errand errand = {.kind = TRIB_ERRAND_FETCH, .version = version};
    trib_working_copy_deinit(&client->copy); /* two models in memory, not three */
    enum trib_client_result result = carry(client, &errand, NULL);
    if (result != TRIB_CLIENT_OK) {
        drop_download(client);
        return result;
    }
    struct download file = client->download;
    client->download = (struct download){0};
    enum trib_status status =
        trib_working_copy_hold(&client->copy, file.file, file.file_bytes, &error);
    if (status != TRIB_OK) {
        return fail(client, result_of(status), error.text);
    }
    client->copy_version = version;
    return TRIB_CLIENT_OK;
}

static bool holds(const struct trib_client *client, const struct trib_client_task *task) {
    return client->copy.file != NULL && client->copy_version == task->version;
}

enum trib_client_result trib_client_model(struct trib_client *client,
                                          const struct trib_client_task *task,
                                          const struct trib_client_tensor **tensors,
                                          size_t *tensor_count) {
    enum trib_client_result result = TRIB_CLIENT_OK;
    if (!holds(client, task)) {
        result = fetch(client, task->version);
    } else if (trib_working_copy_reset(&client->copy) != TRIB_OK) {
        result = fail(client, TRIB_CLIENT_MEMORY, "no memory for a copy of the model");
    }
    *tensors = result == TRIB_CLIENT_OK ? client->copy.tensors : NULL;
    *tensor_count = result == TRIB_CLIENT_OK ? client->copy.tensor_count : 0;
    return result;
}

/* What is kept is a block; the header shows no more of it than a name. */
struct trib_client_kept *trib_client_keep(struct trib_client *client) {
    return client->copy.file == NULL
               ? NULL
               : (struct trib_client_kept *)trib_working_copy_keep(&client->copy);
}

void trib_client_release(struct trib_client_kept *kept) {
    trib_block_unref((struct trib_block *)kept);
}

/* A JSON object as one line of at most 1 KiB: it becomes a header. NULL when it is not. */
static const char *one_line(struct trib_client *client, const char *metrics) {
    size_t count = strlen(metrics);
    if (count >= sizeof client->metrics || !trib_heard_is_object(metrics, count)) {
        return NULL;
    }
    for (size_t i = 0; i <= count; i++) {
        /* Inside of strings JSON has no control characters, so these are blanks. */
        client->metrics[i] =
            metrics[i] != '\0' && metrics[i] < ' ' && metrics[i] > 0 ? ' ' : metrics[i];
    }
    return client->metrics;
}

static bool is_answerable(const struct trib_client_task *task, enum trib_client_task_kind kind) {
    return task->kind == kind && memchr(task->id, '\0', sizeof task->id) != NULL &&
           trib_name_is_valid(task->id, strlen(task->id));
}

/* SUBMIT and EVALUATE have the same arguments. False: they make no sense, and the error says so. */
static bool fill_answer(struct trib_client *client, const struct trib_client_task *task,
                        uint64_t examples, const char *metrics, struct trib_errand *errand) {
    errand->task = task->id;
    errand->version = task->version;
    errand->examples = examples;
    if (examples == 0 || examples > EXAMPLES_MAX) {
        (void)fail(client, TRIB_CLIENT_INVALID, "examples must be from 1 to 2^53");
        return false; /* the caller knows which result that is */
    }
    if (metrics != NULL) {
        errand->metrics = one_line(client, metrics);
        if (errand->metrics == NULL) {
            (void)fail(client, TRIB_CLIENT_INVALID, "metrics are no JSON object of at most 1 KiB");
            return false; /* likewise */
        }
    }
    return true;
}

enum trib_client_result trib_client_submit(struct trib_client *client,
                                           const struct trib_client_task *task, uint64_t examples,
                                           const char *metrics) {
    return trib_client_submit_values(client, task, NULL, examples, metrics);
}

enum trib_client_result trib_client_submit_values(struct trib_client *client,
                                                  const struct trib_client_task *task,
                                                  const float *const *values, uint64_t examples,
                                                  const char *metrics) {
    struct trib_errand errand = {.kind = TRIB_ERRAND_SUBMIT};
    struct trib_error error = {0};
    struct parcel parcel = {.client = client};
    if (!is_answerable(task, TRIB_CLIENT_TRAIN) || !holds(client, task)) {
        return fail(client, TRIB_CLIENT_INVALID,
                    "only a train task whose model was fetched last can be submitted");
    }
    if (!fill_answer(client, task, examples, metrics, &errand)) {
        return TRIB_CLIENT_INVALID;
    }
    const char *settings = task->settings == NULL ? "{}" : task->settings;
    enum trib_status status =
        trib_working_copy_update(&client->copy, settings, values, &parcel.update, &error);
    if (status != TRIB_OK) {
        return fail(client, result_of(status), error.text);
    }
    return carry(client, &errand, &parcel);
}

enum trib_client_result trib_client_pack(struct trib_client *client,
                                         const struct trib_client_task *task, void *bytes,
                                         size_t room, size_t *byte_count) {
    struct trib_error error = {0};
    struct trib_source update;
    if (!is_answerable(task, TRIB_CLIENT_TRAIN) || !holds(client, task)) {
        return fail(client, TRIB_CLIENT_INVALID,
                    "only a train task whose model was fetched last can be packed");
    }
    const char *settings = task->settings == NULL ? "{}" : task->settings;
    enum trib_status status =
        trib_working_copy_update(&client->copy, settings, NULL, &update, &error);
    if (status == TRIB_OK) {
        *byte_count = (size_t)update.byte_count;
    }
    if (status == TRIB_OK && bytes != NULL && *byte_count <= room) {
        status = update.read(update.context, 0, bytes, *byte_count);
    }
    return status == TRIB_OK ? TRIB_CLIENT_OK : fail(client, result_of(status), error.text);
}

enum trib_client_result trib_client_submit_packed(struct trib_client *client,
                                                  const struct trib_client_task *task,
                                                  uint64_t examples, const char *metrics,
                                                  const void *bytes, size_t byte_count,
                                                  enum trib_client_fate *fate) {
    struct trib_errand errand = {.kind = TRIB_ERRAND_SUBMIT};
    *fate = TRIB_CLIENT_OPEN;
    if (!is_answerable(task, TRIB_CLIENT_TRAIN)) {
        return fail(client, TRIB_CLIENT_INVALID, "a train task is needed");
    }
    if (!fill_answer(client, task, examples, metrics, &errand)) {
        return TRIB_CLIENT_INVALID;
    }
    struct parcel parcel = {.client = client, .update = trib_source_of_memory(bytes, byte_count)};
    enum trib_client_result result = carry(client, &errand, &parcel);
    *fate = client->machine.fate;
    return result;
}

enum trib_client_result trib_client_report(struct trib_client *client,
                                           const struct trib_client_task *task, uint64_t examples,
                                           const char *metrics) {
    struct trib_errand errand = {.kind = TRIB_ERRAND_EVALUATE};
    if (!is_answerable(task, TRIB_CLIENT_EVALUATE) || metrics == NULL) {
        return fail(client, TRIB_CLIENT_INVALID, "an evaluate task and its metrics are needed");
    }
    if (!fill_answer(client, task, examples, metrics, &errand)) {
        return TRIB_CLIENT_INVALID;
    }
    return carry(client, &errand, NULL);
}

enum trib_client_result trib_client_decline(struct trib_client *client,
                                            const struct trib_client_task *task,
                                            const char *reason) {
    if (!is_answerable(task, task->kind)) {
        return fail(client, TRIB_CLIENT_INVALID, "the task has no id");
    }
    const struct trib_errand errand = {
        .kind = TRIB_ERRAND_DECLINE, .task = task->id, .reason = reason};
    return carry(client, &errand, NULL);
}

enum trib_client_result trib_client_renew(struct trib_client *client,
                                          const struct trib_client_task *task, double done) {
    if (!is_answerable(task, task->kind) || !(done <= 1)) {
        return fail(client, TRIB_CLIENT_INVALID, "a task is needed, and at most all of it is done");
    }
    const struct trib_errand errand = {.kind = TRIB_ERRAND_RENEW, .task = task->id, .done = done};
    return carry(client, &errand, NULL);
}

double trib_client_lease_s(const struct trib_client *client) {
    return client->machine.lease_s;
}
