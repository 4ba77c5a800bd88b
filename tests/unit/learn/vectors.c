/* vectors.c - the test vectors of tests/vectors. */
#include "vectors.h"

#include <stdio.h>
#include <string.h>

#include "support/check.h"

json_t *vectors_load(const char *file_name) {
    char path[1024];
    assert_true(snprintf(path, sizeof path, "%s/%s", TRIB_TEST_VECTORS, file_name) <
                (int)sizeof path);
    json_t *file = json_load_file(path, 0, NULL);
    assert_non_null(file);
    return file;
}

const json_t *vectors_case(const json_t *file, const char *case_name) {
    size_t index;
    const json_t *item;
    json_array_foreach(json_object_get(file, "cases"), index, item) {
        if (strcmp(json_string_value(json_object_get(item, "name")), case_name) == 0) {
            return item;
        }
    }
    fail_msg("no case %s", case_name);
    return NULL;
}

const json_t *vectors_at(const json_t *object, const char *path) {
    while (*path != '\0') {
        char name[64];
        size_t name_bytes = strcspn(path, ".");
        assert_true(name_bytes < sizeof name);
        memcpy(name, path, name_bytes);
        name[name_bytes] = '\0';
        object = json_object_get(object, name);
        assert_non_null(object);
        path += name_bytes + (path[name_bytes] == '.');
    }
    return object;
}

double vectors_number(const json_t *object, const char *path) {
    const json_t *number = vectors_at(object, path);
    assert_true(json_is_number(number));
    return json_number_value(number);
}

void vectors_numbers(const json_t *array, double *numbers, size_t count) {
    assert_int_equal(json_array_size(array), count);
    for (size_t i = 0; i < count; i++) {
        assert_true(json_is_number(json_array_get(array, i)));
        numbers[i] = json_number_value(json_array_get(array, i));
    }
}
