/* test_spec_change.c - what becomes of a spec when a live run changes it. */
#include <stdlib.h>
#include <string.h>

#include "run/spec.h"
#include "support/check.h"
#include "support/env_faulty.h"

/* Documents are written here with ' for " to stay readable. */
static json_t *load(const char *text) {
    char copy[1024];
    assert_true(strlen(text) < sizeof copy);
    strcpy(copy, text);
    for (char *quote = copy; (quote = strchr(quote, '\'')); quote++)
        *quote = '"';
    json_t *document = json_loads(copy, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
    assert_non_null(document);
    return document;
}

static struct trib_spec *parse(const char *text) {
    json_t *document = load(text);
    struct trib_spec *spec;
    struct trib_error error = {0};
    if (trib_spec_parse(trib_env_system(), document, &spec, &error) != TRIB_OK)
        fail_msg("%s: %s", text, error.text);
    json_decref(document);
    return spec;
}

static const char start[] =
    "{'name':'a','model':{},'strategy':{'preset':'fedprox','quorum':4,'staleness':'hinge',"
    "'staleness_b':2,'server':{'optimizer':'adam','beta1':0.5}},'train':{'lr':0.5,'epochs':2},"
    "'select':{'require':{'gpu':true,'site':'mercy'}},'stop':{'versions':9}}";

/* The spec that `change` makes of the start. */
static struct trib_spec *changed_by(const char *change) {
    struct trib_spec *spec = parse(start), *changed;
    json_t *patch = load(change);
    struct trib_error error = {0};
    if (trib_spec_change(spec, patch, &changed, &error) != TRIB_OK)
        fail_msg("%s: %s", change, error.text);
    json_decref(patch);
    trib_spec_free(spec);
    return changed;
}

static void only_what_is_named_changes(void **state) {
    (void)state;
    struct trib_spec *spec = changed_by("{'strategy':{'quorum':7},'train':{'lr':0.25}}");
    assert_string_equal(spec->strategy.preset, "fedprox");
    assert_int_equal(spec->strategy.quorum, 7);
    assert_int_equal(spec->strategy.staleness, TRIB_STALENESS_HINGE);
    assert_true(spec->strategy.staleness_b == 2);
    assert_true(spec->strategy.optimizer.beta1 == 0.5);
    assert_non_null(strstr(spec->train, "\"lr\":0.25"));
    assert_non_null(strstr(spec->train, "\"epochs\":2"));
    assert_int_equal(spec->stop.versions, 9);
    assert_int_equal(spec->select.require.count, 2);
    trib_spec_free(spec);
}

static void another_preset_brings_its_own_numbers(void **state) {
    (void)state;
    struct trib_spec *spec = changed_by("{'strategy':{'preset':'fedbuff','goal':5}}");
    assert_int_equal(spec->strategy.tempo, TRIB_TEMPO_BUFFER);
    assert_int_equal(spec->strategy.goal, 5);
    assert_int_equal(spec->strategy.quorum, 1);
    assert_int_equal(spec->strategy.staleness_max, 100);
    assert_int_equal(spec->strategy.optimizer.kind, TRIB_OPTIMIZER_SGD);
    assert_null(strstr(spec->train, "mu")); /* fedprox had brought it */
    assert_non_null(strstr(spec->train, "\"epochs\":2"));
    trib_spec_free(spec);
}

static void what_means_nothing_any_more_is_forgotten(void **state) {
    (void)state;
    struct trib_spec *spec = changed_by("{'strategy':{'staleness':'constant'}}");
    assert_int_equal(spec->strategy.staleness, TRIB_STALENESS_CONSTANT);
    trib_spec_free(spec);
    spec = changed_by("{'strategy':{'server':{'optimizer':'momentum'}}}");
    assert_int_equal(spec->strategy.optimizer.kind, TRIB_OPTIMIZER_MOMENTUM);
    assert_true(spec->strategy.optimizer.lr == 1);
    trib_spec_free(spec);
}

static void null_is_the_default(void **state) {
    (void)state;
    struct trib_spec *spec = changed_by(
        "{'stop':null,'select':{'require':{'gpu':null}},'strategy':{'quorum':null},'train':null}");
    assert_int_equal(spec->stop.versions, 0);
    assert_int_equal(spec->strategy.quorum, 1);
    assert_int_equal(spec->select.require.count, 1);
    assert_string_equal(spec->select.require.items[0].name, "site");
    assert_null(strstr(spec->train, "lr"));
    trib_spec_free(spec);
}

static void refusals_name_the_reason(void **state) {
    (void)state;
    static const struct {
        const char *from, *change, *words;
    } rows[] = {
        {"{}", "7", "a change must be an object"},
        {"{}", "{'seed':7}",
         "seed: cannot change in a run that has begun; strategy, train, sites, select, evaluate, stop "
         "and keep can"},
        {"{}", "{'strategy':{'gaol':1}}", "strategy.gaol: unknown field; did you mean goal?"},
        {"{}", "{'strategy':{'tick':1}}",
         "strategy.tick: only with presets fedfix, favano and s2s"},
        {"{}", "{'strategy':{'quorum':0}}",
         "strategy.quorum: must be a whole number from 1 to 1000000, not 0"},
        {"{}", "{'strategy':{'preset':'sum'}}",
         "strategy.preset: a sum is no training; make another run"},
        {"{}", "{'strategy':{'preset':'fedasync'}}",
         "strategy: fedasync needs the last 17 versions and this run has kept 1; make a run from its "
         "best version"},
        {"{}", "{'strategy':{'preset':'scaffold','population':9}}",
         "strategy.preset: versions of scaffold have other tensors than those of fedavg; make a run "
         "from its best version"},
        {"{'preset':'fedcompass'}", "{'strategy':{'preset':'fedavg'}}",
         "strategy.preset: updates that wait for their group have no version yet, so fedcompass "
         "cannot be left; make a run from its best version"},
        {"{}", "{'evaluate':{'mode':'min'}}",
         "evaluate: metric and mode decide which version was the best, and cannot change"},
        {"{}", "{'stop':{'a':{'a':{'a':{'a':{'a':{'a':{'a':{'a':{'a':{}}}}}}}}}}}",
         "the change is no part of a spec"},
    };
    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        char text[256];
        snprintf(text, sizeof text, "{'name':'a','model':{},'strategy':%s}", rows[row].from);
        struct trib_spec *spec = parse(text), *changed;
        json_t *patch = load(rows[row].change);
        struct trib_error error = {0};
        assert_int_equal(trib_spec_change(spec, patch, &changed, &error), TRIB_EINVALID);
        assert_string_equal(error.text, rows[row].words);
        assert_null(changed);
        json_decref(patch);
        trib_spec_free(spec);
    }
}

static void a_change_survives_every_failed_allocation(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    json_t *document = load(start), *patch = load("{'strategy':{'preset':'fedbuff'}}");
    trib_env_faulty_init(&faulty);
    struct trib_spec *spec, *changed;
    assert_int_equal(trib_spec_parse(&faulty.env, document, &spec, NULL), TRIB_OK);
    uint64_t before = faulty.blocks_live, nth = 0;
    do {
        trib_env_faulty_fail(&faulty, ++nth);
        enum trib_status status = trib_spec_change(spec, patch, &changed, NULL);
        assert_int_equal(status, faulty.has_failed ? TRIB_EMEMORY : TRIB_OK);
        trib_spec_free(changed);
        assert_int_equal(faulty.blocks_live, before);
    } while (faulty.has_failed);
    trib_spec_free(spec);
    json_decref(document);
    json_decref(patch);
    trib_env_faulty_deinit(&faulty);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_is_named_changes),
        cmocka_unit_test(another_preset_brings_its_own_numbers),
        cmocka_unit_test(what_means_nothing_any_more_is_forgotten),
        cmocka_unit_test(null_is_the_default),
        cmocka_unit_test(refusals_name_the_reason),
        cmocka_unit_test(a_change_survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
