/* options.h - the words after a command, described by a table and read into a struct.
 *
 * `--name value` and `--name=value` set an option, `--name` alone a flag, what has no name fills
 * the positional rows in table order, and after `--` nothing is a name any more. The same table
 * prints the help, so the two cannot disagree. */
#ifndef TRIB_CLI_OPTIONS_H
#define TRIB_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/text.h"

#define TRIB_OPTION_LIST_MAX 16

enum trib_option_kind {
    TRIB_OPTION_FLAG,     /* bool */
    TRIB_OPTION_TEXT,     /* const char *, not empty; points into the words or the table */
    TRIB_OPTION_LIST,     /* struct trib_option_list; may be given several times */
    TRIB_OPTION_INTEGER,  /* uint64_t, in least..most */
    TRIB_OPTION_SIZE,     /* uint64_t, bytes; "64MiB" */
    TRIB_OPTION_DURATION, /* trib_time_ns; "30s" */
};

struct trib_option_list {
    const char *items[TRIB_OPTION_LIST_MAX];
    size_t count;
};

struct trib_option {
    const char *name; /* "data-dir"; NULL ends a table */
    enum trib_option_kind kind;
    size_t offset;         /* of the member, in the struct of the command */
    const char *alias;     /* another name that is understood, as other programs call it; or NULL */
    const char *value;     /* what help calls it: "DIR"; NULL for a flag */
    bool is_positional;    /* given without its name; kind TEXT, or LIST (the last such row) */
    bool is_required;      /* not of a flag */
    const char *initial;   /* default, read like a value that was given; NULL: none */
    const char *otherwise; /* without an initial: what holds when it is not given, for people */
    uint64_t least, most;  /* of an integer */
    const char *meaning;   /* one line, with the unit where there is one */
};

/* Read words[count] into *target, the struct of the table, which must be all zero.
 * TRIB_EINVALID: error says which word, what is allowed, and for a misspelt name the nearest. */
enum trib_status trib_options_read(const struct trib_option *table, const char *const *words,
                                   size_t count, void *target, struct trib_error *error);

/* Append " RUN [VERSION] --data-dir DIR [options]", what must and may follow the command. */
void trib_options_usage(const struct trib_option *table, struct trib_text *text);
/* Append a line or two for each row: name, meaning, default. Nothing for an empty table. */
void trib_options_help(const struct trib_option *table, struct trib_text *text);

#endif
