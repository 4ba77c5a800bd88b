/* world_server.c - net/server.h without sockets: exchanges between the clients of a world and the
 * daemon's handlers, over a network that delays, cuts and loses.
 *
 * The head goes through the real parser. The body comes in pieces of any size; a reply is looked
 * at by the judge at the moment it is given, because from then on it may be known outside. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/server.h"
#include "node/daemon.h"
#include "sim/faults/judge.h"
#include "sim/faults/machine.h"
#include "sim/faults/network.h"
#include "sim/faults/world.h"

#define PLANS_MAX 8

struct trib_server {
    const struct trib_env *env;
    struct trib_server_config config;
    const struct trib_server_handlers *handlers;
    void *context;
    bool is_listening, is_stopping;
    void (*stopped)(void *context);
    void *stopped_context;
};

struct trib_exchange {
    struct trib_exchange *next;
    struct network_request request;
    network_answered *answered;
    void *answered_context;
    struct trib_server *server; /* NULL: it has not arrived */
    void *handler_context;
    char peer[32];
    /* the body */
    bool is_receiving, is_paused, is_complete;
    uint64_t bytes_max;
    size_t arrived;
    size_t cut_at; /* the connection is lost when so much has arrived; SIZE_MAX: not there */
    /* the reply */
    bool is_replied, is_stream, is_stream_ended, is_ended;
    size_t stream_bytes;
    struct trib_reply reply;
    char etag[80];
    uint64_t version;
    bool has_version;
    unsigned char *body; /* of the reply */
    bool is_reply_lost;
    uint64_t next_push;
    uint64_t plans[PLANS_MAX]; /* happenings that are of no use once it has ended */
    size_t plan_count;
};

static struct trib_server *server;
static struct trib_exchange *exchanges;

static uint64_t plan(struct trib_exchange *exchange, trib_time_ns delay, world_act *act) {
    uint64_t number = world_schedule(delay, WORLD_MACHINE, act, exchange);
    exchange->plans[exchange->plan_count % PLANS_MAX] = number;
    exchange->plan_count++;
    return number;
}

/* --- the end of an exchange ------------------------------------------------------------------------- */

static void forget(struct trib_exchange *exchange) {
    struct trib_exchange **link = &exchanges;
    while (*link != exchange) {
        link = &(*link)->next;
    }
    *link = exchange->next;
    free(exchange->body);
    free(exchange);
}

static struct {
    const char *client;
    trib_time_ns until;
} partition;

static bool is_cut_off(const struct network_request *request) {
    return world.now < partition.until && request->client == partition.client && !world.is_calm;
}

void network_cut_off(const char *client, trib_time_ns duration) {
    partition.client = client;
    partition.until = world.now + duration;
    world_trace("        %s is cut off", client);
}

/* The client hears how it ended. */
static void tell_client(void *context) {
    struct trib_exchange *exchange = context;
    struct network_answer answer = {0};
    if (exchange->is_replied && !exchange->is_reply_lost && !is_cut_off(&exchange->request)) {
        answer.status = exchange->reply.status;
        answer.body = exchange->body;
        answer.body_bytes = (size_t)exchange->reply.body_bytes;
        answer.version = exchange->version;
        answer.has_version = exchange->has_version;
        memcpy(answer.etag, exchange->etag, sizeof answer.etag);
    }
    network_answered *answered = exchange->answered;
    void *answered_context = exchange->answered_context;
    world_trace("%s <- %d", exchange->peer, answer.status);
    answered(answered_context, &answer);
    forget(exchange);
}

static trib_time_ns hop(void) {
    bool is_slow = world_fault(TALLY_DELAYED, 0.05);
    return world_delay(0, is_slow ? 20 * TRIB_SECOND : 50 * TRIB_MILLISECOND);
}

static void end_server(void *context) {
    struct trib_server *ending = context;
    if (ending == server) {
        ending->stopped(ending->stopped_context);
    }
}

static void look_for_end(void) {
    if (server == NULL || !server->is_stopping) {
        return;
    }
    for (const struct trib_exchange *e = exchanges; e != NULL; e = e->next) {
        if (e->server != NULL && !e->is_ended) {
            return;
        }
    }
    (void)world_schedule(0, WORLD_MACHINE, end_server, server);
}

static void end(struct trib_exchange *exchange) {
    exchange->is_ended = true;
    trib_block_unref(exchange->reply.block);
    exchange->reply.block = NULL;
    for (size_t i = 0; i < PLANS_MAX; i++) {
        world_cancel(exchange->plans[i]);
    }
    world_cancel(exchange->next_push);
    (void)world_schedule(hop(), WORLD_OUTSIDE, tell_client, exchange);
    look_for_end();
}

/* The connection is gone; the daemon notices. */
static void lose(struct trib_exchange *exchange, enum trib_status why) {
    world_trace("%s the connection is lost: %s", exchange->peer, trib_status_text(why));
    exchange->is_reply_lost = true;
    struct trib_server *at = exchange->server;
    exchange->is_ended = true;
    at->handlers->gone(at->context, exchange, why);
    end(exchange);
}

static void abort_later(void *context) {
    struct trib_exchange *exchange = context;
    if (!exchange->is_ended) {
        lose(exchange, TRIB_ECLOSED);
    }
}

/* --- the body comes ----------------------------------------------------------------------------------- */

static void push(void *context);

static void push_later(struct trib_exchange *exchange) {
    if (exchange->next_push == 0) {
        exchange->next_push = world_schedule(hop(), WORLD_MACHINE, push, exchange);
    }
}

/* The server itself refuses a body that is too long. */
static void refuse_length(struct trib_exchange *exchange) {
    exchange->is_replied = true;
    exchange->reply = (struct trib_reply){.status = 413};
    exchange->is_ended = true;
    exchange->server->handlers->gone(exchange->server->context, exchange, TRIB_ELIMIT);
    end(exchange);
}

static void complete(struct trib_exchange *exchange) {
    exchange->is_complete = true;
    exchange->server->handlers->complete(exchange->server->context, exchange);
}

static size_t piece_of(size_t left, size_t room) {
    size_t most = left < room ? left : room;
    return world_chance(0.5) ? most : 1 + (size_t)world_below(most);
}

static void push(void *context) {
    struct trib_exchange *exchange = context;
    exchange->next_push = 0;
    if (exchange->is_ended || exchange->is_replied || exchange->is_complete) {
        return;
    }
    const struct trib_server_handlers *handlers = exchange->server->handlers;
    void *handler = exchange->server->context;
    size_t left = exchange->request.body_bytes - exchange->arrived;
    if (exchange->arrived >= exchange->cut_at) {
        lose(exchange, world_chance(0.5) ? TRIB_ECLOSED : TRIB_ETIMEOUT);
        return;
    }
    if (left == 0 && !(exchange->request.is_chunked && world_chance(0.2))) {
        complete(exchange);
        return;
    }
    if (exchange->arrived + (left > 0) > exchange->bytes_max) {
        refuse_length(exchange);
        return;
    }
    size_t room = 0;
    unsigned char *memory = handlers->lend(handler, exchange, &room);
    if (exchange->is_ended || exchange->is_replied) {
        return;
    }
    if (memory == NULL) {
        exchange->is_paused = true; /* until trib_exchange_resume() */
        return;
    }
    TRIB_ASSERT(room > 0);
    if (left == 0 || world_chance(0.05)) {
        push_later(exchange); /* the framing passed through, or the socket had nothing after all */
        return;
    }
    size_t count = piece_of(left, room);
    size_t until_cut = exchange->cut_at - exchange->arrived;
    count = count > until_cut ? until_cut : count;
    memcpy(memory, (const unsigned char *)exchange->request.body + exchange->arrived, count);
    if (count < room && world_chance(0.2)) {
        memory[count] = 0xee; /* bytes behind the filled part may be overwritten */
    }
    exchange->arrived += count;
    handlers->filled(handler, exchange, count);
    push_later(exchange);
}

void trib_exchange_receive(struct trib_exchange *exchange, uint64_t bytes_max) {
    TRIB_ASSERT(!exchange->is_receiving && !exchange->is_replied && !exchange->is_ended);
    exchange->is_receiving = true;
    exchange->bytes_max = bytes_max;
    push_later(exchange);
}

/* There are no Unix sockets out there, so nothing is handed over. */
bool trib_exchange_is_handed(const struct trib_exchange *exchange) {
    (void)exchange;
    return false;
}

void trib_exchange_receive_handed(struct trib_exchange *exchange) {
    (void)exchange;
    TRIB_ASSERT(!"nothing is handed over");
}

int trib_exchange_take_handed(struct trib_exchange *exchange) {
    (void)exchange;
    return -1;
}

void trib_exchange_resume(struct trib_exchange *exchange) {
    TRIB_ASSERT(!exchange->is_ended);
    if (exchange->is_paused) {
        exchange->is_paused = false;
        push_later(exchange);
    }
}

/* --- the head arrives ---------------------------------------------------------------------------------- */

static size_t write_head(const struct network_request *request, char *head, size_t room) {
    char length[64] = "", authorization[300] = "", type[100] = "";
    if (request->has_body && request->is_chunked) {
        (void)snprintf(length, sizeof length, "Transfer-Encoding: chunked\r\n");
    } else if (request->has_body) {
        (void)snprintf(length, sizeof length, "Content-Length: %zu\r\n", request->body_bytes);
    }
    if (request->token[0] != '\0') {
        (void)snprintf(authorization, sizeof authorization, "Authorization: Bearer %s\r\n",
                       request->token);
    }
    if (request->content_type != NULL) {
        (void)snprintf(type, sizeof type, "Content-Type: %s\r\n", request->content_type);
    }
    int count =
        snprintf(head, room, "%s %s HTTP/1.1\r\nHost: localhost:7700\r\n%s%s%s%s\r\n",
                 request->method, request->target, length, authorization, type, request->fields);
    TRIB_ASSERT(count > 0 && (size_t)count < room);
    return (size_t)count;
}

/* The peer leaves while it waits for its answer. */
static void lose_patience(struct trib_exchange *exchange) {
    if (world_fault(TALLY_RESET, 0.04)) {
        (void)plan(exchange, world_delay(0, 20 * TRIB_SECOND), abort_later);
    }
}

static bool is_token_dead(const struct network_request *request) {
    struct trib_token token;
    return world.node != NULL && strcmp(request->run, judge_run()) == 0 &&
           trib_token_parse(world.node->directory.key, request->token, strlen(request->token),
                            &token) &&
           token.scope == TRIB_TOKEN_CLIENT && strcmp(token.run, judge_run()) == 0 &&
           judge_is_revoked(token.subject, token.serial);
}

static void arrive(void *context) {
    struct trib_exchange *exchange = context;
    if (server == NULL || !server->is_listening || server->is_stopping ||
        is_cut_off(&exchange->request) || world_fault(TALLY_LOST_REQUEST, 0.02)) {
        exchange->is_reply_lost = true;
        exchange->is_ended = true;
        (void)world_schedule(hop(), WORLD_OUTSIDE, tell_client, exchange);
        return;
    }
    char head[TRIB_HTTP_HEAD_BYTES_MAX];
    struct trib_http_request request;
    size_t head_bytes = write_head(&exchange->request, head, sizeof head);
    TRIB_ASSERT(trib_http_request_parse(head, head_bytes, &request) == NULL);
    exchange->server = server;
    exchange->request.is_dead = is_token_dead(&exchange->request);
    if (world_fault(TALLY_CUT_BODY, 0.04)) {
        exchange->cut_at = (size_t)world_below(exchange->request.body_bytes + 1);
    }
    exchange->is_reply_lost = world_fault(TALLY_LOST_REPLY, 0.04);
    lose_patience(exchange);
    bool before = world_enter(true);
    server->handlers->head(server->context, exchange, &request);
    (void)world_enter(before);
}

void network_send(const struct network_request *request, network_answered *answered,
                  void *context) {
    struct trib_exchange *exchange = calloc(1, sizeof *exchange);
    TRIB_ASSERT(exchange != NULL);
    exchange->request = *request;
    exchange->answered = answered;
    exchange->answered_context = context;
    exchange->cut_at = SIZE_MAX;
    (void)snprintf(exchange->peer, sizeof exchange->peer, "#%" PRIu64, ++world.requests);
    exchange->next = exchanges;
    exchanges = exchange;
    world_trace("%s -> %s %s as %s", exchange->peer, request->method, request->target,
                request->client == NULL ? "-" : request->client);
    (void)world_schedule(hop(), WORLD_OUTSIDE, arrive, exchange);
}

uint64_t network_under_way(void) {
    uint64_t count = 0;
    for (const struct trib_exchange *e = exchanges; e != NULL; e = e->next) {
        count++;
    }
    return count;
}

/* --- the reply leaves ------------------------------------------------------------------------------------ */

static void read_file(struct trib_exchange *exchange) {
    struct trib_file *file = machine_file_of(exchange->reply.descriptor);
    size_t wanted = (size_t)exchange->reply.body_bytes, done = 0;
    const struct trib_files *files = &world.disk.files;
    enum trib_status status =
        files->read_at(files->context, file, exchange->reply.offset, exchange->body, wanted, &done);
    exchange->is_reply_lost = exchange->is_reply_lost || status != TRIB_OK || done < wanted;
}

static void leave(void *context) {
    struct trib_exchange *exchange = context;
    if (exchange->is_ended) {
        return;
    }
    if (exchange->reply.body == TRIB_REPLY_BLOCK) {
        memcpy(exchange->body, exchange->reply.block->bytes + exchange->reply.offset,
               (size_t)exchange->reply.body_bytes);
    } else if (exchange->reply.body == TRIB_REPLY_FILE) {
        read_file(exchange);
    }
    judge_delivered(&exchange->request, exchange->reply.status, exchange->etag, exchange->body,
                    (size_t)exchange->reply.body_bytes, exchange->is_reply_lost);
    exchange->is_ended = true;
    exchange->server->handlers->done(exchange->server->context, exchange);
    end(exchange);
}

static void note_fields(struct trib_exchange *exchange, const struct trib_reply *reply) {
    for (size_t i = 0; i < TRIB_REPLY_FIELDS_MAX && reply->fields[i].name != NULL; i++) {
        const struct trib_http_field *field = &reply->fields[i];
        if (strcmp(field->name, "ETag") == 0) {
            (void)snprintf(exchange->etag, sizeof exchange->etag, "%s", field->value);
        } else if (strcmp(field->name, "Tributary-Model-Version") == 0) {
            exchange->has_version = sscanf(field->value, "%" SCNu64, &exchange->version) == 1;
        }
    }
}

void trib_exchange_reply(struct trib_exchange *exchange, const struct trib_reply *reply) {
    TRIB_ASSERT(!exchange->is_replied && !exchange->is_stream && !exchange->is_ended);
    if (world_is_dying()) {
        exchange->is_replied = exchange->is_reply_lost = true; /* the machine has stopped */
        return;
    }
    exchange->is_replied = true;
    exchange->reply = *reply;
    exchange->body = calloc(1, (size_t)reply->body_bytes + 1);
    TRIB_ASSERT(exchange->body != NULL);
    if (reply->body == TRIB_REPLY_BYTES && reply->body_bytes > 0) {
        memcpy(exchange->body, reply->bytes, (size_t)reply->body_bytes);
    } else if (reply->body == TRIB_REPLY_BLOCK) {
        trib_block_ref(reply->block);
    }
    if (reply->body != TRIB_REPLY_BLOCK) {
        exchange->reply.block = NULL;
    }
    note_fields(exchange, reply);
    world_trace("%s replied %d %.*s", exchange->peer, reply->status,
                reply->body == TRIB_REPLY_BYTES ? (int)reply->body_bytes : 0, exchange->body);
    bool before = world_enter(false);
    judge_replied(&exchange->request, reply->status, exchange->etag, exchange->version,
                  exchange->has_version, exchange->body, (size_t)reply->body_bytes);
    (void)world_enter(before);
    (void)plan(exchange, hop(), leave);
}

/* --- streams: heard, not understood -------------------------------------------------------------------------- */

void trib_exchange_stream(struct trib_exchange *exchange, const struct trib_reply *reply) {
    TRIB_ASSERT(!exchange->is_replied && !exchange->is_stream && !exchange->is_ended);
    exchange->is_stream = true;
    exchange->reply = *reply;
    exchange->body = calloc(1, 1);
    (void)plan(exchange, world_delay(0, 300 * TRIB_SECOND), abort_later); /* heard enough */
}

bool trib_exchange_write(struct trib_exchange *exchange, const void *bytes, size_t count) {
    if (!world_is_dying() && strstr(exchange->request.target, exchange->request.run) != NULL) {
        bool before = world_enter(false);
        judge_heard(bytes, count);
        (void)world_enter(before);
    }
    TRIB_ASSERT(exchange->is_stream && !exchange->is_ended && !exchange->is_stream_ended);
    exchange->stream_bytes += count;
    return !world_fault(TALLY_STREAM_CUT, 0.005);
}

void trib_exchange_end(struct trib_exchange *exchange) {
    TRIB_ASSERT(exchange->is_stream && !exchange->is_ended);
    exchange->is_stream_ended = true;
    exchange->is_replied = true;
    exchange->reply.body_bytes = 0;
    (void)plan(exchange, hop(), leave);
}

void trib_exchange_abort(struct trib_exchange *exchange) {
    TRIB_ASSERT(!exchange->is_ended);
    (void)plan(exchange, 0, abort_later);
}

/* --- small questions ------------------------------------------------------------------------------------------ */

void trib_exchange_set_context(struct trib_exchange *exchange, void *context) {
    exchange->handler_context = context;
}

void *trib_exchange_context(const struct trib_exchange *exchange) {
    return exchange->handler_context;
}

bool trib_exchange_is_loopback(const struct trib_exchange *exchange) {
    (void)exchange;
    return true;
}

bool trib_exchange_is_unix(const struct trib_exchange *exchange) {
    (void)exchange;
    return false;
}

bool trib_exchange_is_tls(const struct trib_exchange *exchange) {
    (void)exchange;
    return false;
}

const char *trib_exchange_peer(const struct trib_exchange *exchange) {
    return exchange->peer;
}

uint64_t trib_exchange_bytes_received(const struct trib_exchange *exchange) {
    return exchange->arrived;
}

uint64_t trib_exchange_bytes_sent(const struct trib_exchange *exchange) {
    return exchange->is_ended ? exchange->reply.body_bytes : 0;
}

/* --- the server ------------------------------------------------------------------------------------------------ */

enum trib_status trib_server_new(struct trib_loop *loop, const struct trib_server_config *config,
                                 const struct trib_server_handlers *handlers, void *context,
                                 struct trib_server **made, struct trib_error *error) {
    TRIB_ASSERT(server == NULL);
    server = trib_allocate(trib_loop_env(loop), 1, sizeof *server);
    if (server == NULL) {
        return trib_error_set(error, TRIB_EMEMORY, "no memory for the server");
    }
    server->env = trib_loop_env(loop);
    server->config = *config;
    server->handlers = handlers;
    server->context = context;
    *made = server;
    return TRIB_OK;
}

enum trib_status trib_server_listen(struct trib_server *listening, const char *address, bool is_tls,
                                    struct trib_error *error) {
    (void)is_tls;
    if (world_fault(TALLY_ADDRESS_TAKEN, 0.02)) {
        return trib_error_set(error, TRIB_ECONFLICT, "%s: another process listens there", address);
    }
    listening->is_listening = true;
    return TRIB_OK;
}

enum trib_status trib_server_reload(struct trib_server *reloaded, struct trib_error *error) {
    (void)reloaded; /* there is no TLS in this world */
    (void)error;
    return TRIB_OK;
}

bool trib_server_pin(const struct trib_server *asked, const char *host, char pin[TRIB_PIN_BYTES]) {
    (void)asked, (void)host, (void)pin; /* likewise */
    return false;
}

unsigned trib_server_port(const struct trib_server *listening) {
    (void)listening;
    return 7700;
}

void trib_server_counts(const struct trib_server *counted, struct trib_server_counts *counts) {
    (void)counted;
    memset(counts, 0, sizeof *counts);
    counts->exchanges = network_under_way();
}

static void cut_all(void *context) {
    if (context != server) {
        return;
    }
    struct trib_exchange *next = exchanges;
    while (next != NULL) {
        struct trib_exchange *exchange = next;
        next = exchange->next;
        if (exchange->server != NULL && !exchange->is_ended) {
            lose(exchange, TRIB_ECLOSED);
        }
    }
}

void trib_server_stop(struct trib_server *stopping, trib_time_ns deadline,
                      void (*stopped)(void *context), void *context) {
    stopping->is_stopping = true;
    stopping->stopped = stopped;
    stopping->stopped_context = context;
    (void)world_schedule(deadline - world.now, WORLD_MACHINE, cut_all, stopping);
    look_for_end();
}

void trib_server_free(struct trib_server *freed) {
    if (freed != NULL) {
        TRIB_ASSERT(freed == server);
        trib_release(freed->env, freed, 1, sizeof *freed);
        server = NULL;
    }
}

void machine_server_crash(void) {
    server = NULL;
    for (struct trib_exchange *e = exchanges; e != NULL; e = e->next) {
        if (e->server != NULL && !e->is_ended) {
            e->is_ended = e->is_reply_lost = true;
            e->reply.block = NULL;
            (void)world_schedule(hop(), WORLD_OUTSIDE, tell_client, e);
        }
    }
}

void machine_server_end(void) {
    TRIB_ASSERT(exchanges == NULL && server == NULL);
    partition.until = 0;
}
