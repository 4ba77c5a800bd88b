/* test_codec.c - the table of codecs. */
#include "support/check.h"

#include "codec/codec.h"

static void codecs_are_found_by_name(void **state) {
    (void)state;
    assert_ptr_equal(trib_codec_find("dense"), &trib_codec_dense);
    assert_string_equal(trib_codec_dense.name, "dense");
    assert_null(trib_codec_find("Dense"));
    assert_null(trib_codec_find(""));
    assert_null(trib_codec_find("dense "));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codecs_are_found_by_name),
    };
    return cmocka_run_group_tests_name("codec", tests, NULL, NULL);
}
