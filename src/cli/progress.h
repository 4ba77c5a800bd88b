/* progress.h - what a watcher knows of a run, and the lines it prints of it. Pure: documents of the
 * daemon in, lines out.
 *
 * A version has its line when its evaluation has come, or when two newer versions exist, or a newer
 * one was evaluated: lines are in order and each version has exactly one. */
#ifndef TRIB_CLI_PROGRESS_H
#define TRIB_CLI_PROGRESS_H

#include <jansson.h>

#include "base/text.h"

#define TRIB_PROGRESS_ROWS 4 /* versions that can wait for their evaluation, and one more */
#define TRIB_PROGRESS_METRIC_BYTES 33

struct trib_progress_row {
    uint64_t version, updates;
    double seconds, bytes;
    bool is_evaluated;
    double metric, loss; /* NAN: not measured */
};

struct trib_progress {
    /* read-only */
    char metric[TRIB_PROGRESS_METRIC_BYTES]; /* evaluate.metric of the spec */
    uint64_t version;                        /* the newest */
    uint64_t versions_max;                   /* stop.versions; 0 = no limit */
    uint64_t received, wanted;               /* updates for the next version; wanted 0: unknown */

    /* private */
    struct trib_progress_row rows[TRIB_PROGRESS_ROWS];
    size_t row_count;
};

/* spec: the document of GET .../spec. */
void trib_progress_init(struct trib_progress *progress, const json_t *spec);

/* Take in the status document, a row of the history or a `version` event, an `evaluation` event, an
 * `update` event. After each version take all lines that are due. */
void trib_progress_status(struct trib_progress *progress, const json_t *status);
void trib_progress_version(struct trib_progress *progress, const json_t *version);
void trib_progress_evaluation(struct trib_progress *progress, const json_t *evaluation);
void trib_progress_update(struct trib_progress *progress);

/* The next line that is due; is_over: the run is, so every version is due. False: none. */
bool trib_progress_next(struct trib_progress *progress, bool is_over,
                        struct trib_progress_row *row);

/* Append, without a newline. */
void trib_progress_header(const struct trib_progress *progress, struct trib_text *text);
void trib_progress_line(const struct trib_progress *progress, const struct trib_progress_row *row,
                        struct trib_text *text);
/* "[####......] version 8 of 20, 3 of 10 updates", at most width characters. */
void trib_progress_bar(const struct trib_progress *progress, size_t width, struct trib_text *text);

#endif
