/* model.h - what a native model looks like: its layers, its tensors, its first weights.
 *
 * Every model is a chain: pictures go through convolutions, symbols through an embedding and
 * recurrent layers, plain numbers through neither; fully connected layers end it. */
#ifndef TRIB_TRAIN_MODEL_H
#define TRIB_TRAIN_MODEL_H

#include "tensor/layout.h"
#include "train/convolution.h"
#include "train/network.h"
#include "train/recurrence.h"
#include "train/trainer.h"

#define TRIB_TRAINER_MODEL_CONVOLUTIONS 2
#define TRIB_TRAINER_MODEL_EMBEDDING 8 /* numbers that stand for a symbol */
#define TRIB_TRAINER_MODEL_TENSORS_MAX (3 + 4 * TRIB_TRAINER_HIDDEN_MAX)
#define TRIB_TRAINER_MODEL_NAME_BYTES 32
#define TRIB_TRAINER_MODEL_ROWS_MAX 256 /* of a slice; fewer when they need more than 16 MiB */

struct trib_trainer_model {
    /* read-only */
    const struct trib_trainer_model_kind *kind;
    size_t feature_count;
    uint32_t class_count;
    size_t label_count;   /* per row: 1, or one for each symbol */
    size_t row_count_max; /* rows of a slice */
    size_t parameter_count;
    size_t tensor_count;
    struct trib_tensor tensors[TRIB_TRAINER_MODEL_TENSORS_MAX]; /* in layout order */
    char names[TRIB_TRAINER_MODEL_TENSORS_MAX][TRIB_TRAINER_MODEL_NAME_BYTES];
    double bounds[TRIB_TRAINER_MODEL_TENSORS_MAX]; /* first weights: uniform(-bound, bound) */

    /* private */
    const struct trib_env *env;
    struct trib_products products;
    struct trib_convolution convolutions[TRIB_TRAINER_MODEL_CONVOLUTIONS];
    size_t convolution_count;
    struct trib_recurrence recurrences[TRIB_TRAINER_HIDDEN_MAX];
    size_t recurrence_count;
    struct trib_network network;
    size_t embedding_offset;
    float *embedded;        /* [features][rows][TRIB_TRAINER_MODEL_EMBEDDING] */
    float *sequence_errors; /* [features][rows][widest recurrent layer] */
    size_t sequence_error_count;
};

/* As trib_trainer_new() says. Parts of the model point into it: do not copy or move it. */
enum trib_status trib_trainer_model_init(struct trib_trainer_model *model,
                                         const struct trib_env *env,
                                         const struct trib_trainer_spec *spec,
                                         struct trib_error *error);
void trib_trainer_model_deinit(struct trib_trainer_model *model); /* all-zero is safe */

/* As trib_trainer_initialise() says. */
void trib_trainer_model_initialise(const struct trib_trainer_model *model, uint64_t seed,
                                   float *parameters);

/* Do features have to be symbols below class_count? */
bool trib_trainer_model_reads_symbols(const struct trib_trainer_model *model);

/* A slice is worked on in three calls, in this order. inputs is float32[row_count][features], 0 <
 * row_count <= row_count_max; outputs and labels are [label_count][row_count], so that of label l
 * of row r is at l * row_count + r.
 *
 * Returns float32[label_count][row_count][classes], valid until the next forward. */
const float *trib_trainer_model_forward(struct trib_trainer_model *model, const float *parameters,
                                        const float *inputs, size_t row_count);
/* As trib_network_loss(). */
double trib_trainer_model_loss(struct trib_trainer_model *model, const int32_t *labels,
                               size_t row_count, size_t batch_label_count);
/* Add the gradient of the slice; gradient->values may be the parameters. */
void trib_trainer_model_backward(struct trib_trainer_model *model, const float *parameters,
                                 const float *inputs, size_t row_count,
                                 const struct trib_gradient *gradient);

#endif
