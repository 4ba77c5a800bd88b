/* screen.h - a command line without a terminal: what a command prints, as texts. */
#ifndef TRIB_TESTS_CLI_SCREEN_H
#define TRIB_TESTS_CLI_SCREEN_H

#include "cli/command.h"

struct test_screen {
    struct trib_cli cli;
    char *out, *err; /* after test_screen_read() */
    size_t out_bytes, err_bytes;
};

void test_screen_init(struct test_screen *screen, const struct trib_env *env);
void test_screen_deinit(struct test_screen *screen);
/* Make out and err what has been printed so far. */
void test_screen_read(struct test_screen *screen);
/* Run a command line given as words up to NULL; its exit code. out and err are read. */
enum trib_exit test_screen_run(struct test_screen *screen, const char *const *words);
#define TEST_RUN(screen, ...) test_screen_run(screen, (const char *const[]){__VA_ARGS__, NULL})

#endif
