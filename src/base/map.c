/* map.c - linear probing over a power of two of slots, at most three quarters full.
 *
 * Keys lie one after the other in one array, so a slot is 24 bytes whatever the key, and growing
 * is one rebuild that also drops removed keys. The hash is SipHash-1-3 (Aumasson and Bernstein
 * 2012, with the rounds most hash tables use): update ids are chosen by clients, and with an
 * unkeyed hash a hostile client could make every probe walk the whole table. */
#include "base/map.h"

#include <string.h>

#include "base/status.h"

#define SLOTS_MIN 16
#define KEY_ROOM_MIN 512

struct trib_map_slot {
    uint64_t value;
    uint64_t key_offset; /* into keys */
    uint32_t hash;       /* low half; the slot index comes from its low bits */
    uint16_t key_bytes;  /* 0: the slot is empty */
};

static uint64_t rotate_left(uint64_t value, int bits) {
    return value << bits | value >> (64 - bits);
}

static inline void sip_round(uint64_t v[4]) {
    v[0] += v[1];
    v[1] = rotate_left(v[1], 13) ^ v[0];
    v[0] = rotate_left(v[0], 32);
    v[2] += v[3];
    v[3] = rotate_left(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate_left(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate_left(v[1], 17) ^ v[2];
    v[2] = rotate_left(v[2], 32);
}

/* The last key_bytes % 8 bytes, from the low end. */
static uint64_t tail_of(const unsigned char *key, size_t key_bytes) {
    uint64_t tail = 0;
    for (size_t index = key_bytes / 8 * 8; index < key_bytes; index++)
        tail |= (uint64_t)key[index] << index % 8 * 8;
    return tail;
}

static uint32_t hash_of(const struct trib_map *map, const unsigned char *key, size_t key_bytes) {
    uint64_t v[4] = {
        map->hash_key[0] ^ UINT64_C(0x736f6d6570736575),
        map->hash_key[1] ^ UINT64_C(0x646f72616e646f6d),
        map->hash_key[0] ^ UINT64_C(0x6c7967656e657261),
        map->hash_key[1] ^ UINT64_C(0x7465646279746573),
    };
    size_t whole_bytes = key_bytes / 8 * 8;
    uint64_t word;
    for (size_t index = 0; index < whole_bytes; index += 8) {
        memcpy(&word, key + index, sizeof word);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    word = tail_of(key, key_bytes) | (uint64_t)key_bytes << 56;
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
    v[2] ^= 0xff;
    for (int round = 0; round < 3; round++)
        sip_round(v);
    return (uint32_t)(v[0] ^ v[1] ^ v[2] ^ v[3]);
}

void trib_map_init(struct trib_map *map, const struct trib_env *env) {
    *map = (struct trib_map){.env = env};
    env->entropy(env->context, map->hash_key, sizeof map->hash_key);
}

void trib_map_deinit(struct trib_map *map) {
    if (map->slots) {
        trib_release(map->env, map->slots, map->slot_count, sizeof *map->slots);
        trib_release(map->env, map->keys, map->key_bytes_max, 1);
    }
    *map = (struct trib_map){.env = map->env};
}

void trib_map_clear(struct trib_map *map) {
    uint64_t hash_key[2] = {map->hash_key[0], map->hash_key[1]};
    trib_map_deinit(map);
    memcpy(map->hash_key, hash_key, sizeof hash_key);
}

/* The key's slot, or NULL. */
static struct trib_map_slot *find_slot(const struct trib_map *map, uint32_t hash, const void *key,
                                       size_t key_bytes) {
    if (map->slot_count == 0)
        return NULL;
    for (size_t index = hash;; index++) {
        struct trib_map_slot *slot = &map->slots[index & (map->slot_count - 1)];
        if (slot->key_bytes == 0)
            return NULL;
        if (slot->hash == hash && slot->key_bytes == key_bytes &&
            memcmp(map->keys + slot->key_offset, key, key_bytes) == 0)
            return slot;
    }
}

/* Append a key that is not there; there is room for it. */
static void add_key(struct trib_map *map, uint32_t hash, const void *key, size_t key_bytes,
                    uint64_t value) {
    size_t index = hash & (map->slot_count - 1);
    while (map->slots[index].key_bytes > 0)
        index = (index + 1) & (map->slot_count - 1);
    map->slots[index] = (struct trib_map_slot){
        .value = value,
        .key_offset = map->key_bytes_used,
        .hash = hash,
        .key_bytes = (uint16_t)key_bytes,
    };
    memcpy(map->keys + map->key_bytes_used, key, key_bytes);
    map->key_bytes_used += key_bytes;
    map->key_bytes_live += key_bytes;
    map->used++;
}

/* Move all keys to fresh arrays with room for one more key of key_bytes. */
static bool rebuild(struct trib_map *map, size_t key_bytes) {
    struct trib_map fresh = {.env = map->env, .slot_count = SLOTS_MIN};
    memcpy(fresh.hash_key, map->hash_key, sizeof fresh.hash_key);
    while (fresh.slot_count / 2 < map->used + 1)
        fresh.slot_count *= 2;
    fresh.key_bytes_max = KEY_ROOM_MIN + 2 * (map->key_bytes_live + key_bytes);
    fresh.slots = trib_allocate(map->env, fresh.slot_count, sizeof *fresh.slots);
    fresh.keys = trib_allocate(map->env, fresh.key_bytes_max, 1);
    if (!fresh.slots || !fresh.keys) {
        trib_release(map->env, fresh.slots, fresh.slot_count, sizeof *fresh.slots);
        trib_release(map->env, fresh.keys, fresh.key_bytes_max, 1);
        return false;
    }
    for (size_t index = 0; index < map->slot_count; index++) {
        const struct trib_map_slot *slot = &map->slots[index];
        if (slot->key_bytes > 0)
            add_key(&fresh, slot->hash, map->keys + slot->key_offset, slot->key_bytes, slot->value);
    }
    trib_map_deinit(map);
    *map = fresh;
    return true;
}

bool trib_map_put(struct trib_map *map, const void *key, size_t key_bytes, uint64_t value) {
    TRIB_ASSERT(key_bytes >= 1);
    TRIB_ASSERT(key_bytes <= TRIB_MAP_KEY_BYTES_MAX);
    uint32_t hash = hash_of(map, key, key_bytes);
    struct trib_map_slot *slot = find_slot(map, hash, key, key_bytes);
    if (slot) {
        slot->value = value;
        return true;
    }
    bool is_crowded = (map->used + 1) * 4 > map->slot_count * 3;
    bool has_key_room = key_bytes <= map->key_bytes_max - map->key_bytes_used;
    if ((is_crowded || !has_key_room) && !rebuild(map, key_bytes))
        return false;
    add_key(map, hash, key, key_bytes, value);
    return true;
}

bool trib_map_get(const struct trib_map *map, const void *key, size_t key_bytes, uint64_t *value) {
    const struct trib_map_slot *slot = find_slot(map, hash_of(map, key, key_bytes), key, key_bytes);
    if (slot && value)
        *value = slot->value;
    return slot != NULL;
}

/* Knuth, volume 3, section 6.4, Algorithm R: whoever would not be found across the hole moves into
 * it, which makes another hole, until one is followed by an empty slot. */
static void close_hole(struct trib_map *map, size_t hole) {
    size_t mask = map->slot_count - 1;
    for (size_t next = (hole + 1) & mask; map->slots[next].key_bytes > 0;
         next = (next + 1) & mask) {
        size_t home = map->slots[next].hash & mask;
        if (((next - home) & mask) >= ((next - hole) & mask)) {
            map->slots[hole] = map->slots[next];
            hole = next;
        }
    }
    map->slots[hole] = (struct trib_map_slot){0};
}

bool trib_map_remove(struct trib_map *map, const void *key, size_t key_bytes) {
    struct trib_map_slot *slot = find_slot(map, hash_of(map, key, key_bytes), key, key_bytes);
    if (!slot)
        return false;
    bool is_last_key = slot->key_offset + key_bytes == map->key_bytes_used;
    close_hole(map, (size_t)(slot - map->slots));
    map->used--;
    map->key_bytes_live -= key_bytes;
    map->key_bytes_used -= is_last_key ? key_bytes : 0;
    if (map->used == 0)
        map->key_bytes_used = 0;
    return true;
}
