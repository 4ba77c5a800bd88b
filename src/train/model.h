/* model.h - what a native model looks like: its layers, its tensors, its first weights. */
#ifndef TRIB_TRAIN_MODEL_H
#define TRIB_TRAIN_MODEL_H

#include "tensor/layout.h"
#include "train/network.h"
#include "train/trainer.h"

#define TRIB_TRAINER_MODEL_TENSORS_MAX (2 * TRIB_NETWORK_LAYERS_MAX)
#define TRIB_TRAINER_MODEL_NAME_BYTES 32

struct trib_trainer_model {
    /* read-only */
    const struct trib_trainer_model_kind *kind;
    struct trib_network network;
    struct trib_tensor tensors[TRIB_TRAINER_MODEL_TENSORS_MAX]; /* 2 per layer; in layout order */
    char names[TRIB_TRAINER_MODEL_TENSORS_MAX][TRIB_TRAINER_MODEL_NAME_BYTES];
    size_t feature_count;
    uint32_t class_count;
};

/* As trib_trainer_new() says. The tensors point into the model: do not copy or move it. */
enum trib_status trib_trainer_model_init(struct trib_trainer_model *model,
                                         const struct trib_env *env,
                                         const struct trib_trainer_spec *spec,
                                         struct trib_error *error);
void trib_trainer_model_deinit(struct trib_trainer_model *model); /* all-zero is safe */

/* As trib_trainer_initialise() says. */
void trib_trainer_model_initialise(const struct trib_trainer_model *model, uint64_t seed,
                                   float *parameters);

#endif
