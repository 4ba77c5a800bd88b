/* participant.h - a native trainer or evaluator: data, a model of the run, one task after another.
 *
 * Which trainer fits is inferred from the first model that comes (cli/native.h). */
#ifndef TRIB_CLI_PARTICIPANT_H
#define TRIB_CLI_PARTICIPANT_H

#include "cli/keepsake.h"
#include "train/dataset.h"
#include "train/trainer.h"
#include "tributary/client.h"

#define TRIB_PARTICIPANT_METRICS_BYTES 128

struct trib_participant {
    const struct trib_env *env;           /* set by the owner */
    const struct trib_dataset *dataset;   /* set by the owner; borrowed */
    const struct trib_dataset *held;      /* likewise: to evaluate on; NULL: dataset */
    const char *client;                   /* set by the owner: its id */
    uint64_t seed;                        /* set by the owner: of the order of rows */
    const struct trib_keepsake *keepsake; /* set by the owner; NULL: there is none */
    /* Set by the owner, asked after each step of a task that lasts until the client is called: is it
     * now? NULL: tasks are done to their end. */
    bool (*is_called)(void *context);
    void *context;

    /* private */
    struct trib_trainer *trainer; /* NULL until the first model */
    float *parameters;
    size_t parameter_count;
    float *vectors; /* of a rule, [parameter_count] each; NULL until the first such task */
};

/* What a task came to. */
struct trib_participant_result {
    uint64_t examples; /* that took part */
    double loss;       /* NAN: infinite */
    double accuracy;   /* NAN: not measured */
    uint64_t step_count;
    bool waits_for_call;   /* it is not to be sent before the client is called */
    const float *next_own; /* [next_own_count]: to be kept if the update counts; NULL: nothing.
                              The participant's, until the next task */
    size_t next_own_count;
    char metrics[TRIB_PARTICIPANT_METRICS_BYTES]; /* JSON, only what was measured */
};

/* Do a task on the tensors, in place. A train task reads its settings as train/settings.h says.
 * What a rule keeps comes from the keepsake, which must have no promise open.
 * TRIB_EUNSUPPORTED, TRIB_ESHAPE: the model does not fit the trainers or the data; TRIB_EINVALID: a
 * setting; TRIB_ENONFINITE: training diverged (the tensors are as they were); TRIB_EMEMORY. */
enum trib_status trib_participant_work(struct trib_participant *participant,
                                       const struct trib_client_task *task,
                                       const struct trib_client_tensor *tensors,
                                       size_t tensor_count, struct trib_participant_result *result,
                                       struct trib_error *error);
void trib_participant_deinit(
    struct trib_participant *participant); /* what it made; all-zero is safe */

#endif
