/* answers_tokens.c - make a token of a run, take one back, take a client's back. */
#include <math.h>
#include <string.h>

#include "node/daemon.h"
#include "node/record.h"
#include "wire/link.h"

/* Which scopes can be had for the asking; clients get theirs by joining. */
static bool is_given(enum trib_token_scope scope) {
    return scope == TRIB_TOKEN_JOIN || scope == TRIB_TOKEN_OBSERVE || scope == TRIB_TOKEN_MERGE ||
           scope == TRIB_TOKEN_ADMIN;
}

static void draw_token(struct trib_call *call, const struct trib_token_request *request,
                       struct trib_token *token) {
    const struct trib_env *env = call->node->env;
    memcpy(token->run, call->target.run, sizeof token->run);
    memcpy(token->subject, request->subject, sizeof token->subject);
    if (request->lasts > 0) {
        token->expiry = (uint64_t)ceil(env->wall(env->context) + (double)request->lasts / 1e9);
    }
    while (token->serial == 0) { /* 0 is that of the run's own link */
        env->entropy(env->context, &token->serial, sizeof token->serial);
    }
}

void trib_answer_token_create(struct trib_call *call) {
    struct trib_error error = {0};
    struct trib_token_request request;
    if (trib_token_request_decode((const char *)call->body, call->body_bytes, &request, &error) !=
        TRIB_OK) {
        trib_call_refuse_input(call, "malformed", &error);
        return;
    }
    struct trib_token token = {.scope = trib_token_scope_of(request.scope)};
    if (!is_given(token.scope)) {
        trib_call_refuse(call, "malformed", "scope: one of join, observe, merge, admin");
        return;
    }
    draw_token(call, &request, &token);
    char text[TRIB_TOKEN_TEXT_BYTES], serial[TRIB_TOKEN_SERIAL_BYTES], link[TRIB_LINK_TEXT_BYTES];
    trib_token_format(call->node->directory.key, &token, text);
    trib_token_serial_format(token.serial, serial);
    trib_node_link(call->node, &token, link);
    json_t *document =
        json_pack("{s:s, s:s, s:s, s:s, s:I}", "type", "token", "scope", request.scope, "subject",
                  token.subject, "serial", serial, "expires", (json_int_t)token.expiry);
    json_t *answer = json_pack("{s:s, s:s, s:s, s:I}", "token", text, "serial", serial, "link",
                               link, "expires", (json_int_t)token.expiry);
    if (answer == NULL) { /* nobody would ever know the token */
        json_decref(document);
        trib_call_refuse(call, "busy", "out of memory; try again");
        return;
    }
    trib_record_for_call(call->hosted, call, document, answer);
}

static bool has_room(struct trib_call *call) {
    if (!trib_revoked_is_full(&call->hosted->revoked)) {
        return true;
    }
    trib_call_refuse(call, "quota", "%d revocations are the most for a run", TRIB_REVOKED_MAX);
    return false;
}

void trib_answer_token_revoke(struct trib_call *call) {
    uint64_t serial;
    if (!trib_token_serial_parse(call->target.id, &serial)) {
        trib_call_refuse(call, "name", "a serial is 16 hex digits");
    } else if (has_room(call)) {
        trib_record_for_call(call->hosted, call,
                             json_pack("{s:s, s:s}", "type", "revoked", "serial", call->target.id),
                             NULL);
    }
}

void trib_answer_client_revoke(struct trib_call *call) {
    if (has_room(call)) {
        trib_record_for_call(
            call->hosted, call,
            json_pack("{s:s, s:s}", "type", "revoked", "client", call->target.client), NULL);
    }
}
