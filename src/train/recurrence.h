/* recurrence.h - one LSTM layer with peepholes over sequences of a fixed length.
 *
 *   i = sigmoid(W_i x + U_i h' + p_i c' + b_i)      x: input, h' and c': output and cell one step
 *   f = sigmoid(W_f x + U_f h' + p_f c' + b_f)      before, zero before the first step;
 *   g = tanh   (W_g x + U_g h'          + b_g)      p: one number per unit
 *   c = f c' + i g
 *   o = sigmoid(W_o x + U_o h' + p_o c  + b_o)
 *   h = o tanh(c)
 *
 * Everything is in order of time: [step][row][...]. Gates lie in the order i, f, g, o (that of
 * PyTorch), peepholes in the order i, f, o.
 * Source: Gers and Schmidhuber 2000; Graves 2013, equations 7 to 11. */
#ifndef TRIB_TRAIN_RECURRENCE_H
#define TRIB_TRAIN_RECURRENCE_H

#include "base/env.h"
#include "train/products.h"

struct trib_recurrence {
    /* read-only */
    size_t input_count, unit_count, step_count;
    size_t bias_offset;          /* in the parameters, [4 units] */
    size_t peephole_offset;      /* [3][units] */
    size_t hidden_weight_offset; /* U, [4 units][units] */
    size_t input_weight_offset;  /* W, [4 units][inputs] */
    float *hidden;               /* h: [1 + steps][rows][units], the first of them zero */

    /* private */
    const struct trib_env *env;
    struct trib_products *products;
    float *scratch;
    size_t scratch_count;
    float *gates;        /* [steps][rows][4 units]; backward: d loss / d what is inside of each */
    float *cells;        /* [1 + steps][rows][units], the first of them zero */
    float *tanh_cells;   /* [steps][rows][units] */
    float *cell_errors;  /* [rows][units], going back in time; so do */
    float *state_errors; /* [rows][units] */
    float *sums;         /* [4 units] */
};

/* floats of scratch memory per row. */
size_t trib_recurrence_row_floats(const struct trib_recurrence *recurrence);
/* Scratch memory for slices of at most row_count_max rows; counts and offsets are set by the
 * caller, all else is zero. products is kept. TRIB_EMEMORY. */
enum trib_status trib_recurrence_init(struct trib_recurrence *recurrence,
                                      const struct trib_env *env, struct trib_products *products,
                                      size_t row_count_max, struct trib_error *error);
void trib_recurrence_deinit(struct trib_recurrence *recurrence); /* all-zero is safe */

/* h of all steps, float32[steps][row_count][units] in scratch memory, valid until the next forward.
 * inputs  float32[steps][row_count][inputs]. */
const float *trib_recurrence_forward(struct trib_recurrence *recurrence, const float *parameters,
                                     const float *inputs, size_t row_count);
/* The gradient; its values may be the parameters. Same inputs and row_count as forward.
 * errors        float32[steps][row_count][units]: d loss / d h.
 * input_errors  float32[steps][row_count][inputs], written; may be the memory of errors. */
void trib_recurrence_backward(struct trib_recurrence *recurrence, const float *parameters,
                              const float *inputs, size_t row_count, const float *errors,
                              const struct trib_gradient *gradient, float *input_errors);

#endif
