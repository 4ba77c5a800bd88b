/* written.c - a file for a test that reads one. */
#include "written.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/check.h"

const char *written(char path[WRITTEN_PATH_BYTES], const char *text) {
    strcpy(path, "/tmp/trib-trace-XXXXXX");
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    assert_int_equal(write(descriptor, text, strlen(text)), strlen(text));
    close(descriptor);
    return path;
}
