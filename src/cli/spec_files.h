/* spec_files.h - specs as people keep them: a YAML or JSON file, maybe next to a model file. */
#ifndef TRIB_CLI_SPEC_FILES_H
#define TRIB_CLI_SPEC_FILES_H

#include <jansson.h>

#include "base/env.h"
#include "base/status.h"

struct trib_spec_file_request {
    const char *path;  /* of the spec; "-": standard input */
    const char *model; /* a .safetensors file to start from, whatever the spec says; NULL: none */
    const char *data;  /* a data set (train/dataset.h) that gives model.init.features and .classes
                          where the spec leaves them out; NULL: none */
};

struct trib_spec_file {
    json_t *document; /* what the daemon is sent: only what was written, no defaults */
    char *model_path; /* the file to upload as version 0; NULL: none */

    const struct trib_env *env; /* private */
};

/* Read a spec file. `model.init: start.safetensors` in it (relative to its folder) and
 * request->model become init "upload" and model_path.
 *
 * TRIB_ENOTFOUND, TRIB_EIO: a file; TRIB_EMALFORMED, TRIB_ELIMIT: not YAML, with line and column;
 * TRIB_EINVALID: not an object; what trib_dataset_load() returns; TRIB_EMEMORY. error has the path.
 * Fields are not checked: trib_spec_parse() does that. On error *file is zero. */
enum trib_status trib_spec_file_read(const struct trib_env *env,
                                     const struct trib_spec_file_request *request,
                                     struct trib_spec_file *file, struct trib_error *error);
void trib_spec_file_deinit(struct trib_spec_file *file); /* all-zero is safe */

#endif
