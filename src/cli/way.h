/* way.h - the way to a daemon: sockets, through a proxy where the environment names one, with TLS
 * where the link asks for it.
 *
 *     sockets (client/socket.h) -> proxy (client/proxy.h) -> TLS (cli/secure.h) -> the daemon
 */
#ifndef TRIB_CLI_WAY_H
#define TRIB_CLI_WAY_H

#include "cli/secure.h"
#include "client/socket.h"
#include "wire/link.h"

/* What a user may say about TLS; what is NULL is taken from the environment. */
struct trib_way_options {
    const char *ca_file;          /* TRIB_CA_FILE, else the certificates of the system */
    const char *certificate_file; /* TRIB_CERT, else none */
    const char *key_file;         /* TRIB_KEY, else none */
};

/* The rows of an option table for a member of this type. */
#define TRIB_WAY_ROWS(type, member)                                                      \
    {"ca-file",                                                                          \
     TRIB_OPTION_TEXT,                                                                   \
     offsetof(type, member.ca_file),                                                     \
     .alias = "cacert",                                                                  \
     .value = "FILE",                                                                    \
     .otherwise = "TRIB_CA_FILE, or those of the system",                                \
     .meaning = "PEM file of certificates to trust"},                                    \
        {"cert",                                                                         \
         TRIB_OPTION_TEXT,                                                               \
         offsetof(type, member.certificate_file),                                        \
         .value = "FILE",                                                                \
         .otherwise = "TRIB_CERT, or none",                                              \
         .meaning = "certificate to show the daemon (serve --client-ca), PEM"},          \
    {                                                                                    \
        "key", TRIB_OPTION_TEXT, offsetof(type, member.key_file),                        \
            .value = "FILE", .otherwise = "TRIB_KEY, or none", .meaning = "its key, PEM" \
    }

struct trib_way {
    struct trib_sockets sockets; /* read-only, but for the bell; proxy says through which one */
    struct trib_transport plain; /* read-only: up to and with the proxy */
    struct trib_secure *tls;     /* read-only; NULL: none */
    bool has_certificate;        /* read-only: of our own, to show */
};

/* Nothing is sent yet. *way must stay where it is until close, as must env.
 * TRIB_EINVALID: options or environment make no sense; TRIB_EIO: a file cannot be read;
 * TRIB_EMEMORY. error says which. */
enum trib_status trib_way_open(const struct trib_env *env, const struct trib_link *link,
                               const struct trib_way_options *options, struct trib_way *way,
                               struct trib_error *error);
void trib_way_close(struct trib_way *way); /* only after an open that was TRIB_OK */
/* All of it; valid until close. */
const struct trib_transport *trib_way_transport(const struct trib_way *way);

/* A variable of the environment; NULL when it is not set or empty. */
const char *trib_environment(const char *name);

#endif
