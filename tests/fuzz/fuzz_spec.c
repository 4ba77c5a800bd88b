/* fuzz_spec.c - any JSON as a spec.
 *
 * Rules: a spec that was accepted survives its own document; none of its weights is over the
 * limit of the sums; a refusal has words. */
#include "fuzz/target.h"

#include "learn/exact_sum.h"
#include "run/spec.h"

static void check_weights(const struct trib_spec *spec) {
    const struct trib_spec_strategy *strategy = &spec->strategy;
    for (uint64_t staleness = 0; staleness <= strategy->staleness_max; staleness++) {
        TRIB_ASSERT(trib_spec_weight(spec, strategy->weight_max, staleness) <= TRIB_WEIGHT_MAX);
        TRIB_ASSERT(trib_spec_weight(spec, 1, staleness) > 0);
    }
    TRIB_ASSERT(trib_spec_weight(spec, 1, (uint64_t)strategy->staleness_max + 1) == 0);
    TRIB_ASSERT(trib_spec_weight(spec, 0, 0) == 0);
    TRIB_ASSERT(strategy->weight_total_max <= (UINT64_C(1) << 62) >> strategy->weight_unit_bits);
}

static void check_spec(const struct trib_spec *spec) {
    json_t *document = trib_spec_document(spec);
    struct trib_spec *again = NULL;
    TRIB_ASSERT(document != NULL);
    TRIB_ASSERT(trib_spec_parse(trib_env_system(), document, &again, NULL) == TRIB_OK);
    json_t *same = trib_spec_document(again);
    TRIB_ASSERT(json_equal(document, same));
    json_decref(same);
    json_decref(document);
    trib_spec_free(again);
    check_weights(spec);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *copy = (char *)fuzz_copy(data, size);
    json_t *document = json_loadb(copy, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
    free(copy);
    if (document == NULL) {
        return 0;
    }
    struct trib_spec *spec = NULL;
    struct trib_error error = {0};
    const enum trib_status status = trib_spec_parse(trib_env_system(), document, &spec, &error);
    json_decref(document);
    TRIB_ASSERT((status == TRIB_OK) == (spec != NULL));
    TRIB_ASSERT(error.status == status && (status == TRIB_OK || error.text[0] != '\0'));
    if (spec != NULL) {
        check_spec(spec);
    }
    trib_spec_free(spec);
    return 0;
}
