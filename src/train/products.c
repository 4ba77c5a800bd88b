/* products.c - matrix products of the native trainers: oneDNN's sgemm on one thread.
 *
 * dnnl_sgemm() and not the inner product and convolution primitives: weights change with every
 * step, so there is nothing to gain from a packed layout, and any batch size works without making
 * primitives for it. */
#include "train/products.h"

#include <string.h>

#include <oneapi/dnnl/dnnl.h>
#include <oneapi/dnnl/dnnl_debug.h>

#if DNNL_CPU_THREADING_RUNTIME == DNNL_RUNTIME_OMP
/* oneDNN has no call of its own for this. <omp.h> belongs to the compiler, not to the library that
 * oneDNN was linked with, so the prototype (OpenMP 5.0, section 3.2.1) stands here. */
extern void omp_set_num_threads(int thread_count);

void trib_products_use_one_thread(void) {
    omp_set_num_threads(1);
}
#elif DNNL_CPU_THREADING_RUNTIME == DNNL_RUNTIME_SEQ
void trib_products_use_one_thread(void) {
}
#else
#error "oneDNN must be built for OpenMP or for one thread"
#endif

static void remember(struct trib_products *products, dnnl_status_t status) {
    if (products->failure == dnnl_success) {
        products->failure = status;
    }
}

/* One small product shows whether the library can run its kernels here at all. */
enum trib_status trib_products_init(struct trib_products *products, struct trib_error *error) {
    const float two = 2.0F;
    float four = 0.0F;
    products->failure = dnnl_success;
    trib_products_use_one_thread();
    remember(products, dnnl_sgemm('N', 'N', 1, 1, 1, 1.0F, &two, 1, &two, 1, 0.0F, &four, 1));
    if (four != 4.0F) {
        remember(products, dnnl_runtime_error);
    }
    return trib_products_check(products, error);
}

enum trib_status trib_products_check(const struct trib_products *products,
                                     struct trib_error *error) {
    const dnnl_status_t failure = (dnnl_status_t)products->failure;
    if (failure == dnnl_success) {
        return TRIB_OK;
    }
    return trib_error_set(error, failure == dnnl_out_of_memory ? TRIB_EMEMORY : TRIB_EUNSUPPORTED,
                          "oneDNN cannot multiply matrices: %s", dnnl_status2str(failure));
}

void trib_multiply(struct trib_products *products, const struct trib_product *product) {
    remember(products,
             dnnl_sgemm(product->is_a_transposed ? 'T' : 'N', product->is_b_transposed ? 'T' : 'N',
                        (dnnl_dim_t)product->rows, (dnnl_dim_t)product->columns,
                        (dnnl_dim_t)product->depth, product->scale, product->a,
                        (dnnl_dim_t)product->a_stride, product->b, (dnnl_dim_t)product->b_stride,
                        product->keep, product->out, (dnnl_dim_t)product->out_stride));
}

void trib_gradient_add(const struct trib_gradient *gradient, size_t offset, const float *addend,
                       size_t count) {
    float *values = gradient->values + offset;
    const float scale = gradient->scale;
    if (gradient->keep == 0.0F) {
        memset(values, 0, count * sizeof *values);
    }
    for (size_t i = 0; i < count; i++) {
        values[i] += scale * addend[i];
    }
}

void trib_gradient_add_rows(const struct trib_gradient *gradient, size_t offset, const float *rows,
                            size_t row_count, size_t width, float *sum) {
    memset(sum, 0, width * sizeof *sum);
    for (size_t row = 0; row < row_count; row++) {
        for (size_t i = 0; i < width; i++) {
            sum[i] += rows[row * width + i];
        }
    }
    trib_gradient_add(gradient, offset, sum, width);
}
