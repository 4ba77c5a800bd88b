/* written.h - a file for a test that reads one. */
#ifndef TRIB_TESTS_SIM_WRITTEN_H
#define TRIB_TESTS_SIM_WRITTEN_H

#define WRITTEN_PATH_BYTES 32

/* A new file with this text; the caller unlinks it. Returns path. */
const char *written(char path[WRITTEN_PATH_BYTES], const char *text);

#endif
