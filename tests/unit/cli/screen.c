/* screen.c - a command line without a terminal: what a command prints, as texts. */
#include "screen.h"

#include <stdlib.h>

#include "support/check.h"

void test_screen_init(struct test_screen *screen, const struct trib_env *env) {
    *screen = (struct test_screen){.cli.env = env};
    screen->cli.out = open_memstream(&screen->out, &screen->out_bytes);
    screen->cli.err = open_memstream(&screen->err, &screen->err_bytes);
    assert_non_null(screen->cli.out);
    assert_non_null(screen->cli.err);
}

void test_screen_deinit(struct test_screen *screen) {
    assert_int_equal(fclose(screen->cli.out), 0);
    assert_int_equal(fclose(screen->cli.err), 0);
    free(screen->out);
    free(screen->err);
}

void test_screen_read(struct test_screen *screen) {
    assert_int_equal(fflush(screen->cli.out), 0);
    assert_int_equal(fflush(screen->cli.err), 0);
}

enum trib_exit test_screen_run(struct test_screen *screen, const char *const *words) {
    size_t count = 0;
    while (words[count] != NULL) {
        count++;
    }
    const struct trib_env *env = screen->cli.env;
    test_screen_deinit(screen);
    test_screen_init(screen, env);
    enum trib_exit result = trib_cli_run(&screen->cli, words, count);
    test_screen_read(screen);
    return result;
}
