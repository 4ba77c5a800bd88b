/* spec.h - what a run is to do, as a typed, fully defaulted structure.
 *
 * One table in spec_table.c (path, type, default, range, unit, words) is the single source: it
 * checks documents, fills defaults, prints the JSON Schema, `trib help spec` and every error
 * ("strategy.quorm: unknown field; did you mean quorum?").
 * Pure: JSON in, struct out. No clock, no files. */
#ifndef TRIB_RUN_SPEC_H
#define TRIB_RUN_SPEC_H

#include "base/attribute.h"
#include "base/name.h"
#include "base/text.h"
#include "learn/optimizer.h"
#include "learn/policy.h"
#include "tensor/layout.h"

#include <jansson.h>

#define TRIB_ROLE_RULES_MAX 64
#define TRIB_HIDDEN_LAYERS_MAX 8
#define TRIB_STALENESS_MAX 1024 /* longest table of staleness weights */
#define TRIB_TRAIN_SETTINGS_MAX 32
#define TRIB_METRIC_NAME_BYTES 33
#define TRIB_MATCHES_MAX 32 /* values in one object of select or sites[].match */
#define TRIB_QUOTAS_MAX 4
#define TRIB_ZEROS_MAX 128                          /* tensors of init.zeros */
#define TRIB_ZEROS_ELEMENTS_MAX (UINT64_C(1) << 36) /* whether they fit is another question */
#define TRIB_SITES_MAX 32

enum trib_init_kind {
    TRIB_INIT_UPLOAD,       /* PUT versions/0 by the operator */
    TRIB_INIT_FIRST_CLIENT, /* PUT versions/0 by the first client that does */
    TRIB_INIT_TRAINER,      /* a native trainer and a seed */
    TRIB_INIT_RUN,          /* a version of another run of this daemon */
    TRIB_INIT_ZEROS,        /* tensors of these shapes, all 0 */
};

enum trib_short_rule { TRIB_SHORT_WAIT, TRIB_SHORT_GO, TRIB_SHORT_PAUSE };
enum trib_late_rule { TRIB_LATE_COUNT, TRIB_LATE_REFUSE };
enum trib_weight_rule { TRIB_WEIGHT_EXAMPLES, TRIB_WEIGHT_EQUAL, TRIB_WEIGHT_ATTRIBUTE };
enum trib_staleness_rule {
    TRIB_STALENESS_CONSTANT,      /* 1 */
    TRIB_STALENESS_POLYNOMIAL,    /* (1 + u)^-a */
    TRIB_STALENESS_HINGE,         /* 1 if u <= b, else 1 / (a (u - b) + 1) */
    TRIB_STALENESS_LINEAR,        /* 1 + u: what is rarely counted counts more (FedFix) */
    TRIB_STALENESS_PARTICIPATION, /* versions per update of its client, whatever u */
    TRIB_STALENESS_ASMU,          /* async: less with every version, learn/asmu.h */
};
/* What makes a version; decides which other fields there are. In the order of the policies. */
enum trib_tempo {
    TRIB_TEMPO_ROUNDS,
    TRIB_TEMPO_BUFFER,
    TRIB_TEMPO_TICKS,
    TRIB_TEMPO_ASYNC,
    TRIB_TEMPO_GROUPS,
    TRIB_TEMPO_SUM,
    TRIB_TEMPO_CONTACTS,
};
/* What makes one delta of the updates of a version. */
enum trib_combiner {
    TRIB_COMBINER_SUM,      /* their exact weighted sum, divided */
    TRIB_COMBINER_EXTERNAL, /* whoever holds a token of scope merge */
};
enum trib_durability { TRIB_DURABILITY_SPOOL, TRIB_DURABILITY_MEMORY };

#define TRIB_DURATION_AUTO INT64_C(-1)

struct trib_zeros {
    char name[TRIB_NAME_BYTES];
    uint32_t rank;
    uint32_t shape[TRIB_RANK_MAX];
};

struct trib_spec_model {
    enum trib_init_kind init;
    /* init.trainer */
    char trainer[16]; /* "softmax", "mlp", "cnn", "lstm" */
    uint64_t trainer_seed;
    uint32_t features, classes; /* input and output width */
    uint32_t hidden[TRIB_HIDDEN_LAYERS_MAX];
    uint32_t hidden_count;
    /* init.run */
    char source_run[TRIB_NAME_BYTES];
    char source_version[24]; /* "latest", "best" or a number */
    /* init.zeros */
    struct trib_zeros *zeros; /* [zeros_count]; owned */
    uint32_t zeros_count;
    struct trib_role_rule rules[TRIB_ROLE_RULES_MAX];
    size_t rule_count;
    double delta_max; /* bound on |delta| */
};

struct trib_spec_strategy {
    char preset[16];                  /* row of the strategy table: "fedavg", ... */
    enum trib_tempo tempo;            /* from the preset, and so is: */
    const struct trib_policy *policy; /* learn/policy.h */
    double fraction;                  /* C, 0 < C <= 1: share of the present clients asked;
                                         contacts: called in a tick */
    double over_selection;            /* o >= 0: ask ceil(wanted * (1 + o)) */
    bool backs_up;        /* "backup": dynamic; all are asked, as many as pay are waited for */
    double noise;         /* with it: rho */
    uint32_t goal;        /* buffer: K, updates that make a version */
    uint32_t concurrency; /* buffer: clients that train at one time; 0 = all */
    trib_time_ns tick;    /* ticks, contacts: from one version to the next */
    uint32_t steps_min, steps_max; /* groups: of a task */
    double slack;                  /* groups: how much longer than planned is in time */
    double speed_beta;             /* groups: share of the newest speed in the estimate */
    uint32_t quorum;               /* fewest updates that make a version at the deadline or tick;
                                        rounds: also the fewest present clients that start one */
    trib_time_ns deadline;         /* TRIB_DURATION_AUTO: from observed arrivals (rounds);
                                        TRIB_TIME_NEVER: none */
    trib_time_ns first_deadline;   /* until arrivals have been observed */
    enum trib_short_rule if_short; /* "short": at the deadline with less than the quorum */
    enum trib_late_rule late;      /* an update whose base is not the current version */
    uint32_t staleness_max;        /* larger staleness is refused */
    enum trib_staleness_rule staleness;
    double staleness_a, staleness_b;
    enum trib_weight_rule weights;
    char weight_attribute[TRIB_ATTRIBUTE_NAME_BYTES]; /* weights: attribute */
    double weight_share_max; /* of one client in a version, 0 < s <= 1; 0 or 1: no cap */
    enum trib_combiner combiner;
    enum trib_policy_divide divide; /* what the weighted sum is divided by */
    uint32_t clients;               /* divide clients: N */
    uint64_t weight_max;            /* most examples one update may claim */
    uint64_t weight_total_max;      /* most examples in one version */
    uint32_t weight_unit_bits;      /* k: weights are integers in units of 2^-k */
    double alpha;                   /* async: share of an update in the mix, 0 < alpha <= 1 */
    double iota;                    /* "floor", with asmu: what is left of it in the end */
    /* round(2^k * s(u)), async: round(2^k * alpha * s(u)), for u = 0..staleness_max; fixed at creation, stored in the spec. */
    uint32_t staleness_table[TRIB_STALENESS_MAX + 1];
    uint32_t population; /* clients in all, of which control tensors are means; 0: none are kept */
    uint32_t companions; /* set of enum trib_companion, from the preset */
    struct trib_optimizer optimizer;
    enum trib_denominator denominator; /* as the policy declares them: */
    double denominator_constant;
    uint32_t base_versions; /* newest versions that must stay readable */
    enum trib_pull pull;
};

/* {gpu: true, site: [mercy, gray]}: values that are sought; those of one name, of which any will do,
 * stand next to each other. */
struct trib_matches {
    uint32_t count;
    struct trib_attribute items[TRIB_MATCHES_MAX];
};

struct trib_quota { /* clients with the same value of this attribute that have a seat */
    char name[TRIB_ATTRIBUTE_NAME_BYTES];
    uint32_t most;
};

struct trib_spec_select {
    struct trib_matches require, prefer, never;
    struct trib_quota quotas[TRIB_QUOTAS_MAX];
    uint32_t quota_count;
};

struct trib_site { /* settings of the clients that match; the first site that matches decides */
    struct trib_matches match;
    char *train; /* instead of those in spec.train, compact JSON object; owned */
};

struct trib_spec_evaluate {
    uint32_t every;  /* versions; 0 = never */
    bool on_clients; /* trainers evaluate too */
    bool on_evaluators;
    char metric[TRIB_METRIC_NAME_BYTES]; /* decides best, target and patience; default accuracy */
    bool is_min;                         /* mode: min (losses) instead of max */
    uint32_t clients_min;                /* reports needed before a version counts as evaluated */
    trib_time_ns deadline;               /* longest wait for the final evaluation before stopping */
    double goal; /* NAN = none: the metric that the run is expected to reach */
};

struct trib_spec_stop {
    uint64_t versions;  /* 0 = no limit */
    double target;      /* NAN = none: stop when metric reaches it */
    uint32_t patience;  /* evaluated versions without a new best; 0 = off */
    trib_time_ns after; /* running time; 0 = no limit */
};

struct trib_spec_keep {
    uint32_t last;  /* newest versions kept, >= 1 */
    uint32_t every; /* also each n-th; 0 = off */
    bool best;
    bool updates_forever;    /* updates: until-counted | forever */
    uint64_t disk_bytes_max; /* 0 = no quota */
};

struct trib_spec_limits { /* of each client; 0 = none */
    uint32_t client_updates_per_hour;
    uint64_t client_bytes_per_hour;
};

struct trib_spec {
    char name[TRIB_NAME_BYTES];
    uint64_t seed; /* selection of cohorts */
    struct trib_spec_model model;
    struct trib_spec_strategy strategy;
    char *train;             /* settings for clients, compact JSON object; owned */
    struct trib_site *sites; /* [site_count]; owned */
    uint32_t site_count;
    struct trib_spec_select select;
    struct trib_spec_evaluate evaluate;
    struct trib_spec_stop stop;
    struct trib_spec_keep keep;
    struct trib_spec_limits limits;
    uint32_t share; /* 1..100: turns at the daemon's workers, relative to other runs */
    enum trib_durability durability;
    trib_time_ns lease;            /* silence after which a seat is given to another */
    trib_time_ns checkpoint_every; /* 0: each version (models up to 64 MB), else by time */
    uint32_t clients_max;
    uint32_t updates_pending_max; /* admitted, not yet in a version */
    uint64_t update_bytes_max;    /* 0: twice the model */
    const struct trib_env *env;   /* private */
};

/* Check a document and fill in every default. On error *spec is NULL and error names the field,
 * what is allowed and, for a misspelt field, the nearest name. The document is borrowed. */
enum trib_status trib_spec_parse(const struct trib_env *env, const json_t *document,
                                 struct trib_spec **spec, struct trib_error *error);
/* The spec after a change of a live run. patch: a document of the fields that change, merged into
 * the spec's own as RFC 7396 says (null: back to the default). Fields that another preset, optimizer
 * or rule does not have are forgotten, and with another preset or optimizer its own numbers come.
 * Refused with the reason: a field that a live run cannot change, and strategies that cannot follow
 * each other. On error *changed is NULL. */
enum trib_status trib_spec_change(const struct trib_spec *spec, const json_t *patch,
                                  struct trib_spec **changed, struct trib_error *error);
void trib_spec_free(struct trib_spec *spec); /* NULL allowed */
/* The whole document again, every default filled in, keys in table order; new reference (NULL: no
 * memory). Fields that do not apply (momentum of an optimizer that has none) are left out.
 * parse(document(spec)) gives the same spec. */
json_t *trib_spec_document(const struct trib_spec *spec);
/* JSON Schema (draft 2020-12) of a spec; new reference (NULL: no memory). */
json_t *trib_spec_schema(void);
/* The same as text for people: field, type, default, range, meaning. */
void trib_spec_help(struct trib_text *text);

/* What the policy needs to know of the spec. */
struct trib_policy_settings trib_spec_policy_settings(const struct trib_spec *spec);

/* What decides the weight of an update. */
struct trib_weighing {
    uint64_t mass; /* examples, or what weight_attribute says */
    uint64_t staleness;
    uint64_t version;  /* that it is to make; > 0 */
    uint64_t versions; /* made since its client's first base, with the one that this is to make */
    uint64_t updates;  /* of its client in that time, with this one; > 0 */
};
/* Integer weight in units of 2^-k; 0: refused (no mass, over weight_max, staler than
 * staleness_max). Any arguments. */
uint64_t trib_spec_weigh(const struct trib_spec *spec, const struct trib_weighing *weighing);
/* The same of a client's first update. */
uint64_t trib_spec_weight(const struct trib_spec *spec, uint64_t mass, uint64_t staleness);
/* Version 0 is made by the daemon and not put by somebody. */
bool trib_spec_makes_model(const struct trib_spec *spec);
/* Weights are cut when a version closes (weight_share_max): until then they are not known. */
bool trib_spec_caps_shares(const struct trib_spec *spec);
/* The largest that it can be. */
uint64_t trib_spec_weight_max(const struct trib_spec *spec);

#endif
