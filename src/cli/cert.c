/* cert.c - trib cert: certificates for a lab: a CA of one's own, a server's, and clients'.
 *
 * The CA is made once per directory and used again, so that further certificates can be added and
 * old ones replaced; so is the server's key, so that links with its pin stay good. Keys are P-256, which every TLS 1.3 peer knows (RFC 8446 section 9.1). Each
 * file appears whole and can be read by its owner only. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/name.h"
#include "cli/command.h"
#include "net/certificate.h"

#define CA_DAYS 3650
#define PATH_ROOM 4096
#define HOST_BYTES_MAX 253 /* RFC 1035 section 2.3.4, as text */

struct cert_options {
    const char *directory;
    struct trib_option_list names;
    struct trib_option_list clients;
    uint64_t days;
};

#define AT(member) offsetof(struct cert_options, member)

static const struct trib_option cert_table[] = {
    {"dir", TRIB_OPTION_TEXT, AT(directory), .value = "DIR", .is_required = true,
     .meaning = "where the files go; made when missing"},
    {"name", TRIB_OPTION_LIST, AT(names), .value = "HOST", .otherwise = "no server certificate",
     .meaning = "a name or address under which clients call the daemon"},
    {"client", TRIB_OPTION_LIST, AT(clients), .value = "NAME", .otherwise = "none",
     .meaning = "make a certificate for this client, for serve --client-ca"},
    {"days", TRIB_OPTION_INTEGER, AT(days), .value = "N", .initial = "365", .least = 1,
     .most = CA_DAYS, .meaning = "how long server and client certificates are good"},
    {0},
};

struct pair {
    X509 *certificate;
    EVP_PKEY *key;
};

static void free_pair(struct pair *pair) {
    X509_free(pair->certificate);
    EVP_PKEY_free(pair->key);
}

/* --- files ------------------------------------------------------------------------------------ */

typedef int write_pem(FILE *file, const struct pair *pair);

static int write_certificate(FILE *file, const struct pair *pair) {
    return PEM_write_X509(file, pair->certificate);
}

static int write_key(FILE *file, const struct pair *pair) {
    return PEM_write_PrivateKey(file, pair->key, NULL, NULL, 0, NULL, NULL);
}

static enum trib_status join_path(char path[PATH_ROOM], const char *directory, const char *stem,
                                  const char *ending, struct trib_error *error) {
    if (snprintf(path, PATH_ROOM, "%s/%s%s", directory, stem, ending) >= PATH_ROOM) {
        return trib_error_set(error, TRIB_EINVALID, "%.80s...: the path is too long", directory);
    }
    return TRIB_OK;
}

/* A daemon may be about to read the file: it sees the old one or the new one. */
static enum trib_status publish(const char *directory, const char *stem, const char *ending,
                                write_pem *write, const struct pair *pair,
                                struct trib_error *error) {
    char path[PATH_ROOM], draft[PATH_ROOM + 8];
    if (join_path(path, directory, stem, ending, error) != TRIB_OK) {
        return TRIB_EINVALID;
    }
    (void)snprintf(draft, sizeof draft, "%s.tmp", path);
    (void)unlink(draft); /* left behind by a crash, perhaps; whatever else it is, open() tells */
    int descriptor = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    FILE *file = descriptor < 0 ? NULL : fdopen(descriptor, "w");
    bool is_written = file != NULL && write(file, pair) == 1;
    is_written = file != NULL && fclose(file) == 0 && is_written;
    if (is_written && rename(draft, path) == 0) {
        return TRIB_OK;
    }
    enum trib_status status = trib_error_set(error, TRIB_EIO, "%s: %s", path, strerror(errno));
    (void)unlink(draft); /* a key, perhaps half of one */
    return status;
}

static enum trib_status publish_pair(const char *directory, const char *stem,
                                     const struct pair *pair, struct trib_error *error) {
    enum trib_status status = publish(directory, stem, ".key", write_key, pair, error);
    return status == TRIB_OK ? publish(directory, stem, ".crt", write_certificate, pair, error)
                             : status;
}

/* The key of a pair that was published before; NULL: there is none, or it cannot be read. */
static EVP_PKEY *load_key(const char *directory, const char *stem) {
    char path[PATH_ROOM];
    EVP_PKEY *key = NULL;
    FILE *file =
        join_path(path, directory, stem, ".key", NULL) == TRIB_OK ? fopen(path, "re") : NULL;
    if (file != NULL) {
        key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
        (void)fclose(file); /* only read */
    }
    ERR_clear_error();
    return key;
}

/* TRIB_ENOTFOUND: there is no CA yet. */
static enum trib_status load_ca(const char *directory, struct pair *ca, struct trib_error *error) {
    char certificate[PATH_ROOM], key[PATH_ROOM];
    if (join_path(certificate, directory, "ca", ".crt", error) != TRIB_OK ||
        join_path(key, directory, "ca", ".key", error) != TRIB_OK) {
        return TRIB_EINVALID;
    }
    FILE *certificate_file = fopen(certificate, "re");
    FILE *key_file = fopen(key, "re");
    bool is_there = certificate_file != NULL || key_file != NULL;
    if (certificate_file != NULL) {
        ca->certificate = PEM_read_X509(certificate_file, NULL, NULL, NULL);
        (void)fclose(certificate_file); /* only read */
    }
    if (key_file != NULL) {
        ca->key = PEM_read_PrivateKey(key_file, NULL, NULL, NULL);
        (void)fclose(key_file);
    }
    if (!is_there) {
        return TRIB_ENOTFOUND;
    }
    if (ca->certificate == NULL || ca->key == NULL ||
        X509_check_private_key(ca->certificate, ca->key) != 1) {
        return trib_error_set(error, TRIB_ECORRUPT, "%s and %s are not a CA with its key",
                              certificate, key);
    }
    return TRIB_OK;
}

/* --- certificates ------------------------------------------------------------------------------ */

static bool add_extension(X509 *certificate, const X509 *issuer, int kind, const char *value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, (X509 *)issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, kind, value);
    bool is_added = extension != NULL && X509_add_ext(certificate, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return is_added;
}

static bool set_name(X509_NAME *name, const char *text) {
    return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)text, -1,
                                      -1, 0) == 1;
}

/* 127 random bits (CA/Browser Forum Baseline Requirements section 7.1 asks for 64). */
static bool set_serial(const struct trib_env *env, X509 *certificate) {
    unsigned char bytes[16];
    env->entropy(env->context, bytes, sizeof bytes);
    bytes[0] = (bytes[0] & 0x7f) | 0x40; /* positive, and of full length */
    BIGNUM *number = BN_bin2bn(bytes, sizeof bytes, NULL);
    bool is_set =
        number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != NULL;
    BN_free(number);
    return is_set;
}

/* A key, unless there is one, with a certificate that lacks extensions and signature. */
static bool begin_pair(const struct trib_env *env, const char *name, uint64_t days,
                       struct pair *pair) {
    if (pair->key == NULL) {
        pair->key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    }
    pair->certificate = X509_new();
    return pair->key != NULL && pair->certificate != NULL &&
           X509_set_version(pair->certificate, X509_VERSION_3) == 1 &&
           set_serial(env, pair->certificate) &&
           X509_gmtime_adj(X509_getm_notBefore(pair->certificate), -3600) != NULL && /* skew */
           X509_time_adj_ex(X509_getm_notAfter(pair->certificate), (int)days, 0, NULL) != NULL &&
           set_name(X509_get_subject_name(pair->certificate), name) &&
           X509_set_pubkey(pair->certificate, pair->key) == 1;
}

static bool make_ca(const struct trib_env *env, struct pair *ca) {
    unsigned char mark[4];
    char name[64];
    env->entropy(env->context, mark, sizeof mark);
    (void)snprintf(name, sizeof name, TRIB_LAB_CA " %02x%02x%02x%02x", mark[0], mark[1], mark[2],
                   mark[3]);
    return begin_pair(env, name, CA_DAYS, ca) &&
           X509_set_issuer_name(ca->certificate, X509_get_subject_name(ca->certificate)) == 1 &&
           add_extension(ca->certificate, ca->certificate, NID_basic_constraints,
                         "critical,CA:TRUE,pathlen:0") &&
           add_extension(ca->certificate, ca->certificate, NID_key_usage,
                         "critical,keyCertSign,cRLSign") &&
           add_extension(ca->certificate, ca->certificate, NID_subject_key_identifier, "hash") &&
           X509_sign(ca->certificate, ca->key, EVP_sha256()) > 0;
}

/* alternatives: "DNS:a,IP:127.0.0.1"; use: "serverAuth" or "clientAuth". */
static bool make_leaf(const struct trib_env *env, const struct pair *ca, const char *name,
                      const char *alternatives, const char *use, uint64_t days, struct pair *leaf) {
    return begin_pair(env, name, days, leaf) &&
           X509_set_issuer_name(leaf->certificate, X509_get_subject_name(ca->certificate)) == 1 &&
           add_extension(leaf->certificate, ca->certificate, NID_basic_constraints,
                         "critical,CA:FALSE") &&
           add_extension(leaf->certificate, ca->certificate, NID_key_usage,
                         "critical,digitalSignature") &&
           add_extension(leaf->certificate, ca->certificate, NID_ext_key_usage, use) &&
           add_extension(leaf->certificate, ca->certificate, NID_authority_key_identifier,
                         "keyid") &&
           add_extension(leaf->certificate, ca->certificate, NID_subject_alt_name, alternatives) &&
           X509_sign(leaf->certificate, ca->key, EVP_sha256()) > 0;
}

/* --- the command -------------------------------------------------------------------------------- */

static bool is_address(const char *host) {
    unsigned char bytes[16];
    return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

/* A DNS name, perhaps with a leading "*.": nothing that could mean more in a list of names. */
static bool is_host_name(const char *host) {
    const char *rest = strncmp(host, "*.", 2) == 0 ? host + 2 : host;
    size_t bytes = strlen(host);
    return rest[0] != '\0' && rest[0] != '.' && rest[0] != '-' && bytes <= HOST_BYTES_MAX &&
           strspn(rest, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") ==
               strlen(rest);
}

/* "DNS:a,IP:127.0.0.1" */
static enum trib_status list_alternatives(const struct trib_option_list *names,
                                          struct trib_text *text, struct trib_error *error) {
    for (size_t i = 0; i < names->count; i++) {
        const char *name = names->items[i];
        if (!is_address(name) && !is_host_name(name)) {
            return trib_error_set(error, TRIB_EINVALID,
                                  "--name %.80s: neither a host name nor an address", name);
        }
        trib_text_format(text, "%s%s:%s", i == 0 ? "" : ",", is_address(name) ? "IP" : "DNS", name);
    }
    return text->is_failed ? trib_error_set(error, TRIB_EMEMORY, "out of memory") : TRIB_OK;
}

static enum trib_status refuse_crypto(const char *what, struct trib_error *error) {
    char reason[128];
    ERR_error_string_n(ERR_peek_last_error(), reason, sizeof reason);
    ERR_clear_error();
    return trib_error_set(error, TRIB_EIO, "%s: %s", what, reason);
}

static enum trib_status find_ca(const struct trib_cli *cli, const char *directory, struct pair *ca,
                                struct trib_error *error) {
    enum trib_status status = load_ca(directory, ca, error);
    if (status != TRIB_ENOTFOUND) {
        return status;
    }
    if (!make_ca(cli->env, ca)) {
        return refuse_crypto("make a CA", error);
    }
    status = publish_pair(directory, "ca", ca, error);
    if (status == TRIB_OK) {
        (void)fprintf(cli->out, "%s/ca.crt, ca.key: a CA; keep the key, give ca.crt to clients\n",
                      directory);
    }
    return status;
}

static enum trib_status make_server(const struct trib_cli *cli, const struct cert_options *options,
                                    const struct pair *ca, struct trib_error *error) {
    struct trib_text alternatives;
    char pin[TRIB_PIN_BYTES];
    struct pair leaf = {.key = load_key(options->directory, "server")};
    trib_text_init(&alternatives, cli->env);
    enum trib_status status = list_alternatives(&options->names, &alternatives, error);
    if (status == TRIB_OK && !make_leaf(cli->env, ca, options->names.items[0], alternatives.bytes,
                                        "serverAuth", options->days, &leaf)) {
        status = refuse_crypto("make the server's certificate", error);
    }
    if (status == TRIB_OK) {
        status = publish_pair(options->directory, "server", &leaf, error);
    }
    if (status == TRIB_OK) {
        (void)fprintf(cli->out, "%s/server.crt, server.key: for %s\n", options->directory,
                      alternatives.bytes);
        if (trib_certificate_pin(leaf.certificate, pin)) {
            (void)fprintf(cli->out, "pin in join links: sha256:%s\n", pin);
        }
    }
    free_pair(&leaf);
    trib_text_deinit(&alternatives);
    return status;
}

static enum trib_status make_client(const struct trib_cli *cli, const struct cert_options *options,
                                    const struct pair *ca, const char *client,
                                    struct trib_error *error) {
    char stem[TRIB_NAME_BYTES + 8], alternative[TRIB_NAME_BYTES + 8];
    struct pair leaf = {0};
    enum trib_status status = TRIB_OK;
    if (!trib_name_is_valid(client, strlen(client))) {
        return trib_error_set(error, TRIB_EINVALID, "--client %.80s: not a client's name", client);
    }
    (void)snprintf(stem, sizeof stem, "client-%s", client);
    (void)snprintf(alternative, sizeof alternative, "DNS:%s", client);
    if (!make_leaf(cli->env, ca, client, alternative, "clientAuth", options->days, &leaf)) {
        status = refuse_crypto("make a client's certificate", error);
    } else {
        status = publish_pair(options->directory, stem, &leaf, error);
    }
    if (status == TRIB_OK) {
        (void)fprintf(cli->out, "%s/%s.crt, %s.key: for client %s\n", options->directory, stem,
                      stem, client);
    }
    free_pair(&leaf);
    return status;
}

static enum trib_exit make_all(const struct trib_cli *cli, const void *given) {
    const struct cert_options *options = given;
    struct trib_error error = {0};
    struct pair ca = {0};
    if (options->names.count == 0 && options->clients.count == 0) {
        return trib_cli_fail(cli, TRIB_EXIT_USAGE, "give --name, --client, or both");
    }
    if (mkdir(options->directory, 0700) != 0 && errno != EEXIST) {
        return trib_cli_fail(cli, TRIB_EXIT_FAILED, "%s: %s", options->directory, strerror(errno));
    }
    enum trib_status status = find_ca(cli, options->directory, &ca, &error);
    if (status == TRIB_OK && options->names.count > 0) {
        status = make_server(cli, options, &ca, &error);
    }
    for (size_t i = 0; status == TRIB_OK && i < options->clients.count; i++) {
        status = make_client(cli, options, &ca, options->clients.items[i], &error);
    }
    free_pair(&ca);
    if (status != TRIB_OK) {
        return trib_cli_fail(cli, status == TRIB_EINVALID ? TRIB_EXIT_USAGE : TRIB_EXIT_FAILED,
                             "%s", error.text);
    }
    return TRIB_EXIT_OK;
}

const struct trib_command trib_command_cert = {
    .name = "cert",
    .group = "Daemon",
    .summary = "Make certificates for a lab: a CA, a server's, clients'",
    .details = "The CA in DIR and the server's key are made once and used again. Then:\n"
               "  trib serve --tls-cert DIR/server.crt --tls-key DIR/server.key ...\n"
               "  trib status --url https://HOST:7700 --ca-file DIR/ca.crt\n"
               "Join links of that daemon have the pin of its key: who joins needs no file.\n"
               "SIGHUP makes the daemon read new certificates. For production take a certificate\n"
               "from the CA that your clients trust already (docs/security.md).\n",
    .options = cert_table,
    .options_bytes = sizeof(struct cert_options),
    .run = make_all,
};
