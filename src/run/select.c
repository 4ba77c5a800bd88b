/* select.c - what follows from a client's attributes. */
#include "run/select.h"

#include <math.h>
#include <string.h>

#include "base/digest.h"
#include "base/words.h"

/* Rules that say no, as traits.unselected_by counts them. */
#define FIRST_REQUIRE 1
#define FIRST_NEVER (FIRST_REQUIRE + TRIB_MATCHES_MAX)
#define NO_WEIGHT (FIRST_NEVER + TRIB_MATCHES_MAX)

/* One past the last of the items with the name of items[first]: its alternatives. */
static uint32_t end_of_name(const struct trib_matches *matches, uint32_t first) {
    uint32_t end = first + 1;
    while (end < matches->count &&
           strcmp(matches->items[end].name, matches->items[first].name) == 0)
        end++;
    return end;
}

/* Does the client have one of these values? */
static bool has_any(const struct trib_matches *matches, uint32_t first, uint32_t end,
                    const struct trib_attribute *attributes, size_t count) {
    const struct trib_attribute *held =
        trib_attribute_find(attributes, count, matches->items[first].name);
    for (uint32_t index = first; held && index < end; index++) {
        if (trib_attribute_equal(held, &matches->items[index]))
            return true;
    }
    return false;
}

/* The first name for which having one of its values is `sought`; matches->count: none. */
static uint32_t find_name(const struct trib_matches *matches,
                          const struct trib_attribute *attributes, size_t count, bool sought) {
    uint32_t first = 0;
    while (first < matches->count) {
        uint32_t end = end_of_name(matches, first);
        if (has_any(matches, first, end, attributes, count) == sought)
            return first;
        first = end;
    }
    return first;
}

bool trib_matches_hold(const struct trib_matches *matches, const struct trib_attribute *attributes,
                       size_t count) {
    return find_name(matches, attributes, count, false) == matches->count;
}

static uint8_t count_names(const struct trib_matches *matches,
                           const struct trib_attribute *attributes, size_t count) {
    uint8_t held = 0;
    for (uint32_t first = 0, end; first < matches->count; first = end) {
        end = end_of_name(matches, first);
        held += has_any(matches, first, end, attributes, count);
    }
    return held;
}

static uint8_t find_refusal(const struct trib_spec_select *select,
                            const struct trib_attribute *attributes, size_t count) {
    uint32_t missing = find_name(&select->require, attributes, count, false);
    if (missing < select->require.count)
        return (uint8_t)(FIRST_REQUIRE + missing);
    uint32_t excluded = find_name(&select->never, attributes, count, true);
    return excluded < select->never.count ? (uint8_t)(FIRST_NEVER + excluded) : 0;
}

/* The first of `sites` that matches decides, as with model.tensors. */
static uint8_t find_site(const struct trib_spec *spec, const struct trib_attribute *attributes,
                         size_t count) {
    for (uint32_t index = 0; index < spec->site_count; index++) {
        if (trib_matches_hold(&spec->sites[index].match, attributes, count))
            return (uint8_t)(index + 1);
    }
    return 0;
}

/* Equal values have equal groups. 64 bits of SHA-256: nobody shares a group by design. */
static uint64_t group_of(const struct trib_attribute *attribute) {
    unsigned char bytes[1 + TRIB_ATTRIBUTE_TEXT_BYTES] = {0};
    size_t count = 1;
    if (attribute) {
        double number = attribute->number + 0.0; /* -0 is 0 */
        bool is_text = attribute->kind == TRIB_ATTRIBUTE_TEXT;
        const void *value = is_text ? (const void *)attribute->text : (const void *)&number;
        size_t value_bytes = is_text ? strlen(attribute->text) : sizeof number;
        bytes[0] = (unsigned char)(1 + attribute->kind);
        memcpy(bytes + 1, value, value_bytes);
        count += value_bytes;
    }
    struct trib_digest digest;
    uint64_t group;
    trib_digest_of(bytes, count, &digest);
    memcpy(&group, digest.bytes, sizeof group);
    return group;
}

/* 0: no whole number that may be a weight. */
static uint64_t mass_of(const struct trib_spec_strategy *strategy,
                        const struct trib_attribute *attributes, size_t count) {
    const struct trib_attribute *held =
        trib_attribute_find(attributes, count, strategy->weight_attribute);
    bool is_mass = held && held->kind == TRIB_ATTRIBUTE_NUMBER && held->number >= 1 &&
                   held->number <= (double)strategy->weight_max &&
                   held->number == floor(held->number);
    return is_mass ? (uint64_t)held->number : 0;
}

void trib_traits_of(const struct trib_spec *spec, const struct trib_attribute *attributes,
                    size_t count, struct trib_traits *traits) {
    const struct trib_spec_select *select = &spec->select;
    *traits = (struct trib_traits){
        .unselected_by = find_refusal(select, attributes, count),
        .liking = count_names(&select->prefer, attributes, count),
        .site = find_site(spec, attributes, count),
    };
    if (spec->strategy.weights == TRIB_WEIGHT_ATTRIBUTE) {
        traits->mass = mass_of(&spec->strategy, attributes, count);
        if (traits->mass == 0 && traits->unselected_by == 0)
            traits->unselected_by = NO_WEIGHT;
    }
    for (uint32_t index = 0; index < select->quota_count; index++)
        traits->groups[index] =
            group_of(trib_attribute_find(attributes, count, select->quotas[index].name));
}

void trib_traits_explain(const struct trib_spec *spec, const struct trib_traits *traits, char *text,
                         size_t room) {
    const struct trib_spec_select *select = &spec->select;
    uint32_t rule = traits->unselected_by;
    if (rule == NO_WEIGHT) {
        trib_words(text, room, "strategy.weights: this client is not asked, by its %s",
                   spec->strategy.weight_attribute);
        return;
    }
    bool is_never = rule >= FIRST_NEVER;
    const struct trib_matches *matches = is_never ? &select->never : &select->require;
    uint32_t index = rule - (is_never ? FIRST_NEVER : FIRST_REQUIRE);
    TRIB_ASSERT(rule > 0 && index < matches->count);
    trib_words(text, room, "select.%s: this client is not asked, by its %s",
               is_never ? "never" : "require", matches->items[index].name);
}

/* --- tally ------------------------------------------------------------------------------------ */

#define KEY_BYTES (1 + sizeof(uint64_t))

static void make_key(uint32_t quota, uint64_t group, unsigned char key[KEY_BYTES]) {
    key[0] = (unsigned char)quota;
    memcpy(key + 1, &group, sizeof group);
}

static uint64_t count_of(const struct trib_tally *tally, uint32_t quota, uint64_t group) {
    unsigned char key[KEY_BYTES];
    uint64_t count;
    make_key(quota, group, key);
    return trib_map_get(&tally->counts, key, sizeof key, &count) ? count : 0;
}

static bool set_count(struct trib_tally *tally, uint32_t quota, uint64_t group, uint64_t count) {
    unsigned char key[KEY_BYTES];
    make_key(quota, group, key);
    if (count > 0)
        return trib_map_put(&tally->counts, key, sizeof key, count);
    (void)trib_map_remove(&tally->counts, key, sizeof key); /* it may not be there */
    return true;
}

void trib_tally_init(struct trib_tally *tally, const struct trib_env *env) {
    trib_map_init(&tally->counts, env);
}

void trib_tally_deinit(struct trib_tally *tally) {
    trib_map_deinit(&tally->counts);
}

void trib_tally_clear(struct trib_tally *tally) {
    trib_map_clear(&tally->counts);
}

bool trib_tally_has_room(const struct trib_tally *tally, const struct trib_spec_select *select,
                         const struct trib_traits *traits) {
    for (uint32_t quota = 0; quota < select->quota_count; quota++) {
        if (count_of(tally, quota, traits->groups[quota]) >= select->quotas[quota].most)
            return false;
    }
    return true;
}

bool trib_tally_add(struct trib_tally *tally, const struct trib_spec_select *select,
                    const struct trib_traits *traits) {
    for (uint32_t quota = 0; quota < select->quota_count; quota++) {
        uint64_t group = traits->groups[quota];
        if (set_count(tally, quota, group, count_of(tally, quota, group) + 1))
            continue;
        while (quota-- > 0) {
            group = traits->groups[quota];
            (void)set_count(tally, quota, group, count_of(tally, quota, group) - 1);
        }
        return false;
    }
    return true;
}

void trib_tally_remove(struct trib_tally *tally, const struct trib_spec_select *select,
                       const struct trib_traits *traits) {
    for (uint32_t quota = 0; quota < select->quota_count; quota++) {
        uint64_t group = traits->groups[quota];
        uint64_t count = count_of(tally, quota, group);
        /* Lowering a count that is there takes no memory. */
        if (count > 0)
            (void)set_count(tally, quota, group, count - 1);
    }
}
