/* join.c - trib join: a process that takes part in a run with data of its own. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/crash.h"
#include "cli/check.h"
#include "cli/command.h"
#include "cli/data_part.h"
#include "cli/interrupt.h"
#include "cli/participant.h"
#include "cli/way.h"
#include "client/join_link.h"
#include "train/partition.h"

#include <jansson.h>

#define FAILURES_MAX 3 /* tasks in a row that came to nothing: it will not get better */
#define WAIT_STEP (TRIB_SECOND / 5)

struct join_options {
    const char *link;
    bool is_check;
    const char *client;
    const char *role;
    const char *data;
    const char *part;
    const char *partition;
    uint64_t seed;
    struct trib_option_list attributes;
    uint64_t hold_out;
    const char *state;
    bool is_once;
    trib_time_ns retry_for;
    struct trib_way_options way;
};

#define AT(member) offsetof(struct join_options, member)

static const struct trib_option join_table[] = {
    {"link", TRIB_OPTION_TEXT, AT(link), .value = "LINK", .is_positional = true,
     .is_required = true, .meaning = "what 'run create' printed: trib://host:port/run#token"},
    {"check", TRIB_OPTION_FLAG, AT(is_check),
     .meaning = "only try DNS, TCP, proxy, TLS, HTTP, token and a 10 MB upload"},
    {"client", TRIB_OPTION_TEXT, AT(client), .value = "ID", .otherwise = "needed, but for --check",
     .meaning = "name of this participant, the same every time it joins"},
    {"role", TRIB_OPTION_TEXT, AT(role), .value = "ROLE", .initial = "trainer",
     .meaning = "trainer, or evaluator on the held-out rows of the data"},
    {"data", TRIB_OPTION_TEXT, AT(data), .value = "PATH", .otherwise = "needed, but for --check",
     .meaning = "folder with IDX files or train.csv, or a .csv, .tsv or .txt; each also .gz"},
    {"part", TRIB_OPTION_TEXT, AT(part), .value = "I/N", .otherwise = "the whole",
     .meaning = "this client's share: part I of N, counted from 0"},
    {"partition", TRIB_OPTION_TEXT, AT(partition), .value = "HOW", .initial = "iid",
     .meaning = "how rows are dealt out: iid, shards[:PER_CLIENT], dirichlet:ALPHA, natural"},
    {"seed", TRIB_OPTION_INTEGER, AT(seed), .value = "S", .initial = "1", .least = 0,
     .most = UINT64_C(1) << 53, .meaning = "of shares and training; the same for all clients"},
    {"hold-out", TRIB_OPTION_INTEGER, AT(hold_out), .value = "PERCENT", .initial = "0", .least = 0,
     .most = 99,
     .meaning = "of a trainer's rows that it does not train on and evaluates with; 0: on all"},
    {"attribute", TRIB_OPTION_LIST, AT(attributes), .value = "K=V", .otherwise = "none",
     .meaning = "told to the daemon; a number, true or false where V is one"},
    {"state", TRIB_OPTION_TEXT, AT(state), .value = "DIR", .otherwise = "nothing is kept",
     .meaning = "what this client keeps between tasks (scaffold, fedspeed); for it alone"},
    {"once", TRIB_OPTION_FLAG, AT(is_once), .meaning = "end after one task"},
    {"retry-for", TRIB_OPTION_DURATION, AT(retry_for), .value = "DURATION", .initial = "10m",
     .meaning = "how long a daemon that does not answer is tried again"},
    TRIB_WAY_ROWS(struct join_options, way),
    {0},
};

/* --- what the daemon is told ------------------------------------------------------------------ */

/* {"site": "mercy", "gpu": true}; NULL: malformed, and said so. */
static char *attributes_text(const struct trib_cli *cli, const struct trib_option_list *list) {
    json_t *object = json_object();
    char *text = NULL;
    for (size_t i = 0; i < list->count; i++) {
        const char *item = list->items[i];
        const char *equals = strchr(item, '=');
        char name[64] = "";
        if (equals == NULL || equals == item || (size_t)(equals - item) >= sizeof name) {
            (void)trib_cli_fail(cli, TRIB_EXIT_USAGE, "--attribute %.64s: must be NAME=VALUE",
                                item);
            json_decref(object);
            return NULL;
        }
        memcpy(name, item, (size_t)(equals - item));
        json_t *scalar = json_loads(equals + 1, JSON_DECODE_ANY, NULL);
        bool is_word = !json_is_number(scalar) && !json_is_boolean(scalar);
        json_t *value = is_word ? json_string(equals + 1) : json_incref(scalar);
        json_decref(scalar);
        (void)json_object_set_new(object, name, value); /* NULL is seen by the daemon */
    }
    text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    if (text == NULL) {
        (void)trib_cli_fail(cli, TRIB_EXIT_FAILED, "out of memory");
    }
    return text;
}

/* --- signals ---------------------------------------------------------------------------------- */

/* For the signal handler, which cannot be given anything. */
static struct trib_client *volatile active;
static struct trib_sockets *volatile active_sockets;

static void interrupt_client(void) {
    if (active != NULL) {
        trib_client_interrupt(active);
    }
    if (active_sockets != NULL) {
        trib_sockets_ring(active_sockets);
    }
}

/* --- tasks ------------------------------------------------------------------------------------ */

struct joining {
    const struct trib_cli *cli;
    const struct join_options *options;
    struct trib_client *client;
    struct trib_participant participant;
    struct trib_keepsake keepsake;       /* all zero without --state */
    unsigned failure_count;              /* in a row */
    const struct trib_client_task *task; /* under way */
    trib_time_ns called_at; /* when it is to be sent; TRIB_TIME_NEVER: when it is done */
    trib_time_ns renewed_at;
};

static void log_result(const struct joining *joining, const struct trib_client_task *task,
                       const struct trib_participant_result *result, trib_time_ns spent) {
    const struct trib_env *env = joining->cli->env;
    if (task->kind == TRIB_CLIENT_TRAIN) {
        trib_log(env, TRIB_LOG_INFO,
                 "trained task=%s version=%" PRIu64 " examples=%" PRIu64 " steps=%" PRIu64
                 " loss=%.4f seconds=%.3f",
                 task->id, task->version, result->examples, result->step_count, result->loss,
                 (double)spent / (double)TRIB_SECOND);
    } else {
        trib_log(env, TRIB_LOG_INFO,
                 "evaluated task=%s version=%" PRIu64 " examples=%" PRIu64
                 " accuracy=%.4f loss=%.4f seconds=%.3f",
                 task->id, task->version, result->examples, result->accuracy, result->loss,
                 (double)spent / (double)TRIB_SECOND);
    }
}

/* --- calls: tasks that last until a moment which the daemon names ------------------------------ */

static trib_time_ns now_of(const struct joining *joining) {
    const struct trib_env *env = joining->cli->env;
    return env->monotonic(env->context);
}

/* From here on the daemon has heard of us when the task began. */
static void expect_call(struct joining *joining, const struct trib_client_task *task) {
    trib_time_ns now = now_of(joining);
    bool is_called = task->expected_by_s >= 0 && task->expected_by_s < 1e9;
    joining->task = task;
    joining->renewed_at = now;
    joining->called_at = is_called ? now + (trib_time_ns)(task->expected_by_s * (double)TRIB_SECOND)
                                   : TRIB_TIME_NEVER;
}

/* So that the seat is not given away meanwhile. Should it fail, the next one may not. */
static void renew_lease(struct joining *joining) {
    double third = trib_client_lease_s(joining->client) / 3;
    trib_time_ns now = now_of(joining);
    if (third > 0 && (double)(now - joining->renewed_at) >= third * (double)TRIB_SECOND) {
        joining->renewed_at = now;
        (void)trib_client_renew(joining->client, joining->task, -1);
    }
}

static bool is_called(void *context) {
    struct joining *joining = context;
    renew_lease(joining);
    return trib_is_interrupted() || now_of(joining) >= joining->called_at;
}

/* All steps are done before the call: until then there is nothing to do. A signal ends it. */
static void wait_for_call(struct joining *joining) {
    while (joining->called_at != TRIB_TIME_NEVER && !is_called(joining)) {
        trib_time_ns left = joining->called_at - now_of(joining);
        trib_time_ns nap = left < WAIT_STEP ? left : WAIT_STEP;
        const struct timespec time = {.tv_sec = 0, .tv_nsec = nap > 0 ? nap : 0};
        (void)nanosleep(&time, NULL); /* cut short by signals, which is_called() sees */
    }
}

/* Send what is promised, and settle it (cli/keepsake.h). */
static enum trib_client_result keep_promise(struct joining *joining) {
    struct trib_keepsake *keepsake = &joining->keepsake;
    struct trib_client_task task = {.kind = TRIB_CLIENT_TRAIN, .version = keepsake->base};
    enum trib_client_fate fate;
    struct trib_error error = {0};
    memcpy(task.id, keepsake->task, sizeof task.id);
    trib_crash_point("update", "send", "before");
    enum trib_client_result result =
        trib_client_submit_packed(joining->client, &task, keepsake->examples, keepsake->metrics,
                                  keepsake->body, keepsake->body_bytes, &fate);
    trib_crash_point("update", "send", "after");
    if (fate != TRIB_CLIENT_OPEN &&
        trib_keepsake_settle(keepsake, fate == TRIB_CLIENT_COUNTED, &error) != TRIB_OK) {
        trib_log(joining->cli->env, TRIB_LOG_ERROR, "state reason=\"%s\"", error.text);
        return TRIB_CLIENT_INVALID;
    }
    return result;
}

/* As trib_client_submit(), for a client whose own vector must change with it. */
static enum trib_client_result submit_kept(struct joining *joining,
                                           const struct trib_client_task *task,
                                           const struct trib_participant_result *result) {
    const struct trib_env *env = joining->cli->env;
    struct trib_error error = {0};
    size_t byte_count = 0;
    enum trib_client_result packed = trib_client_pack(joining->client, task, NULL, 0, &byte_count);
    if (packed != TRIB_CLIENT_OK) {
        return packed;
    }
    unsigned char *body = trib_allocate(env, byte_count, 1);
    if (body == NULL) {
        return TRIB_CLIENT_MEMORY;
    }
    packed = trib_client_pack(joining->client, task, body, byte_count, &byte_count);
    const struct trib_promise promise = {
        .task = task->id,
        .base = task->version,
        .examples = result->examples,
        .metrics = result->metrics,
        .body = body,
        .body_bytes = byte_count,
        .next_own = result->next_own,
        .count = result->next_own_count,
    };
    if (packed == TRIB_CLIENT_OK &&
        trib_keepsake_promise(&joining->keepsake, &promise, &error) != TRIB_OK) {
        trib_log(env, TRIB_LOG_ERROR, "state reason=\"%s\"", error.text);
        packed = TRIB_CLIENT_INVALID;
    }
    trib_release(env, body, byte_count, 1);
    return packed == TRIB_CLIENT_OK ? keep_promise(joining) : packed;
}

static enum trib_client_result answer(struct joining *joining, const struct trib_client_task *task,
                                      const struct trib_participant_result *result) {
    if (result->next_own != NULL) {
        return submit_kept(joining, task, result);
    }
    return task->kind == TRIB_CLIENT_TRAIN
               ? trib_client_submit(joining->client, task, result->examples, result->metrics)
               : trib_client_report(joining->client, task, result->examples, result->metrics);
}

/* The task came to nothing here: give it back, so that nobody waits for it. */
static enum trib_client_result give_back(struct joining *joining,
                                         const struct trib_client_task *task, const char *reason) {
    trib_log(joining->cli->env, TRIB_LOG_WARN, "declined task=%s reason=\"%s\"", task->id, reason);
    joining->failure_count++;
    return trib_client_decline(joining->client, task, "it cannot be done with this data");
}

static enum trib_client_result do_task(struct joining *joining,
                                       const struct trib_client_task *task) {
    const struct trib_env *env = joining->cli->env;
    const struct trib_client_tensor *tensors;
    size_t tensor_count;
    expect_call(joining, task);
    enum trib_client_result result =
        trib_client_model(joining->client, task, &tensors, &tensor_count);
    if (result != TRIB_CLIENT_OK) {
        return result;
    }
    struct trib_participant_result worked;
    struct trib_error error = {0};
    trib_time_ns began_at = env->monotonic(env->context);
    if (trib_participant_work(&joining->participant, task, tensors, tensor_count, &worked,
                              &error) != TRIB_OK) {
        return give_back(joining, task, error.text);
    }
    if (worked.waits_for_call) {
        wait_for_call(joining);
    }
    if (trib_is_interrupted()) { /* the signal came while there was no call to cut short */
        return TRIB_CLIENT_INTERRUPTED;
    }
    result = answer(joining, task, &worked);
    if (result == TRIB_CLIENT_OK) {
        joining->failure_count = 0;
        log_result(joining, task, &worked, env->monotonic(env->context) - began_at);
    }
    return result;
}

static enum trib_exit end_of(const struct joining *joining, enum trib_client_result result) {
    switch (result) {
    case TRIB_CLIENT_OK:
        return TRIB_EXIT_OK;
    case TRIB_CLIENT_STOPPED:
        trib_log(joining->cli->env, TRIB_LOG_INFO, "stopped client=%s", joining->options->client);
        return TRIB_EXIT_OK;
    case TRIB_CLIENT_INTERRUPTED:
        return TRIB_EXIT_INTERRUPTED;
    case TRIB_CLIENT_UNREACHABLE:
        return trib_cli_fail(joining->cli, TRIB_EXIT_UNREACHABLE, "%s",
                             trib_client_error(joining->client));
    default:
        return trib_cli_fail(joining->cli, TRIB_EXIT_FAILED, "%s",
                             trib_client_error(joining->client));
    }
}

static enum trib_exit take_part(struct joining *joining) {
    for (;;) {
        struct trib_client_task task = {0};
        enum trib_client_result result = TRIB_CLIENT_OK;
        if (joining->keepsake.body != NULL) { /* of an earlier process, or still open */
            result = keep_promise(joining);
            result = result == TRIB_CLIENT_REFUSED && joining->keepsake.body == NULL
                         ? TRIB_CLIENT_OK
                         : result;
        }
        if (result == TRIB_CLIENT_OK) {
            result = trib_client_next(joining->client, &task);
        }
        bool is_task = result == TRIB_CLIENT_OK;
        if (is_task) {
            result = do_task(joining, &task);
        }
        /* A refused update, or a version that has gone, is one task lost and no more. */
        if (is_task && result == TRIB_CLIENT_REFUSED) {
            trib_log(joining->cli->env, TRIB_LOG_WARN, "refused task=%s reason=\"%s\"", task.id,
                     trib_client_error(joining->client));
            joining->failure_count++;
            result = TRIB_CLIENT_OK;
        }
        if (result != TRIB_CLIENT_OK) {
            return end_of(joining, result);
        }
        if (joining->failure_count == FAILURES_MAX) {
            return trib_cli_fail(joining->cli, TRIB_EXIT_FAILED,
                                 "%d tasks in a row came to nothing", FAILURES_MAX);
        }
        if (joining->options->is_once) {
            return joining->failure_count == 0 ? TRIB_EXIT_OK : TRIB_EXIT_FAILED;
        }
    }
}

/* --- joining ---------------------------------------------------------------------------------- */

static enum trib_exit open_client(struct joining *joining, const struct trib_transport *transport) {
    const struct join_options *options = joining->options;
    char why[256];
    char *attributes = attributes_text(joining->cli, &options->attributes);
    if (attributes == NULL) {
        return TRIB_EXIT_USAGE;
    }
    const struct trib_client_options opening = {
        .size = sizeof opening,
        .link = options->link,
        .client = options->client,
        .role = options->role,
        .attributes = attributes,
        .retry_for_s = (double)options->retry_for / (double)TRIB_SECOND,
        .transport = transport,
    };
    enum trib_client_result result = trib_client_open(&opening, &joining->client, why, sizeof why);
    free(attributes);
    if (result == TRIB_CLIENT_OK) {
        return TRIB_EXIT_OK;
    }
    enum trib_exit exit = result == TRIB_CLIENT_UNREACHABLE ? TRIB_EXIT_UNREACHABLE
                          : result == TRIB_CLIENT_INVALID   ? TRIB_EXIT_USAGE
                                                            : TRIB_EXIT_FAILED;
    return trib_cli_fail(joining->cli, exit, "%s", why);
}

static enum trib_exit join_with(struct joining *joining, const struct trib_transport *transport) {
    enum trib_exit result = open_client(joining, transport);
    if (result != TRIB_EXIT_OK) {
        return result;
    }
    active = joining->client;
    trib_interrupt_catch(interrupt_client);
    trib_log(joining->cli->env, TRIB_LOG_INFO, "joined client=%s role=%s rows=%zu",
             joining->options->client, joining->options->role,
             joining->participant.dataset->row_count);
    result = take_part(joining);
    active = NULL;
    trib_client_close(joining->client);
    return result;
}

static enum trib_exit join_link(struct joining *joining, const struct trib_link *link) {
    struct trib_way way;
    struct trib_error error = {0};
    enum trib_status status =
        trib_way_open(joining->cli->env, link, &joining->options->way, &way, &error);
    if (status != TRIB_OK) {
        return trib_cli_fail(joining->cli,
                             status == TRIB_EINVALID ? TRIB_EXIT_USAGE : TRIB_EXIT_FAILED, "%s",
                             error.text);
    }
    active_sockets = &way.sockets;
    enum trib_exit result = join_with(joining, trib_way_transport(&way));
    active_sockets = NULL;
    trib_way_close(&way);
    return result;
}

static enum trib_exit open_keepsake(struct joining *joining, const struct trib_link *link) {
    const struct join_options *options = joining->options;
    struct trib_error error = {0};
    if (options->state == NULL) {
        return TRIB_EXIT_OK;
    }
    if (trib_keepsake_open(&joining->keepsake, joining->cli->env, options->state, link->run,
                           options->client, &error) != TRIB_OK) {
        return trib_cli_fail(joining->cli, TRIB_EXIT_FAILED, "--state: %s", error.text);
    }
    joining->participant.keepsake = &joining->keepsake;
    return TRIB_EXIT_OK;
}

/* A trainer's rows, without those that it holds out. */
static enum trib_status split(const struct trib_env *env, uint32_t percent,
                              struct trib_dataset *dataset, struct trib_dataset *held,
                              struct trib_error *error) {
    const size_t count = dataset->row_count, out = trib_hold_out_count(count, percent);
    struct trib_dataset kept = {0};
    if (out == 0) {
        return TRIB_OK;
    }
    uint32_t *rows = trib_allocate(env, count, sizeof *rows);
    if (rows == NULL) {
        return trib_error_set(error, TRIB_EMEMORY, "out of memory");
    }
    size_t first = 0, last = count - out;
    for (size_t row = 0; row < count; row++) {
        rows[trib_hold_out_has(row, count, out) ? last++ : first++] = (uint32_t)row;
    }
    enum trib_status status = trib_dataset_pick(env, dataset, rows, count - out, &kept, error);
    if (status == TRIB_OK) {
        status = trib_dataset_pick(env, dataset, rows + count - out, out, held, error);
    }
    trib_release(env, rows, count, sizeof *rows);
    if (status != TRIB_OK) {
        trib_dataset_deinit(&kept);
        return status;
    }
    trib_dataset_deinit(dataset);
    *dataset = kept;
    return TRIB_OK;
}

static enum trib_exit join_with_data(const struct trib_cli *cli, const struct join_options *options,
                                     const struct trib_link *link) {
    struct trib_data_part share;
    struct trib_dataset dataset = {0}, held = {0};
    struct trib_error error = {0};
    if (strcmp(options->role, "trainer") != 0 && strcmp(options->role, "evaluator") != 0) {
        return trib_cli_fail(cli, TRIB_EXIT_USAGE, "--role: must be trainer or evaluator");
    }
    if (trib_data_part_parse(options->part, options->partition, options->seed, &share, &error) !=
        TRIB_OK) {
        return trib_cli_fail(cli, TRIB_EXIT_USAGE, "%s", error.text);
    }
    share.is_test = strcmp(options->role, "evaluator") == 0;
    enum trib_status status =
        trib_data_part_load(cli->env, options->data, &share, &dataset, &error);
    if (status == TRIB_OK && !share.is_test) {
        status = split(cli->env, (uint32_t)options->hold_out, &dataset, &held, &error);
    }
    if (status != TRIB_OK) {
        trib_dataset_deinit(&dataset);
        return trib_cli_fail(cli, TRIB_EXIT_FAILED, "%s", error.text);
    }
    struct joining joining = {
        .cli = cli,
        .options = options,
        .participant = {.env = cli->env,
                        .dataset = &dataset,
                        .held = held.row_count > 0 ? &held : NULL,
                        .client = options->client,
                        .seed = options->seed},
    };
    joining.participant.is_called = is_called;
    joining.participant.context = &joining;
    enum trib_exit result = open_keepsake(&joining, link);
    if (result == TRIB_EXIT_OK) {
        result = join_link(&joining, link);
    }
    trib_participant_deinit(&joining.participant);
    trib_keepsake_close(&joining.keepsake);
    trib_dataset_deinit(&held);
    trib_dataset_deinit(&dataset);
    return result;
}

static enum trib_exit join(const struct trib_cli *cli, const void *given) {
    const struct join_options *options = given;
    struct trib_link link;
    struct trib_error error = {0};
    if (trib_join_link_parse(options->link, &link, &error) != TRIB_OK) {
        return trib_cli_fail(cli, TRIB_EXIT_USAGE, "%s", error.text);
    }
    const char *client = options->client;
    if (client != NULL && !trib_name_is_valid(client, strlen(client))) {
        return trib_cli_fail(cli, TRIB_EXIT_USAGE,
                             "--client: 1 to 64 of A-Z a-z 0-9 . _ -, the first a letter or digit");
    }
    if (options->is_check) {
        return trib_check(cli, &link, &options->way, client);
    }
    if (client == NULL || options->data == NULL) {
        return trib_cli_fail(cli, TRIB_EXIT_USAGE, "--%s is missing: only --check needs none",
                             client == NULL ? "client" : "data");
    }
    return join_with_data(cli, options, &link);
}

const struct trib_command trib_command_join = {
    .name = "join",
    .group = "Taking part",
    .summary = "Train or evaluate with data of one's own until the run has stopped",
    .details =
        "Usually: trib join LINK --client ID --data PATH. If that does not get through:\n"
        "trib join LINK --check, which says what is in the way.\n"
        "HTTPS_PROXY, HTTP_PROXY and NO_PROXY are heeded, by all commands that call a daemon.\n"
        "The model is recognised by its tensors (softmax, mlp, cnn or lstm, see model.init.trainer in\n"
        "'trib help spec'). Only the rows of the part are loaded; none of them leaves.\n",
    .options = join_table,
    .options_bytes = sizeof(struct join_options),
    .run = join,
};
