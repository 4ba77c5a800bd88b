/* spool_folder.h - what the commit job of a spool shares with bodies and readers on other threads:
 * the folder, which never changes, and atomic counters. Only the files of the spool use it. */
#ifndef TRIB_STORE_SPOOL_FOLDER_H
#define TRIB_STORE_SPOOL_FOLDER_H

#include "store/spool.h"

#include <stdatomic.h>

#define TRIB_SPOOL_PATH_BYTES 512

struct trib_spool_folder {
    const struct trib_env *env;
    const struct trib_files *files;
    char path[TRIB_SPOOL_PATH_BYTES - 64]; /* of the folder; leaves room for a name */
    uint64_t bytes_max;                    /* quota; 0 = none */
    _Atomic uint64_t bytes_used;
    _Atomic uint64_t bytes_coming; /* of those, not yet written */
    _Atomic uint64_t body_next;    /* number of the next body file */
};

struct trib_spool_folder *trib_spool_folder(struct trib_spool *spool);
const struct trib_spool_folder *trib_spool_folder_const(const struct trib_spool *spool);

/* "<folder>/<number><suffix>"; returns path. */
const char *trib_spool_path(const struct trib_spool_folder *folder, uint64_t number,
                            const char *suffix, char path[TRIB_SPOOL_PATH_BYTES]);
/* Take bytes from the quota; false: it would be passed, nothing was taken. */
bool trib_spool_charge(struct trib_spool_folder *folder, uint64_t bytes);
void trib_spool_give_back(struct trib_spool_folder *folder, uint64_t bytes);
/* TRIB_EFULL, with the numbers. */
enum trib_status trib_spool_refuse(const struct trib_spool_folder *folder, uint64_t bytes,
                                   struct trib_error *error);

bool trib_spool_body_is_finished(const struct trib_spool_body *body);
uint64_t trib_spool_body_number(const struct trib_spool_body *body);

#endif
