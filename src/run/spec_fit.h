/* spec_fit.h - do the fields of a spec fit together, and the numbers that follow from them. */
#ifndef TRIB_RUN_SPEC_FIT_H
#define TRIB_RUN_SPEC_FIT_H

#include "run/spec.h"

/* Fix the unit of weights and the table of staleness weights, then check every pair of fields that
 * can contradict each other. Each field must be in its own range already.
 * TRIB_EINVALID: error has both fields with their values. */
enum trib_status trib_spec_fit(struct trib_spec *spec, struct trib_error *error);

/* trib_spec_parse() of a document that a change was merged into. given: the change; a field of the
 * document that does not apply and is not in it is left out. NULL: as trib_spec_parse(). */
enum trib_status trib_spec_parse_merged(const struct trib_env *env, const json_t *document,
                                        const json_t *given, struct trib_spec **spec,
                                        struct trib_error *error);

#endif
