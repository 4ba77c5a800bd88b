/* native.h - between the tensors of a run and the native trainers (train/trainer.h).
 *
 * The daemon makes a first model with create; a client that is handed a model finds out with infer
 * which trainer fits it, so that neither has to be told. */
#ifndef TRIB_CLI_NATIVE_H
#define TRIB_CLI_NATIVE_H

#include "base/block.h"
#include "run/spec.h"
#include "train/trainer.h"
#include "tributary/client.h"

/* Version 0 as spec->model.init {trainer, seed, ...} describes it: a sealed block with a canonical
 * safetensors file, the caller's. A trib_create_model (node/node.h); context is not used.
 * Errors: as trib_trainer_new(). Thread: any. */
enum trib_status trib_native_create(void *context, const struct trib_env *env,
                                    const struct trib_spec *spec, struct trib_block **model,
                                    struct trib_error *error);

/* The trainer whose tensors these are, by names and shapes; written on success only. Of an lstm
 * feature_count is 0: it reads windows of any length.
 * TRIB_EUNSUPPORTED: there is none, and error names the first tensor that does not fit. */
enum trib_status trib_native_infer(const struct trib_client_tensor *tensors, size_t tensor_count,
                                   struct trib_trainer_spec *spec, struct trib_error *error);

#endif
