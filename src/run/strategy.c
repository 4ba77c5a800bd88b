/* strategy.c - the presets and where their numbers come from.
 *
 *   FedSGD, FedAvg   McMahan et al. 2017, Algorithm 1: server learning rate 1.
 *   FedProx          Li et al. 2020: FedAvg with a proximal term; mu 0.01 as in the authors' code.
 *   FedAvgM          Hsu et al. 2019: momentum 0.9, learning rate 1.
 *   FedAdagrad, FedAdam, FedYogi   Reddi et al. 2021, Algorithm 2: beta1 0.9 (Adagrad 0), beta2
 *                    0.99, tau 0.001, v starting at tau^2.
 *   Nesterov         DiLoCo, Douillard et al. 2023: learning rate 0.7, momentum 0.9.
 *   FedCM            Xu et al. 2021; as FedAvg-M in Cheng et al. 2024 (ICLR): beta 0.1 as in FedCM.
 *   SCAFFOLD         Karimireddy et al. 2020, Algorithm 1, option 2; SCAFFOLD-M: Cheng et al. 2024.
 *   FedSpeed         Sun et al. 2023 (ICLR), Algorithm 1; numbers of the authors' code.
 *   FedBuff          Nguyen et al. 2022, Algorithm 1 and section 5: K 10, updates weighted by
 *                    1/sqrt(1 + staleness), sum divided by K. There is no largest staleness in the
 *                    paper; ours is 100, where the weight is a tenth.
 *   FedAsync         Xie et al. 2019, Algorithm 1 and section 6: alpha 0.6, (1 + staleness)^-0.5, at
 *                    most 16 versions old.
 *   FedFix           Fraboni et al. 2023: equal clients, weights 1 + staleness.
 *   FedASMU          Liu et al. 2024 (AAAI), equations 1, 2, 7 and 8: lambda 1, sigma 0.5, iota 0.1; a
 *                    client refreshes half way, where the paper learns when (learn/asmu.h).
 *   Asynchronous FedAvg   Fraboni et al. 2023, section 4: every update is a version, with weight
 *                    p / P(its client delivers at a step).
 *   DBW              Xu, Neglia and Sebastianelli 2020 (Dynamic backup workers for parallel machine
 *                    learning): policy_rounds.c.
 *   FAVANO           Leconte, Nguyen and Moulines 2023: each of those that are called counts as much as
 *                    the version before. A fifth of the clients and 20 steps are choices of ours.
 *   S2S, S2A         Rodio et al. 2026: the mean of a sample of models goes to the sample, or to all.
 *   CDFL             client-driven, in its smallest version: FedAsync per cluster, by the client's share.
 *   FedCompass       Li et al. 2024 (ICLR) and its example configuration: 20 to 100 steps, latest time
 *                    1.5 times the expected one (1.2 in the paper's experiments), share 0.9 of the
 *                    newest speed; 0.9 (1 + staleness)^-0.5 / N for each update.
 *
 * Reddi et al. tune the server's learning rate for each task and recommend none. With small tau
 * the first step of Adam and Yogi moves a parameter by nearly lr * (1 - beta1) / sqrt(1 - beta2),
 * that is lr itself, so 0.1 would drown weights that start around 0.05: we take 0.01. Adagrad's
 * steps shrink with the root of the round, so it starts at 0.1. */
#include "run/strategy.h"

#include <string.h>

#define CALLED 0.2 /* share of the clients that a version samples */
#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Every row is complete, so that each field has a sensible value whichever kind the spec names. */
static const struct trib_optimizer optimizers[TRIB_OPTIMIZER_COUNT] = {
#define ROW(name, rate, mass, first)                          \
    [TRIB_OPTIMIZER_##name] = {.kind = TRIB_OPTIMIZER_##name, \
                               .variant = TRIB_VARIANT_PAPER, \
                               .lr = (rate),                  \
                               .momentum = (mass),            \
                               .beta1 = (first),              \
                               .beta2 = 0.99,                 \
                               .tau = 1e-3}
    ROW(SGD, 1.0, 0.0, 0.9),     ROW(MOMENTUM, 1.0, 0.9, 0.9), ROW(NESTEROV, 0.7, 0.9, 0.9),
    ROW(ADAGRAD, 0.1, 0.0, 0.0), ROW(ADAM, 0.01, 0.0, 0.9),    ROW(YOGI, 0.01, 0.0, 0.9),
#undef ROW
};

static const struct trib_pace rounds = {
    .tempo = TRIB_TEMPO_ROUNDS,
    .policy = &trib_policy_rounds,
    .fraction = 1,
    .deadline = TRIB_DURATION_AUTO,
    .staleness_max = 16,
    .staleness = TRIB_STALENESS_CONSTANT,
    .weights = TRIB_WEIGHT_EXAMPLES,
    .divide = TRIB_DIVIDE_WEIGHT,
};
/* Rules of the clients whose means, c and g, are over clients and not over examples. */
static const struct trib_pace even_rounds = {
    .tempo = TRIB_TEMPO_ROUNDS,
    .policy = &trib_policy_rounds,
    .fraction = 1,
    .deadline = TRIB_DURATION_AUTO,
    .staleness_max = 16,
    .staleness = TRIB_STALENESS_CONSTANT,
    .weights = TRIB_WEIGHT_EQUAL,
    .divide = TRIB_DIVIDE_WEIGHT,
};
/* A sample of devices whose models are averaged. */
static const struct trib_pace sampled = {
    .tempo = TRIB_TEMPO_ROUNDS,
    .policy = &trib_policy_rounds,
    .fraction = CALLED,
    .deadline = TRIB_DURATION_AUTO,
    .staleness_max = 16,
    .staleness = TRIB_STALENESS_CONSTANT,
    .weights = TRIB_WEIGHT_EQUAL,
    .divide = TRIB_DIVIDE_WEIGHT,
};
static const struct trib_pace backed_up = {
    .tempo = TRIB_TEMPO_ROUNDS,
    .policy = &trib_policy_rounds,
    .fraction = 1,
    .deadline = TRIB_DURATION_AUTO,
    .backs_up = true,
    .staleness_max = 16,
    .staleness = TRIB_STALENESS_CONSTANT,
    .weights = TRIB_WEIGHT_EXAMPLES,
    .divide = TRIB_DIVIDE_WEIGHT,
};
static const struct trib_pace stream = {
    .tempo = TRIB_TEMPO_BUFFER,
    .policy = &trib_policy_buffer,
    .deadline = TRIB_TIME_NEVER,
    .goal = 1,
    .staleness_max = 100,
    .staleness = TRIB_STALENESS_PARTICIPATION,
    .weights = TRIB_WEIGHT_EQUAL,
    .divide = TRIB_DIVIDE_CLIENTS,
};
static const struct trib_pace buffer = {
    .tempo = TRIB_TEMPO_BUFFER,
    .policy = &trib_policy_buffer,
    .deadline = TRIB_TIME_NEVER,
    .goal = 10,
    .staleness_max = 100,
    .staleness = TRIB_STALENESS_POLYNOMIAL,
    .weights = TRIB_WEIGHT_EQUAL,
    .divide = TRIB_DIVIDE_GOAL,
};
static const struct trib_pace ticks = {
    .tempo = TRIB_TEMPO_TICKS,
    .policy = &trib_policy_ticks,
    .deadline = TRIB_TIME_NEVER,
    .staleness_max = 16,
    .staleness = TRIB_STALENESS_LINEAR,
    .weights = TRIB_WEIGHT_EQUAL,
    .divide = TRIB_DIVIDE_WEIGHT,
};
static const struct trib_pace contacts = {
    .tempo = TRIB_TEMPO_CONTACTS,
    .policy = &trib_policy_contacts,
    .fraction = CALLED,
    .deadline = TRIB_TIME_NEVER,
    .staleness_max = 32,
    .staleness = TRIB_STALENESS_CONSTANT,
    .weights = TRIB_WEIGHT_EQUAL,
    .divide = TRIB_DIVIDE_BOTH,
};
static const struct trib_pace samples = {
    .tempo = TRIB_TEMPO_CONTACTS,
    .policy = &trib_policy_contacts,
    .fraction = CALLED,
    .deadline = TRIB_TIME_NEVER,
    .staleness_max = 32,
    .staleness = TRIB_STALENESS_CONSTANT,
    .weights = TRIB_WEIGHT_EQUAL,
    .divide = TRIB_DIVIDE_WEIGHT,
};
static const struct trib_pace waning = {
    .tempo = TRIB_TEMPO_ASYNC,
    .policy = &trib_policy_async,
    .deadline = TRIB_TIME_NEVER,
    .alpha = 1,
    .staleness_max = 16,
    .staleness = TRIB_STALENESS_ASMU,
    .weights = TRIB_WEIGHT_EQUAL,
    .divide = TRIB_DIVIDE_NONE,
};
static const struct trib_pace async = {
    .tempo = TRIB_TEMPO_ASYNC,
    .policy = &trib_policy_async,
    .deadline = TRIB_TIME_NEVER,
    .alpha = 0.6,
    .staleness_max = 16,
    .staleness = TRIB_STALENESS_POLYNOMIAL,
    .weights = TRIB_WEIGHT_EQUAL,
    .divide = TRIB_DIVIDE_NONE,
};

/* Shares in thousandths. */
static const struct trib_pace cluster = {
    .tempo = TRIB_TEMPO_ASYNC,
    .policy = &trib_policy_async,
    .deadline = TRIB_TIME_NEVER,
    .alpha = 0.6,
    .staleness_max = 16,
    .staleness = TRIB_STALENESS_POLYNOMIAL,
    .weights = TRIB_WEIGHT_ATTRIBUTE,
    .weight_attribute = "share",
    .weight_max = 1000,
    .divide = TRIB_DIVIDE_NONE,
};

static const struct trib_pace groups = {
    .tempo = TRIB_TEMPO_GROUPS,
    .policy = &trib_policy_groups,
    .deadline = TRIB_TIME_NEVER,
    .staleness_max = 100,
    .staleness = TRIB_STALENESS_POLYNOMIAL,
    .weights = TRIB_WEIGHT_EQUAL,
    .divide = TRIB_DIVIDE_CLIENTS,
};
static const struct trib_optimizer compass = {.kind = TRIB_OPTIMIZER_SGD,
                                              .variant = TRIB_VARIANT_PAPER,
                                              .lr = 0.9,
                                              .beta1 = 0.9,
                                              .beta2 = 0.99,
                                              .tau = 1e-3};

static const struct trib_pace sum = {
    .tempo = TRIB_TEMPO_SUM,
    .policy = &trib_policy_sum,
    .deadline = TRIB_TIME_NEVER,
    .staleness = TRIB_STALENESS_CONSTANT,
    .weights = TRIB_WEIGHT_EQUAL,
    .divide = TRIB_DIVIDE_NONE,
};

static const struct trib_strategy strategies[] = {
    {
        .name = "fedavg",
        .meaning = "rounds; weighted mean of locally trained models",
        .pace = &rounds,
        .optimizer = &optimizers[TRIB_OPTIMIZER_SGD],
        .train = "{}",
    },
    {
        .name = "fedsgd",
        .meaning = "rounds; one step on all local data, which averages gradients",
        .pace = &rounds,
        .optimizer = &optimizers[TRIB_OPTIMIZER_SGD],
        .train = "{\"steps\": 1, \"batch\": 0}",
        .is_pace_fixed = true,
    },
    {
        .name = "fedprox",
        .meaning = "fedavg whose clients are pulled towards the model they started from (mu)",
        .pace = &rounds,
        .optimizer = &optimizers[TRIB_OPTIMIZER_SGD],
        .train = "{\"mu\": 0.01}",
    },
    {
        .name = "fedavgm",
        .meaning = "fedavg with momentum on the server",
        .pace = &rounds,
        .optimizer = &optimizers[TRIB_OPTIMIZER_MOMENTUM],
        .train = "{}",
    },
    {
        .name = "fedadagrad",
        .meaning = "fedavg with Adagrad on the server",
        .pace = &rounds,
        .optimizer = &optimizers[TRIB_OPTIMIZER_ADAGRAD],
        .train = "{}",
    },
    {
        .name = "fedadam",
        .meaning = "fedavg with Adam on the server",
        .pace = &rounds,
        .optimizer = &optimizers[TRIB_OPTIMIZER_ADAM],
        .train = "{}",
    },
    {
        .name = "fedyogi",
        .meaning = "fedavg with Yogi on the server",
        .pace = &rounds,
        .optimizer = &optimizers[TRIB_OPTIMIZER_YOGI],
        .train = "{}",
    },
    {
        .name = "fedcm",
        .meaning = "rounds whose clients go along with the mean direction of the round before",
        .pace = &even_rounds,
        .optimizer = &optimizers[TRIB_OPTIMIZER_SGD],
        .train = "{\"rule\": \"fedcm\", \"beta\": 0.1}",
        .companions = TRIB_COMPANION_MOMENTUM,
    },
    {
        .name = "scaffold",
        .meaning = "rounds; clients correct their drift by control variates that they keep",
        .pace = &even_rounds,
        .optimizer = &optimizers[TRIB_OPTIMIZER_SGD],
        .train = "{\"rule\": \"scaffold\"}",
        .companions = TRIB_COMPANION_CONTROL,
    },
    {
        .name = "scaffold_m",
        .meaning = "scaffold and fedcm in one",
        .pace = &even_rounds,
        .optimizer = &optimizers[TRIB_OPTIMIZER_SGD],
        .train = "{\"rule\": \"scaffold_m\", \"beta\": 0.1}",
        .companions = TRIB_COMPANION_CONTROL | TRIB_COMPANION_MOMENTUM,
    },
    {
        .name = "fedspeed",
        .meaning = "rounds; clients look uphill, are pulled back and keep what pulls them",
        .pace = &even_rounds,
        .optimizer = &optimizers[TRIB_OPTIMIZER_SGD],
        .train = "{\"rule\": \"fedspeed\", \"lambda\": 10, \"rho\": 0.1, \"alpha\": 1}",
    },
    {
        .name = "fedbuff",
        .meaning = "a version per `goal` updates; clients go on without waiting for each other",
        .pace = &buffer,
        .optimizer = &optimizers[TRIB_OPTIMIZER_SGD],
        .train = "{}",
    },
    {
        .name = "fedasync",
        .meaning = "each update is a version: its model is mixed into the one before (alpha)",
        .pace = &async,
        .optimizer = &optimizers[TRIB_OPTIMIZER_SGD],
        .train = "{}",
    },
    {
        .name = "fedasmu",
        .meaning = "fedasync whose shares wane, and clients that take over fresher versions",
        .pace = &waning,
        .optimizer = &optimizers[TRIB_OPTIMIZER_SGD],
        .train = "{\"refresh_at\": 0.5, \"refresh_gamma\": 1.0, \"refresh_upsilon\": 0.5}",
    },
    {
        .name = "asyncfedavg",
        .meaning = "each update is a version; clients weigh as much as they are rarely counted",
        .pace = &stream,
        .optimizer = &optimizers[TRIB_OPTIMIZER_SGD],
        .train = "{}",
    },
    {
        .name = "dbw",
        .meaning = "fedavg that waits for as many clients as bring most per time (backup workers)",
        .pace = &backed_up,
        .optimizer = &optimizers[TRIB_OPTIMIZER_SGD],
        .train = "{}",
    },
    {
        .name = "fedfix",
        .meaning = "a version per `tick` of a clock, from whatever has arrived",
        .pace = &ticks,
        .optimizer = &optimizers[TRIB_OPTIMIZER_SGD],
        .train = "{}",
    },
    {
        .name = "favano",
        .meaning = "clients never stop; some are called at each `tick`, whatever they have done",
        .pace = &contacts,
        .optimizer = &optimizers[TRIB_OPTIMIZER_SGD],
        .train = "{\"steps\": 20, \"until_called\": true, \"per_step\": true}",
    },
    {
        .name = "s2s",
        .meaning =
            "a mean of some devices' models at each `tick`, for them; others go on with theirs",
        .pace = &samples,
        .optimizer = &optimizers[TRIB_OPTIMIZER_SGD],
        .train = "{\"steps\": 1000, \"until_called\": true}",
    },
    {
        .name = "s2a",
        .meaning = "rounds; a mean of some devices' models, from which all devices go on",
        .pace = &sampled,
        .optimizer = &optimizers[TRIB_OPTIMIZER_SGD],
        .train = "{}",
    },
    {
        .name = "cdfl",
        .meaning = "one cluster of several: fedasync by the share that a client has in the cluster",
        .pace = &cluster,
        .optimizer = &optimizers[TRIB_OPTIMIZER_SGD],
        .train = "{}",
    },
    {
        .name = "fedcompass",
        .meaning = "each client gets as many steps as let it arrive together with others",
        .pace = &groups,
        .optimizer = &compass,
        .train = "{}",
    },
    {
        .name = "sum",
        .meaning = "one exact sum of named vectors, released when min_clients have sent theirs",
        .pace = &sum,
        .optimizer = &optimizers[TRIB_OPTIMIZER_SGD],
        .train = "{}",
    },
};

const struct trib_strategy *trib_strategy_at(size_t index) {
    return index < COUNT(strategies) ? &strategies[index] : NULL;
}

const struct trib_strategy *trib_strategy_find(const char *name) {
    for (size_t index = 0; index < COUNT(strategies); index++) {
        if (strcmp(strategies[index].name, name) == 0)
            return &strategies[index];
    }
    return NULL;
}

const struct trib_optimizer *trib_optimizer_usual(enum trib_optimizer_kind kind) {
    return &optimizers[kind];
}
