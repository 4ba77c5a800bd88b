/* products.h - matrix products of the native trainers: oneDNN's sgemm on one thread.
 *
 * Matrices are row-major float32; a stride is the number of elements from one row to the next as
 * it lies in memory. A failure is remembered and asked for once, after many products. */
#ifndef TRIB_TRAIN_PRODUCTS_H
#define TRIB_TRAIN_PRODUCTS_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

struct trib_products {
    int failure; /* private: the first dnnl_status_t that was not success */
};

/* TRIB_EUNSUPPORTED: oneDNN does not work on this machine; TRIB_EMEMORY. */
enum trib_status trib_products_init(struct trib_products *products, struct trib_error *error);
/* TRIB_OK while every product has worked; a failure stays. */
enum trib_status trib_products_check(const struct trib_products *products,
                                     struct trib_error *error);

/* Call on the thread that will compute, before it does: oneDNN shall not start helpers. */
void trib_products_use_one_thread(void);

/* out[rows][columns] = keep * out + scale * a[rows][depth] * b[depth][columns]. A transposed factor
 * lies in memory the other way round: a as [depth][rows], b as [columns][depth]. */
struct trib_product {
    size_t rows, columns, depth;
    const float *a, *b; /* not out */
    size_t a_stride, b_stride, out_stride;
    bool is_a_transposed, is_b_transposed;
    float scale;
    float keep; /* 0: what out held does not matter */
    float *out;
};
void trib_multiply(struct trib_products *products, const struct trib_product *product);

/* Where the gradient of a model goes: values = keep * values + scale * gradient. With keep 1 and
 * scale -lr the values may be the parameters themselves: a step of gradient descent that writes
 * each weight once and needs no second array. */
struct trib_gradient {
    float *values; /* [parameter count] */
    float keep;    /* 0: what values held does not matter; or 1 */
    float scale;
};

/* values[count] = keep * values + scale * addend, the same for arrays that are no product. */
void trib_gradient_add(const struct trib_gradient *gradient, size_t offset, const float *addend,
                       size_t count);
/* The same with the sum of all rows, in row order: the gradient of a bias.
 * sum  float32[width], scratch. */
void trib_gradient_add_rows(const struct trib_gradient *gradient, size_t offset, const float *rows,
                            size_t row_count, size_t width, float *sum);

#endif
