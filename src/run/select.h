/* select.h - what follows from a client's attributes: may it be asked, before whom, in which groups.
 *
 * The spec's `select` and `sites` are applied once, when a client joins; the heart keeps the
 * outcome (its traits) and forgets the attributes, which stay in the ledger.
 *
 *   require, never   filter who may be asked
 *   prefer           whoever matches more of it is asked first
 *   quota            so many of one group, those with the same value, have a seat at one time
 *
 * Nothing here decides about an update: whoever sends one that nobody asked for is counted. */
#ifndef TRIB_RUN_SELECT_H
#define TRIB_RUN_SELECT_H

#include "base/map.h"
#include "run/spec.h"

struct trib_traits {
    uint8_t unselected_by; /* 0: may be asked; else which rule says no, for explain */
    uint8_t liking;        /* names in select.prefer that it matches */
    uint8_t site;          /* index + 1 in spec.sites; 0: none matches */
    uint64_t mass;         /* weights: attribute: its number; 0: none, and so it is not selected */
    uint64_t groups[TRIB_QUOTAS_MAX]; /* by quota: digest of its value, or of having none */
};

/* Do these attributes have one of the values for each name? Without names: yes. */
bool trib_matches_hold(const struct trib_matches *matches, const struct trib_attribute *attributes,
                       size_t count);
void trib_traits_of(const struct trib_spec *spec, const struct trib_attribute *attributes,
                    size_t count, struct trib_traits *traits);
/* Which rule says no to a client that is not selected, for people. */
void trib_traits_explain(const struct trib_spec *spec, const struct trib_traits *traits, char *text,
                         size_t room);

/* How many of each group have a seat. Holds no more than there are seats. */
struct trib_tally {
    struct trib_map counts; /* private */
};

void trib_tally_init(struct trib_tally *tally, const struct trib_env *env);
void trib_tally_deinit(struct trib_tally *tally); /* all-zero is safe */
void trib_tally_clear(struct trib_tally *tally);
/* Would one more of its groups stay within every quota? Always without quotas. */
bool trib_tally_has_room(const struct trib_tally *tally, const struct trib_spec_select *select,
                         const struct trib_traits *traits);
/* False: no memory; nothing has changed. */
bool trib_tally_add(struct trib_tally *tally, const struct trib_spec_select *select,
                    const struct trib_traits *traits);
void trib_tally_remove(struct trib_tally *tally, const struct trib_spec_select *select,
                       const struct trib_traits *traits);

#endif
