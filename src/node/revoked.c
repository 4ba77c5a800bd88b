/* revoked.c - what a run no longer honours: serials of tokens, and clients. */
#include "node/revoked.h"

#include <string.h>

#define KEY_BYTES_MAX (1 + TRIB_NAME_BYTES)

void trib_revoked_init(struct trib_revoked *revoked, const struct trib_env *env) {
    trib_map_init(&revoked->map, env);
}

void trib_revoked_deinit(struct trib_revoked *revoked) {
    trib_map_deinit(&revoked->map);
}

static size_t serial_key(uint64_t serial, unsigned char key[KEY_BYTES_MAX]) {
    key[0] = 't';
    memcpy(key + 1, &serial, sizeof serial);
    return 1 + sizeof serial;
}

static size_t client_key(const char *client, unsigned char key[KEY_BYTES_MAX]) {
    size_t bytes = strnlen(client, TRIB_NAME_BYTES);
    key[0] = 'c';
    memcpy(key + 1, client, bytes);
    return 1 + bytes;
}

uint64_t trib_revoked_times(const struct trib_revoked *revoked, const char *client) {
    unsigned char key[KEY_BYTES_MAX];
    uint64_t times = 0;
    (void)trib_map_get(&revoked->map, key, client_key(client, key), &times);
    return times;
}

bool trib_revoked_has(const struct trib_revoked *revoked, const struct trib_token *token) {
    if (token->scope == TRIB_TOKEN_CLIENT) {
        return token->serial < trib_revoked_times(revoked, token->subject);
    }
    unsigned char key[KEY_BYTES_MAX];
    return trib_map_get(&revoked->map, key, serial_key(token->serial, key), NULL);
}

bool trib_revoked_is_full(const struct trib_revoked *revoked) {
    return revoked->map.used >= TRIB_REVOKED_MAX;
}

enum trib_status trib_revoked_take(struct trib_revoked *revoked, const json_t *record) {
    const char *type = json_string_value(json_object_get(record, "type"));
    if (type == NULL || strcmp(type, "revoked") != 0) {
        return TRIB_OK;
    }
    const char *client = json_string_value(json_object_get(record, "client"));
    const char *text = json_string_value(json_object_get(record, "serial"));
    unsigned char key[KEY_BYTES_MAX];
    size_t key_bytes;
    uint64_t serial, value = 1;
    if (client != NULL && trib_name_is_valid(client, strlen(client))) {
        value = trib_revoked_times(revoked, client) + 1;
        key_bytes = client_key(client, key);
    } else if (text != NULL && trib_token_serial_parse(text, &serial)) {
        key_bytes = serial_key(serial, key);
    } else {
        return TRIB_ECORRUPT;
    }
    return trib_map_put(&revoked->map, key, key_bytes, value) ? TRIB_OK : TRIB_EMEMORY;
}
