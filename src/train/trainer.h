/* trainer.h - small native models: what they look like, their first weights, training, scoring.
 *
 *   softmax   x -> weight x + bias. Tensors: bias [classes], weight [classes, features].
 *             Starts at zero (the loss is convex, so there is nothing to break the symmetry of).
 *   mlp       layers of weight x + bias with ReLU between them. Tensors: fc1.bias [200], fc1.weight
 *             [200, features], fc2.bias, fc2.weight, ...; the default, 784-200-200-10, is the
 *             "2NN" of McMahan et al. 2017 with 199,210 parameters. Weights start as
 *             uniform(-a, a), a = sqrt(6 / inputs) before a ReLU (He et al. 2015) and
 *             sqrt(3 / inputs) in the last layer; biases start at zero.
 *   cnn       square pictures in grey: twice a 5x5 convolution that keeps the size, 2x2 max pooling
 *             and ReLU, then layers as in mlp. Tensors: conv1.bias [32], conv1.weight [32, 1, 5, 5],
 *             conv2.bias [64], conv2.weight [64, 32, 5, 5], fc1.bias [512], fc1.weight
 *             [512, 64 * features / 16], fc2.bias, fc2.weight. With 784 features and 10 classes it
 *             is the CNN of the same paper with 1,663,370 parameters.
 *   lstm      text: each symbol is embedded in 8 numbers, goes through layers of LSTM units with
 *             peepholes (train/recurrence.h) and a last layer that tells the next symbol; features
 *             is the number of symbols in a row, classes that of different symbols. Tensors:
 *             embedding.weight [classes, 8], fc.bias, fc.weight [classes, 256], and for each layer
 *             lstm.bias_l0 [1024], lstm.peephole_l0 [3, 256], lstm.weight_hh_l0 [1024, 256],
 *             lstm.weight_ih_l0 [1024, 8]. Weights of a layer start as uniform(-a, a),
 *             a = 1 / sqrt(units), forget biases at 1. With 258 classes it has the 866,578
 *             parameters of the same paper, which fixes what the paper does not say: with
 *             embedding 8 and two layers of 256, only peepholes and 258 symbols (256 bytes, one
 *             for the start and one for the end) come to that number.
 *
 * Parameters are one flat float array in layout order (tensors by name, bytewise), the data
 * section of a version. The loss is the mean cross-entropy of the softmax, in nats.
 *
 * Signal handlers that may run during train, gradient or evaluate need a stack of their own
 * (sigaltstack, SA_ONSTACK): oneDNN's AVX2 and AVX-512 products use the stack register for data.
 *
 * Matrix products are oneDNN's (C API, one thread). The same machine, seed, data and settings
 * give the same bits; another instruction set may differ in the last ones. */
#ifndef TRIB_TRAIN_TRAINER_H
#define TRIB_TRAIN_TRAINER_H

#include "tensor/layout.h"
#include "train/dataset.h"
#include "train/step.h"

#define TRIB_TRAINER_HIDDEN_MAX 8    /* hidden layers; fc9 is the last name that sorts in order */
#define TRIB_TRAINER_WIDTH_MAX 65536 /* units of one hidden layer */

struct trib_trainer; /* opaque: model, scratch memory; one caller at a time */

/* The model. Zero in hidden_count: the kind's default. */
struct trib_trainer_spec {
    const char *kind;                         /* "softmax", "mlp", "cnn" or "lstm" */
    size_t feature_count;                     /* > 0 */
    uint32_t class_count;                     /* > 1 */
    uint32_t hidden[TRIB_TRAINER_HIDDEN_MAX]; /* units per hidden layer: fully connected ones, of
                                                 lstm recurrent ones */
    uint32_t hidden_count; /* 0 = softmax none, mlp {200, 200}, cnn {512}, lstm {256, 256} */
};

/* Names of the kinds for help and error texts: index 0, 1, ... until NULL. */
const char *trib_trainer_kind(size_t index);

/* Make a trainer. spec is borrowed. *trainer is set on success only; trib_trainer_free().
 * TRIB_EINVALID: unknown kind or a size out of range; TRIB_EMEMORY; TRIB_EUNSUPPORTED: oneDNN
 * does not work on this machine (error has its own words). */
enum trib_status trib_trainer_new(const struct trib_env *env, const struct trib_trainer_spec *spec,
                                  struct trib_trainer **trainer, struct trib_error *error);
void trib_trainer_free(struct trib_trainer *trainer); /* NULL allowed */

/* The tensors in layout order (name, dtype F32, rank, shape, element_count and element_offset
 * set), as trib_layout_of_tensors() takes them. Owned by the trainer. */
const struct trib_tensor *trib_trainer_tensors(const struct trib_trainer *trainer, size_t *count);
size_t trib_trainer_parameter_count(const struct trib_trainer *trainer);
const struct trib_env *trib_trainer_env(const struct trib_trainer *trainer);

/* The first weights. Drawn per tensor from (seed, name), so that another hidden layer does not
 * shift the draws of the first. The same bits on every machine.
 * parameters  float32[parameter count], written. */
void trib_trainer_initialise(const struct trib_trainer *trainer, uint64_t seed, float *parameters);

/* Rules that tie a client to the others: train/rule.h. */
enum trib_rule {
    TRIB_RULE_PLAIN,
    TRIB_RULE_FEDCM,
    TRIB_RULE_SCAFFOLD,
    TRIB_RULE_SCAFFOLD_M,
    TRIB_RULE_FEDSPEED,
    TRIB_RULE_COUNT
};

/* All zero but lr: plain SGD. */
struct trib_train_settings {
    uint32_t epochs; /* passes over the rows; 0 = 1. Not used when steps > 0 */
    uint64_t steps;  /* batches to take, over as many passes as that needs; 0 = by epochs */
    size_t batch;    /* rows per step; 0 or more than there are = all of them */
    double lr;       /* learning rate, > 0 */
    double mu;       /* FedProx: pull towards the parameters at the start; 0 = none */
    uint64_t seed;   /* order of the rows; give each task its own */

    enum trib_step_kind optimizer; /* starts afresh with each training; numbers as in step.h: */
    double momentum;
    double beta1, beta2;
    double epsilon;
    double weight_decay;
    double clip; /* longest gradient of a batch; longer ones are scaled down; 0 = any */

    enum trib_rule rule;       /* for trib_rule_train(); trib_trainer_train() does not look at it */
    double beta;               /* fedcm, scaffold_m: share of the client's own gradient */
    uint32_t scaffold_option;  /* scaffold, scaffold_m: 1, or 0 or 2 for option 2 */
    double lambda;             /* fedspeed; its rho and alpha are: */
    double rho;                /* step uphill before the second gradient */
    double alpha;              /* share of the second gradient; 0 = it is not computed */
    bool is_ascent_normalised; /* the step uphill has length rho, whatever the gradient's is */

    bool is_until_called; /* for the owner of the data: to say so by is_over */
    bool is_per_step;     /* the change of the parameters is divided by the steps done (FAVANO) */
    bool (*is_over)(
        void *context); /* asked after each step: is that all? NULL = all steps are done */
    void *over_context;

    double gradient_scale; /* factor on each gradient; 0 = 1 */
    const float *shift;    /* float32[parameter count] added to each gradient; NULL = none */
};

struct trib_train_result {
    double loss;        /* mean over the labels as they were visited, before each step */
    uint64_t row_count; /* different rows that took part: the weight of the update */
    uint64_t step_count;
};

/* Train on mini-batches from `parameters`, in place. Each pass visits the rows in a fresh order;
 * the last batch of a pass may be smaller; its gradient is the mean over the rows it has.
 *
 * dataset     feature_count as the model's, class_count not above it: else TRIB_ESHAPE.
 * rows        indices into the dataset, any order; NULL = all of them (row_count is ignored).
 * parameters  float32[parameter count]; undefined contents after an error.
 * result      may be NULL.
 *
 * TRIB_EINVALID: settings, or no rows; TRIB_ENONFINITE: training diverged (error says at which
 * step); TRIB_EMEMORY.
 * Source: McMahan et al. 2017, ClientUpdate. */
enum trib_status trib_trainer_train(struct trib_trainer *trainer,
                                    const struct trib_dataset *dataset, const uint32_t *rows,
                                    size_t row_count, const struct trib_train_settings *settings,
                                    float *parameters, struct trib_train_result *result,
                                    struct trib_error *error);

/* Mean loss over the rows and its gradient, as for FedSGD; arguments as above.
 * gradient  float32[parameter count], written; not `parameters`. */
enum trib_status trib_trainer_gradient(struct trib_trainer *trainer,
                                       const struct trib_dataset *dataset, const uint32_t *rows,
                                       size_t row_count, const float *parameters, float *gradient,
                                       double *loss, struct trib_error *error);

struct trib_evaluate_result {
    double accuracy;        /* correct_count / label_count */
    double loss;            /* mean cross-entropy, nats; not finite for broken weights */
    uint64_t correct_count; /* the first largest output is the label */
    uint64_t label_count;   /* one per row, of text one per symbol */
    uint64_t row_count;
};

/* Score `parameters` on every row of the dataset. Errors: TRIB_ESHAPE, TRIB_EINVALID (no rows). */
enum trib_status trib_trainer_evaluate(struct trib_trainer *trainer,
                                       const struct trib_dataset *dataset, const float *parameters,
                                       struct trib_evaluate_result *result,
                                       struct trib_error *error);

#endif
