/* print.h - documents as people and programs read them. */
#ifndef TRIB_CLI_PRINT_H
#define TRIB_CLI_PRINT_H

#include <jansson.h>

#include "cli/command.h"

/* Indented JSON and a newline to cli->out. document NULL: TRIB_EXIT_FAILED, out of memory. */
enum trib_exit trib_print_json(const struct trib_cli *cli, const json_t *document);

/* Append any JSON value as YAML, objects in block style, so that trib_yaml_read() reads the same
 * value back. value NULL: text fails. */
void trib_yaml_add(struct trib_text *text, const json_t *value);
/* The same to cli->out. */
enum trib_exit trib_print_yaml(const struct trib_cli *cli, const json_t *value);

/* Seconds since 1970 as "2026-11-20T16:38:38Z", "-" for none or what no calendar has. */
#define TRIB_STAMP_BYTES (sizeof "2026-11-20T16:38:38Z")
void trib_print_stamp(double seconds, char stamp[TRIB_STAMP_BYTES]);

#endif
