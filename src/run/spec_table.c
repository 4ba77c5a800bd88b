/* spec_table.c - the table of a spec's fields.
 *
 * Integers stop at 2^53 - 1, the largest that every JSON reader keeps exact (RFC 7493, section
 * 2.2). Ranges are wide: they keep the arithmetic safe and do not judge what is wise. */
#include "run/spec_table.h"

#include <inttypes.h>
#include <string.h>

#include "run/strategy.h"

#define WHOLE_MAX 9007199254740991.0 /* 2^53 - 1 */
#define DAY 86400.0
#define LONGEST (3650 * DAY)
#define COUNT_MAX 1000000.0

#define AT(member) \
    .offset = offsetof(struct trib_spec, member), .bytes = sizeof(((struct trib_spec *)0)->member)
#define IN_RULE(member)                                \
    .offset = offsetof(struct trib_role_rule, member), \
    .bytes = sizeof(((struct trib_role_rule *)0)->member)
#define IN_SITE(member) \
    .offset = offsetof(struct trib_site, member), .bytes = sizeof(((struct trib_site *)0)->member)
#define ONLY_IF(type, member, values, words)                                         \
    .decider = offsetof(type, member), .decider_bytes = sizeof(((type *)0)->member), \
    .decider_values = (values), .applies = (words)
#define FROM(lowest, highest) .least = (lowest), .most = (highest)
#define BIT(value) (1u << (value))

#define MOMENTUM_KINDS (BIT(TRIB_OPTIMIZER_MOMENTUM) | BIT(TRIB_OPTIMIZER_NESTEROV))
#define SECOND_KINDS (BIT(TRIB_OPTIMIZER_ADAM) | BIT(TRIB_OPTIMIZER_YOGI))
#define ADAPTIVE_KINDS (BIT(TRIB_OPTIMIZER_ADAGRAD) | SECOND_KINDS)
#define ROUNDS BIT(TRIB_TEMPO_ROUNDS)
#define BUFFER BIT(TRIB_TEMPO_BUFFER)
#define TICKS BIT(TRIB_TEMPO_TICKS)
#define ASYNC BIT(TRIB_TEMPO_ASYNC)
#define GROUPS BIT(TRIB_TEMPO_GROUPS)
#define SUM BIT(TRIB_TEMPO_SUM)
#define CONTACTS BIT(TRIB_TEMPO_CONTACTS)
#define SUMS (ROUNDS | BUFFER | TICKS | GROUPS | CONTACTS)
#define IN_GROUPS ONLY_IF(struct trib_spec, strategy.tempo, GROUPS, "preset fedcompass")
#define IN_ROUNDS ONLY_IF(struct trib_spec, strategy.tempo, ROUNDS, "presets that work in rounds")
#define DECAYING_RULES \
    (BIT(TRIB_STALENESS_POLYNOMIAL) | BIT(TRIB_STALENESS_HINGE) | BIT(TRIB_STALENESS_ASMU))
#define WITH_CONTROL \
    (BIT(TRIB_COMPANION_CONTROL) | BIT(TRIB_COMPANION_CONTROL | TRIB_COMPANION_MOMENTUM))

static const char *const inits[] = {"upload", "first-client", NULL};
static const char *const trainers[] = {"softmax", "mlp", "cnn", "lstm", NULL};
static const char *const roles[] = {"train", "average", "freeze", "local", NULL};
static const char *const short_rules[] = {"wait", "go", "pause", NULL};
static const char *const backup_rules[] = {"none", "dynamic", NULL};
static const char *const late_rules[] = {"count", "refuse", NULL};
static const char *const staleness_rules[] = {"constant",      "polynomial", "hinge", "linear",
                                              "participation", "asmu",       NULL};
static const char *const divide_rules[] = {"weight", "goal", "none", "clients", "both", NULL};
static const char *const combiners[] = {"sum", "external", NULL};
static const char *const weight_rules[] = {"examples", "equal", "attribute", NULL};
static const char *const optimizers[] = {"sgd",  "momentum", "nesterov", "adagrad",
                                         "adam", "yogi",     NULL};
static const char *const variants[] = {"paper", "standard", NULL};
static const char *const places[] = {"clients", "evaluators", NULL};
static const char *const modes[] = {"max", "min", NULL};
static const char *const fates[] = {"until-counted", "forever", NULL};
static const char *const durabilities[] = {"spool", "memory", NULL};
static const char *const client_optimizers[] = {"sgd", "momentum", "adam", NULL};
static const char *const client_rules[] = {"plain",      "fedcm",    "scaffold",
                                           "scaffold_m", "fedspeed", NULL};

static const struct trib_field fields[] = {
    {"name", TRIB_FIELD_NAME, AT(name), .is_required = true,
     .meaning = "name of the run, part of every address"},
    {"seed", TRIB_FIELD_INTEGER, AT(seed), .initial = "1", FROM(0, WHOLE_MAX),
     .meaning = "decides which clients are asked in which round"},

    {"model", TRIB_FIELD_OBJECT, .is_required = true, .meaning = "what is trained"},
    {"model.init", TRIB_FIELD_INIT, AT(model.init), .initial = "\"upload\"", .choices = inits,
     .meaning =
         "where version 0 comes from: PUT by the operator, PUT by the first client that does, "
         "a native trainer, or a version of another run"},
    {"model.init.trainer", TRIB_FIELD_CHOICE, AT(model.trainer), .is_required = true,
     .choices = trainers,
     ONLY_IF(struct trib_spec, model.init, BIT(TRIB_INIT_TRAINER), "init {trainer, ...}"),
     .meaning = "native trainer that makes the first weights; lstm reads text: features 80, "
                "classes 258"},
    {"model.init.seed", TRIB_FIELD_INTEGER, AT(model.trainer_seed), .initial = "1",
     FROM(0, WHOLE_MAX),
     ONLY_IF(struct trib_spec, model.init, BIT(TRIB_INIT_TRAINER), "init {trainer, ...}"),
     .meaning = "seed of the first weights"},
    {"model.init.features", TRIB_FIELD_INTEGER, AT(model.features), .is_required = true,
     FROM(1, 16777216),
     ONLY_IF(struct trib_spec, model.init, BIT(TRIB_INIT_TRAINER), "init {trainer, ...}"),
     .meaning = "numbers in one input row"},
    {"model.init.classes", TRIB_FIELD_INTEGER, AT(model.classes), .is_required = true,
     FROM(2, 65536),
     ONLY_IF(struct trib_spec, model.init, BIT(TRIB_INIT_TRAINER), "init {trainer, ...}"),
     .meaning = "classes to tell apart"},
    {"model.init.hidden", TRIB_FIELD_WIDTHS, AT(model.hidden), .initial = "[]", FROM(1, 65536),
     ONLY_IF(struct trib_spec, model.init, BIT(TRIB_INIT_TRAINER), "init {trainer, ...}"),
     .meaning = "units of each hidden layer; [] = the trainer's own"},
    {"model.init.run", TRIB_FIELD_NAME, AT(model.source_run), .is_required = true,
     ONLY_IF(struct trib_spec, model.init, BIT(TRIB_INIT_RUN), "init {run, version}"),
     .meaning = "another run of this daemon"},
    {"model.init.version", TRIB_FIELD_VERSION, AT(model.source_version), .initial = "\"latest\"",
     ONLY_IF(struct trib_spec, model.init, BIT(TRIB_INIT_RUN), "init {run, version}"),
     .meaning = "which of its versions"},
    {"model.init.zeros", TRIB_FIELD_ZEROS, AT(model.zeros), .is_required = true,
     FROM(1, (double)TRIB_ZEROS_ELEMENTS_MAX),
     ONLY_IF(struct trib_spec, model.init, BIT(TRIB_INIT_ZEROS), "init {zeros}"),
     .meaning = "tensors by name, each with its shape; all of them start at 0"},
    {"model.tensors", TRIB_FIELD_RULES, AT(model.rules), .initial = "[]",
     .meaning = "exceptions by tensor name; the first rule that matches decides"},
    {"model.tensors[].match", TRIB_FIELD_TEXT, IN_RULE(match), .is_required = true, .least = 1,
     .meaning = "tensor name, with * for any characters and ? for one"},
    {"model.tensors[].role", TRIB_FIELD_CHOICE, IN_RULE(role), .choices = roles,
     .otherwise = "by name and dtype", ONLY_IF(struct trib_role_rule, has_role, BIT(true), "role"),
     .meaning = "train: server optimizer; average: mean only; freeze: as version 0; local: stays "
                "with the client"},
    {"model.tensors[].group", TRIB_FIELD_TEXT, IN_RULE(group), .initial = "\"\"",
     .meaning = "tensors that travel together, with a weight sum of their own"},
    {"model.tensors[].delta_max", TRIB_FIELD_REAL, IN_RULE(delta_max), .initial = "0",
     FROM(0, 1e30), .meaning = "bound for these tensors; 0 = model.delta_max"},
    {"model.delta_max", TRIB_FIELD_REAL, AT(model.delta_max), .otherwise = "16, with sum 2^24",
     FROM(0, 1e30), .is_above = true,
     .meaning = "largest change of one parameter in one update; larger is refused"},

    {"strategy", TRIB_FIELD_OBJECT, .meaning = "how updates become versions"},
    {"strategy.preset", TRIB_FIELD_PRESET, AT(strategy.preset), .initial = "\"fedavg\"",
     .meaning = "algorithm that gives the other fields their defaults"},
    {"strategy.fraction", TRIB_FIELD_REAL, AT(strategy.fraction),
     .otherwise = "1.0, with s2a, s2s and favano 0.2", FROM(0, 1), .is_above = true,
     ONLY_IF(struct trib_spec, strategy.tempo, ROUNDS | CONTACTS,
             "presets that work in rounds, favano and s2s"),
     .meaning = "share of the present clients asked in a round, or called in a tick (C)"},
    {"strategy.over_selection", TRIB_FIELD_REAL, AT(strategy.over_selection), .initial = "0.0",
     FROM(0, 100), IN_ROUNDS, .meaning = "share of clients asked beyond those needed"},
    {"strategy.backup", TRIB_FIELD_CHOICE, AT(strategy.backs_up),
     .otherwise = "none, with dbw dynamic", .choices = backup_rules, IN_ROUNDS,
     .meaning = "dynamic: a round waits for as many of those asked as bring most per time"},
    {"strategy.noise", TRIB_FIELD_REAL, AT(strategy.noise), .initial = "1.0", FROM(0, COUNT_MAX),
     ONLY_IF(struct trib_spec, strategy.backs_up, BIT(true), "backup dynamic"),
     .meaning = "noise of one update beside what it brings (rho): k bring 1 - rho / k"},
    {"strategy.goal", TRIB_FIELD_INTEGER, AT(strategy.goal), .otherwise = "10, with asyncfedavg 1",
     FROM(1, COUNT_MAX),
     ONLY_IF(struct trib_spec, strategy.tempo, BUFFER, "presets fedbuff and asyncfedavg"),
     .meaning = "updates that make a version (K)"},
    {"strategy.concurrency", TRIB_FIELD_INTEGER, AT(strategy.concurrency), .initial = "0",
     FROM(0, COUNT_MAX),
     ONLY_IF(struct trib_spec, strategy.tempo, BUFFER | ASYNC,
             "presets fedbuff, asyncfedavg, fedasync, fedasmu and cdfl"),
     .meaning = "clients that train at one time (C); 0 = all that are present"},
    {"strategy.alpha", TRIB_FIELD_REAL, AT(strategy.alpha), .otherwise = "0.6, with fedasmu 1",
     FROM(0, 1), .is_above = true,
     ONLY_IF(struct trib_spec, strategy.tempo, ASYNC, "presets fedasync, fedasmu and cdfl"),
     .meaning = "share of a fresh update in the mix that is the next version"},
    {"strategy.tick", TRIB_FIELD_DURATION, AT(strategy.tick), .initial = "\"1m\"",
     FROM(0.001, LONGEST),
     ONLY_IF(struct trib_spec, strategy.tempo, TICKS | CONTACTS, "presets fedfix, favano and s2s"),
     .meaning = "time from one version to the next"},
    {"strategy.steps_min", TRIB_FIELD_INTEGER, AT(strategy.steps_min), .initial = "20",
     FROM(1, COUNT_MAX), IN_GROUPS, .meaning = "fewest local steps of a task (Qmin)"},
    {"strategy.steps_max", TRIB_FIELD_INTEGER, AT(strategy.steps_max), .initial = "100",
     FROM(1, COUNT_MAX), IN_GROUPS,
     .meaning = "most local steps of a task, and those of a client's first (Qmax)"},
    {"strategy.slack", TRIB_FIELD_REAL, AT(strategy.slack), .initial = "1.5", FROM(1, 1000),
     IN_GROUPS,
     .meaning = "a group waits for its members up to so many times as long as planned (lambda)"},
    {"strategy.speed_beta", TRIB_FIELD_REAL, AT(strategy.speed_beta), .initial = "0.9", FROM(0, 1),
     .is_above = true, IN_GROUPS,
     .meaning = "share of the newest measurement in a client's estimated speed"},
    {"strategy.quorum", TRIB_FIELD_INTEGER, AT(strategy.quorum), .initial = "1", FROM(1, COUNT_MAX),
     ONLY_IF(struct trib_spec, strategy.tempo, ROUNDS | BUFFER | TICKS | CONTACTS,
             "presets that count updates"),
     .meaning = "fewest updates that make a version at the deadline or tick; in rounds also the "
                "fewest clients that start one"},
    {"strategy.min_clients", TRIB_FIELD_INTEGER, AT(strategy.quorum), .initial = "3",
     FROM(1, COUNT_MAX), ONLY_IF(struct trib_spec, strategy.tempo, SUM, "preset sum"),
     .meaning = "fewest clients whose sum is released"},
    {"strategy.deadline", TRIB_FIELD_DURATION, AT(strategy.deadline),
     .otherwise = "auto in rounds, else none", FROM(0.001, LONGEST), .has_auto = true,
     .has_none = true,
     ONLY_IF(struct trib_spec, strategy.tempo, ROUNDS | BUFFER,
             "presets that work in rounds, fedbuff and asyncfedavg"),
     .meaning = "longest time to a version; auto = from the arrivals of the rounds before"},
    {"strategy.first_deadline", TRIB_FIELD_DURATION, AT(strategy.first_deadline),
     .initial = "\"6h\"", FROM(0.001, LONGEST), IN_ROUNDS,
     .meaning = "with deadline auto: longest round while no arrivals have been seen"},
    {"strategy.short", TRIB_FIELD_CHOICE, AT(strategy.if_short), .initial = "\"wait\"",
     .choices = short_rules, IN_ROUNDS,
     .meaning = "at the deadline with fewer updates than the quorum"},
    {"strategy.late", TRIB_FIELD_CHOICE, AT(strategy.late), .initial = "\"count\"",
     .choices = late_rules, IN_ROUNDS,
     .meaning = "an update whose base is not the current version"},
    {"strategy.staleness_max", TRIB_FIELD_INTEGER, AT(strategy.staleness_max),
     .otherwise = "16, with fedbuff, asyncfedavg and fedcompass 100", FROM(0, TRIB_STALENESS_MAX),
     .meaning = "oldest base, in versions; older is refused"},
    {"strategy.staleness", TRIB_FIELD_CHOICE, AT(strategy.staleness),
     .otherwise = "constant in rounds and with favano and s2s, linear with fedfix, participation "
                  "with asyncfedavg, asmu with fedasmu, else polynomial",
     .choices = staleness_rules,
     .meaning = "weight of an update u versions old: 1; (1 + u)^-a; 1 up to b and then "
                "1 / (a (u - b) + 1); 1 + u, which makes up for being counted rarely; versions per "
                "update of its client, which does so whatever u (at most 1 + staleness_max); xi / "
                "(1 + xi) with xi = alpha (1 + u)^-a / sqrt(version) + floor, in a mix"},
    {"strategy.floor", TRIB_FIELD_REAL, AT(strategy.iota), .initial = "0.1", FROM(0, 1),
     ONLY_IF(struct trib_spec, strategy.staleness, BIT(TRIB_STALENESS_ASMU), "staleness asmu"),
     .meaning = "what an update still counts after many versions (iota)"},
    {"strategy.staleness_a", TRIB_FIELD_REAL, AT(strategy.staleness_a), .initial = "0.5",
     FROM(0, 1000),
     ONLY_IF(struct trib_spec, strategy.staleness, DECAYING_RULES,
             "staleness polynomial, hinge or asmu"),
     .meaning = "a of the staleness rule"},
    {"strategy.staleness_b", TRIB_FIELD_REAL, AT(strategy.staleness_b), .initial = "4",
     FROM(0, TRIB_STALENESS_MAX),
     ONLY_IF(struct trib_spec, strategy.staleness, BIT(TRIB_STALENESS_HINGE), "staleness hinge"),
     .meaning = "b of the staleness rule, in versions"},
    {"strategy.weights", TRIB_FIELD_CHOICE, AT(strategy.weights),
     .otherwise = "examples in rounds, attribute with cdfl, else equal", .choices = weight_rules,
     .meaning =
         "weight of an update: its examples, 1 for each, or an attribute of its client; in a mix its share, or "
         "the part examples / weight_max, or attribute / weight_max, of it"},
    {"strategy.weight_attribute", TRIB_FIELD_NAME, AT(strategy.weight_attribute),
     .otherwise = "required, with cdfl share",
     ONLY_IF(struct trib_spec, strategy.weights, BIT(TRIB_WEIGHT_ATTRIBUTE), "weights attribute"),
     .meaning = "the attribute; clients without a whole number from 1 to weight_max are not asked"},
    {"strategy.combiner", TRIB_FIELD_CHOICE, AT(strategy.combiner), .initial = "\"sum\"",
     .choices = combiners,
     .meaning =
         "what makes one delta of a version's updates: their exact weighted sum, or a program "
         "of yours that holds a token of scope merge"},
    {"strategy.divide", TRIB_FIELD_CHOICE, AT(strategy.divide),
     .otherwise = "goal with fedbuff, weight with fedfix and s2s, clients with asyncfedavg and "
                  "fedcompass, both with favano",
     .choices = divide_rules,
     ONLY_IF(struct trib_spec, strategy.tempo, BUFFER | TICKS | GROUPS | CONTACTS,
             "presets fedbuff, asyncfedavg, fedfix, fedcompass, favano and s2s"),
     .meaning = "what the weighted sum of the updates is divided by: the sum of their weights, the "
                "goal (more if there are more updates), 1, strategy.clients, or the sum of their "
                "weights and 1 for the version before"},
    {"strategy.clients", TRIB_FIELD_INTEGER, AT(strategy.clients), .initial = "10",
     FROM(1, COUNT_MAX),
     ONLY_IF(struct trib_spec, strategy.divide, BIT(TRIB_DIVIDE_CLIENTS), "divide clients"),
     .meaning = "clients that take part (N): each has a share of 1/N in the model"},
    {"strategy.weight_share_max", TRIB_FIELD_REAL, AT(strategy.weight_share_max), .initial = "1.0",
     FROM(0, 1), .is_above = true,
     ONLY_IF(struct trib_spec, strategy.tempo, ROUNDS | BUFFER | TICKS,
             "presets that work in rounds, fedbuff and fedfix"),
     .meaning = "largest share of one client in the weight of a version; what is over does not "
                "count"},
    {"strategy.population", TRIB_FIELD_INTEGER, AT(strategy.population), .is_required = true,
     FROM(1, COUNT_MAX),
     ONLY_IF(struct trib_spec, strategy.companions, WITH_CONTROL,
             "presets scaffold and scaffold_m"),
     .meaning = "all trainers there will ever be (N), of whom the control variates are the mean; "
                "nobody else may join as one"},
    {"strategy.weight_max", TRIB_FIELD_INTEGER, AT(strategy.weight_max),
     .otherwise = "1048576, with cdfl 1000", FROM(1, (double)TRIB_WEIGHT_MAX),
     .meaning = "most examples one update may claim; more is refused"},
    {"strategy.weight_total_max", TRIB_FIELD_INTEGER, AT(strategy.weight_total_max),
     .initial = "1073741824", FROM(1, 70368744177664.0), /* 2^46: 2^62 in units of 2^-16 */
     ONLY_IF(struct trib_spec, strategy.tempo, SUMS, "presets that sum updates"),
     .meaning = "most examples in one version; what is over goes to the next"},
    {"strategy.server", TRIB_FIELD_OBJECT, .meaning = "from the mean update to the next version"},
    {"strategy.server.optimizer", TRIB_FIELD_OPTIMIZER, AT(strategy.optimizer.kind),
     .otherwise = "by the preset", .choices = optimizers, .meaning = "server optimizer"},
    {"strategy.server.lr", TRIB_FIELD_REAL, AT(strategy.optimizer.lr),
     .otherwise = "by the optimizer", FROM(0, 1000), .is_above = true,
     .meaning = "server learning rate"},
    {"strategy.server.momentum", TRIB_FIELD_REAL, AT(strategy.optimizer.momentum),
     .otherwise = "by the optimizer", FROM(0, 1), .is_below = true,
     ONLY_IF(struct trib_spec, strategy.optimizer.kind, MOMENTUM_KINDS,
             "optimizer momentum or nesterov"),
     .meaning = "share of the last step that goes on"},
    {"strategy.server.beta1", TRIB_FIELD_REAL, AT(strategy.optimizer.beta1),
     .otherwise = "by the optimizer", FROM(0, 1), .is_below = true,
     ONLY_IF(struct trib_spec, strategy.optimizer.kind, ADAPTIVE_KINDS,
             "optimizer adagrad, adam or yogi"),
     .meaning = "decay of the mean of the updates"},
    {"strategy.server.beta2", TRIB_FIELD_REAL, AT(strategy.optimizer.beta2),
     .otherwise = "by the optimizer", FROM(0, 1), .is_below = true,
     ONLY_IF(struct trib_spec, strategy.optimizer.kind, SECOND_KINDS, "optimizer adam or yogi"),
     .meaning = "decay of the mean of their squares"},
    {"strategy.server.tau", TRIB_FIELD_REAL, AT(strategy.optimizer.tau),
     .otherwise = "by the optimizer", FROM(0, 1000), .is_above = true,
     ONLY_IF(struct trib_spec, strategy.optimizer.kind, ADAPTIVE_KINDS,
             "optimizer adagrad, adam or yogi"),
     .meaning = "added to the root; the largest amplification is lr / tau"},
    {"strategy.server.variant", TRIB_FIELD_CHOICE, AT(strategy.optimizer.variant),
     .otherwise = "by the optimizer", .choices = variants,
     ONLY_IF(struct trib_spec, strategy.optimizer.kind, ADAPTIVE_KINDS,
             "optimizer adagrad, adam or yogi"),
     .meaning = "paper: v starts at tau^2, no bias correction; standard: v starts at 0, corrected"},

    {"train", TRIB_FIELD_SETTINGS, AT(train), .initial = "{}",
     .meaning = "settings handed to clients with each task; other names are allowed and passed on"},
    {"train.epochs", TRIB_FIELD_INTEGER, .otherwise = "by the client", FROM(0, COUNT_MAX),
     .meaning = "passes over the client's data"},
    {"train.steps", TRIB_FIELD_INTEGER, .otherwise = "by the client", FROM(0, 1e9),
     .meaning = "batches to train on; above 0 instead of epochs"},
    {"train.batch", TRIB_FIELD_INTEGER, .otherwise = "by the client", FROM(0, 1e9),
     .meaning = "examples in a batch; 0 = all"},
    {"train.lr", TRIB_FIELD_REAL, .otherwise = "by the client", FROM(0, 1e6), .is_above = true,
     .meaning = "client learning rate"},
    {"train.mu", TRIB_FIELD_REAL, .otherwise = "by the client", FROM(0, 1e6),
     .meaning = "strength of the pull towards the model of the task (FedProx)"},
    {"train.until_called", TRIB_FIELD_FLAG, .otherwise = "by the client",
     .meaning = "train until expected_by_s of the task, steps at most, and send what there is then "
                "(FAVANO, S2S)"},
    {"train.per_step", TRIB_FIELD_FLAG, .otherwise = "by the client",
     .meaning = "the change that is sent is divided by the number of steps done (FAVANO)"},
    {"train.refresh_at", TRIB_FIELD_REAL, .otherwise = "by the client", FROM(0, 1),
     .meaning =
         "share of its steps after which a client asks once for a fresher version; 1 = never"},
    {"train.refresh_gamma", TRIB_FIELD_REAL, .otherwise = "by the client", FROM(0, 1e6),
     .meaning = "how much of it is taken over (gamma of FedASMU)"},
    {"train.refresh_upsilon", TRIB_FIELD_REAL, .otherwise = "by the client", FROM(0, 1e6),
     .meaning = "how much less of one that is hardly fresher (upsilon of FedASMU)"},
    {"train.lr_decay", TRIB_FIELD_REAL, .otherwise = "by the client", FROM(0, 1), .is_above = true,
     .meaning = "factor on the learning rate per version"},
    {"train.optimizer", TRIB_FIELD_CHOICE, .otherwise = "by the client",
     .choices = client_optimizers, .meaning = "of the client; it starts afresh with every task"},
    {"train.momentum", TRIB_FIELD_REAL, .otherwise = "by the client", FROM(0, 1), .is_below = true,
     .meaning = "optimizer momentum: share of the last step that goes on"},
    {"train.beta1", TRIB_FIELD_REAL, .otherwise = "by the client", FROM(0, 1), .is_below = true,
     .meaning = "optimizer adam: decay of the mean of the gradients"},
    {"train.beta2", TRIB_FIELD_REAL, .otherwise = "by the client", FROM(0, 1), .is_below = true,
     .meaning = "optimizer adam: decay of the mean of their squares"},
    {"train.epsilon", TRIB_FIELD_REAL, .otherwise = "by the client", FROM(0, 1),
     .meaning = "optimizer adam: added to the root"},
    {"train.weight_decay", TRIB_FIELD_REAL, .otherwise = "by the client", FROM(0, 1e6),
     .meaning = "strength of the pull towards zero"},
    {"train.clip", TRIB_FIELD_REAL, .otherwise = "by the client", FROM(0, 1e6),
     .meaning = "longest gradient of a batch; 0 = any"},
    {"train.rule", TRIB_FIELD_CHOICE, .otherwise = "by the preset", .choices = client_rules,
     .meaning = "what ties a client to the others; all but plain and fedspeed need their preset"},
    {"train.beta", TRIB_FIELD_REAL, .otherwise = "by the client", FROM(0, 1), .is_above = true,
     .meaning = "rules fedcm and scaffold_m: share of the client's own gradient in a step"},
    {"train.option", TRIB_FIELD_INTEGER, .otherwise = "by the client", FROM(1, 2),
     .meaning = "rules scaffold and scaffold_m: 1 costs a pass over all data more than 2"},
    {"train.lambda", TRIB_FIELD_REAL, .otherwise = "by the client", FROM(0, 1e6), .is_above = true,
     .meaning = "rule fedspeed: 1 / strength of the pull towards the model of the task"},
    {"train.rho", TRIB_FIELD_REAL, .otherwise = "by the client", FROM(0, 1e6),
     .meaning = "rule fedspeed: step uphill before the second gradient"},
    {"train.alpha", TRIB_FIELD_REAL, .otherwise = "by the client", FROM(0, 1),
     .meaning = "rule fedspeed: share of the second gradient"},
    {"train.normalise_ascent", TRIB_FIELD_FLAG, .otherwise = "by the client",
     .meaning = "rule fedspeed: the step uphill has length rho, whatever the gradient's is"},

    {"sites", TRIB_FIELD_SITES, AT(sites), .initial = "[]",
     .meaning = "settings by attribute of the client; the first entry that matches decides"},
    {"sites[].match", TRIB_FIELD_MATCHES, IN_SITE(match), .is_required = true,
     .meaning = "attributes that its clients have"},
    {"sites[].train", TRIB_FIELD_OVERRIDES, IN_SITE(train), .initial = "{}",
     .meaning = "their settings; what is not named here comes from train"},

    {"select", TRIB_FIELD_OBJECT, .meaning = "who is asked to train, by attributes of the clients"},
    {"select.require", TRIB_FIELD_MATCHES, AT(select.require), .initial = "{}",
     .meaning = "nobody without these is asked"},
    {"select.prefer", TRIB_FIELD_MATCHES, AT(select.prefer), .initial = "{}",
     .meaning = "who has more of these is asked before others"},
    {"select.never", TRIB_FIELD_MATCHES, AT(select.never), .initial = "{}",
     .meaning = "nobody with one of these is asked"},
    {"select.quota", TRIB_FIELD_QUOTAS, AT(select.quotas), .initial = "{}", FROM(1, COUNT_MAX),
     .meaning = "most clients with the same value of the attribute in a round, or, without rounds, "
                "training at one time; those without the attribute count as one group"},

    {"evaluate", TRIB_FIELD_OBJECT, .meaning = "who measures which versions"},
    {"evaluate.every", TRIB_FIELD_INTEGER, AT(evaluate.every), .initial = "1", FROM(0, COUNT_MAX),
     .meaning = "versions from one evaluation to the next; 0 = never"},
    {"evaluate.on", TRIB_FIELD_PLACES, AT(evaluate.on_clients), .initial = "[\"evaluators\"]",
     .choices = places,
     .meaning = "trainers on their own data, clients that joined as evaluators, or both"},
    {"evaluate.metric", TRIB_FIELD_NAME, AT(evaluate.metric), .initial = "\"accuracy\"",
     .meaning = "metric that decides best version, target and patience"},
    {"evaluate.mode", TRIB_FIELD_CHOICE, AT(evaluate.is_min), .initial = "\"max\"",
     .choices = modes, .meaning = "is a larger metric better, or a smaller one (losses)"},
    {"evaluate.min_clients", TRIB_FIELD_INTEGER, AT(evaluate.clients_min), .initial = "1",
     FROM(1, COUNT_MAX), .meaning = "reports before a version counts as evaluated"},
    {"evaluate.deadline", TRIB_FIELD_DURATION, AT(evaluate.deadline), .initial = "\"60s\"",
     FROM(0, LONGEST), .meaning = "longest wait for the last evaluation before stopping"},
    {"evaluate.goal", TRIB_FIELD_REAL, AT(evaluate.goal), .initial = "null", FROM(-1e300, 1e300),
     .has_null = true,
     .meaning = "the metric value the run is expected to reach; reported, never waited for"},

    {"stop", TRIB_FIELD_OBJECT, .meaning = "when the run ends by itself; whatever comes first"},
    {"stop.versions", TRIB_FIELD_INTEGER, AT(stop.versions), .initial = "0", FROM(0, WHOLE_MAX),
     .meaning = "at this version; 0 = no limit"},
    {"stop.target", TRIB_FIELD_REAL, AT(stop.target), .initial = "null", FROM(-1e300, 1e300),
     .has_null = true, .meaning = "when the metric reaches it; null = no target"},
    {"stop.patience", TRIB_FIELD_INTEGER, AT(stop.patience), .initial = "0", FROM(0, COUNT_MAX),
     .meaning = "after so many evaluated versions without a new best; 0 = off"},
    {"stop.after", TRIB_FIELD_DURATION, AT(stop.after), .initial = "\"0s\"", FROM(0, LONGEST),
     .meaning = "after so much running time; 0s = no limit"},

    {"keep", TRIB_FIELD_OBJECT, .meaning = "what stays on disk"},
    {"keep.versions", TRIB_FIELD_OBJECT, .meaning = "which versions can still be read"},
    {"keep.versions.last", TRIB_FIELD_INTEGER, AT(keep.last), .initial = "5", FROM(1, COUNT_MAX),
     .meaning = "the newest ones"},
    {"keep.versions.every", TRIB_FIELD_INTEGER, AT(keep.every), .initial = "0", FROM(0, COUNT_MAX),
     .meaning = "also each n-th; 0 = off"},
    {"keep.versions.best", TRIB_FIELD_FLAG, AT(keep.best), .initial = "true",
     .meaning = "also the best one"},
    {"keep.updates", TRIB_FIELD_CHOICE, AT(keep.updates_forever), .initial = "\"until-counted\"",
     .choices = fates, .meaning = "bodies of updates; forever lets the run be replayed"},
    {"keep.disk", TRIB_FIELD_BYTES, AT(keep.disk_bytes_max), .initial = "0", FROM(0, WHOLE_MAX),
     .meaning = "quota of the run; 0 = none"},

    {"limits", TRIB_FIELD_OBJECT, .meaning = "how much one client may send; more gets 429"},
    {"limits.client_updates_per_hour", TRIB_FIELD_INTEGER, AT(limits.client_updates_per_hour),
     .initial = "0", FROM(0, COUNT_MAX), .meaning = "updates, repeats too; 0 = no limit"},
    {"limits.client_bytes_per_hour", TRIB_FIELD_BYTES, AT(limits.client_bytes_per_hour),
     .initial = "0", FROM(0, WHOLE_MAX), .meaning = "bytes of their bodies; 0 = no limit"},

    {"share", TRIB_FIELD_INTEGER, AT(share), .initial = "1", FROM(1, 100),
     .meaning = "turns at the daemon's workers, in proportion to those of other runs"},
    {"durability", TRIB_FIELD_CHOICE, AT(durability), .initial = "\"spool\"",
     .choices = durabilities,
     .meaning =
         "what an acknowledgement promises: on disk, or in memory only (lost with the daemon)"},
    {"lease", TRIB_FIELD_DURATION, AT(lease), .initial = "\"2m\"", FROM(1, LONGEST),
     .meaning = "silence after which another client may be asked instead"},
    {"checkpoint_every", TRIB_FIELD_DURATION, AT(checkpoint_every), .initial = "\"0s\"",
     FROM(0, LONGEST),
     .meaning = "time between checkpoints; 0s = each version, large models by time; with "
                "durability memory, always each version"},
    {"clients_max", TRIB_FIELD_INTEGER, AT(clients_max), .initial = "10000", FROM(1, 10000000),
     .meaning = "most clients that take part at a time"},
    {"updates_pending_max", TRIB_FIELD_INTEGER, AT(updates_pending_max), .initial = "4096",
     FROM(1, COUNT_MAX), .meaning = "most updates received and not yet in a version"},
    {"update_bytes_max", TRIB_FIELD_BYTES, AT(update_bytes_max), .initial = "0", FROM(0, WHOLE_MAX),
     .meaning = "largest body of an update; 0 = twice the model"},
};

const struct trib_field *trib_field_at(size_t index) {
    return index < sizeof fields / sizeof *fields ? &fields[index] : NULL;
}

bool trib_field_is_child(const struct trib_field *parent, const struct trib_field *child) {
    size_t byte_count = (size_t)(trib_field_key(child) - child->path);
    if (!parent)
        return byte_count == 0;
    size_t parent_bytes = strlen(parent->path);
    if (strncmp(parent->path, child->path, parent_bytes) != 0)
        return false;
    /* What is between the parent's path and the key: "." or, for items of a list, "[].". */
    const char *between = child->path + parent_bytes;
    size_t between_bytes = byte_count > parent_bytes ? byte_count - parent_bytes : 0;
    return (between_bytes == 1 && between[0] == '.') ||
           (between_bytes == 3 && memcmp(between, "[].", 3) == 0);
}

const char *trib_field_key(const struct trib_field *field) {
    const char *dot = strrchr(field->path, '.');
    return dot ? dot + 1 : field->path;
}

const struct trib_field *trib_field_find(const struct trib_field *parent, const char *key) {
    const struct trib_field *field;
    for (size_t index = 0; (field = trib_field_at(index)); index++) {
        if (trib_field_is_child(parent, field) && strcmp(trib_field_key(field), key) == 0)
            return field;
    }
    return NULL;
}

const char *trib_field_choice(const struct trib_field *field, size_t index) {
    if (field->kind == TRIB_FIELD_PRESET) {
        const struct trib_strategy *strategy = trib_strategy_at(index);
        return strategy ? strategy->name : NULL;
    }
    return field->choices[index];
}

bool trib_field_applies(const struct trib_field *field, const void *base) {
    if (!field->decider_values)
        return true;
    uint64_t value = trib_field_number(base, field->decider, field->decider_bytes);
    return value < 32 && (field->decider_values >> value & 1);
}

uint64_t trib_field_number(const void *base, size_t offset, size_t bytes) {
    const unsigned char *member = (const unsigned char *)base + offset;
    uint8_t small;
    uint32_t medium;
    uint64_t large;
    switch (bytes) {
    case sizeof small:
        memcpy(&small, member, sizeof small);
        return small;
    case sizeof medium:
        memcpy(&medium, member, sizeof medium);
        return medium;
    default:
        TRIB_ASSERT(bytes == sizeof large);
        memcpy(&large, member, sizeof large);
        return large;
    }
}

/* "from 1 to 64", "above 0 and at most 1", "at least 0". */
static void expect_range(const struct trib_field *field, const char *unit, struct trib_text *text) {
    bool is_open = field->most >= WHOLE_MAX;
    if (!field->is_above && !field->is_below && !is_open) {
        trib_text_format(text, " from %.15g to %.15g%s", field->least, field->most, unit);
        return;
    }
    if (field->least > -WHOLE_MAX)
        trib_text_format(text, " %s %.15g%s", field->is_above ? "above" : "at least", field->least,
                         unit);
    if (!is_open)
        trib_text_format(text, " and %s %.15g%s", field->is_below ? "below" : "at most",
                         field->most, unit);
}

static void expect_choices(const struct trib_field *field, struct trib_text *text) {
    const char *choice;
    for (size_t index = 0; (choice = trib_field_choice(field, index)); index++)
        trib_text_format(text, "%s%s", index > 0 ? ", " : "", choice);
}

void trib_field_expect(const struct trib_field *field, struct trib_text *text) {
    switch (field->kind) {
    case TRIB_FIELD_OBJECT:
        trib_text_format(text, "an object");
        break;
    case TRIB_FIELD_NAME:
        trib_text_format(text,
                         "a name of 1 to %zu characters A-Z a-z 0-9 . _ -, the first a "
                         "letter or digit",
                         field->bytes - 1);
        break;
    case TRIB_FIELD_TEXT:
        trib_text_format(text, "text of %.0f to %zu bytes", field->least, field->bytes - 1);
        break;
    case TRIB_FIELD_INTEGER:
        trib_text_format(text, "a whole number");
        expect_range(field, "", text);
        break;
    case TRIB_FIELD_REAL:
        trib_text_format(text, "a number");
        expect_range(field, "", text);
        if (field->has_null)
            trib_text_format(text, ", or null");
        break;
    case TRIB_FIELD_FLAG:
        trib_text_format(text, "true or false");
        break;
    case TRIB_FIELD_CHOICE:
    case TRIB_FIELD_PRESET:
    case TRIB_FIELD_OPTIMIZER:
        trib_text_format(text, "one of ");
        expect_choices(field, text);
        break;
    case TRIB_FIELD_DURATION:
        trib_text_format(text, "%s%sa duration such as 90s or 1h30m, or seconds,",
                         field->has_auto ? "auto, " : "", field->has_none ? "none, or " : "");
        expect_range(field, " s", text);
        break;
    case TRIB_FIELD_BYTES:
        trib_text_format(text, "a number of bytes, or such as 64MiB");
        break;
    case TRIB_FIELD_INIT:
        expect_choices(field, text);
        trib_text_format(text,
                         ", {trainer, seed, features, classes, hidden}, {run, version} or {zeros}");
        break;
    case TRIB_FIELD_WIDTHS:
        trib_text_format(text, "a list of at most %d whole numbers", TRIB_HIDDEN_LAYERS_MAX);
        expect_range(field, "", text);
        break;
    case TRIB_FIELD_ZEROS:
        trib_text_format(text,
                         "an object of at most %d names, each with a list of at most %d whole "
                         "numbers, %" PRIu64 " elements in all",
                         TRIB_ZEROS_MAX, TRIB_RANK_MAX, TRIB_ZEROS_ELEMENTS_MAX);
        break;
    case TRIB_FIELD_VERSION:
        trib_text_format(text, "latest, best or a number");
        break;
    case TRIB_FIELD_RULES:
        trib_text_format(text, "a list of at most %d objects", TRIB_ROLE_RULES_MAX);
        break;
    case TRIB_FIELD_SETTINGS:
    case TRIB_FIELD_OVERRIDES:
        trib_text_format(text, "an object with at most %d texts, numbers, true or false",
                         TRIB_TRAIN_SETTINGS_MAX);
        break;
    case TRIB_FIELD_PLACES:
        trib_text_format(text, "a list of ");
        expect_choices(field, text);
        break;
    case TRIB_FIELD_MATCHES:
        trib_text_format(text,
                         "an object of attributes, each with a text, a number, true, false or a "
                         "list of these, %d values in all",
                         TRIB_MATCHES_MAX);
        break;
    case TRIB_FIELD_QUOTAS:
        trib_text_format(text, "an object of at most %d attributes, each with a whole number",
                         TRIB_QUOTAS_MAX);
        expect_range(field, "", text);
        break;
    case TRIB_FIELD_SITES:
        trib_text_format(text, "a list of at most %d objects", TRIB_SITES_MAX);
        break;
    }
}
