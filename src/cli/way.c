/* way.c - from a link to the transport that leads to its daemon. */
#include "cli/way.h"

#include <stdio.h>
#include <stdlib.h>

/* A daemon that says nothing for so long, in the middle of something, is lost. */
#define SOCKET_IDLE_MS 60000

const char *trib_environment(const char *name) {
    const char *value = getenv(name);
    return value == NULL || value[0] == '\0' ? NULL : value;
}

static const char *first_of(const char *given, const char *name) {
    return given != NULL ? given : trib_environment(name);
}

static enum trib_status open_tls(const struct trib_env *env, const struct trib_link *link,
                                 const struct trib_way_options *options, struct trib_way *way,
                                 struct trib_error *error) {
    const struct trib_secure_options secure = {
        .ca_file = first_of(options->ca_file, "TRIB_CA_FILE"),
        .certificate_file = first_of(options->certificate_file, "TRIB_CERT"),
        .key_file = first_of(options->key_file, "TRIB_KEY"),
        .pin = link->pin[0] == '\0' ? NULL : link->pin,
    };
    if ((secure.certificate_file == NULL) != (secure.key_file == NULL)) {
        return trib_error_set(error, TRIB_EINVALID, "--cert and --key belong together");
    }
    way->has_certificate = secure.certificate_file != NULL;
    return trib_secure_new(env, &way->plain, &secure, &way->tls, error);
}

enum trib_status trib_way_open(const struct trib_env *env, const struct trib_link *link,
                               const struct trib_way_options *options, struct trib_way *way,
                               struct trib_error *error) {
    char port[8];
    bool is_tls = trib_link_is_tls(link);
    *way = (struct trib_way){.tls = NULL};
    if (!trib_sockets_init(&way->sockets, SOCKET_IDLE_MS)) {
        return trib_error_set(error, TRIB_EMEMORY, "no file descriptors are left");
    }
    way->plain = trib_sockets_transport(&way->sockets);
    (void)snprintf(port, sizeof port, "%u", (unsigned)link->port);
    enum trib_status status = trib_proxy_find(link->host, port, is_tls, &way->sockets.proxy, error);
    if (status == TRIB_EMALFORMED || status == TRIB_EUNSUPPORTED) {
        status = TRIB_EINVALID; /* the environment is part of what the user said */
    }
    if (status == TRIB_OK && is_tls) {
        status = open_tls(env, link, options, way, error);
    }
    if (status != TRIB_OK) {
        trib_way_close(way);
    }
    return status;
}

void trib_way_close(struct trib_way *way) {
    trib_secure_free(way->tls);
    trib_sockets_deinit(&way->sockets);
}

const struct trib_transport *trib_way_transport(const struct trib_way *way) {
    return way->tls == NULL ? &way->plain : trib_secure_transport(way->tls);
}
