/* map.h - a hash table from short byte keys to 64-bit values.
 *
 * Open addressing, keys copied. Grows by doubling; the owner bounds how many keys it puts in.
 * Keys may come from strangers: the hash is keyed with entropy of the environment. */
#ifndef TRIB_BASE_MAP_H
#define TRIB_BASE_MAP_H

#include "base/env.h"

#define TRIB_MAP_KEY_BYTES_MAX 160

struct trib_map {
    const struct trib_env *env;  /* private */
    struct trib_map_slot *slots; /* private */
    size_t slot_count;           /* private */
    size_t used;                 /* read-only: keys present */
    unsigned char *keys;         /* private: the bytes of all keys, one after the other */
    size_t key_bytes_max;        /* private: room in keys */
    size_t key_bytes_used;       /* private: of those, including removed keys */
    size_t key_bytes_live;       /* private: of those, keys present */
    uint64_t hash_key[2];        /* private */
};

void trib_map_init(struct trib_map *map, const struct trib_env *env);
void trib_map_deinit(struct trib_map *map); /* all-zero is safe */
/* Remove every key and give the memory back; the map may be used on. */
void trib_map_clear(struct trib_map *map);
/* Insert or replace. key_bytes 1..160. False: no memory, nothing changed. */
bool trib_map_put(struct trib_map *map, const void *key, size_t key_bytes, uint64_t value);
bool trib_map_get(const struct trib_map *map, const void *key, size_t key_bytes,
                  uint64_t *value); /* value may be NULL */
bool trib_map_remove(struct trib_map *map, const void *key, size_t key_bytes);

#endif
