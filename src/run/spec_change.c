/* spec_change.c - the spec after a change of a live run.
 *
 * The change is merged into the spec's document (RFC 7396, section 2), which is then read as any
 * other, so that the result obeys every rule of a new spec. */
#include <string.h>

#include "run/spec_fit.h"
#include "run/strategy.h"

#define DEPTH_MAX 8 /* no field of a spec is deeper */

static const char *const changeable[] = {"strategy", "train", "sites", "select",
                                         "evaluate", "stop",  "keep"};

/* False: no memory, or too deep for any spec. */
static bool merge(json_t *target, const json_t *patch, int depth) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)patch, key, value) { /* const is not jansson's way */
        json_t *there = json_object_get(target, key);
        if (json_is_null(value)) {
            (void)json_object_del(target, key); /* it may not be there */
        } else if (!json_is_object(value)) {
            if (json_object_set(target, key, value) != 0)
                return false;
        } else {
            if (!json_is_object(there)) {
                there = json_object();
                if (json_object_set_new(target, key, there) != 0)
                    return false;
            }
            if (depth == DEPTH_MAX || !merge(there, value, depth + 1))
                return false;
        }
    }
    return true;
}

static enum trib_status check_keys(const json_t *patch, struct trib_error *error) {
    const char *key;
    json_t *value;
    if (!json_is_object(patch))
        return trib_error_set(error, TRIB_EINVALID, "a change must be an object");
    json_object_foreach((json_t *)patch, key, value) {
        bool may_change = false;
        for (size_t index = 0; index < sizeof changeable / sizeof *changeable; index++)
            may_change = may_change || strcmp(changeable[index], key) == 0;
        if (!may_change)
            return trib_error_set(error, TRIB_EINVALID,
                                  "%.32s: cannot change in a run that has begun; strategy, train, "
                                  "sites, select, evaluate, stop and keep can",
                                  key);
    }
    return TRIB_OK;
}

static bool names_another(const json_t *patch, const char *field, const json_t *current) {
    const json_t *named = json_object_get(patch, field);
    return named && !json_equal(named, json_object_get(current, field));
}

/* Settings that the old preset brought into train go with it. */
static void forget_preset(const struct trib_spec *spec, json_t *document) {
    json_t *brought = json_loads(trib_strategy_find(spec->strategy.preset)->train, 0, NULL);
    json_t *train = json_object_get(document, "train");
    const char *name;
    json_t *value;
    json_object_foreach(brought, name, value) {
        if (json_equal(value, json_object_get(train, name)))
            (void)json_object_del(train, name);
    }
    json_decref(brought);
    (void)json_object_clear(json_object_get(document, "strategy"));
}

/* Numbers that belong to what is replaced. */
static void forget_replaced(const struct trib_spec *spec, const json_t *patch, json_t *document) {
    const json_t *change = json_object_get(patch, "strategy");
    json_t *strategy = json_object_get(document, "strategy");
    json_t *server = json_object_get(strategy, "server");
    if (names_another(json_object_get(change, "server"), "optimizer", server))
        (void)json_object_clear(server);
    if (names_another(change, "preset", strategy))
        forget_preset(spec, document);
}

/* Can a run go on with the other strategy? */
static enum trib_status check_succession(const struct trib_spec *spec,
                                         const struct trib_spec *changed,
                                         struct trib_error *error) {
    const struct trib_spec_strategy *old = &spec->strategy, *fresh = &changed->strategy;
    if ((old->tempo == TRIB_TEMPO_SUM) != (fresh->tempo == TRIB_TEMPO_SUM))
        return trib_error_set(error, TRIB_EINVALID,
                              "strategy.preset: a sum is no training; make another run");
    if (old->policy->arrive && old->policy != fresh->policy)
        return trib_error_set(error, TRIB_EINVALID,
                              "strategy.preset: updates that wait for their group have no version "
                              "yet, so %s cannot be left; make a run from its best version",
                              old->preset);
    if (fresh->companions != old->companions)
        return trib_error_set(
            error, TRIB_EINVALID,
            "strategy.preset: versions of %s have other tensors than those of %s; "
            "make a run from its best version",
            fresh->preset, old->preset);
    if (fresh->base_versions > old->base_versions)
        return trib_error_set(error, TRIB_EINVALID,
                              "strategy: %s needs the last %u versions and this run has kept %u; "
                              "make a run from its best version",
                              fresh->preset, fresh->base_versions, old->base_versions);
    if (strcmp(spec->evaluate.metric, changed->evaluate.metric) != 0 ||
        spec->evaluate.is_min != changed->evaluate.is_min)
        return trib_error_set(error, TRIB_EINVALID,
                              "evaluate: metric and mode decide which version was the best, and "
                              "cannot change");
    return TRIB_OK;
}

enum trib_status trib_spec_change(const struct trib_spec *spec, const json_t *patch,
                                  struct trib_spec **changed, struct trib_error *error) {
    *changed = NULL;
    enum trib_status status = check_keys(patch, error);
    if (status != TRIB_OK)
        return status;
    json_t *document = trib_spec_document(spec);
    if (!document)
        return trib_error_set(error, TRIB_EMEMORY, "out of memory");
    forget_replaced(spec, patch, document);
    if (!merge(document, patch, 0))
        status = trib_error_set(error, TRIB_EINVALID, "the change is no part of a spec");
    if (status == TRIB_OK)
        status = trib_spec_parse_merged(spec->env, document, patch, changed, error);
    json_decref(document);
    if (status == TRIB_OK)
        status = check_succession(spec, *changed, error);
    if (status != TRIB_OK) {
        trib_spec_free(*changed);
        *changed = NULL;
    }
    return status;
}
