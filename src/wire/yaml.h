/* yaml.h - YAML text -> JSON value: the form in which people write specs.
 *
 * The part of YAML 1.2 that has one meaning: mappings with text keys, sequences, and scalars
 * typed by the core schema (YAML 1.2.2 section 10.3: `no` and `on` are text, 0x1f is a number).
 * Refused: anchors, aliases, tags, several documents, duplicate keys, infinities and NaN, which
 * JSON cannot hold. A JSON file is valid input. Backed by libyaml. */
#ifndef TRIB_WIRE_YAML_H
#define TRIB_WIRE_YAML_H

#include <jansson.h>

#include "base/status.h"

#define TRIB_YAML_BYTES_MAX (1 << 20)
#define TRIB_YAML_DEPTH_MAX 32

/* *document is a new reference, NULL on error; any kind of value may be on top.
 * TRIB_EMALFORMED (line and column, counted from 1, in error), TRIB_ELIMIT (too long or too
 * deep), TRIB_EMEMORY. */
enum trib_status trib_yaml_read(const char *bytes, size_t byte_count, json_t **document,
                                struct trib_error *error);

#endif
