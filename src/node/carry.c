/* carry.c - effects become replies, jobs and messages to watchers. One function per kind of effect. */
#include "node/daemon.h"
#include "node/record.h"
#include "node/report.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static struct trib_call *call_of(const struct trib_effect *effect) {
    return (struct trib_call *)(uintptr_t)effect->request;
}

static double seconds_until(const struct trib_hosted *hosted, trib_time_ns when) {
    trib_time_ns left = when - trib_node_now(hosted->node);
    return left <= 0 ? 0.0 : (double)left / 1e9;
}

static void tell(struct trib_hosted *hosted, const char *event, json_t *data) {
    const struct trib_node *node = hosted->node;
    trib_watchers_tell(&hosted->watchers, node->env, trib_node_now(node), event, data);
}

/* --- answers to calls --------------------------------------------------------------------------- */

static void carry_joined(struct trib_hosted *hosted, const struct trib_effect *effect) {
    struct trib_call *call = call_of(effect);
    struct trib_token token = {.scope = TRIB_TOKEN_CLIENT};
    memcpy(token.run, call->target.run, sizeof token.run);
    memcpy(token.subject, call->target.client, sizeof token.subject);
    token.serial = trib_revoked_times(&hosted->revoked, token.subject);
    char text[TRIB_TOKEN_TEXT_BYTES];
    trib_token_format(hosted->node->directory.key, &token, text);
    const char *role = call->join->is_evaluator ? "evaluator" : "trainer";
    call->waits = false; /* the heart has answered; the record will */
    trib_record_client(hosted, call,
                       json_pack("{s:s, s:s, s:s, s:f}", "client", call->target.client, "role",
                                 role, "token", text, "lease_s",
                                 (double)hosted->spec->lease / 1e9));
    tell(hosted, "client",
         json_pack("{s:s, s:s, s:s}", "client", call->target.client, "role", role, "what",
                   "joined"));
}

/* False: the index cannot be read just now. */
static bool digest_text(struct trib_hosted *hosted, trib_version version,
                        char hex[TRIB_DIGEST_HEX_BYTES]) {
    struct trib_digest digest = hosted->model.digest;
    if (version != hosted->model.version && !trib_report_digest(hosted, version, &digest)) {
        return false;
    }
    trib_digest_to_hex(&digest, hex);
    return true;
}

/* NULL: no memory; the text is one of ours. */
static json_t *read_settings(const char *text) {
    json_t *settings = NULL;
    (void)trib_document_read(text, strlen(text), &settings, NULL);
    return settings;
}

/* What a client trains with: the spec's settings, then those of its site (index + 1; 0: none), then
 * the names of frozen tensors: clients do not know roles, and must not send what does not train.
 * NULL: no memory. */
static const char *task_settings(struct trib_hosted *hosted, uint32_t site) {
    char **made = &hosted->settings[site];
    if (*made != NULL) {
        return *made;
    }
    const struct trib_layout *layout = hosted->model.layout;
    json_t *settings = read_settings(hosted->spec->train);
    int failures = settings == NULL;
    if (site > 0) {
        json_t *of_site = read_settings(hosted->spec->sites[site - 1].train);
        failures |= json_object_update(settings, of_site);
        json_decref(of_site);
    }
    json_t *frozen = json_array();
    failures |= frozen == NULL;
    for (size_t t = 0; t < layout->tensor_count; t++) {
        if (layout->tensors[t].role == TRIB_ROLE_FREEZE) {
            failures |= json_array_append_new(frozen, json_string(layout->tensors[t].name));
        }
    }
    if (json_array_size(frozen) > 0) {
        failures |= json_object_set(settings, "frozen", frozen);
    }
    json_decref(frozen);
    *made = failures == 0 ? json_dumps(settings, JSON_COMPACT) : NULL;
    json_decref(settings);
    return *made;
}

/* The same for a task that has its own number of steps; the caller frees it. NULL: no memory. */
static char *settings_with_steps(struct trib_hosted *hosted, uint32_t site, uint32_t steps) {
    const char *usual = task_settings(hosted, site);
    json_t *settings = usual == NULL ? NULL : read_settings(usual);
    char *text = NULL;
    if (json_object_set_new(settings, "steps", json_integer(steps)) == 0)
        text = json_dumps(settings, JSON_COMPACT);
    json_decref(settings);
    return text;
}

static void carry_task(struct trib_hosted *hosted, const struct trib_effect *effect) {
    static const char *const kinds[] = {"train", "evaluate", "wait", "stop"};
    const struct trib_task *task = &effect->task;
    char hex[TRIB_DIGEST_HEX_BYTES] = "";
    bool has_version = task->kind == TRIB_TASK_TRAIN || task->kind == TRIB_TASK_EVALUATE;
    if (has_version && !digest_text(hosted, task->version, hex)) {
        trib_call_refuse(call_of(effect), "busy", "the index of versions cannot be read");
        return;
    }
    char *own = task->steps > 0 ? settings_with_steps(hosted, task->site, task->steps) : NULL;
    const char *settings = "{}"; /* while there is no model nobody knows what is frozen */
    if (task->kind == TRIB_TASK_TRAIN) {
        settings = task->steps > 0 ? own : task_settings(hosted, task->site);
    }
    struct trib_task_reply reply = {
        .kind = kinds[task->kind],
        .task = task->id,
        .version = task->version,
        .digest = hex,
        .settings = settings,
        .expected_by_s =
            task->expected_by == TRIB_TIME_NEVER ? -1.0 : seconds_until(hosted, task->expected_by),
        .global_step = hosted->model.version,
        .after_s = task->kind == TRIB_TASK_WAIT ? seconds_until(hosted, task->not_before) : 0.0,
        .reason = task->reason,
    };
    trib_call_reply(call_of(effect), 200, trib_task_document(&reply));
    free(own);
}

static void carry_done(struct trib_hosted *hosted, const struct trib_effect *effect) {
    struct trib_call *call = call_of(effect);
    if (call->target.rule->route == TRIB_ROUTE_TASK_DECLINE ||
        call->target.rule->route == TRIB_ROUTE_TASK_RENEW) {
        trib_call_reply_empty(call, 204);
    } else if (call->target.rule->route == TRIB_ROUTE_EVALUATION_PUT) {
        trib_call_reply(call, 200,
                        json_pack("{s:s, s:I}", "evaluation", call->target.id, "version",
                                  (json_int_t)call->evaluation->version));
    } else if (call->target.rule->route == TRIB_ROUTE_RUN_CHANGE) {
        trib_call_reply(call, 200,
                        json_pack("{s:s, s:I, s:o}", "run", hosted->spec->name, "version",
                                  (json_int_t)hosted->revised_from, "spec",
                                  trib_spec_document(hosted->revised)));
    } else {
        struct trib_run_status status;
        trib_run_status(hosted->run, trib_node_now(hosted->node), &status);
        trib_call_reply(call, 200,
                        json_pack("{s:s, s:s}", "run", hosted->spec->name, "state",
                                  trib_run_state_name(status.state)));
    }
}

/* The codec's words are better than the heart's, which has only seen a status. */
static void carry_refuse(struct trib_hosted *hosted, const struct trib_effect *effect) {
    struct trib_call *call = call_of(effect);
    const struct trib_upload *upload = call->admitted; /* until the call is answered */
    bool is_detailed = upload != NULL && upload->error.status != TRIB_OK;
    const char *code = trib_refusal_code(effect->refusal);
    const char *text = effect->text;
    if (is_detailed) {
        code = trib_upload_error_code(upload);
        text = upload->error.text;
    }
    tell(
        hosted, "refused",
        json_pack("{s:s, s:s, s:s}", "client", call->token.subject, "code", code, "message", text));
    trib_call_refuse(call, code, "%s", text);
}

/* Why a settled update was dropped: the heart has forgotten it, the index has not. */
static const char *dropped_why(struct trib_hosted *hosted, const struct trib_call *call,
                               struct trib_index_update *row) {
    enum trib_status status =
        trib_index_get_update(hosted->index, call->token.subject, call->target.id, row);
    return status == TRIB_OK ? row->reason : "";
}

/* What the client can keep, if it wants to; nothing is promised of what is only in memory. */
static void add_receipt(struct trib_upload *upload, json_t *document) {
    char line[TRIB_SIGNED_TEXT_BYTES];
    const char *receipt =
        upload->receipt != NULL ? upload->receipt : trib_upload_receipt(upload, line);
    (void)json_object_set_new(document, "receipt", json_string(receipt));
    trib_text_release(upload->hosted->node->env, upload->receipt);
    upload->receipt = NULL;
}

static void carry_acknowledge(struct trib_hosted *hosted, const struct trib_effect *effect) {
    static const char *const fates[] = {"", "spooled", "counted", "dropped"};
    struct trib_call *call = call_of(effect);
    bool is_spooled = effect->fate == TRIB_FATE_SPOOLED;
    bool is_durable = hosted->spec->durability == TRIB_DURABILITY_SPOOL;
    struct trib_index_update row;
    struct trib_receipt receipt = {
        .update = call->target.id,
        .fate = fates[effect->fate],
        .durability = is_durable ? "spool" : "memory",
        .has_admission = is_spooled && effect->version > 0, /* else it waits for its version */
        .staleness = effect->staleness,
        .weight = effect->weight,
        .has_version = effect->fate != TRIB_FATE_DROPPED && effect->version > 0,
        .version = effect->version,
        .reason = effect->fate == TRIB_FATE_DROPPED ? dropped_why(hosted, call, &row) : NULL,
    };
    if (is_spooled) {
        struct trib_slot_view view;
        trib_run_slot(hosted->run, effect->slot, &view);
        receipt.base = view.base;
    }
    bool is_new = call->admitted != NULL; /* until the call is answered */
    json_t *document = trib_receipt_document(&receipt);
    if (is_spooled && is_durable && call->wants_receipt) {
        add_receipt(hosted->slots[effect->slot], document);
    }
    trib_call_reply(call, 200, document);
    if (is_new) {
        tell(hosted, "update",
             json_pack("{s:s, s:s, s:I}", "client", call->token.subject, "update", call->target.id,
                       "staleness", (json_int_t)effect->staleness));
    }
}

/* --- bodies --------------------------------------------------------------------------------------- */

static void carry_receive(struct trib_hosted *hosted, const struct trib_effect *effect) {
    (void)hosted; /* the call knows it */
    struct trib_call *call = call_of(effect);
    call->waits = false;
    if (trib_upload_begin(call, effect->kind == TRIB_EFFECT_COMPARE)) {
        call->upload->head = *call->head;
    }
}

static void carry_spool(struct trib_hosted *hosted, const struct trib_effect *effect) {
    struct trib_call *call = call_of(effect);
    struct trib_upload *upload = call->upload;
    struct trib_slot_view view;
    trib_run_slot(hosted->run, effect->slot, &view);
    call->upload = NULL;
    call->admitted = upload;
    upload->slot = effect->slot;
    struct trib_spool_entry *entry = &upload->entry;
    entry->kind = TRIB_SPOOL_UPDATE;
    (void)strncpy(entry->client, view.client, sizeof entry->client - 1);
    (void)strncpy(entry->update, view.id, sizeof entry->update - 1);
    entry->base = view.base;
    entry->target = view.target;
    entry->staleness = view.staleness;
    entry->weight = view.weight;
    entry->examples = view.examples;
    entry->wall_s = hosted->node->env->wall(hosted->node->env->context);
    hosted->node->updates_received++;
    TRIB_ASSERT(hosted->slots[effect->slot] == NULL);
    hosted->slots[effect->slot] = upload;
    trib_intake_spool(hosted, upload);
}

/* --- versions --------------------------------------------------------------------------------------- */

static void carry_fold(struct trib_hosted *hosted, const struct trib_effect *effect) {
    struct trib_spool_entry *entry = &hosted->slots[effect->slot]->entry;
    entry->target = effect->version; /* these three: an update that was held has got them now */
    entry->staleness = effect->staleness;
    entry->weight = effect->weight;
    trib_folding_add(hosted, hosted->slots[effect->slot], effect->accumulator);
}

static void carry_combine(struct trib_hosted *hosted, const struct trib_effect *effect) {
    trib_combining_offer(hosted, effect->version);
    tell(hosted, "offer",
         json_pack("{s:I, s:I}", "version", (json_int_t)effect->version, "updates",
                   (json_int_t)hosted->combining.slot_count));
}

static void carry_merge(struct trib_hosted *hosted, const struct trib_effect *effect) {
    if (hosted->spec->strategy.combiner == TRIB_COMBINER_EXTERNAL) {
        trib_combining_merge(hosted, effect->accumulator);
    } else {
        trib_folding_merge(hosted, effect->accumulator);
    }
}

static void carry_persist(struct trib_hosted *hosted, const struct trib_effect *effect) {
    trib_record_version(hosted, effect->version);
}

static void carry_publish(struct trib_hosted *hosted, const struct trib_effect *effect) {
    trib_model_advance(&hosted->model);
    TRIB_ASSERT(hosted->model.version == effect->version);
    hosted->version_at = trib_node_now(hosted->node);
    hosted->node->versions_published++;
    tell(hosted, "version", trib_report_version(hosted, effect->version));
    trib_combining_published(hosted);
}

static void carry_record(struct trib_hosted *hosted, const struct trib_effect *effect) {
    if (effect->record_kind == TRIB_RECORD_REVISION) {
        trib_record_revision(hosted, effect, call_of(effect));
    } else if (effect->record_kind == TRIB_RECORD_EVALUATION) {
        trib_record_evaluation(hosted, effect, call_of(effect));
    } else {
        trib_record_state(hosted, effect, call_of(effect));
    }
}

static void carry_best(struct trib_hosted *hosted, const struct trib_effect *effect) {
    hosted->best = effect->version;
    hosted->has_best = true;
}

static void carry_evaluated(struct trib_hosted *hosted, const struct trib_effect *effect) {
    tell(hosted, "evaluation", trib_report_evaluation(hosted, effect->version));
}

static void carry_set_aside(struct trib_hosted *hosted, const struct trib_effect *effect) {
    trib_log(hosted->node->env, TRIB_LOG_WARN, "set_aside run=%s client=%s", hosted->spec->name,
             effect->text);
    trib_record_set_aside(hosted, effect->text);
    tell(hosted, "client", json_pack("{s:s, s:s}", "client", effect->text, "what", "set_aside"));
}

static void carry_state(struct trib_hosted *hosted, const struct trib_effect *effect) {
    const char *state = trib_run_state_name(effect->state);
    trib_log(hosted->node->env, TRIB_LOG_INFO, "state run=%s state=%s reason=\"%s\"",
             hosted->spec->name, state, effect->text);
    tell(hosted, "state", json_pack("{s:s, s:s}", "state", state, "reason", effect->text));
    if (effect->state == TRIB_RUN_STOPPED || effect->state == TRIB_RUN_FAILED) {
        trib_combining_withdraw(hosted, effect->text);
    }
}

/* What the operator has changed holds from here on. */
static void carry_reopen(struct trib_hosted *hosted, const struct trib_effect *effect) {
    trib_log(hosted->node->env, TRIB_LOG_INFO, "revised run=%s from_version=%llu",
             hosted->spec->name, (unsigned long long)effect->version);
    hosted->is_reopening = true;
    trib_timer_arm(hosted->node->pulse, trib_node_now(hosted->node));
}

static void (*const carriers[])(struct trib_hosted *hosted, const struct trib_effect *effect) = {
    [TRIB_EFFECT_JOINED] = carry_joined,   [TRIB_EFFECT_TASK] = carry_task,
    [TRIB_EFFECT_DONE] = carry_done,       [TRIB_EFFECT_REFUSE] = carry_refuse,
    [TRIB_EFFECT_RECEIVE] = carry_receive, [TRIB_EFFECT_COMPARE] = carry_receive,
    [TRIB_EFFECT_SPOOL] = carry_spool,     [TRIB_EFFECT_ACKNOWLEDGE] = carry_acknowledge,
    [TRIB_EFFECT_FOLD] = carry_fold,       [TRIB_EFFECT_COMBINE] = carry_combine,
    [TRIB_EFFECT_MERGE] = carry_merge,     [TRIB_EFFECT_PERSIST] = carry_persist,
    [TRIB_EFFECT_PUBLISH] = carry_publish, [TRIB_EFFECT_RECORD] = carry_record,
    [TRIB_EFFECT_BEST] = carry_best,       [TRIB_EFFECT_EVALUATED] = carry_evaluated,
    [TRIB_EFFECT_STATE] = carry_state,     [TRIB_EFFECT_SET_ASIDE] = carry_set_aside,
    [TRIB_EFFECT_REOPEN] = carry_reopen,
};

void trib_hosted_carry(struct trib_hosted *hosted, const struct trib_effect *effect) {
    TRIB_ASSERT(effect->kind < sizeof carriers / sizeof *carriers);
    carriers[effect->kind](hosted, effect);
}
