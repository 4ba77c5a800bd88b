/* recurrence.c - one LSTM layer with peepholes over sequences of a fixed length.
 *
 * Products with inputs, and those that make gradients, are done for all steps at once; only what
 * goes through h is one product per step. */
#include "train/recurrence.h"

#include <string.h>

#include "train/activation.h"

size_t trib_recurrence_row_floats(const struct trib_recurrence *recurrence) {
    return (7 * recurrence->step_count + 4) * recurrence->unit_count;
}

enum trib_status trib_recurrence_init(struct trib_recurrence *recurrence,
                                      const struct trib_env *env, struct trib_products *products,
                                      size_t row_count_max, struct trib_error *error) {
    const size_t units = recurrence->unit_count;
    const size_t step = row_count_max * units;
    recurrence->env = env;
    recurrence->products = products;
    recurrence->scratch_count = row_count_max * trib_recurrence_row_floats(recurrence) + 4 * units;
    recurrence->scratch =
        trib_allocate(env, recurrence->scratch_count, sizeof *recurrence->scratch);
    if (recurrence->scratch == NULL) {
        return trib_error_set(error, TRIB_EMEMORY, "no memory for a recurrent layer");
    }
    recurrence->gates = recurrence->scratch;
    recurrence->cells = recurrence->gates + 4 * step * recurrence->step_count;
    recurrence->hidden = recurrence->cells + step * (recurrence->step_count + 1);
    recurrence->tanh_cells = recurrence->hidden + step * (recurrence->step_count + 1);
    recurrence->cell_errors = recurrence->tanh_cells + step * recurrence->step_count;
    recurrence->state_errors = recurrence->cell_errors + step;
    recurrence->sums = recurrence->state_errors + step;
    return TRIB_OK;
}

void trib_recurrence_deinit(struct trib_recurrence *recurrence) {
    if (recurrence->env != NULL) {
        trib_release(recurrence->env, recurrence->scratch, recurrence->scratch_count,
                     sizeof *recurrence->scratch);
    }
    memset(recurrence, 0, sizeof *recurrence);
}

/* One row of one step: from what is inside of the gates to c and h. Loops of one operation each
 * over a few hundred units, which a compiler can vectorise. */
static void step_forward(size_t units, const float *restrict peepholes, float *restrict gates,
                         const float *restrict cell_before, float *restrict cell,
                         float *restrict tanh_cell, float *restrict hidden) {
    float *restrict i = gates;
    float *restrict f = gates + units;
    float *restrict g = gates + 2 * units;
    float *restrict o = gates + 3 * units;
    for (size_t k = 0; k < units; k++) {
        i[k] = trib_sigmoid(i[k] + peepholes[k] * cell_before[k]);
        f[k] = trib_sigmoid(f[k] + peepholes[units + k] * cell_before[k]);
        g[k] = trib_tanh(g[k]);
        cell[k] = f[k] * cell_before[k] + i[k] * g[k];
        o[k] = trib_sigmoid(o[k] + peepholes[2 * units + k] * cell[k]);
        tanh_cell[k] = trib_tanh(cell[k]);
        hidden[k] = o[k] * tanh_cell[k];
    }
}

const float *trib_recurrence_forward(struct trib_recurrence *recurrence, const float *parameters,
                                     const float *inputs, size_t row_count) {
    const size_t units = recurrence->unit_count;
    const size_t step_values = row_count * units;
    const size_t all_rows = recurrence->step_count * row_count;
    for (size_t row = 0; row < all_rows; row++) {
        memcpy(recurrence->gates + row * 4 * units, parameters + recurrence->bias_offset,
               4 * units * sizeof *recurrence->gates);
    }
    struct trib_product product = {
        .rows = all_rows,
        .columns = 4 * units,
        .depth = recurrence->input_count,
        .a = inputs,
        .a_stride = recurrence->input_count,
        .b = parameters + recurrence->input_weight_offset,
        .b_stride = recurrence->input_count,
        .is_b_transposed = true,
        .scale = 1.0F,
        .keep = 1.0F,
        .out = recurrence->gates,
        .out_stride = 4 * units,
    };
    trib_multiply(recurrence->products, &product);

    product.rows = row_count;
    product.depth = product.a_stride = product.b_stride = units;
    product.b = parameters + recurrence->hidden_weight_offset;
    memset(recurrence->cells, 0, step_values * sizeof *recurrence->cells);
    memset(recurrence->hidden, 0, step_values * sizeof *recurrence->hidden);
    for (size_t step = 0; step < recurrence->step_count; step++) {
        float *gates = recurrence->gates + 4 * step * step_values;
        if (step > 0) { /* before, h is zero */
            product.a = recurrence->hidden + step * step_values;
            product.out = gates;
            trib_multiply(recurrence->products, &product);
        }
        for (size_t row = 0; row < row_count; row++) {
            const size_t before = step * step_values + row * units;
            const size_t now = before + step_values;
            step_forward(units, parameters + recurrence->peephole_offset, gates + 4 * row * units,
                         recurrence->cells + before, recurrence->cells + now,
                         recurrence->tanh_cells + before, recurrence->hidden + now);
        }
    }
    return recurrence->hidden + step_values;
}

/* One row of one step. On entry cell_errors and state_errors are what comes from the step after;
 * cell_errors become those of the step before, gates the errors of what is inside of them. */
static void step_backward(size_t units, const float *restrict peepholes,
                          const float *restrict errors, const float *restrict cell_before,
                          const float *restrict tanh_cell, const float *restrict state_errors,
                          float *restrict cell_errors, float *restrict gates) {
    float *restrict i = gates;
    float *restrict f = gates + units;
    float *restrict g = gates + 2 * units;
    float *restrict o = gates + 3 * units;
    for (size_t k = 0; k < units; k++) {
        const float h_error = errors[k] + state_errors[k];
        const float o_error = h_error * tanh_cell[k] * o[k] * (1.0F - o[k]);
        const float c_error = h_error * o[k] * (1.0F - tanh_cell[k] * tanh_cell[k]) +
                              cell_errors[k] + o_error * peepholes[2 * units + k];
        const float i_error = c_error * g[k] * i[k] * (1.0F - i[k]);
        const float f_error = c_error * cell_before[k] * f[k] * (1.0F - f[k]);
        const float g_error = c_error * i[k] * (1.0F - g[k] * g[k]);
        cell_errors[k] = c_error * f[k] + i_error * peepholes[k] + f_error * peepholes[units + k];
        i[k] = i_error;
        f[k] = f_error;
        g[k] = g_error;
        o[k] = o_error;
    }
}

static void walk_back(struct trib_recurrence *recurrence, const float *parameters, size_t row_count,
                      const float *errors) {
    const size_t units = recurrence->unit_count;
    const size_t step_values = row_count * units;
    struct trib_product states = {
        .rows = row_count,
        .columns = units,
        .depth = 4 * units,
        .a_stride = 4 * units,
        .b = parameters + recurrence->hidden_weight_offset,
        .b_stride = units,
        .scale = 1.0F,
        .out = recurrence->state_errors,
        .out_stride = units,
    };
    memset(recurrence->cell_errors, 0, step_values * sizeof *recurrence->cell_errors);
    memset(recurrence->state_errors, 0, step_values * sizeof *recurrence->state_errors);
    for (size_t step = recurrence->step_count; step-- > 0;) {
        float *gates = recurrence->gates + 4 * step * step_values;
        for (size_t row = 0; row < row_count; row++) {
            const size_t at = row * units;
            step_backward(
                units, parameters + recurrence->peephole_offset, errors + step * step_values + at,
                recurrence->cells + step * step_values + at,
                recurrence->tanh_cells + step * step_values + at, recurrence->state_errors + at,
                recurrence->cell_errors + at, gates + 4 * at);
        }
        if (step > 0) {
            states.a = gates;
            trib_multiply(recurrence->products, &states);
        }
    }
}

/* sum[k] over rows of errors[k] * cells[k]; errors are one gate of rows of four. */
static void add_peephole(const struct trib_gradient *gradient, size_t offset, const float *errors,
                         const float *cells, size_t row_count, size_t units, float *sum) {
    memset(sum, 0, units * sizeof *sum);
    for (size_t row = 0; row < row_count; row++) {
        for (size_t k = 0; k < units; k++) {
            sum[k] += errors[4 * row * units + k] * cells[row * units + k];
        }
    }
    trib_gradient_add(gradient, offset, sum, units);
}

static void add_gradient(struct trib_recurrence *recurrence, const float *inputs, size_t row_count,
                         const struct trib_gradient *gradient) {
    const size_t units = recurrence->unit_count;
    const size_t all_rows = recurrence->step_count * row_count;
    const float *gates = recurrence->gates;
    const float *cells_now = recurrence->cells + row_count * units;
    const size_t peephole = recurrence->peephole_offset;
    trib_gradient_add_rows(gradient, recurrence->bias_offset, gates, all_rows, 4 * units,
                           recurrence->sums);
    add_peephole(gradient, peephole, gates, recurrence->cells, all_rows, units, recurrence->sums);
    add_peephole(gradient, peephole + units, gates + units, recurrence->cells, all_rows, units,
                 recurrence->sums);
    add_peephole(gradient, peephole + 2 * units, gates + 3 * units, cells_now, all_rows, units,
                 recurrence->sums);
    struct trib_product weights = {
        .rows = 4 * units,
        .columns = units,
        .depth = all_rows,
        .a = gates,
        .a_stride = 4 * units,
        .is_a_transposed = true,
        .b = recurrence->hidden, /* that of the step before */
        .b_stride = units,
        .scale = gradient->scale,
        .keep = gradient->keep,
        .out = gradient->values + recurrence->hidden_weight_offset,
        .out_stride = units,
    };
    trib_multiply(recurrence->products, &weights);
    weights.columns = weights.b_stride = weights.out_stride = recurrence->input_count;
    weights.b = inputs;
    weights.out = gradient->values + recurrence->input_weight_offset;
    trib_multiply(recurrence->products, &weights);
}

void trib_recurrence_backward(struct trib_recurrence *recurrence, const float *parameters,
                              const float *inputs, size_t row_count, const float *errors,
                              const struct trib_gradient *gradient, float *input_errors) {
    const size_t units = recurrence->unit_count;
    walk_back(recurrence, parameters, row_count, errors);
    const struct trib_product product = {
        .rows = recurrence->step_count * row_count,
        .columns = recurrence->input_count,
        .depth = 4 * units,
        .a = recurrence->gates,
        .a_stride = 4 * units,
        .b = parameters + recurrence->input_weight_offset,
        .b_stride = recurrence->input_count,
        .scale = 1.0F,
        .out = input_errors,
        .out_stride = recurrence->input_count,
    };
    trib_multiply(recurrence->products, &product);
    /* Now, and not before: it may go to the weights themselves. */
    add_gradient(recurrence, inputs, row_count, gradient);
}
