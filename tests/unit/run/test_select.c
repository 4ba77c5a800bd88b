/* test_select.c - what attributes decide: who may be asked, before whom, in which group. */
#include "run/select.h"

#include <string.h>

#include "support/check.h"
#include "support/env_faulty.h"

static struct trib_attribute text(const char *name, const char *value) {
    struct trib_attribute attribute = {.kind = TRIB_ATTRIBUTE_TEXT};
    strcpy(attribute.name, name);
    strcpy(attribute.text, value);
    return attribute;
}

static struct trib_attribute number(const char *name, double value) {
    struct trib_attribute attribute = {.kind = TRIB_ATTRIBUTE_NUMBER, .number = value};
    strcpy(attribute.name, name);
    return attribute;
}

static struct trib_attribute flag(const char *name, bool value) {
    struct trib_attribute attribute = {.kind = TRIB_ATTRIBUTE_FLAG, .number = value};
    strcpy(attribute.name, name);
    return attribute;
}

static void add(struct trib_matches *matches, struct trib_attribute sought) {
    matches->items[matches->count++] = sought;
}

static void each_name_needs_one_of_its_values(void **state) {
    (void)state;
    struct trib_matches matches = {0};
    const struct trib_attribute mercy[] = {flag("gpu", true), text("site", "mercy")};
    assert_true(trib_matches_hold(&matches, NULL, 0)); /* nothing is sought */
    add(&matches, text("site", "gray"));
    assert_false(trib_matches_hold(&matches, mercy, 2));
    add(&matches, text("site", "mercy"));
    assert_true(trib_matches_hold(&matches, mercy, 2));
    add(&matches, flag("gpu", true));
    assert_true(trib_matches_hold(&matches, mercy, 2));
    assert_false(trib_matches_hold(&matches, mercy + 1, 1));
    add(&matches, number("cores", 8));
    assert_false(trib_matches_hold(&matches, mercy, 2));
}

static void values_of_different_kinds_are_different(void **state) {
    (void)state;
    struct trib_attribute one = number("a", 1), truth = flag("a", true), word = text("a", "1");
    struct trib_attribute other = number("b", 1);
    assert_true(trib_attribute_equal(&one, &other)); /* names are not looked at */
    assert_false(trib_attribute_equal(&one, &truth));
    assert_false(trib_attribute_equal(&one, &word));
    assert_false(trib_attribute_equal(&truth, &word));
    struct trib_attribute zero = number("a", 0.0), minus = number("a", -0.0);
    assert_true(trib_attribute_equal(&zero, &minus));
}

static void traits_say_which_rule_left_a_client_out(void **state) {
    (void)state;
    struct trib_spec spec = {0};
    struct trib_traits traits;
    char words[96];
    add(&spec.select.require, flag("gpu", true));
    add(&spec.select.require, text("site", "mercy"));
    add(&spec.select.never, number("floor", 0));
    const struct trib_attribute all[] = {flag("gpu", true), text("site", "mercy"),
                                         number("floor", 0)};
    trib_traits_of(&spec, all, 2, &traits);
    assert_int_equal(traits.unselected_by, 0);
    trib_traits_of(&spec, all, 1, &traits);
    trib_traits_explain(&spec, &traits, words, sizeof words);
    assert_string_equal(words, "select.require: this client is not asked, by its site");
    trib_traits_of(&spec, all, 3, &traits);
    trib_traits_explain(&spec, &traits, words, sizeof words);
    assert_string_equal(words, "select.never: this client is not asked, by its floor");
}

static void liking_counts_names_and_the_first_site_decides(void **state) {
    (void)state;
    struct trib_site sites[2] = {0};
    struct trib_spec spec = {.sites = sites, .site_count = 2};
    struct trib_traits traits;
    add(&spec.select.prefer, text("site", "mercy"));
    add(&spec.select.prefer, text("site", "gray"));
    add(&spec.select.prefer, flag("gpu", true));
    add(&sites[0].match, text("site", "gray"));
    add(&sites[1].match, flag("gpu", true));
    const struct trib_attribute gray[] = {flag("gpu", true), text("site", "gray")};
    trib_traits_of(&spec, gray, 2, &traits);
    assert_int_equal(traits.liking, 2);
    assert_int_equal(traits.site, 1);
    trib_traits_of(&spec, gray, 1, &traits);
    assert_int_equal(traits.liking, 1);
    assert_int_equal(traits.site, 2);
    trib_traits_of(&spec, NULL, 0, &traits);
    assert_int_equal(traits.liking, 0);
    assert_int_equal(traits.site, 0);
}

static struct trib_spec_select two_quotas(void) {
    struct trib_spec_select select = {.quota_count = 2};
    select.quotas[0] = (struct trib_quota){"site", 2};
    select.quotas[1] = (struct trib_quota){"ward", 1};
    return select;
}

static void a_quota_counts_equal_values_and_those_without_one(void **state) {
    (void)state;
    struct trib_spec spec = {.select = two_quotas()};
    struct trib_tally tally;
    struct trib_traits first, second, none, minus;
    const struct trib_attribute a[] = {text("site", "mercy"), number("ward", 0.0)};
    const struct trib_attribute b[] = {text("site", "mercy"), number("ward", 7)};
    const struct trib_attribute c[] = {text("site", "gray"), number("ward", -0.0)};
    trib_traits_of(&spec, a, 2, &first);
    trib_traits_of(&spec, b, 2, &second);
    trib_traits_of(&spec, c, 2, &minus);
    trib_traits_of(&spec, NULL, 0, &none);
    trib_tally_init(&tally, trib_env_system());
    assert_true(trib_tally_add(&tally, &spec.select, &first));
    assert_false(trib_tally_has_room(&tally, &spec.select, &minus)); /* ward -0 is ward 0 */
    assert_true(trib_tally_has_room(&tally, &spec.select, &second));
    assert_true(trib_tally_add(&tally, &spec.select, &second));
    assert_false(trib_tally_has_room(&tally, &spec.select, &second));
    assert_true(trib_tally_add(&tally, &spec.select, &none));
    assert_false(trib_tally_has_room(&tally, &spec.select, &none));
    trib_tally_remove(&tally, &spec.select, &first);
    assert_true(trib_tally_has_room(&tally, &spec.select, &minus));
    trib_tally_clear(&tally);
    assert_true(trib_tally_has_room(&tally, &spec.select, &none));
    trib_tally_remove(&tally, &spec.select, &none); /* nothing to take away */
    trib_tally_deinit(&tally);
}

static void without_memory_nothing_is_counted(void **state) {
    (void)state;
    struct trib_spec spec = {.select = two_quotas()};
    struct trib_env_faulty faulty;
    struct trib_traits traits;
    const struct trib_attribute a[] = {text("site", "mercy"), number("ward", 1)};
    trib_traits_of(&spec, a, 2, &traits);
    trib_env_faulty_init(&faulty);
    uint64_t nth = 0;
    do {
        struct trib_tally tally;
        trib_tally_init(&tally, &faulty.env);
        trib_env_faulty_fail(&faulty, ++nth);
        bool is_added = trib_tally_add(&tally, &spec.select, &traits);
        assert_int_equal(is_added, !faulty.has_failed);
        assert_int_equal(tally.counts.used, is_added ? 2 : 0);
        trib_tally_deinit(&tally);
    } while (faulty.has_failed);
    trib_env_faulty_deinit(&faulty);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_name_needs_one_of_its_values),
        cmocka_unit_test(values_of_different_kinds_are_different),
        cmocka_unit_test(traits_say_which_rule_left_a_client_out),
        cmocka_unit_test(liking_counts_names_and_the_first_site_decides),
        cmocka_unit_test(a_quota_counts_equal_values_and_those_without_one),
        cmocka_unit_test(without_memory_nothing_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
