/* tokens.c - trib token create, list and revoke: who may come to a run, and who no longer may.
 *
 * The daemon keeps no list of tokens; that one was made is in the run's ledger, so the list is read
 * there. A token itself is printed once, by create, and written nowhere. */
#include <string.h>

#include "cli/ledger_pages.h"
#include "cli/print.h"

struct token_options {
    const char *run;
    const char *serial;
    const char *scope;
    const char *client;
    const char *label;
    trib_time_ns lasts;
    bool is_json;
    struct trib_remote_options remote;
};

#define AT(member) offsetof(struct token_options, member)

#define RUN_ROW                                                                             \
    {                                                                                       \
        "run", TRIB_OPTION_TEXT, AT(run), .value = "RUN", .is_positional = true,            \
                                          .is_required = true, .meaning = "name of the run" \
    }

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text == NULL ? "" : text;
}

/* --- create ----------------------------------------------------------------------------------- */

static const struct trib_option create_table[] = {
    RUN_ROW,
    {"scope", TRIB_OPTION_TEXT, AT(scope), .value = "SCOPE", .initial = "join",
     .meaning = "join (become a client), observe (read the run), merge (combine its updates, which "
                "it reads) or admin (control it)"},
    {"client", TRIB_OPTION_TEXT, AT(client), .value = "ID", .otherwise = "any, taken ones too",
     .meaning = "of a join token: the only client that it lets in"},
    {"label", TRIB_OPTION_TEXT, AT(label), .value = "NAME", .otherwise = "none",
     .meaning = "of the others: whom it is given to, for the record"},
    {"expires", TRIB_OPTION_DURATION, AT(lasts), .value = "DURATION",
     .otherwise = "when it is revoked", .meaning = "how long it is good: 30d"},
    {"json", TRIB_OPTION_FLAG, AT(is_json), .meaning = "print the daemon's answer as JSON"},
    TRIB_REMOTE_ROWS(struct token_options, remote),
    {0},
};

/* What may be piped goes to stdout, what names the token for its end to stderr. */
static void print_token(const struct trib_cli *cli, bool is_join, const json_t *answer) {
    char stamp[TRIB_STAMP_BYTES];
    json_int_t expires = json_integer_value(json_object_get(answer, "expires"));
    trib_print_stamp((double)expires, stamp);
    (void)fprintf(cli->out, "%s\n", text_of(answer, is_join ? "link" : "token"));
    (void)fflush(cli->out); /* in this order on a screen, too */
    (void)fprintf(cli->err, "serial %s, %s%s\n", text_of(answer, "serial"),
                  expires == 0 ? "good until it is revoked" : "expires ",
                  expires == 0 ? "" : stamp);
}

static enum trib_exit create(const struct trib_cli *cli, const void *given) {
    const struct token_options *options = given;
    bool is_join = strcmp(options->scope, "join") == 0;
    if (is_join ? options->label != NULL : options->client != NULL) {
        return trib_cli_fail(cli, TRIB_EXIT_USAGE, "join tokens take --client, the others --label");
    }
    char path[TRIB_REMOTE_PATH_BYTES];
    struct trib_remote remote;
    json_t *answer = NULL;
    enum trib_exit result = trib_remote_run_path(cli, options->run, "/tokens", path);
    if (result == TRIB_EXIT_OK) {
        result = trib_remote_open(cli, &options->remote, &remote);
    }
    if (result != TRIB_EXIT_OK) {
        return result;
    }
    const char *subject = is_join ? options->client : options->label;
    json_t *request = json_pack("{s:s, s:s*}", "scope", options->scope, "subject", subject);
    if (options->lasts > 0) {
        char lasts[32];
        (void)snprintf(lasts, sizeof lasts, "%lldms",
                       (long long)(options->lasts / TRIB_MILLISECOND));
        (void)json_object_set_new(request, "expires", json_string(lasts)); /* as for NULL */
    }
    result = request == NULL ? trib_cli_fail(cli, TRIB_EXIT_FAILED, "out of memory")
                             : trib_remote_json(&remote, "POST", path, request, &answer);
    if (result == TRIB_EXIT_OK && options->is_json) {
        result = trib_print_json(cli, answer);
    } else if (result == TRIB_EXIT_OK) {
        print_token(cli, is_join, answer);
    }
    json_decref(answer);
    json_decref(request);
    trib_remote_close(&remote);
    return result;
}

const struct trib_command trib_command_token_create = {
    .name = "token create",
    .group = "Access",
    .summary = "Make a token of a run and print it; of scope join: as a link",
    .details = "Whoever has the output may do what it says: hand it on like a password. To take\n"
               "it back: trib token revoke RUN SERIAL, with the serial that is printed below it.\n",
    .options = create_table,
    .options_bytes = sizeof(struct token_options),
    .run = create,
};

/* --- list ------------------------------------------------------------------------------------- */

static const struct trib_option list_table[] = {
    RUN_ROW,
    {"json", TRIB_OPTION_FLAG, AT(is_json), .meaning = "print JSON"},
    TRIB_REMOTE_ROWS(struct token_options, remote),
    {0},
};

/* Tokens by serial, in the order in which they were made. */
static void gather(void *context, const char *line, const json_t *document) {
    json_t *tokens = context;
    json_t *record = json_object_get(document, "record");
    const char *type = text_of(record, "type");
    const char *serial = text_of(record, "serial");
    (void)line; /* read already */
    if (strcmp(type, "token") == 0) {
        (void)json_object_set(tokens, serial, record); /* out of memory: a row less */
    } else if (strcmp(type, "revoked") == 0 && serial[0] != '\0') {
        json_t *token = json_object_get(tokens, serial);
        (void)json_object_set_new(token, "revoked", json_true()); /* likewise; of a client: none */
    }
}

static const char *state_of(const struct trib_cli *cli, const json_t *token) {
    json_int_t expires = json_integer_value(json_object_get(token, "expires"));
    if (json_is_true(json_object_get(token, "revoked"))) {
        return "revoked";
    }
    return expires != 0 && (double)expires <= cli->env->wall(cli->env->context) ? "expired"
                                                                                : "good";
}

static void print_tokens(const struct trib_cli *cli, json_t *tokens) {
    const char *serial;
    json_t *token;
    (void)fprintf(cli->out, "%-16s  %-8s  %-7s  %-20s  %s\n", "serial", "scope", "state", "expires",
                  "for");
    json_object_foreach(tokens, serial, token) {
        char stamp[TRIB_STAMP_BYTES];
        trib_print_stamp(json_number_value(json_object_get(token, "expires")), stamp);
        (void)fprintf(cli->out, "%-16s  %-8s  %-7s  %-20s  %s\n", serial, text_of(token, "scope"),
                      state_of(cli, token), stamp, text_of(token, "subject"));
    }
}

static enum trib_exit list(const struct trib_cli *cli, const void *given) {
    const struct token_options *options = given;
    struct trib_remote remote;
    /* The link that 'run create' prints is made from the key alone, and in no record. */
    json_t *tokens = json_pack("{s:{s:s, s:s, s:i}}", "0000000000000000", "scope", "join",
                               "subject", "whoever has the run's own link", "expires", 0);
    enum trib_exit result = tokens == NULL ? trib_cli_fail(cli, TRIB_EXIT_FAILED, "out of memory")
                                           : trib_remote_open(cli, &options->remote, &remote);
    if (result == TRIB_EXIT_OK) {
        result = trib_ledger_pages(&remote, options->run, 0, gather, tokens);
        trib_remote_close(&remote);
    }
    if (result == TRIB_EXIT_OK && options->is_json) {
        result = trib_print_json(cli, tokens);
    } else if (result == TRIB_EXIT_OK) {
        print_tokens(cli, tokens);
    }
    json_decref(tokens);
    return result;
}

const struct trib_command trib_command_token_list = {
    .name = "token list",
    .group = "Access",
    .summary = "List the tokens of a run, without what makes them work, and which are still good",
    .options = list_table,
    .options_bytes = sizeof(struct token_options),
    .run = list,
};

/* --- revoke ----------------------------------------------------------------------------------- */

static const struct trib_option revoke_table[] = {
    RUN_ROW,
    {"serial", TRIB_OPTION_TEXT, AT(serial), .value = "SERIAL", .is_positional = true,
     .otherwise = "only with --client",
     .meaning = "of the token; sixteen zeros: the run's own join link"},
    {"client", TRIB_OPTION_TEXT, AT(client), .value = "ID", .otherwise = "none",
     .meaning = "take back what this client got by joining instead: it is out"},
    TRIB_REMOTE_ROWS(struct token_options, remote),
    {0},
};

static enum trib_exit revoke(const struct trib_cli *cli, const void *given) {
    const struct token_options *options = given;
    char path[TRIB_REMOTE_PATH_BYTES], rest[128];
    struct trib_remote remote;
    const char *name = options->serial != NULL ? options->serial : options->client;
    if ((options->serial == NULL) == (options->client == NULL) ||
        !trib_name_is_valid(name, strlen(name))) {
        return trib_cli_fail(cli, TRIB_EXIT_USAGE,
                             "token revoke: give the serial of a token or --client ID");
    }
    (void)snprintf(rest, sizeof rest, "/%s/%s", options->serial != NULL ? "tokens" : "clients",
                   name);
    enum trib_exit result = trib_remote_run_path(cli, options->run, rest, path);
    if (result == TRIB_EXIT_OK) {
        result = trib_remote_open(cli, &options->remote, &remote);
    }
    if (result == TRIB_EXIT_OK) {
        result = trib_remote_json(&remote, "DELETE", path, NULL, NULL);
        trib_remote_close(&remote);
    }
    return result;
}

const struct trib_command trib_command_token_revoke = {
    .name = "token revoke",
    .group = "Access",
    .summary = "Refuse a token, or a client, from now on",
    .details = "A revoked join token ends no client that has joined with it: --client ID does.\n"
               "What a client has sent stays; its name can be joined again by the admin only.\n",
    .options = revoke_table,
    .options_bytes = sizeof(struct token_options),
    .run = revoke,
};
