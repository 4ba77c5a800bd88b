/* progress.c - what a watcher knows of a run, and the lines it prints of it. */
#include "cli/progress.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"

#define BAR_WIDTH_MAX 40

static uint64_t whole_of(const json_t *object, const char *key) {
    json_int_t value = json_integer_value(json_object_get(object, key));
    return value > 0 ? (uint64_t)value : 0;
}

static double number_of(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

void trib_progress_init(struct trib_progress *progress, const json_t *spec) {
    *progress = (struct trib_progress){0};
    const char *metric =
        json_string_value(json_object_get(json_object_get(spec, "evaluate"), "metric"));
    (void)snprintf(progress->metric, sizeof progress->metric, "%s",
                   metric == NULL ? "accuracy" : metric);
    progress->versions_max = whole_of(json_object_get(spec, "stop"), "versions");
}

/* --- documents in ----------------------------------------------------------------------------- */

void trib_progress_status(struct trib_progress *progress, const json_t *status) {
    const json_t *round = json_object_get(status, "round");
    if (round != NULL) {
        progress->received = whole_of(round, "received");
        progress->wanted = whole_of(round, "wanted");
    }
}

static struct trib_progress_row *find_row(struct trib_progress *progress, uint64_t version) {
    for (size_t i = 0; i < progress->row_count; i++) {
        if (progress->rows[i].version == version) {
            return &progress->rows[i];
        }
    }
    return NULL;
}

static void evaluate(const struct trib_progress *progress, struct trib_progress_row *row,
                     const json_t *metrics) {
    if (json_object_size(metrics) > 0) {
        row->is_evaluated = true;
        row->metric = number_of(metrics, progress->metric);
        row->loss = number_of(metrics, "loss");
    }
}

void trib_progress_version(struct trib_progress *progress, const json_t *version) {
    uint64_t number = whole_of(version, "version");
    struct trib_progress_row *row = find_row(progress, number);
    if (row == NULL && number <= progress->version) {
        return; /* it has its line; version 0 is not made of updates and gets none */
    }
    if (row == NULL) {
        TRIB_ASSERT(progress->row_count < TRIB_PROGRESS_ROWS);
        row = &progress->rows[progress->row_count++];
        *row = (struct trib_progress_row){.version = number, .metric = NAN, .loss = NAN};
    }
    row->updates = whole_of(version, "updates");
    row->seconds = number_of(version, "seconds");
    row->bytes = number_of(version, "bytes");
    evaluate(progress, row, json_object_get(version, "evaluation"));
    if (number > progress->version) {
        progress->version = number;
        progress->wanted = progress->wanted == 0 ? row->updates : progress->wanted;
        progress->received = 0;
    }
}

void trib_progress_evaluation(struct trib_progress *progress, const json_t *evaluation) {
    struct trib_progress_row *row = find_row(progress, whole_of(evaluation, "version"));
    if (row != NULL) {
        evaluate(progress, row, json_object_get(evaluation, "metrics"));
    }
}

void trib_progress_update(struct trib_progress *progress) {
    progress->received++;
}

/* --- lines out -------------------------------------------------------------------------------- */

bool trib_progress_next(struct trib_progress *progress, bool is_over,
                        struct trib_progress_row *row) {
    bool is_due = is_over;
    for (size_t i = 0; i < progress->row_count; i++) {
        is_due = is_due || progress->rows[i].is_evaluated;
    }
    if (progress->row_count == 0 ||
        (!is_due && progress->version < progress->rows[0].version + 2)) {
        return false;
    }
    *row = progress->rows[0];
    progress->row_count--;
    memmove(&progress->rows[0], &progress->rows[1], progress->row_count * sizeof *progress->rows);
    return true;
}

static bool is_loss_alone(const struct trib_progress *progress) {
    return strcmp(progress->metric, "loss") == 0;
}

void trib_progress_header(const struct trib_progress *progress, struct trib_text *text) {
    trib_text_format(text, "%7s  %7s", "version", "clients");
    if (!is_loss_alone(progress)) {
        trib_text_format(text, "  %8s", progress->metric);
    }
    trib_text_format(text, "  %8s  %8s  %7s", "loss", "MB/s", "seconds");
}

static void add_number(struct trib_text *text, int width, int decimals, double number) {
    if (isfinite(number)) {
        trib_text_format(text, "  %*.*f", width, decimals, number);
    } else {
        trib_text_format(text, "  %*s", width, "-");
    }
}

void trib_progress_line(const struct trib_progress *progress, const struct trib_progress_row *row,
                        struct trib_text *text) {
    trib_text_format(text, "%7" PRIu64 "  %7" PRIu64, row->version, row->updates);
    if (!is_loss_alone(progress)) {
        size_t width = strlen(progress->metric);
        add_number(text, width > 8 ? (int)width : 8, 4, row->metric);
    }
    add_number(text, 8, 4, row->loss);
    add_number(text, 8, 1, row->bytes / row->seconds / 1e6);
    add_number(text, 7, 3, row->seconds);
}

void trib_progress_bar(const struct trib_progress *progress, size_t width, struct trib_text *text) {
    char words[128];
    double part =
        progress->wanted == 0 ? 0.0 : (double)progress->received / (double)progress->wanted;
    double share = fmin(part, 1.0);
    int used = snprintf(words, sizeof words, "version %" PRIu64, progress->version);
    if (progress->versions_max > 0) {
        share = fmin(((double)progress->version + share) / (double)progress->versions_max, 1.0);
        used += snprintf(words + used, sizeof words - (size_t)used, " of %" PRIu64,
                         progress->versions_max);
    }
    used += snprintf(words + used, sizeof words - (size_t)used, ", %" PRIu64, progress->received);
    if (progress->wanted > 0) {
        used +=
            snprintf(words + used, sizeof words - (size_t)used, " of %" PRIu64, progress->wanted);
    }
    used += snprintf(words + used, sizeof words - (size_t)used, " updates");
    size_t room = width > (size_t)used + 4 ? width - (size_t)used - 3 : 0;
    size_t cells = room < BAR_WIDTH_MAX ? room : BAR_WIDTH_MAX;
    size_t filled = (size_t)(share * (double)cells);
    if (cells > 0) {
        trib_text_format(text, "[");
        for (size_t i = 0; i < cells; i++) {
            trib_text_format(text, "%c", i < filled ? '#' : '.');
        }
        trib_text_format(text, "] ");
    }
    trib_text_format(text, "%.*s", (int)width, words);
}
