/* test_spec.c - a spec says everything, refuses what it does not know, survives its document. */
#include "run/spec.h"

#include <math.h>
#include <stdlib.h>

#include "learn/policy.h"
#include "run/spec_table.h"
#include "support/check.h"
#include "support/env_faulty.h"
#include "support/json_faulty.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Documents are written here with ' for " to stay readable. */
static json_t *load(const char *text) {
    char copy[4096];
    assert_true(strlen(text) < sizeof copy);
    strcpy(copy, text);
    for (char *quote = copy; (quote = strchr(quote, '\'')); quote++)
        *quote = '"';
    json_error_t error;
    json_t *document = json_loads(copy, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (!document)
        fail_msg("%s: %s", copy, error.text);
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

/* --- defaults and documents --- */

static const char defaults[] =
    "{'name':'digits','seed':1,"
    "'model':{'init':'upload','tensors':[],'delta_max':16.0},"
    "'strategy':{'preset':'fedavg','fraction':1.0,'over_selection':0.0,'backup':'none','quorum':1,"
    "'deadline':'auto','first_deadline':'6h','short':'wait','late':'count','staleness_max':16,"
    "'staleness':'constant','weights':'examples','combiner':'sum','weight_share_max':1.0,'weight_max':1048576,"
    "'weight_total_max':1073741824,'server':{'optimizer':'sgd','lr':1.0}},"
    "'train':{},'sites':[],'select':{'require':{},'prefer':{},'never':{},'quota':{}},"
    "'evaluate':{'every':1,'on':['evaluators'],'metric':'accuracy','mode':'max','min_clients':1,"
    "'deadline':'1m','goal':null},"
    "'stop':{'versions':0,'target':null,'patience':0,'after':'0s'},"
    "'keep':{'versions':{'last':5,'every':0,'best':true},'updates':'until-counted','disk':0},"
    "'limits':{'client_updates_per_hour':0,'client_bytes_per_hour':0},"
    "'share':1,'durability':'spool','lease':'2m','checkpoint_every':'0s','clients_max':10000,"
    "'updates_pending_max':4096,'update_bytes_max':0}";

static void check_document(const struct trib_spec *spec, const char *expected) {
    json_t *actual = trib_spec_document(spec);
    json_t *wanted = load(expected);
    char *actual_text = json_dumps(actual, JSON_COMPACT | JSON_REAL_PRECISION(15));
    char *wanted_text = json_dumps(wanted, JSON_COMPACT | JSON_REAL_PRECISION(15));
    assert_string_equal(actual_text, wanted_text); /* order of keys included */
    free(actual_text);
    free(wanted_text);
    json_decref(actual);
    json_decref(wanted);
}

static void a_name_and_a_model_are_enough(void **state) {
    (void)state;
    struct trib_spec *spec = parse("{'name': 'digits', 'model': {}}");
    check_document(spec, defaults);
    assert_ptr_equal(spec->strategy.policy, &trib_policy_rounds);
    assert_true(isnan(spec->stop.target) && isnan(spec->evaluate.goal));
    assert_int_equal(spec->strategy.deadline, TRIB_DURATION_AUTO);
    assert_int_equal(spec->strategy.first_deadline, 6 * 3600 * TRIB_SECOND);
    assert_string_equal(spec->train, "{}");
    assert_true(spec->evaluate.on_evaluators && !spec->evaluate.on_clients);
    trib_spec_free(spec);
}

/* What fields there are, and their defaults, depend on the tempo of the preset. */
static void check_strategy(const char *given, const char *expected) {
    char text[512];
    snprintf(text, sizeof text, "{'name':'a','model':{},'strategy':{%s}}", given);
    struct trib_spec *spec = parse(text);
    json_t *document = trib_spec_document(spec);
    json_t *wanted = load(expected);
    int flags = JSON_COMPACT | JSON_REAL_PRECISION(15);
    char *actual_text = json_dumps(json_object_get(document, "strategy"), flags);
    char *wanted_text = json_dumps(wanted, flags);
    assert_string_equal(actual_text, wanted_text);
    free(actual_text);
    free(wanted_text);
    json_decref(wanted);
    json_decref(document);
    trib_spec_free(spec);
}

static void each_tempo_has_fields_and_defaults_of_its_own(void **state) {
    (void)state;
    check_strategy(
        "'preset':'fedbuff'",
        "{'preset':'fedbuff','goal':10,'concurrency':0,'quorum':1,'deadline':'none',"
        "'staleness_max':100,'staleness':'polynomial','staleness_a':0.5,"
        "'weights':'equal','combiner':'sum','divide':'goal','weight_share_max':1.0,'weight_max':1048576,"
        "'weight_total_max':1073741824,'server':{'optimizer':'sgd','lr':1.0}}");
    check_strategy(
        "'preset':'fedbuff','goal':3,'concurrency':7,'quorum':2,'deadline':'10m',"
        "'staleness':'constant','weights':'examples','divide':'none'",
        "{'preset':'fedbuff','goal':3,'concurrency':7,'quorum':2,'deadline':'10m',"
        "'staleness_max':100,'staleness':'constant','weights':'examples','combiner':'sum',"
        "'divide':'none','weight_share_max':1.0,'weight_max':1048576,'weight_total_max':1073741824,"
        "'server':{'optimizer':'sgd','lr':1.0}}");
    check_strategy("'preset':'fedasync'",
                   "{'preset':'fedasync','concurrency':0,'alpha':0.6,'staleness_max':16,"
                   "'staleness':'polynomial','staleness_a':0.5,'weights':'equal','combiner':'sum',"
                   "'weight_max':1048576,'server':{'optimizer':'sgd','lr':1.0}}");
    check_strategy(
        "'preset':'fedasmu','staleness_a':0.25",
        "{'preset':'fedasmu','concurrency':0,'alpha':1.0,'staleness_max':16,"
        "'staleness':'asmu','floor':0.1,'staleness_a':0.25,'weights':'equal','combiner':'sum',"
        "'weight_max':1048576,'server':{'optimizer':'sgd','lr':1.0}}");
    check_strategy("'preset':'fedfix'",
                   "{'preset':'fedfix','tick':'1m','quorum':1,'staleness_max':16,"
                   "'staleness':'linear','weights':'equal','combiner':'sum','divide':'weight',"
                   "'weight_share_max':1.0,'weight_max':1048576,'weight_total_max':1073741824,"
                   "'server':{'optimizer':'sgd','lr':1.0}}");
    check_strategy("'preset':'favano'",
                   "{'preset':'favano','fraction':0.2,'tick':'1m','quorum':1,'staleness_max':32,"
                   "'staleness':'constant','weights':'equal','combiner':'sum','divide':'both',"
                   "'weight_max':1048576,'weight_total_max':1073741824,"
                   "'server':{'optimizer':'sgd','lr':1.0}}");
    check_strategy("'preset':'cdfl','staleness_max':5",
                   "{'preset':'cdfl','concurrency':0,'alpha':0.6,'staleness_max':5,"
                   "'staleness':'polynomial','staleness_a':0.5,'weights':'attribute',"
                   "'weight_attribute':'share','combiner':'sum','weight_max':1000,"
                   "'server':{'optimizer':'sgd','lr':1.0}}");
    check_strategy(
        "'preset':'asyncfedavg','clients':3",
        "{'preset':'asyncfedavg','goal':1,'concurrency':0,'quorum':1,"
        "'deadline':'none','staleness_max':100,'staleness':'participation',"
        "'weights':'equal','combiner':'sum','divide':'clients','clients':3,'weight_share_max':1.0,'weight_max':1048576,"
        "'weight_total_max':1073741824,'server':{'optimizer':'sgd','lr':1.0}}");
    check_strategy(
        "'preset':'dbw','noise':2",
        "{'preset':'dbw','fraction':1.0,'over_selection':0.0,'backup':'dynamic',"
        "'noise':2.0,'quorum':1,'deadline':'auto','first_deadline':'6h',"
        "'short':'wait','late':'count','staleness_max':16,'staleness':'constant',"
        "'weights':'examples','combiner':'sum','weight_share_max':1.0,'weight_max':1048576,'weight_total_max':1073741824,"
        "'server':{'optimizer':'sgd','lr':1.0}}");
    check_strategy(
        "'preset':'fedcompass'",
        "{'preset':'fedcompass','steps_min':20,'steps_max':100,'slack':1.5,"
        "'speed_beta':0.9,'staleness_max':100,'staleness':'polynomial',"
        "'staleness_a':0.5,'weights':'equal','combiner':'sum','divide':'clients','clients':10,"
        "'weight_max':1048576,'weight_total_max':1073741824,"
        "'server':{'optimizer':'sgd','lr':0.9}}");
    check_strategy(
        "'preset':'fedavg','deadline':'none','weights':'equal','weight_total_max':5",
        "{'preset':'fedavg','fraction':1.0,'over_selection':0.0,'backup':'none','quorum':1,"
        "'deadline':'none','first_deadline':'6h','short':'wait','late':'count',"
        "'staleness_max':16,'staleness':'constant','weights':'equal','combiner':'sum',"
        "'weight_share_max':1.0,'weight_max':1048576,'weight_total_max':5,"
        "'server':{'optimizer':'sgd','lr':1.0}}");
}

/* One delta of weight 1, whatever the updates are divided by elsewhere. */
static void what_is_combined_outside_is_divided_by_nothing(void **state) {
    (void)state;
    struct trib_spec *spec =
        parse("{'name':'a','model':{},'strategy':{'preset':'fedbuff','combiner':'external'}}");
    assert_int_equal(spec->strategy.combiner, TRIB_COMBINER_EXTERNAL);
    assert_int_equal(spec->strategy.denominator, TRIB_DENOMINATOR_WEIGHT);
    trib_spec_free(spec);
}

static void the_policy_declares_the_denominator(void **state) {
    (void)state;
    static const struct {
        const char *strategy;
        enum trib_denominator denominator;
        double constant;
    } rows[] = {
        {"'preset':'fedbuff','goal':7", TRIB_DENOMINATOR_GOAL, 7},
        {"'preset':'fedbuff','divide':'weight'", TRIB_DENOMINATOR_WEIGHT, 1},
        {"'preset':'fedbuff','divide':'none'", TRIB_DENOMINATOR_CONSTANT, 1},
        {"'preset':'fedasync'", TRIB_DENOMINATOR_CONSTANT, 1},
        {"'preset':'fedfix'", TRIB_DENOMINATOR_WEIGHT, 1},
        {"'preset':'fedfix','divide':'none'", TRIB_DENOMINATOR_CONSTANT, 1},
        {"'preset':'fedfix','divide':'clients','clients':3", TRIB_DENOMINATOR_CONSTANT, 3},
        {"'preset':'fedbuff','divide':'clients','clients':5", TRIB_DENOMINATOR_CONSTANT, 5},
        {"'preset':'fedcompass','clients':4", TRIB_DENOMINATOR_CONSTANT, 4},
        {"'preset':'fedcompass','divide':'weight'", TRIB_DENOMINATOR_WEIGHT, 1},
        {"'preset':'favano'", TRIB_DENOMINATOR_BOTH, 1},
        {"'preset':'s2s'", TRIB_DENOMINATOR_WEIGHT, 1},
        {"'preset':'fedavg'", TRIB_DENOMINATOR_WEIGHT, 0},
    };
    for (size_t index = 0; index < COUNT(rows); index++) {
        char text[256];
        snprintf(text, sizeof text, "{'name':'a','model':{},'strategy':{%s}}",
                 rows[index].strategy);
        struct trib_spec *spec = parse(text);
        assert_int_equal(spec->strategy.denominator, rows[index].denominator);
        assert_true(spec->strategy.denominator_constant == rows[index].constant);
        trib_spec_free(spec);
    }
}

/* Every field differs from its default, but for backup, which does not go with over_selection. */
static const char everything[] =
    "{'name':'chest-xray','seed':7,"
    "'model':{'init':{'trainer':'mlp','seed':3,'features':784,'classes':10,'hidden':[200,100]},"
    "'tensors':[{'match':'*.running_*','role':'average','group':'norm','delta_max':100.5},"
    "{'match':'encoder.*','group':'','delta_max':0.0}],'delta_max':0.25},"
    "'strategy':{'preset':'fedadam','fraction':0.1,'over_selection':0.3,"
    "'backup':'none','quorum':3,"
    "'deadline':'90s','first_deadline':'1500ms','short':'pause','late':'refuse',"
    "'staleness_max':4,'staleness':'hinge','staleness_a':0.7,'staleness_b':2.0,"
    "'weights':'attribute','weight_attribute':'beds','combiner':'sum','weight_share_max':0.5,'weight_max':1000,"
    "'weight_total_max':100000,"
    "'server':{'optimizer':'yogi','lr':0.02,'beta1':0.8,'beta2':0.95,'tau':0.01,"
    "'variant':'standard'}},"
    "'train':{'epochs':2,'batch':10,'lr':0.1,'mu':0.5,'lr_decay':0.99,'optimizer':'adam',"
    "'augment':true},"
    "'sites':[{'match':{'site':'mercy','gpu':true},'train':{'batch':4}},"
    "{'match':{'cores':[2.0,4.0]},'train':{}}],"
    "'select':{'require':{'gpu':true,'site':['mercy','gray']},'prefer':{'cores':8.0},"
    "'never':{'region':'west'},'quota':{'site':2,'region':5}},"
    "'evaluate':{'every':5,'on':['clients','evaluators'],'metric':'auc','mode':'min',"
    "'min_clients':3,'deadline':'5m','goal':0.95},"
    "'stop':{'versions':100,'target':0.92,'patience':10,'after':'7d'},"
    "'keep':{'versions':{'last':2,'every':50,'best':false},'updates':'forever',"
    "'disk':214748364800},"
    "'limits':{'client_updates_per_hour':60,'client_bytes_per_hour':1048576},"
    "'share':3,'durability':'memory','lease':'30s','checkpoint_every':'10m','clients_max':50,"
    "'updates_pending_max':64,'update_bytes_max':1048576}";

static void everything_can_be_set(void **state) {
    (void)state;
    struct trib_spec *spec = parse(everything);
    check_document(spec, everything);
    assert_int_equal(spec->model.init, TRIB_INIT_TRAINER);
    assert_int_equal(spec->model.hidden_count, 2);
    assert_int_equal(spec->model.rule_count, 2);
    assert_true(spec->model.rules[0].has_role && !spec->model.rules[1].has_role);
    assert_int_equal(spec->model.rules[0].role, TRIB_ROLE_AVERAGE);
    assert_int_equal(spec->strategy.optimizer.kind, TRIB_OPTIMIZER_YOGI);
    assert_int_equal(spec->strategy.if_short, TRIB_SHORT_PAUSE);
    assert_int_equal(spec->strategy.late, TRIB_LATE_REFUSE);
    assert_int_equal(spec->strategy.first_deadline, 1500 * TRIB_MILLISECOND);
    assert_int_equal(spec->durability, TRIB_DURABILITY_MEMORY);
    assert_int_equal(spec->site_count, 2);
    assert_string_equal(spec->sites[0].train, "{\"batch\":4}");
    assert_int_equal(spec->select.require.count, 3);
    assert_int_equal(spec->select.quotas[1].most, 5);
    assert_true(spec->evaluate.is_min && spec->keep.updates_forever && !spec->keep.best);
    assert_true(spec->keep.disk_bytes_max == UINT64_C(200) << 30);
    assert_int_equal(spec->limits.client_updates_per_hour, 60);
    assert_int_equal(spec->limits.client_bytes_per_hour, 1 << 20);
    trib_spec_free(spec);
}

/* The same bytes but for the pointers to its settings and sites. */
static void check_same(const struct trib_spec *a, const struct trib_spec *b) {
    struct trib_spec *copies = calloc(2, sizeof *copies);
    assert_non_null(copies);
    memcpy(&copies[0], a, sizeof *a);
    memcpy(&copies[1], b, sizeof *b);
    assert_string_equal(a->train, b->train);
    for (uint32_t index = 0; index < a->site_count && b->site_count == a->site_count; index++) {
        assert_memory_equal(&a->sites[index].match, &b->sites[index].match, sizeof a->sites->match);
        assert_string_equal(a->sites[index].train, b->sites[index].train);
    }
    copies[0].train = copies[1].train = NULL;
    if (a->model.zeros_count > 0 && b->model.zeros_count == a->model.zeros_count)
        assert_memory_equal(a->model.zeros, b->model.zeros,
                            a->model.zeros_count * sizeof *a->model.zeros);
    copies[0].model.zeros = copies[1].model.zeros = NULL;
    copies[0].sites = copies[1].sites = NULL;
    assert_memory_equal(&copies[0], &copies[1], sizeof *copies);
    free(copies);
}

static void a_document_gives_the_same_spec_again(void **state) {
    (void)state;
    static const char *const texts[] = {
        defaults,
        everything,
        "{'name':'a','model':{'init':'first-client'},'strategy':{'preset':'fedsgd'}}",
        "{'name':'a','model':{'init':{'run':'b','version':'best'}},"
        "'strategy':{'preset':'fedprox','server':{'optimizer':'nesterov'}}}",
        "{'name':'a','model':{'init':{'run':'b','version':12}},'strategy':{'deadline':0.0015,"
        "'staleness':'polynomial'},'train':{'x':0.1,'y':1e-300,'z':'\\u00e4'}}",
        "{'name':'a','model':{},'lease':1.000000001,'stop':{'after':86400}}",
        "{'name':'a','model':{'init':{'zeros':{'age':[3],'bins':[2,20],'n':[]}}},"
        "'strategy':{'preset':'sum'}}",
    };
    for (size_t index = 0; index < COUNT(texts); index++) {
        struct trib_spec *spec = parse(texts[index]);
        json_t *document = trib_spec_document(spec);
        struct trib_spec *again;
        struct trib_error error = {0};
        if (trib_spec_parse(trib_env_system(), document, &again, &error) != TRIB_OK)
            fail_msg("%s", error.text);
        check_same(spec, again);
        json_decref(document);
        trib_spec_free(spec);
        trib_spec_free(again);
    }
}

static void durations_and_sizes_are_text_or_numbers(void **state) {
    (void)state;
    static const struct {
        const char *text;
        trib_time_ns lease;
    } rows[] = {
        {"'30s'", 30 * TRIB_SECOND},      {"30", 30 * TRIB_SECOND},
        {"1.5", 1500 * TRIB_MILLISECOND}, {"'1h30m'", 5400 * TRIB_SECOND},
        {"'1d'", 86400 * TRIB_SECOND},    {"'1500ms'", 1500 * TRIB_MILLISECOND},
    };
    for (size_t index = 0; index < COUNT(rows); index++) {
        char text[128];
        snprintf(text, sizeof text, "{'name':'a','model':{},'lease':%s}", rows[index].text);
        struct trib_spec *spec = parse(text);
        assert_int_equal(spec->lease, rows[index].lease);
        trib_spec_free(spec);
    }
    struct trib_spec *spec = parse("{'name':'a','model':{},'update_bytes_max':'64MiB'}");
    assert_int_equal(spec->update_bytes_max, 64 << 20);
    trib_spec_free(spec);
}

static void whole_numbers_may_have_a_point(void **state) {
    (void)state;
    struct trib_spec *spec = parse("{'name':'a','model':{},'strategy':{'quorum':3.0}}");
    assert_int_equal(spec->strategy.quorum, 3);
    trib_spec_free(spec);
}

/* --- presets --- */

static void presets_fill_in_the_server_and_the_client(void **state) {
    (void)state;
    static const struct {
        const char *text, *server, *train;
    } rows[] = {
        {"'strategy':{'preset':'fedsgd'},'train':{'lr':0.1}", "{'optimizer':'sgd','lr':1.0}",
         "{'lr':0.1,'steps':1,'batch':0}"},
        {"'strategy':{'preset':'fedsgd'},'train':{'batch':0,'steps':1}",
         "{'optimizer':'sgd','lr':1.0}", "{'batch':0,'steps':1}"},
        {"'strategy':{'preset':'fedprox'}", "{'optimizer':'sgd','lr':1.0}", "{'mu':0.01}"},
        {"'strategy':{'preset':'fedprox'},'train':{'mu':1}", "{'optimizer':'sgd','lr':1.0}",
         "{'mu':1}"},
        {"'strategy':{'preset':'fedavgm'}", "{'optimizer':'momentum','lr':1.0,'momentum':0.9}",
         "{}"},
        {"'strategy':{'preset':'fedadagrad'}",
         "{'optimizer':'adagrad','lr':0.1,'beta1':0.0,'tau':0.001,'variant':'paper'}", "{}"},
        {"'strategy':{'preset':'fedadam'}",
         "{'optimizer':'adam','lr':0.01,'beta1':0.9,'beta2':0.99,'tau':0.001,'variant':'paper'}",
         "{}"},
        {"'strategy':{'preset':'fedyogi','server':{'lr':0.5}}",
         "{'optimizer':'yogi','lr':0.5,'beta1':0.9,'beta2':0.99,'tau':0.001,'variant':'paper'}",
         "{}"},
        /* Naming a kind brings its usual numbers, not the preset's. */
        {"'strategy':{'preset':'fedavg','server':{'optimizer':'adam'}}",
         "{'optimizer':'adam','lr':0.01,'beta1':0.9,'beta2':0.99,'tau':0.001,'variant':'paper'}",
         "{}"},
        {"'strategy':{'server':{'momentum':0.5,'optimizer':'nesterov'}}",
         "{'optimizer':'nesterov','lr':0.7,'momentum':0.5}", "{}"},
    };
    for (size_t index = 0; index < COUNT(rows); index++) {
        char text[512];
        snprintf(text, sizeof text, "{'name':'a','model':{},%s}", rows[index].text);
        struct trib_spec *spec = parse(text);
        json_t *document = trib_spec_document(spec);
        json_t *server = load(rows[index].server);
        json_t *train = load(rows[index].train);
        assert_true(
            json_equal(json_object_get(json_object_get(document, "strategy"), "server"), server));
        assert_true(json_equal(json_object_get(document, "train"), train));
        json_decref(document);
        json_decref(server);
        json_decref(train);
        trib_spec_free(spec);
    }
}

/* --- errors --- */

#define SCAFFOLD "'preset':'scaffold','population':5"
#define MLP "'trainer':'mlp','features':4,'classes':3"

/* What stands in a spec that is otherwise good, and the whole text of its error. */
static const struct {
    const char *text, *error;
} bad[] = {
    /* misspelt or misplaced, at each level */
    {"'nam':'b'", "nam: unknown field; did you mean name?"},
    {"'quorum':3", "quorum: unknown field; did you mean strategy.quorum?"},
    {"'xylophone':3", "xylophone: unknown field"},
    {"'model':{'inti':'upload'}", "model.inti: unknown field; did you mean init?"},
    {"'model':{'init':{" MLP ",'hiden':[3]}}",
     "model.init.hiden: unknown field; did you mean hidden?"},
    {"'model':{'tensors':[{'match':'a'},{'match':'b','rol':'train'}]}",
     "model.tensors[1].rol: unknown field; did you mean role?"},
    {"'strategy':{'quorm':3}", "strategy.quorm: unknown field; did you mean quorum?"},
    {"'strategy':{'lr':3}", "strategy.lr: unknown field; did you mean strategy.server.lr?"},
    {"'strategy':{'server':{'momentun':0.9}}",
     "strategy.server.momentun: unknown field; did you mean momentum?"},
    {"'evaluate':{'metrics':'auc'}", "evaluate.metrics: unknown field; did you mean metric?"},
    {"'stop':{'version':3}", "stop.version: unknown field; did you mean versions?"},
    {"'keep':{'verions':{}}", "keep.verions: unknown field; did you mean versions?"},
    {"'keep':{'versions':{'lost':3}}", "keep.versions.lost: unknown field; did you mean last?"},
    /* wrong types */
    {"'model':'upload'", "model: must be an object, not \"upload\""},
    {"'name':3", "name: must be a name of 1 to 64 characters A-Z a-z 0-9 . _ -, the first a letter "
                 "or digit, not 3"},
    {"'name':'../etc'", "name: must be a name of 1 to 64 characters A-Z a-z 0-9 . _ -, the first a "
                        "letter or digit, not \"../etc\""},
    {"'seed':'one'", "seed: must be a whole number at least 0, not \"one\""},
    {"'strategy':{'quorum':'three'}",
     "strategy.quorum: must be a whole number from 1 to 1000000, not \"three\""},
    {"'strategy':{'quorum':1.5}",
     "strategy.quorum: must be a whole number from 1 to 1000000, not 1.5"},
    {"'strategy':{'quorum':null}",
     "strategy.quorum: must be a whole number from 1 to 1000000, not null"},
    {"'strategy':[]", "strategy: must be an object, not a list"},
    {"'keep':{'versions':{'best':1}}", "keep.versions.best: must be true or false, not 1"},
    {"'evaluate':{'on':'clients'}",
     "evaluate.on: must be a list of clients, evaluators, not \"clients\""},
    {"'evaluate':{'on':['clients','clients']}",
     "evaluate.on: must be a list of clients, evaluators, not a list"},
    {"'train':[]", "train: must be an object with at most 32 texts, numbers, true or false, not a "
                   "list"},
    {"'model':{'tensors':{}}", "model.tensors: must be a list of at most 64 objects, not an "
                               "object"},
    {"'model':{'tensors':['a']}", "model.tensors: must be a list of at most 64 objects, not \"a\""},
    {"'model':{'init':7}", "model.init: must be upload, first-client, {trainer, seed, features, "
                           "classes, hidden}, {run, version} or {zeros}, not 7"},
    {"'model':{'init':'uplaod'}",
     "model.init: must be upload, first-client, {trainer, seed, features, classes, hidden}, "
     "{run, version} or {zeros}, not \"uplaod\"; did you mean upload?"},
    {"'model':{'init':{'seed':1}}",
     "model.init: must be upload, first-client, {trainer, seed, features, classes, hidden}, "
     "{run, version} or {zeros}, not an object"},
    /* out of range */
    {"'seed':-1", "seed: must be a whole number at least 0, not -1"},
    {"'strategy':{'fraction':0}",
     "strategy.fraction: must be a number above 0 and at most 1, not 0"},
    {"'strategy':{'fraction':1.01}",
     "strategy.fraction: must be a number above 0 and at most 1, not 1.01"},
    {"'strategy':{'staleness_max':1025}",
     "strategy.staleness_max: must be a whole number from 0 to 1024, not 1025"},
    {"'strategy':{'weight_max':536870913}",
     "strategy.weight_max: must be a whole number from 1 to 536870912, not 536870913"},
    {"'strategy':{'short':'wiat'}",
     "strategy.short: must be one of wait, go, pause, not \"wiat\"; did you mean wait?"},
    {"'strategy':{'preset':'fedadm'}",
     "strategy.preset: must be a preset that `trib help spec` lists, not \"fedadm\"; did you mean "
     "fedadam?"},
    {"'strategy':{'deadline':'soon'}",
     "strategy.deadline: must be auto, none, or a duration such as 90s or 1h30m, or seconds, from "
     "0.001 to 315360000 s, not \"soon\""},
    {"'strategy':{'deadline':'0s'}",
     "strategy.deadline: must be auto, none, or a duration such as 90s or 1h30m, or seconds, from "
     "0.001 to 315360000 s, not \"0s\""},
    {"'lease':'auto'", "lease: must be a duration such as 90s or 1h30m, or seconds, from 1 to "
                       "315360000 s, not \"auto\""},
    {"'keep':{'disk':'lots'}",
     "keep.disk: must be a number of bytes, or such as 64MiB, not \"lots\""},
    {"'keep':{'disk':-5}", "keep.disk: must be a number of bytes, or such as 64MiB, not -5"},
    {"'train':{'lr':0}", "train.lr: must be a number above 0 and at most 1000000, not 0"},
    {"'train':{'epochs':-1}", "train.epochs: must be a whole number from 0 to 1000000, not -1"},
    {"'train':{'lr_decay':1.5}", "train.lr_decay: must be a number above 0 and at most 1, not 1.5"},
    {"'train':{'layers':[1]}",
     "train.layers: must be a number, true, false or a text of at most 256 bytes"},
    {"'train':{'a b':1}", "train: \"a b\" is not a name of 1 to 64 characters A-Z a-z 0-9 . _ -"},
    {"'model':{'tensors':[{'match':''}]}",
     "model.tensors[0].match: must be text of 1 to 127 bytes, not \"\""},
    {"'model':{'tensors':[{'match':'a\\u0007'}]}",
     "model.tensors[0].match: must be text of 1 to 127 bytes, not \"a\a\""},
    {"'model':{'init':{" MLP ",'hidden':[1,2,3,4,5,6,7,8,9]}}",
     "model.init.hidden: must be a list of at most 8 whole numbers from 1 to 65536, not a list"},
    {"'model':{'init':{'run':'b','version':'newest'}}",
     "model.init.version: must be latest, best or a number, not \"newest\""},
    /* missing */
    {"'model':{'init':{'trainer':'mlp','classes':3}}",
     "model.init.features: required: numbers in one input row"},
    {"'model':{'tensors':[{'role':'train'}]}",
     "model.tensors[0].match: required: tensor name, with * for any characters and ? for one"},
    /* fields that do not belong together */
    {"'model':{'init':{" MLP ",'run':'b'}}", "model.init.run: only with init {run, version}"},
    {"'strategy':{'server':{'momentum':0.9}}",
     "strategy.server.momentum: only with optimizer momentum or nesterov"},
    {"'strategy':{'preset':'fedadagrad','server':{'beta2':0.9}}",
     "strategy.server.beta2: only with optimizer adam or yogi"},
    {"'strategy':{'staleness_a':1}",
     "strategy.staleness_a: only with staleness polynomial, hinge or asmu"},
    {"'strategy':{'staleness':'polynomial','staleness_b':1}",
     "strategy.staleness_b: only with staleness hinge"},
    {"'strategy':{'preset':'fedsgd'},'train':{'epochs':5}",
     "train.epochs: preset fedsgd fixes {\"steps\": 1, \"batch\": 0}; use fedavg for local "
     "training"},
    {"'strategy':{'preset':'fedsgd'},'train':{'batch':10}",
     "train.batch: preset fedsgd fixes {\"steps\": 1, \"batch\": 0}; use fedavg for local "
     "training"},
    /* rules of the clients and what they need of the server */
    {"'strategy':{'preset':'scaffold'}",
     "strategy.population: required: all trainers there will ever be (N), of whom the control "
     "variates are the mean; nobody else may join as one"},
    {"'strategy':{'population':5}",
     "strategy.population: only with presets scaffold and scaffold_m"},
    {"'strategy':{" SCAFFOLD ",'weights':'examples'}",
     "strategy.weights: control variates are a mean over clients, not over examples; equal works"},
    {"'strategy':{" SCAFFOLD ",'staleness':'polynomial'}",
     "strategy.staleness: a control variate counts whole, however old; constant works"},
    {"'strategy':{" SCAFFOLD "},'durability':'memory'",
     "durability: a lost update would leave clients and server with different control variates; "
     "spool works"},
    {"'strategy':{" SCAFFOLD ",'quorum':6}", "strategy.quorum: 6 is over strategy.population, 5"},
    {"'strategy':{" SCAFFOLD "},'clients_max':4", "strategy.population: 5 is over clients_max, 4"},
    {"'strategy':{" SCAFFOLD "},'train':{'optimizer':'adam'}",
     "train.optimizer: preset scaffold counts on plain steps of SGD; leave it out, or use fedavg"},
    {"'strategy':{" SCAFFOLD "},'train':{'mu':0.1}",
     "train.mu: preset scaffold counts on plain steps of SGD; leave it out, or use fedavg"},
    {"'strategy':{'preset':'fedasync'},'train':{'rule':'scaffold'}",
     "train.rule: scaffold does not go with preset fedasync; strategy.preset scaffold works"},
    {"'train':{'rule':'fedcm'}",
     "train.rule: fedcm does not go with preset fedavg; strategy.preset fedcm works"},
    {"'strategy':{'preset':'fedbuff'},'train':{'rule':'fedspeed'}",
     "train.rule: fedspeed does not go with preset fedbuff; strategy.preset fedspeed works"},
    {"'strategy':{'preset':'fedcm'},'train':{'rule':'plain'}",
     "train.rule: plain does not go with preset fedcm; strategy.preset fedavg works"},
    {"'train':{'optimizer':'adagrad'}",
     "train.optimizer: must be one of sgd, momentum, adam, not \"adagrad\""},
    {"'strategy':{'goal':5}", "strategy.goal: only with presets fedbuff and asyncfedavg"},
    {"'strategy':{'tick':5}", "strategy.tick: only with presets fedfix, favano and s2s"},
    {"'strategy':{'divide':'goal'}",
     "strategy.divide: only with presets fedbuff, asyncfedavg, fedfix, fedcompass, favano and s2s"},
    {"'strategy':{'preset':'fedbuff','fraction':0.5}",
     "strategy.fraction: only with presets that work in rounds, favano and s2s"},
    {"'strategy':{'preset':'favano','weights':'examples'}",
     "strategy.divide: both counts the version before as one update, so all have to count the same; "
     "strategy.weights equal works"},
    {"'strategy':{'preset':'s2s','divide':'none'}",
     "strategy.divide: s2s makes means of models; weight or both works"},
    {"'strategy':{'preset':'fedbuff','divide':'both'}",
     "strategy.divide: both is for means of models, and fedbuff sums changes; weight works, or "
     "preset favano"},
    {"'strategy':{'preset':'fedfix','divide':'both'}",
     "strategy.divide: both is for means of models, and fedfix sums changes; weight works, or "
     "preset favano"},
    {"'strategy':{'preset':'favano','combiner':'external'}",
     "strategy.combiner: external, and preset favano is a rule for what the exact sum gives; preset "
     "fedavg works"},
    {"'strategy':{'preset':'fedbuff','late':'refuse'}",
     "strategy.late: only with presets that work in rounds"},
    {"'strategy':{'preset':'fedfix','deadline':'1m'}",
     "strategy.deadline: only with presets that work in rounds, fedbuff and asyncfedavg"},
    {"'strategy':{'preset':'fedfix','concurrency':3}",
     "strategy.concurrency: only with presets fedbuff, asyncfedavg, fedasync, fedasmu and cdfl"},
    {"'strategy':{'staleness':'asmu'}",
     "strategy.staleness: asmu is a share in a mix, and preset fedavg mixes nothing; polynomial "
     "works, or preset fedasmu"},
    {"'strategy':{'preset':'fedasync','floor':0.2}", "strategy.floor: only with staleness asmu"},
    {"'strategy':{'preset':'fedasync','goal':1}",
     "strategy.goal: only with presets fedbuff and asyncfedavg"},
    {"'strategy':{'preset':'fedasync','quorum':1}",
     "strategy.quorum: only with presets that count updates"},
    {"'strategy':{'alpha':0.5}", "strategy.alpha: only with presets fedasync, fedasmu and cdfl"},
    {"'strategy':{'preset':'fedasync','alpha':1.5}",
     "strategy.alpha: must be a number above 0 and at most 1, not 1.5"},
    {"'strategy':{'preset':'fedasync','staleness':'linear'}",
     "strategy.staleness: linear gives the slowest the largest share in the mix; polynomial works"},
    {"'strategy':{'preset':'fedasync','staleness':'participation'}",
     "strategy.staleness: participation gives the slowest the largest share in the mix; polynomial "
     "works"},
    /* values that do not fit each other */
    {"'strategy':{'preset':'fedbuff','goal':11,'concurrency':4}",
     "strategy.goal: 11 updates from 4 clients (strategy.concurrency) would count some twice in "
     "each version; goal 4 works"},
    {"'strategy':{'preset':'fedbuff','deadline':'auto'}",
     "strategy.deadline: auto is for rounds; none works, or a duration such as 10m"},
    {"'strategy':{'preset':'fedbuff','quorum':3}",
     "strategy.quorum: 3 decides nothing without a deadline; leave it out, or add "
     "strategy.deadline 10m"},
    {"'strategy':{'preset':'fedbuff','quorum':11,'deadline':'10m'}",
     "strategy.quorum: 11 is over strategy.goal, 10, which makes a version before the deadline"},
    {"'strategy':{'preset':'fedbuff','weights':'examples'}",
     "strategy.divide: goal counts updates while strategy.weights is examples, so a step would "
     "grow with the weights; weight works"},
    {"'strategy':{'weight_share_max':0.3}",
     "strategy.weight_share_max: of 1 client (strategy.quorum) one has more than 0.3; quorum 4 "
     "works"},
    {"'strategy':{'preset':'fedbuff','divide':'weight','goal':3,'weight_share_max':0.3}",
     "strategy.weight_share_max: of 3 clients (strategy.goal) one has more than 0.3; goal 4 works"},
    {"'strategy':{'preset':'fedbuff','weight_share_max':0.3}",
     "strategy.weight_share_max: a share of what is not divided by the weight; strategy.divide "
     "weight works"},
    {"'strategy':{'preset':'fedasync','combiner':'external'}",
     "strategy.combiner: external combines the updates of a version, and preset fedasync mixes each "
     "into the one before; preset fedbuff with goal 1 works"},
    {"'strategy':{'preset':'sum','combiner':'external'}",
     "strategy.combiner: external, and preset sum is a rule for what the exact sum gives; preset "
     "fedavg works"},
    {"'strategy':{'combiner':'external'},'durability':'memory'",
     "strategy.combiner: external reads updates from the disk, and durability memory puts none "
     "there; durability spool works"},
    {"'strategy':{'combiner':'external','quorum':4,'weight_share_max':0.3}",
     "strategy.weight_share_max: what a client's share is, is up to the external combiner; leave "
     "it out, or set strategy.combiner to sum"},
    {"'strategy':{'weights':'attribute'}",
     "strategy.weight_attribute: required: the attribute; clients without a whole number from 1 to "
     "weight_max are not asked"},
    {"'strategy':{'preset':'fedbuff','goal':20},'updates_pending_max':10",
     "strategy.goal: 20 is over updates_pending_max, 10"},
    {"'strategy':{'preset':'fedbuff','concurrency':20},'clients_max':10",
     "strategy.concurrency: 20 is over clients_max, 10"},
    {"'strategy':{'preset':'fedbuff','weight_total_max':9}",
     "strategy.goal: 10 is over strategy.weight_total_max, 9"},
    {"'strategy':{'preset':'fedfix','divide':'goal'}",
     "strategy.divide: fedfix has no goal; weight, none or clients works"},
    {"'strategy':{'preset':'fedcompass','divide':'goal'}",
     "strategy.divide: fedcompass has no goal; weight, none or clients works"},
    {"'strategy':{'preset':'fedcompass','weights':'examples'}",
     "strategy.divide: clients counts updates while strategy.weights is examples, so a step would "
     "grow with the weights; weight works"},
    {"'strategy':{'noise':2}", "strategy.noise: only with backup dynamic"},
    {"'strategy':{'preset':'dbw','over_selection':0.3}",
     "strategy.over_selection: with backup dynamic everybody asked is a candidate to wait for; "
     "leave it out, or set backup to none"},
    {"'strategy':{'preset':'fedcompass','steps_min':101}",
     "strategy.steps_min: 101 is over strategy.steps_max, 100; steps_min 100 works"},
    {"'strategy':{'preset':'fedcompass','weights':'examples','divide':'weight'}",
     "updates_pending_max: 4096 updates that wait for their groups, of weights up to 1048576, are "
     "over strategy.weight_total_max, 1073741824; updates_pending_max 1024 works"},
    {"'strategy':{'preset':'fedcompass','divide':'weight','clients':4}",
     "strategy.clients: only with divide clients"},
    {"'strategy':{'preset':'fedcompass'},'train':{'steps':5}",
     "train.steps: preset fedcompass gives each client steps of its own; strategy.steps_min and "
     "strategy.steps_max bound them"},
    {"'strategy':{'steps_max':5}", "strategy.steps_max: only with preset fedcompass"},
    {"'strategy':{'preset':'fedfix','weight_total_max':16}",
     "strategy.staleness_max: at 16 one update can weigh 17 (at most 16); lower it, or "
     "weight_max"},
    {"'strategy':{'quorum':11},'clients_max':10", "strategy.quorum: 11 is over clients_max, 10"},
    {"'strategy':{'quorum':11},'updates_pending_max':10",
     "strategy.quorum: 11 is over updates_pending_max, 10"},
    {"'strategy':{'weight_total_max':1000}",
     "strategy.weight_max: 1048576 is over strategy.weight_total_max, 1000"},
    {"'strategy':{'weight_max':1,'weight_total_max':2,'quorum':3}",
     "strategy.quorum: 3 is over strategy.weight_total_max, 2"},
    {"'evaluate':{'min_clients':11},'clients_max':10",
     "evaluate.min_clients: 11 is over clients_max, 10"},
    {"'strategy':{'staleness':'polynomial','staleness_a':2,'staleness_max':100,"
     "'weight_max':536870912,'weight_total_max':536870912}",
     "strategy.staleness_max: 100 is too large, at staleness 1 the weight rounds to 0 (in units of "
     "1/1; a smaller weight_max gives finer ones)"},
    {"'evaluate':{'on':[]}",
     "evaluate.on: nobody would evaluate; name clients or evaluators, or set "
     "evaluate.every to 0"},
    {"'evaluate':{'every':0},'stop':{'target':0.9}",
     "stop.target: 0.9 is never reached while evaluate.every is 0"},
    {"'evaluate':{'every':0,'goal':0.9}",
     "evaluate.goal: 0.9 is never reached while evaluate.every is 0"},
    {"'evaluate':{'every':0},'stop':{'patience':3}",
     "stop.patience: 3 never runs out while evaluate.every is 0"},
    {"'model':{'init':{'run':'a'}}", "model.init.run: a cannot start from itself"},
    {"'model':{'init':{'trainer':'softmax','features':4,'classes':3,'hidden':[5]}}",
     "model.init.hidden: softmax has no hidden layers; use trainer mlp"},
};

/* A good spec with the fields of `text` instead of its own. */
static json_t *with_fields(const char *text) {
    char braces[1024];
    snprintf(braces, sizeof braces, "{%s}", text);
    json_t *document = load("{'name':'a','model':{}}");
    json_t *fields = load(braces);
    assert_int_equal(json_object_update(document, fields), 0);
    json_decref(fields);
    return document;
}

static void errors_name_the_field_and_what_is_allowed(void **state) {
    (void)state;
    for (size_t index = 0; index < COUNT(bad); index++) {
        json_t *document = with_fields(bad[index].text);
        struct trib_spec *spec = (struct trib_spec *)&bad;
        struct trib_error error = {0};
        if (trib_spec_parse(trib_env_system(), document, &spec, &error) != TRIB_EINVALID)
            fail_msg("accepted: %s", bad[index].text);
        assert_null(spec);
        assert_int_equal(error.status, TRIB_EINVALID);
        assert_string_equal(error.text, bad[index].error);
        /* Nobody has to listen. */
        assert_int_equal(trib_spec_parse(trib_env_system(), document, &spec, NULL), TRIB_EINVALID);
        json_decref(document);
    }
}

static void name_and_model_are_required(void **state) {
    (void)state;
    static const struct {
        const char *text, *error;
    } rows[] = {
        {"{'model':{}}", "name: required: name of the run, part of every address"},
        {"{'name':'a'}", "model: required: what is trained"},
        {"[]", "a spec must be an object"},
        {"'a'", "a spec must be an object"},
    };
    for (size_t index = 0; index < COUNT(rows); index++) {
        json_t *document = load(rows[index].text);
        struct trib_spec *spec;
        struct trib_error error = {0};
        assert_int_equal(trib_spec_parse(trib_env_system(), document, &spec, &error),
                         TRIB_EINVALID);
        assert_string_equal(error.text, rows[index].error);
        json_decref(document);
    }
}

static void lists_and_settings_have_limits(void **state) {
    (void)state;
    struct trib_spec *spec;
    for (int count = TRIB_ROLE_RULES_MAX; count <= TRIB_ROLE_RULES_MAX + 1; count++) {
        json_t *document = with_fields("'model':{'tensors':[]}");
        json_t *rules = json_object_get(json_object_get(document, "model"), "tensors");
        for (int rule = 0; rule < count; rule++)
            json_array_append_new(rules, json_pack("{s:s}", "match", "*"));
        enum trib_status status = trib_spec_parse(trib_env_system(), document, &spec, NULL);
        assert_int_equal(status, count <= TRIB_ROLE_RULES_MAX ? TRIB_OK : TRIB_EINVALID);
        trib_spec_free(spec);
        json_decref(document);
    }
    /* The preset's own settings count too: fedprox adds mu. */
    for (int count = TRIB_TRAIN_SETTINGS_MAX - 1; count <= TRIB_TRAIN_SETTINGS_MAX; count++) {
        json_t *document = with_fields("'train':{},'strategy':{'preset':'fedprox'}");
        for (int setting = 0; setting < count; setting++) {
            char name[8];
            snprintf(name, sizeof name, "s%d", setting);
            json_object_set_new(json_object_get(document, "train"), name, json_integer(setting));
        }
        enum trib_status status = trib_spec_parse(trib_env_system(), document, &spec, NULL);
        assert_int_equal(status, count < TRIB_TRAIN_SETTINGS_MAX ? TRIB_OK : TRIB_EINVALID);
        trib_spec_free(spec);
        json_decref(document);
    }
}

/* --- weights --- */

static void weights_are_examples_within_bounds(void **state) {
    (void)state;
    struct trib_spec *spec = parse("{'name':'a','model':{},'strategy':{'weight_max':1000}}");
    assert_int_equal(spec->strategy.weight_unit_bits, 0);
    assert_int_equal(trib_spec_weight(spec, 1, 0), 1);
    assert_int_equal(trib_spec_weight(spec, 600, 16), 600);
    assert_int_equal(trib_spec_weight(spec, 1000, 0), 1000);
    assert_int_equal(trib_spec_weight(spec, 1001, 0), 0);
    assert_int_equal(trib_spec_weight(spec, 0, 0), 0);
    assert_int_equal(trib_spec_weight(spec, UINT64_MAX, 0), 0);
    assert_int_equal(trib_spec_weight(spec, 600, 17), 0);
    assert_int_equal(trib_spec_weight(spec, 600, UINT64_MAX), 0);
    trib_spec_free(spec);
}

static void equal_weights_ignore_examples(void **state) {
    (void)state;
    struct trib_spec *spec = parse("{'name':'a','model':{},'strategy':{'weights':'equal',"
                                   "'weight_max':1000,'staleness':'polynomial'}}");
    uint64_t unit = UINT64_C(1) << spec->strategy.weight_unit_bits;
    assert_int_equal(trib_spec_weight(spec, 1, 0), unit);
    assert_int_equal(trib_spec_weight(spec, UINT64_MAX, 0), unit);
    assert_int_equal(trib_spec_weight(spec, 7, 3), unit / 2);
    assert_int_equal(trib_spec_weight(spec, 0, 0), 0);
    trib_spec_free(spec);
}

/* (1 + u)^-0.5, and hinge with a 0.5, b 2, computed independently: round(2^k s(u)). */
static void staleness_tables_are_rounded_once(void **state) {
    (void)state;
    static const uint32_t polynomial[] = {512, 362, 296, 256, 229, 209, 194, 181, 171};
    static const uint32_t hinge[] = {512, 512, 512, 341, 256, 205, 171};
    struct trib_spec *spec = parse("{'name':'a','model':{},'strategy':{'staleness':'polynomial',"
                                   "'staleness_max':8}}");
    assert_int_equal(spec->strategy.weight_unit_bits, 9); /* 2^20 * 2^9 = 2^29 */
    assert_memory_equal(spec->strategy.staleness_table, polynomial, sizeof polynomial);
    assert_int_equal(trib_spec_weight(spec, 1 << 20, 0), 1 << 29);
    assert_int_equal(trib_spec_weight(spec, 10, 1), 3620);
    trib_spec_free(spec);
    spec = parse("{'name':'a','model':{},'strategy':{'staleness':'hinge','staleness_b':2,"
                 "'staleness_max':6}}");
    assert_memory_equal(spec->strategy.staleness_table, hinge, sizeof hinge);
    trib_spec_free(spec);
}

/* FedFix: an update that took u + 1 versions stands for all of them. */
static void linear_weights_are_whole(void **state) {
    (void)state;
    struct trib_spec *spec = parse("{'name':'a','model':{},'strategy':{'preset':'fedfix',"
                                   "'weights':'examples','weight_max':100}}");
    assert_int_equal(spec->strategy.weight_unit_bits, 0);
    assert_int_equal(trib_spec_weight(spec, 5, 0), 5);
    assert_int_equal(trib_spec_weight(spec, 5, 3), 20);
    assert_int_equal(trib_spec_weight_max(spec), 1700);
    trib_spec_free(spec);
}

/* Asynchronous FedAvg: p / P(a client delivers at a step), tests/vectors/fedfix.json. */
static void rare_participants_weigh_what_they_are_rare_by(void **state) {
    (void)state;
    struct trib_spec *spec = parse("{'name':'a','model':{},'strategy':{'preset':'asyncfedavg',"
                                   "'staleness_max':3}}");
    const double unit = (double)(1 << spec->strategy.weight_unit_bits);
    struct trib_weighing weighing = {.mass = 1, .versions = 10, .updates = 5};
    assert_int_equal(trib_spec_weigh(spec, &weighing), 2 * unit);
    weighing = (struct trib_weighing){.mass = 1, .versions = 10, .updates = 3};
    assert_int_equal(trib_spec_weigh(spec, &weighing), lround(10.0 / 3 * unit));
    weighing.updates = 1; /* ten times as much as one: cut to 1 + staleness_max */
    assert_int_equal(trib_spec_weigh(spec, &weighing), 4 * unit);
    assert_int_equal(trib_spec_weight_max(spec), 4 * unit);
    weighing = (struct trib_weighing){.mass = 1, .versions = 1, .updates = UINT64_MAX};
    assert_int_equal(trib_spec_weigh(spec, &weighing), 1); /* never nothing */
    weighing.staleness = 4;
    assert_int_equal(trib_spec_weigh(spec, &weighing), 0);
    assert_int_equal(trib_spec_weight(spec, 1, 2), 3 * unit);
    trib_spec_free(spec);
}

static void the_unit_is_as_fine_as_the_largest_weight_allows(void **state) {
    (void)state;
    static const struct {
        uint32_t weight_max, bits;
    } rows[] = {{1, 16}, {8192, 16}, {8193, 15}, {1 << 20, 9}, {(1 << 20) + 1, 8}, {1 << 28, 1}};
    for (size_t index = 0; index < COUNT(rows); index++) {
        char text[256];
        snprintf(text, sizeof text,
                 "{'name':'a','model':{},'strategy':{'staleness':'polynomial','staleness_max':2,"
                 "'weight_max':%u}}",
                 rows[index].weight_max);
        struct trib_spec *spec = parse(text);
        assert_int_equal(spec->strategy.weight_unit_bits, rows[index].bits);
        assert_true(trib_spec_weight(spec, rows[index].weight_max, 0) <= TRIB_WEIGHT_MAX);
        trib_spec_free(spec);
    }
}

/* --- the table and what is made of it --- */

static void the_table_is_well_formed(void **state) {
    (void)state;
    const struct trib_field *field;
    const struct trib_field *parents[128];
    size_t parent_count = 0;
    for (size_t row = 0; (field = trib_field_at(row)); row++) {
        /* Every row has a parent above it, or is at the top; no path is there twice. */
        size_t parent_rows = trib_field_is_child(NULL, field);
        for (size_t index = 0; index < parent_count; index++)
            parent_rows += trib_field_is_child(parents[index], field);
        if (parent_rows != 1)
            fail_msg("%s has %zu parents", field->path, parent_rows);
        parents[parent_count++ % 128] = field;
        parent_count = parent_count < 128 ? parent_count : 128;
        for (size_t other = 0; other < row; other++)
            assert_string_not_equal(field->path, trib_field_at(other)->path);
        bool has_default = field->initial || field->is_required || field->otherwise ||
                           field->kind == TRIB_FIELD_OBJECT;
        if (!has_default || !field->meaning)
            fail_msg("%s: nobody decides when it is missing", field->path);
    }
}

static void words_are_those_of_the_rooms_below(void **state) {
    (void)state;
    const struct trib_field *server = trib_field_find(trib_field_find(NULL, "strategy"), "server");
    const struct trib_field *optimizer = trib_field_find(server, "optimizer");
    for (int kind = 0; kind < TRIB_OPTIMIZER_COUNT; kind++)
        assert_string_equal(trib_field_choice(optimizer, (size_t)kind),
                            trib_optimizer_name((enum trib_optimizer_kind)kind));
    assert_null(trib_field_choice(optimizer, TRIB_OPTIMIZER_COUNT));
    const struct trib_field *tensors = trib_field_find(trib_field_find(NULL, "model"), "tensors");
    const struct trib_field *role = trib_field_find(tensors, "role");
    for (int index = TRIB_ROLE_TRAIN; index <= TRIB_ROLE_LOCAL; index++)
        assert_string_equal(trib_field_choice(role, (size_t)index),
                            trib_role_name((enum trib_role)index));
}

/* Descend into the schema along a path; NULL when it stops. */
static const json_t *schema_at(const json_t *schema, const char *path) {
    char copy[64];
    strcpy(copy, path);
    for (char *key = strtok(copy, "."); key && schema; key = strtok(NULL, ".")) {
        size_t byte_count = strlen(key);
        bool is_list = byte_count > 2 && strcmp(key + byte_count - 2, "[]") == 0;
        if (is_list)
            key[byte_count - 2] = '\0';
        const json_t *forms = json_object_get(schema, "oneOf");
        const json_t *next = json_object_get(json_object_get(schema, "properties"), key);
        for (size_t form = 0; !next && form < json_array_size(forms); form++)
            next = json_object_get(json_object_get(json_array_get(forms, form), "properties"), key);
        schema = is_list ? json_object_get(next, "items") : next;
    }
    return schema;
}

static void the_schema_and_the_help_have_every_field(void **state) {
    (void)state;
    json_t *schema = trib_spec_schema();
    struct trib_text help;
    trib_text_init(&help, trib_env_system());
    trib_spec_help(&help);
    assert_false(help.is_failed);
    const struct trib_field *field;
    for (size_t row = 0; (field = trib_field_at(row)); row++) {
        const json_t *part = schema_at(schema, field->path);
        if (!part || !strstr(help.bytes, field->path) || !strstr(help.bytes, field->meaning))
            fail_msg("%s is missing", field->path);
        const char *description = json_string_value(json_object_get(part, "description"));
        assert_non_null(strstr(description, field->meaning));
        if (field->initial) {
            json_t *initial = json_loads(field->initial, JSON_DECODE_ANY, NULL);
            assert_true(json_equal(json_object_get(part, "default"), initial));
            json_decref(initial);
        }
    }
    trib_text_deinit(&help);
    json_decref(schema);
}

static void the_schema_says_the_same_as_the_parser(void **state) {
    (void)state;
    json_t *schema = trib_spec_schema();
    static const struct {
        const char *path, *keyword, *value;
    } rows[] = {
        {"", "required", "['name','model']"},
        {"", "additionalProperties", "false"},
        {"strategy.quorum", "minimum", "1"},
        {"strategy.quorum", "maximum", "1000000"},
        {"strategy.fraction", "exclusiveMinimum", "0.0"},
        {"strategy.fraction", "maximum", "1.0"},
        {"strategy.server.momentum", "exclusiveMaximum", "1.0"},
        {"strategy.short", "enum", "['wait','go','pause']"},
        {"strategy.deadline", "type", "['string','number']"},
        {"stop.target", "type", "['number','null']"},
        {"name", "pattern", "'^[A-Za-z0-9][A-Za-z0-9._-]*$'"},
        {"train", "maxProperties", "32"},
        {"train", "additionalProperties", "{'type':['string','number','boolean']}"},
        {"model.tensors", "maxItems", "64"},
        {"keep.versions.best", "type", "'boolean'"},
    };
    for (size_t index = 0; index < COUNT(rows); index++) {
        json_t *expected = load(rows[index].value);
        const json_t *part = schema_at(schema, rows[index].path);
        if (!json_equal(json_object_get(part, rows[index].keyword), expected))
            fail_msg("%s %s", rows[index].path, rows[index].keyword);
        json_decref(expected);
    }
    json_decref(schema);
}

/* --- memory --- */

static void parsing_survives_every_failed_allocation(void **state) {
    (void)state;
    struct trib_env_faulty faulty;
    json_t *document = load(everything);
    trib_env_faulty_init(&faulty);
    uint64_t nth = 0;
    do {
        struct trib_spec *spec;
        struct trib_error error = {0};
        trib_env_faulty_fail(&faulty, ++nth);
        enum trib_status status = trib_spec_parse(&faulty.env, document, &spec, &error);
        assert_int_equal(status, faulty.has_failed ? TRIB_EMEMORY : TRIB_OK);
        assert_int_equal(error.status, status);
        trib_spec_free(spec);
        assert_int_equal(faulty.blocks_live, 0);
    } while (faulty.has_failed);
    assert_true(nth > 3);
    json_decref(document);

    /* A refusal that has no memory for its words is a lack of memory. */
    document = with_fields("'strategy':{'quorum':0}");
    nth = 0;
    do {
        struct trib_spec *spec;
        trib_env_faulty_fail(&faulty, ++nth);
        enum trib_status status = trib_spec_parse(&faulty.env, document, &spec, NULL);
        assert_int_equal(status, faulty.has_failed ? TRIB_EMEMORY : TRIB_EINVALID);
        assert_int_equal(faulty.blocks_live, 0);
    } while (faulty.has_failed);
    json_decref(document);
    trib_env_faulty_deinit(&faulty);
}

static void jansson_may_run_out_of_memory(void **state) {
    (void)state;
    /* Tokens over 16 bytes are left out: jansson loses their end when its buffer cannot grow. */
    struct trib_spec *whole =
        parse("{'name':'a','model':{'init':{" MLP ",'hidden':[3,4]},'tensors':[{'match':'b'}]},"
              "'train':{'steps':5,'x':'y'},'sites':[{'match':{'b':[1,2,true]},'train':{'x':1}}],"
              "'select':{'quota':{'b':2}}}");
    json_faulty_begin();
    uint64_t nth = 0;
    uint64_t failures = 0;
    do {
        json_faulty_fail(++nth);
        json_t *document = trib_spec_document(whole);
        assert_int_equal(document == NULL, json_faulty_has_failed());
        failures += document == NULL;
        json_decref(document);
        assert_int_equal(json_faulty_blocks_live(), 0);
    } while (json_faulty_has_failed());
    nth = 0;
    do {
        json_faulty_fail(++nth);
        json_t *schema = trib_spec_schema();
        assert_int_equal(schema == NULL, json_faulty_has_failed());
        failures += schema == NULL;
        json_decref(schema);
        assert_int_equal(json_faulty_blocks_live(), 0);
    } while (json_faulty_has_failed());
    json_faulty_end();
    assert_true(failures > 300);
    trib_spec_free(whole);

    struct trib_spec *right = parse("{'name':'a','model':{},'strategy':{'preset':'fedprox'},"
                                    "'train':{'x':1}}");
    json_faulty_begin();
    nth = failures = 0;
    bool has_failed;
    do {
        json_t *document =
            load("{'name':'a','model':{},'strategy':{'preset':'fedprox'},'train':{'x':1}}");
        struct trib_spec *spec;
        json_faulty_fail(++nth);
        enum trib_status status = trib_spec_parse(trib_env_system(), document, &spec, NULL);
        has_failed = json_faulty_has_failed();
        /* Jansson forgives a buffer that could not grow for the closing quote of a default. */
        assert_true(has_failed ? status == TRIB_EMEMORY || status == TRIB_OK : status == TRIB_OK);
        failures += status == TRIB_EMEMORY;
        if (spec)
            check_same(spec, right);
        trib_spec_free(spec);
        json_decref(document);
        assert_int_equal(json_faulty_blocks_live(), 0);
    } while (has_failed);
    json_faulty_end();
    assert_true(failures + 5 > nth);
    trib_spec_free(right);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_and_a_model_are_enough),
        cmocka_unit_test(everything_can_be_set),
        cmocka_unit_test(a_document_gives_the_same_spec_again),
        cmocka_unit_test(durations_and_sizes_are_text_or_numbers),
        cmocka_unit_test(whole_numbers_may_have_a_point),
        cmocka_unit_test(each_tempo_has_fields_and_defaults_of_its_own),
        cmocka_unit_test(what_is_combined_outside_is_divided_by_nothing),
        cmocka_unit_test(the_policy_declares_the_denominator),
        cmocka_unit_test(linear_weights_are_whole),
        cmocka_unit_test(rare_participants_weigh_what_they_are_rare_by),
        cmocka_unit_test(presets_fill_in_the_server_and_the_client),
        cmocka_unit_test(errors_name_the_field_and_what_is_allowed),
        cmocka_unit_test(name_and_model_are_required),
        cmocka_unit_test(lists_and_settings_have_limits),
        cmocka_unit_test(weights_are_examples_within_bounds),
        cmocka_unit_test(equal_weights_ignore_examples),
        cmocka_unit_test(staleness_tables_are_rounded_once),
        cmocka_unit_test(the_unit_is_as_fine_as_the_largest_weight_allows),
        cmocka_unit_test(the_table_is_well_formed),
        cmocka_unit_test(words_are_those_of_the_rooms_below),
        cmocka_unit_test(the_schema_and_the_help_have_every_field),
        cmocka_unit_test(the_schema_says_the_same_as_the_parser),
        cmocka_unit_test(parsing_survives_every_failed_allocation),
        cmocka_unit_test(jansson_may_run_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
