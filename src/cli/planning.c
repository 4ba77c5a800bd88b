/* planning.c - what to decide before runs are created: who trains together (FedCollab), and how runs
 * share one population (FedAST). Both print what goes into specs; neither talks to a daemon. */
#include "cli/command.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/name.h"
#include "learn/allocation.h"
#include "learn/coalitions.h"

#define SITES_MAX 1000 /* divergences are made from pairs; a pass over as many takes a second */

/* --- plan coalitions -------------------------------------------------------------------------- */

struct coalitions_options {
    const char *path;
    const char *complexity;
    uint64_t seed;
};

#define AT(member) offsetof(struct coalitions_options, member)
static const struct trib_option coalitions_table[] = {
    {"file", TRIB_OPTION_TEXT, AT(path), .value = "FILE", .is_positional = true,
     .is_required = true,
     .meaning = "JSON: {\"examples\": {site: n, ...}, \"divergence\": [[...]]}"},
    {"complexity", TRIB_OPTION_TEXT, AT(complexity), .value = "C", .initial = "10",
     .meaning = "how much few examples cost (C); the larger, the larger the coalitions"},
    {"seed", TRIB_OPTION_INTEGER, AT(seed), .value = "N", .initial = "1", .most = UINT32_MAX,
     .meaning = "of the orders in which sites are looked at"},
    {0},
};
#undef AT

/* What is asked, and room for the answer. */
struct plan {
    const struct trib_env *env;
    json_t *document;
    uint32_t count;
    double *beta, *divergence;
    uint32_t *cluster;
};

static bool is_positive(const json_t *number) {
    return json_is_number(number) && json_number_value(number) > 0;
}

/* Shares of the examples; their total, or 0 with an error. */
static double read_examples(struct plan *plan, struct trib_error *error) {
    const char *site;
    json_t *examples;
    double total = 0;
    size_t i = 0;
    json_object_foreach(json_object_get(plan->document, "examples"), site, examples) {
        if (!is_positive(examples)) {
            (void)trib_error_set(error, TRIB_EINVALID, "examples.%.64s: must be a number above 0",
                                 site);
            return 0;
        }
        plan->beta[i] = json_number_value(examples);
        total += plan->beta[i++];
    }
    for (i = 0; i < plan->count; i++) {
        plan->beta[i] /= total;
    }
    return total;
}

static enum trib_status read_row(struct plan *plan, const json_t *rows, uint32_t i,
                                 struct trib_error *error) {
    const json_t *row = json_array_get(rows, i);
    if (json_array_size(row) != plan->count) {
        return trib_error_set(error, TRIB_EINVALID,
                              "divergence[%" PRIu32 "]: must be a row of %" PRIu32 " numbers", i,
                              plan->count);
    }
    for (uint32_t j = 0; j < plan->count; j++) {
        const json_t *cell = json_array_get(row, j);
        double value = json_number_value(cell);
        double mirrored = json_number_value(json_array_get(json_array_get(rows, j), i));
        if (!json_is_number(cell) || value != mirrored || (i == j && value != 0)) {
            return trib_error_set(error, TRIB_EINVALID,
                                  "divergence[%" PRIu32 "][%" PRIu32 "]: must be %s", i, j,
                                  i == j ? "0" : "a number, the same as its mirror image");
        }
        /* An estimate may fall below 0; the distance that it estimates cannot. */
        plan->divergence[(size_t)i * plan->count + j] = value > 0 ? value : 0;
    }
    return TRIB_OK;
}

static enum trib_status read_divergence(struct plan *plan, struct trib_error *error) {
    const json_t *rows = json_object_get(plan->document, "divergence");
    if (json_array_size(rows) != plan->count) {
        return trib_error_set(error, TRIB_EINVALID,
                              "divergence: must have a row for each of %" PRIu32 " sites",
                              plan->count);
    }
    enum trib_status status = TRIB_OK;
    for (uint32_t i = 0; status == TRIB_OK && i < plan->count; i++) {
        status = read_row(plan, rows, i, error);
    }
    return status;
}

static enum trib_status plan_open(struct plan *plan, const char *path, struct trib_error *error) {
    json_error_t where;
    plan->document = json_load_file(path, JSON_REJECT_DUPLICATES, &where);
    if (plan->document == NULL) {
        return where.line > 0 ? trib_error_set(error, TRIB_EMALFORMED, "%s:%d:%d: %s", path,
                                               where.line, where.column, where.text)
                              : trib_error_set(error, TRIB_ENOTFOUND, "%s", where.text);
    }
    size_t count = json_object_size(json_object_get(plan->document, "examples"));
    if (count == 0 || count > SITES_MAX) {
        return trib_error_set(error, TRIB_EINVALID, "examples: must name 1 to %d sites", SITES_MAX);
    }
    plan->count = (uint32_t)count;
    plan->beta = trib_allocate(plan->env, count, sizeof *plan->beta);
    plan->divergence = trib_allocate(plan->env, count * count, sizeof *plan->divergence);
    plan->cluster = trib_allocate(plan->env, count, sizeof *plan->cluster);
    bool has_memory = plan->beta != NULL && plan->divergence != NULL && plan->cluster != NULL;
    return has_memory ? TRIB_OK : trib_error_set(error, TRIB_EMEMORY, "out of memory");
}

static void plan_close(struct plan *plan) {
    size_t count = plan->count;
    trib_release(plan->env, plan->beta, count, sizeof *plan->beta);
    trib_release(plan->env, plan->divergence, count * count, sizeof *plan->divergence);
    trib_release(plan->env, plan->cluster, count, sizeof *plan->cluster);
    json_decref(plan->document);
}

static void print_coalition(const struct trib_cli *cli, const struct plan *plan, uint32_t label) {
    const char *site;
    json_t *examples;
    uint32_t i = 0;
    json_t *members = json_array();
    json_object_foreach(json_object_get(plan->document, "examples"), site, examples) {
        if (plan->cluster[i++] == label) {
            (void)json_array_append_new(members, json_string(site));
        }
    }
    if (json_array_size(members) > 0) {
        char *text = json_dumps(members, JSON_COMPACT);
        (void)fprintf(cli->out, "select: {require: {site: %s}}\n", text == NULL ? "" : text);
        free(text);
    }
    json_decref(members);
}

static enum trib_exit plan_coalitions(const struct trib_cli *cli, const void *given) {
    const struct coalitions_options *options = given;
    struct trib_error error = {0};
    struct plan plan = {.env = cli->env};
    char *end = NULL;
    double complexity = strtod(options->complexity, &end), cost = 0, samples = 0;
    if (*end != '\0' || !(complexity >= 0) || complexity > 1e9) {
        return trib_cli_fail(cli, TRIB_EXIT_USAGE, "--complexity: must be a number from 0 to 1e9");
    }
    enum trib_status status = plan_open(&plan, options->path, &error);
    if (status == TRIB_OK) {
        samples = read_examples(&plan, &error);
        status = error.status;
    }
    if (status == TRIB_OK) {
        status = read_divergence(&plan, &error);
    }
    struct trib_coalitions coalitions = {.client_count = plan.count,
                                         .divergence = plan.divergence,
                                         .beta = plan.beta,
                                         .samples = samples,
                                         .complexity = complexity};
    if (status == TRIB_OK) {
        status = trib_coalitions_solve(cli->env, &coalitions, options->seed, plan.cluster, &cost);
    }
    for (uint32_t label = 0; status == TRIB_OK && label < plan.count; label++) {
        print_coalition(cli, &plan, label);
    }
    plan_close(&plan);
    if (status != TRIB_OK) {
        return trib_cli_fail(cli, TRIB_EXIT_FAILED, "%s",
                             error.text[0] != '\0' ? error.text : trib_status_text(status));
    }
    (void)fprintf(cli->err, "mean cost %.6g\n", cost);
    return TRIB_EXIT_OK;
}

const struct trib_command trib_command_plan_coalitions = {
    .name = "plan coalitions",
    .group = "Planning",
    .summary = "Decide which sites should train together (FedCollab)",
    .details = "Prints the `select` of one run for each coalition: sites join with their names as\n"
               "the attribute site. A divergence is 0 for sites with the same data, up to 1: how\n"
               "well a discriminator tells the two apart, balanced accuracies summed, minus 1.\n",
    .options = coalitions_table,
    .options_bytes = sizeof(struct coalitions_options),
    .run = plan_coalitions,
};

/* --- plan requests ---------------------------------------------------------------------------- */

struct requests_options {
    struct trib_option_list runs;
    uint64_t total, unit;
};

#define AT(member) offsetof(struct requests_options, member)
static const struct trib_option requests_table[] = {
    {"runs", TRIB_OPTION_LIST, AT(runs), .value = "RUN=SCORE", .is_positional = true,
     .is_required = true,
     .meaning = "a run and what it should have in proportion; 0: it has ended"},
    {"total", TRIB_OPTION_INTEGER, AT(total), .value = "N", .initial = "100", .least = 1,
     .most = 1000000, .meaning = "clients that train at one time, in all runs together"},
    {"unit", TRIB_OPTION_INTEGER, AT(unit), .value = "N", .initial = "4", .least = 1,
     .most = 1000000, .meaning = "clients for each update of a version: concurrency / goal"},
    {0},
};
#undef AT

/* "digits=0.5"; false: it is not that. */
static bool read_score(const char *text, double *score) {
    const char *equals = strchr(text, '=');
    if (equals == NULL || !trib_name_is_valid(text, (size_t)(equals - text)) || equals[1] == '\0') {
        return false;
    }
    char *end = NULL;
    *score = strtod(equals + 1, &end);
    return *end == '\0' && *score >= 0 && *score <= 1e9;
}

static enum trib_exit plan_requests(const struct trib_cli *cli, const void *given) {
    const struct requests_options *options = given;
    struct trib_allocation runs[TRIB_OPTION_LIST_MAX] = {0};
    for (size_t m = 0; m < options->runs.count; m++) {
        if (!read_score(options->runs.items[m], &runs[m].score)) {
            return trib_cli_fail(cli, TRIB_EXIT_USAGE,
                                 "%s: must be RUN=SCORE, a score from 0 to 1e9",
                                 options->runs.items[m]);
        }
    }
    if (!trib_allocation_share(runs, (uint32_t)options->runs.count, (uint32_t)options->total,
                               (uint32_t)options->unit)) {
        return trib_cli_fail(cli, TRIB_EXIT_FAILED,
                             "--total: must have --unit, %" PRIu64
                             ", for each run that goes on, and one must",
                             options->unit);
    }
    for (size_t m = 0; m < options->runs.count; m++) {
        const char *text = options->runs.items[m];
        if (runs[m].requests > 0) {
            (void)fprintf(cli->out,
                          "%.*s: {preset: fedbuff, staleness: constant, goal: %" PRIu32
                          ", concurrency: %" PRIu32 "}\n",
                          (int)strcspn(text, "="), text, runs[m].goal, runs[m].requests);
        }
    }
    return TRIB_EXIT_OK;
}

const struct trib_command trib_command_plan_requests = {
    .name = "plan requests",
    .group = "Planning",
    .summary = "Share one population's clients among runs (FedAST)",
    .details = "Prints the `strategy` of each run.\n",
    .options = requests_table,
    .options_bytes = sizeof(struct requests_options),
    .run = plan_requests,
};
