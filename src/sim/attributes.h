/* attributes.h - what the clients of a population say of themselves when they join.
 *
 *   site=mercy,gpu=true                  all clients alike
 *   70% site=mercy,cores=8 + 30% site=gray   groups of clients, drawn for each by its number
 *   trace:FILE                           a CSV file; client i has row i modulo the number of rows
 *
 * The first line of the file has the names; an empty cell is an attribute that the client does not
 * have; empty lines are skipped; ".gz" is fine. A value is a number, true, false or otherwise a text,
 * as with `trib join --attribute`. */
#ifndef TRIB_SIM_ATTRIBUTES_H
#define TRIB_SIM_ATTRIBUTES_H

#include "base/attribute.h"
#include "base/env.h"
#include "base/status.h"
#include "sim/chance.h"

#define TRIB_ATTRIBUTE_GROUPS_MAX 16
#define TRIB_ATTRIBUTE_ITEMS_MAX (1u << 21) /* in a file: 230 MB */

struct trib_attributes {
    uint32_t row_count; /* read-only: kinds of clients; 0: nobody says anything */

    /* private */
    const struct trib_env *env;
    struct trib_chance chance;
    bool is_drawn;                          /* groups, else a file */
    double upto[TRIB_ATTRIBUTE_GROUPS_MAX]; /* of groups: shares up to and with this one */
    uint32_t *first_items;                  /* [row_capacity + 1] */
    uint32_t row_capacity;
    struct trib_attribute *items; /* [item_capacity], row after row */
    uint32_t item_count, item_capacity;
};

/* TRIB_EINVALID and the errors of files: error says what is wrong, of files with line and column. On
 * error *attributes is zero. */
enum trib_status trib_attributes_parse(struct trib_attributes *attributes,
                                       const struct trib_env *env, const char *text, uint64_t seed,
                                       struct trib_error *error);
void trib_attributes_deinit(struct trib_attributes *attributes); /* all-zero is safe */

/* Which of the rows the client has; 0 where there are none. */
uint32_t trib_attributes_row(const struct trib_attributes *attributes, uint64_t client);
/* What a row says; *count may be 0. */
const struct trib_attribute *trib_attributes_of(const struct trib_attributes *attributes,
                                                uint32_t row, uint32_t *count);

#endif
