/* slots.c - admitted updates. */
#include "run/slots.h"

#include <stdlib.h>
#include <string.h>

struct slot_key {
    char bytes[2 * TRIB_NAME_BYTES];
    size_t byte_count;
};

/* Names hold no '/', so client/id is unambiguous. */
static void make_key(struct slot_key *key, const char *client, const char *id) {
    size_t client_bytes = strlen(client), id_bytes = strlen(id);
    TRIB_ASSERT(client_bytes < TRIB_NAME_BYTES && id_bytes < TRIB_NAME_BYTES);
    memcpy(key->bytes, client, client_bytes);
    key->bytes[client_bytes] = '/';
    memcpy(key->bytes + client_bytes + 1, id, id_bytes);
    key->byte_count = client_bytes + 1 + id_bytes;
}

bool trib_slots_init(struct trib_slots *slots, const struct trib_env *env, uint32_t slot_count) {
    *slots = (struct trib_slots){.env = env, .slot_count = slot_count};
    trib_map_init(&slots->ids, env);
    slots->items = trib_allocate(env, slot_count, sizeof *slots->items);
    if (!slots->items)
        return false;
    for (uint32_t slot = 0; slot < slot_count; slot++)
        slots->items[slot].next = slot + 1 < slot_count ? slot + 1 : TRIB_SLOT_NONE;
    slots->first_free = slot_count ? 0 : TRIB_SLOT_NONE;
    return true;
}

void trib_slots_deinit(struct trib_slots *slots) {
    trib_release(slots->env, slots->items, slots->slot_count, sizeof *slots->items);
    trib_map_deinit(&slots->ids);
    *slots = (struct trib_slots){0};
}

trib_slot trib_slots_find(const struct trib_slots *slots, const char *client, const char *id) {
    struct slot_key key;
    make_key(&key, client, id);
    uint64_t slot;
    bool is_known = trib_map_get(&slots->ids, key.bytes, key.byte_count, &slot);
    return is_known ? (trib_slot)slot : TRIB_SLOT_NONE;
}

trib_slot trib_slots_take(struct trib_slots *slots, const char *client, const char *id) {
    trib_slot slot = slots->first_free;
    struct slot_key key;
    make_key(&key, client, id);
    if (slot == TRIB_SLOT_NONE || !trib_map_put(&slots->ids, key.bytes, key.byte_count, slot))
        return TRIB_SLOT_NONE;
    struct trib_admitted *admitted = &slots->items[slot];
    slots->first_free = admitted->next;
    slots->used++;
    slots->touched = slot + 1 > slots->touched ? slot + 1 : slots->touched;
    *admitted = (struct trib_admitted){.state = TRIB_SLOT_WRITING};
    memcpy(admitted->client, client, strlen(client) + 1);
    memcpy(admitted->id, id, strlen(id) + 1);
    return slot;
}

void trib_slots_free(struct trib_slots *slots, trib_slot slot) {
    TRIB_ASSERT(slot < slots->slot_count);
    struct trib_admitted *admitted = &slots->items[slot];
    TRIB_ASSERT(admitted->state != TRIB_SLOT_FREE);
    struct slot_key key;
    make_key(&key, admitted->client, admitted->id);
    bool was_known = trib_map_remove(&slots->ids, key.bytes, key.byte_count);
    TRIB_ASSERT(was_known);
    admitted->state = TRIB_SLOT_FREE;
    admitted->next = slots->first_free;
    slots->first_free = slot;
    slots->used--;
}

trib_slot trib_slots_next_of(const struct trib_slots *slots, trib_version target, trib_slot from) {
    for (trib_slot slot = from; slot < slots->touched; slot++) {
        const struct trib_admitted *admitted = &slots->items[slot];
        if (admitted->state != TRIB_SLOT_FREE && admitted->target == target)
            return slot;
    }
    return TRIB_SLOT_NONE;
}

static int compare_names(const void *a, const void *b, void *items) {
    const struct trib_admitted *first = (struct trib_admitted *)items + *(const trib_slot *)a;
    const struct trib_admitted *second = (struct trib_admitted *)items + *(const trib_slot *)b;
    int order = strcmp(first->client, second->client);
    return order ? order : strcmp(first->id, second->id);
}

size_t trib_slots_gather(const struct trib_slots *slots, trib_version first, trib_version final,
                         trib_slot *gathered, size_t slots_max) {
    size_t count = 0;
    for (trib_slot slot = 0; slot < slots->touched; slot++) {
        const struct trib_admitted *admitted = &slots->items[slot];
        bool is_of_these = admitted->target >= first && admitted->target <= final;
        if (admitted->state < TRIB_SLOT_DURABLE || !is_of_these)
            continue;
        if (count < slots_max)
            gathered[count] = slot;
        count++;
    }
    size_t written = count < slots_max ? count : slots_max;
    if (written > 1)
        qsort_r(gathered, written, sizeof *gathered, compare_names, slots->items);
    return count;
}
