/* agenda.c - one time per index, the earliest first. */
#include "run/agenda.h"

#include "base/status.h"

void trib_agenda_init(struct trib_agenda *agenda, const struct trib_env *env) {
    *agenda = (struct trib_agenda){.env = env};
}

void trib_agenda_deinit(struct trib_agenda *agenda) {
    trib_release(agenda->env, agenda->entries, agenda->capacity, sizeof *agenda->entries);
    *agenda = (struct trib_agenda){0};
}

bool trib_agenda_reserve(struct trib_agenda *agenda, uint32_t capacity) {
    if (capacity <= agenda->capacity)
        return true;
    struct trib_agenda_entry *grown = trib_regrow(agenda->env, agenda->entries, agenda->capacity,
                                                  capacity, sizeof *agenda->entries);
    if (!grown)
        return false;
    agenda->entries = grown;
    agenda->capacity = capacity;
    return true;
}

static void put(struct trib_agenda *agenda, uint32_t position, uint32_t index) {
    agenda->entries[position].index = index;
    agenda->entries[index].place = position + 1;
}

static trib_time_ns due_at(const struct trib_agenda *agenda, uint32_t position) {
    return agenda->entries[agenda->entries[position].index].due;
}

/* Let `index` rise or sink from the hole at position to where its time belongs. */
static void settle(struct trib_agenda *agenda, uint32_t position, uint32_t index) {
    trib_time_ns due = agenda->entries[index].due;
    while (position > 0 && due_at(agenda, (position - 1) / 2) > due) {
        put(agenda, position, agenda->entries[(position - 1) / 2].index);
        position = (position - 1) / 2;
    }
    for (;;) {
        uint32_t child = 2 * position + 1;
        if (child + 1 < agenda->count && due_at(agenda, child + 1) < due_at(agenda, child))
            child++;
        if (child >= agenda->count || due_at(agenda, child) >= due)
            break;
        put(agenda, position, agenda->entries[child].index);
        position = child;
    }
    put(agenda, position, index);
}

static void take_off(struct trib_agenda *agenda, uint32_t index) {
    uint32_t place = agenda->entries[index].place;
    if (place == 0)
        return;
    agenda->entries[index].place = 0;
    uint32_t last = agenda->entries[--agenda->count].index;
    if (last != index)
        settle(agenda, place - 1, last);
}

void trib_agenda_set(struct trib_agenda *agenda, uint32_t index, trib_time_ns due) {
    TRIB_ASSERT(index < agenda->capacity);
    if (due == TRIB_TIME_NEVER) {
        take_off(agenda, index);
        return;
    }
    uint32_t place = agenda->entries[index].place;
    agenda->entries[index].due = due;
    settle(agenda, place ? place - 1 : agenda->count++, index);
}

trib_time_ns trib_agenda_first(const struct trib_agenda *agenda, uint32_t *index) {
    if (agenda->count == 0)
        return TRIB_TIME_NEVER;
    if (index)
        *index = agenda->entries[0].index;
    return due_at(agenda, 0);
}
