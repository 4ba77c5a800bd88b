/* check.c - a row per step; each step makes a way of its own as far as it goes, so that its time is
 * its own, too. */
#include "cli/check.h"

#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "client/heard.h"
#include "client/http.h"

#define UPLOAD_BYTES 10000000
#define ADDRESSES_MAX 4      /* shown of one name */
#define VERDICT_MS 500       /* for a daemon that does not like our certificate */
#define REPLY_BYTES_MAX 8192 /* more than any refusal of a daemon has */

struct check {
    const struct trib_env *env;
    const struct trib_link *link;
    struct trib_way way;
    struct trib_http *http;
    const char *client;
    const char *host; /* first to be called: the daemon or a proxy */
    const char *port;
    char link_port[8];
    char detail[TRIB_ERROR_TEXT_BYTES]; /* what a step that went well has found */
};

/* --- connecting ------------------------------------------------------------------------------- */

static bool is_unix(const struct check *check) {
    return check->link->port == 0;
}

static bool is_proxied(const struct check *check) {
    return check->way.sockets.proxy.host[0] != '\0';
}

static bool is_tls(const struct check *check) {
    return check->way.tls != NULL;
}

static bool has_name(const struct check *check) {
    const struct addrinfo wanted = {.ai_flags = AI_NUMERICHOST};
    struct addrinfo *address = NULL;
    bool is_address = getaddrinfo(check->host, NULL, &wanted, &address) == 0;
    if (is_address) {
        freeaddrinfo(address);
    }
    return !is_address && !is_unix(check);
}

static enum trib_status resolve(struct check *check, struct trib_error *error) {
    const struct addrinfo wanted = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *addresses = NULL;
    int unknown = getaddrinfo(check->host, check->port, &wanted, &addresses);
    if (unknown != 0) {
        return trib_error_set(error, TRIB_EUNAVAILABLE, "%s: %s", check->host,
                              gai_strerror(unknown));
    }
    int used = snprintf(check->detail, sizeof check->detail, "%.100s is", check->host);
    int count = 0;
    for (const struct addrinfo *next = addresses; next != NULL && count < ADDRESSES_MAX;
         next = next->ai_next, count++) {
        char text[64] = "?"; /* the longest IPv6 address has 45, and perhaps a zone */
        (void)getnameinfo(next->ai_addr, next->ai_addrlen, text, sizeof text, NULL, 0,
                          NI_NUMERICHOST); /* then it stays unknown */
        used += snprintf(check->detail + used, sizeof check->detail - (size_t)used, "%s %s",
                         count == 0 ? "" : ",", text);
        TRIB_ASSERT((size_t)used < sizeof check->detail);
    }
    freeaddrinfo(addresses);
    return TRIB_OK;
}

/* Open a connection by this transport and leave it in *connection. */
static enum trib_status connect_by(const struct trib_transport *transport, const char *host,
                                   const char *port, void **connection, struct trib_error *error) {
    char text[192] = "";
    return transport->connect(transport->context, host, port, connection, text, sizeof text) == 0
               ? TRIB_OK
               : trib_error_set(error, TRIB_EUNAVAILABLE, "%s", text);
}

static enum trib_status connect_plainly(struct check *check, struct trib_error *error) {
    struct trib_sockets direct = check->way.sockets;
    direct.proxy.host[0] = '\0';
    const struct trib_transport transport = trib_sockets_transport(&direct);
    void *connection = NULL;
    enum trib_status status = connect_by(&transport, check->host, check->port, &connection, error);
    if (status == TRIB_OK) {
        transport.close(transport.context, connection);
        (void)snprintf(check->detail, sizeof check->detail, "%.200s%s%s", check->host,
                       is_unix(check) ? "" : " port ", is_unix(check) ? "" : check->port);
    }
    return status;
}

static enum trib_status connect_by_proxy(struct check *check, struct trib_error *error) {
    const struct trib_transport *transport = &check->way.plain;
    void *connection = NULL;
    enum trib_status status =
        connect_by(transport, check->link->host, check->link_port, &connection, error);
    if (status == TRIB_OK) {
        transport->close(transport->context, connection);
        (void)snprintf(check->detail, sizeof check->detail, "a tunnel to %.200s port %s",
                       check->link->host, check->link_port);
    }
    return status;
}

static enum trib_status shake_hands(struct check *check, struct trib_error *error) {
    const struct trib_transport *transport = trib_secure_transport(check->way.tls);
    bool has_pin = check->link->pin[0] != '\0';
    void *connection = NULL;
    char byte;
    enum trib_status status =
        connect_by(transport, check->link->host, check->link_port, &connection, error);
    if (status != TRIB_OK) {
        return status;
    }
    /* What the daemon thinks of our certificate comes behind the handshake, in TLS 1.3. */
    if (check->way.has_certificate &&
        transport->wait(transport->context, connection, VERDICT_MS) == 1 &&
        transport->read(transport->context, connection, &byte, 1) <= 0) {
        status = trib_error_set(error, TRIB_EFORBIDDEN,
                                "it hangs up behind the handshake; does it know our certificate?");
    }
    transport->close(transport->context, connection);
    (void)snprintf(check->detail, sizeof check->detail, "%s",
                   has_pin ? "it has the key of the link's pin" : "its certificate is trusted");
    return status;
}

/* --- asking ----------------------------------------------------------------------------------- */

/* TRIB_EFORBIDDEN: the reply is not 2xx; error has what it says. */
static enum trib_status ask(struct check *check, const struct trib_http_call *call,
                            struct trib_error *error) {
    char *bytes = NULL;
    size_t count = 0;
    enum trib_status status = trib_http_call(check->http, call, error);
    int code = status == TRIB_OK ? trib_http_reply_status(check->http) : 0;
    if (status == TRIB_OK && code >= 300) {
        struct trib_heard_error heard = {.code = ""};
        if (trib_http_read_all(check->http, REPLY_BYTES_MAX, &bytes, &count, NULL) == TRIB_OK) {
            trib_heard_error(bytes, count, &heard);
            trib_release(check->env, bytes, count + 1, 1);
        }
        status = heard.message[0] != '\0'
                     ? trib_error_set(error, TRIB_EFORBIDDEN, "%s (%d %s)", heard.message, code,
                                      heard.code)
                     : trib_error_set(error, TRIB_EFORBIDDEN,
                                      "HTTP status %d, not of the daemon's making", code);
    } else if (status == TRIB_OK) {
        status = trib_http_read_all(check->http, REPLY_BYTES_MAX, &bytes, &count, error);
        if (status == TRIB_OK) {
            trib_release(check->env, bytes, count + 1, 1);
        }
    }
    return status;
}

static enum trib_status ask_health(struct check *check, struct trib_error *error) {
    char target[sizeof check->link->prefix + 16];
    char version[16] = "";
    (void)snprintf(target, sizeof target, "%s/healthz", check->link->prefix);
    const struct trib_http_call call = {.method = "GET", .target = target};
    enum trib_status status = ask(check, &call, error);
    if (status == TRIB_OK &&
        !trib_http_reply_field(check->http, "Tributary-Version", version, sizeof version)) {
        status = trib_error_set(error, TRIB_EMALFORMED, "something else than Tributary answers");
    }
    (void)snprintf(check->detail, sizeof check->detail, "Tributary, protocol %s", version);
    return status;
}

/* byte_count bytes to the place that keeps none of them (docs/protocol.md, section 4). */
static enum trib_status probe(struct check *check, const struct trib_source *body,
                              struct trib_error *error) {
    char target[sizeof check->link->prefix + 2 * TRIB_NAME_BYTES + 64];
    const char *token = check->link->token;
    (void)snprintf(target, sizeof target, "%s/v1/runs/%s/clients/%s/probe", check->link->prefix,
                   check->link->run, check->client);
    const struct trib_http_call call = {
        .method = "PUT",
        .target = target,
        .content_type = "application/octet-stream",
        .body = body,
    };
    enum trib_status status =
        trib_http_set_token(check->http, token[0] == '\0' ? NULL : token, error);
    return status == TRIB_OK ? ask(check, &call, error) : status;
}

static enum trib_status present_token(struct check *check, struct trib_error *error) {
    const struct trib_source nothing = trib_source_of_memory("", 0);
    (void)snprintf(check->detail, sizeof check->detail, "run %s lets %s in", check->link->run,
                   check->client);
    return probe(check, &nothing, error);
}

static enum trib_status read_zeros(void *context, uint64_t offset, void *bytes, size_t count) {
    (void)context, (void)offset; /* they are the same everywhere */
    memset(bytes, 0, count);
    return TRIB_OK;
}

static enum trib_status upload(struct check *check, struct trib_error *error) {
    const struct trib_source zeros = {.byte_count = UPLOAD_BYTES, .read = read_zeros};
    trib_time_ns began_at = check->env->monotonic(check->env->context);
    enum trib_status status = probe(check, &zeros, error);
    trib_time_ns spent = check->env->monotonic(check->env->context) - began_at;
    (void)snprintf(check->detail, sizeof check->detail, "10 MB, %.1f MB/s",
                   UPLOAD_BYTES / 1e6 / ((double)(spent + 1) / (double)TRIB_SECOND));
    return status;
}

/* --- steps ------------------------------------------------------------------------------------ */

struct step {
    const char *name;
    bool (*applies)(const struct check *check); /* NULL: always */
    enum trib_status (*take)(struct check *check, struct trib_error *error);
    enum trib_exit exit; /* when it fails */
    const char *advice;
};

static const struct step steps[] = {
    {"dns", has_name, resolve, TRIB_EXIT_UNREACHABLE,
     "check the spelling, and whether this machine's resolver (or VPN) knows the name"},
    {"tcp", NULL, connect_plainly, TRIB_EXIT_UNREACHABLE,
     "is it up, and does every firewall in between let this port through? Where only a proxy leads "
     "out, set HTTPS_PROXY (HTTP_PROXY for links without TLS)"},
    {"proxy", is_proxied, connect_by_proxy, TRIB_EXIT_UNREACHABLE,
     "ask whoever runs the proxy to allow CONNECT to this host and port; NO_PROXY goes around it"},
    {"tls", is_tls, shake_hands, TRIB_EXIT_UNREACHABLE,
     "ask the operator for a fresh link, or for the CA's certificate (--ca-file); where the daemon "
     "wants certificates of its clients, give --cert and --key"},
    {"http", NULL, ask_health, TRIB_EXIT_UNREACHABLE,
     "is the host, port and prefix of the link the daemon's? See docs/operations.md for proxies in "
     "front of it"},
    {"token", NULL, present_token, TRIB_EXIT_FAILED,
     "ask the operator for a new link (trib token create); --client must be the name it is for"},
    {"upload", NULL, upload, TRIB_EXIT_FAILED,
     "a proxy may limit bodies or times: see docs/operations.md (client_max_body_size, time-outs)"},
};

static bool take_steps(const struct trib_cli *cli, struct check *check,
                       const struct step **failed) {
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        const struct step *step = &steps[i];
        struct trib_error error = {0};
        if (step->applies != NULL && !step->applies(check)) {
            continue;
        }
        trib_time_ns began_at = check->env->monotonic(check->env->context);
        enum trib_status status = step->take(check, &error);
        double spent_ms = (double)(check->env->monotonic(check->env->context) - began_at) / 1e6;
        (void)fprintf(cli->out, "%-8s %-6s %9.1f ms  %s\n", step->name,
                      status == TRIB_OK ? "ok" : "FAILED", spent_ms,
                      status == TRIB_OK ? check->detail : error.text);
        (void)fflush(cli->out); /* who watches a slow step sees where it hangs */
        if (status != TRIB_OK) {
            *failed = step;
            return false;
        }
    }
    return true;
}

/* Whom the token scope~run~subject~... of the link is for, or just somebody. */
static const char *choose_client(const struct trib_link *link, char subject[TRIB_NAME_BYTES]) {
    const char *run = strchr(link->token, '~');
    const char *name = run == NULL ? NULL : strchr(run + 1, '~');
    size_t bytes = name == NULL ? 0 : strcspn(++name, "~");
    if (bytes == 0 || !trib_name_is_valid(name, bytes)) {
        return "check";
    }
    memcpy(subject, name, bytes); /* valid names fit */
    subject[bytes] = '\0';
    return subject;
}

static enum trib_exit check_with(const struct trib_cli *cli, struct check *check) {
    struct trib_error error = {0};
    const struct step *failed = NULL;
    const struct trib_proxy *proxy = &check->way.sockets.proxy;
    const struct trib_http_options http = {
        .env = check->env,
        .transport = trib_way_transport(&check->way),
        .host = check->link->host,
        .port = is_unix(check) ? NULL : check->link_port,
    };
    check->host = is_proxied(check) ? proxy->host : check->link->host;
    check->port = is_proxied(check) ? proxy->port : check->link_port;
    if (trib_http_open(&http, &check->http, &error) != TRIB_OK) {
        return trib_cli_fail(cli, TRIB_EXIT_USAGE, "%s", error.text);
    }
    if (!take_steps(cli, check, &failed)) {
        (void)fprintf(cli->out, "What to do: %s.\n", failed->advice);
    }
    trib_http_close(check->http);
    return failed == NULL ? TRIB_EXIT_OK : failed->exit;
}

enum trib_exit trib_check(const struct trib_cli *cli, const struct trib_link *link,
                          const struct trib_way_options *options, const char *client) {
    struct check check = {.env = cli->env, .link = link};
    char subject[TRIB_NAME_BYTES];
    struct trib_error error = {0};
    enum trib_status status = trib_way_open(cli->env, link, options, &check.way, &error);
    if (status != TRIB_OK) {
        return trib_cli_fail(cli, status == TRIB_EINVALID ? TRIB_EXIT_USAGE : TRIB_EXIT_FAILED,
                             "%s", error.text);
    }
    check.client = client == NULL ? choose_client(link, subject) : client;
    (void)snprintf(check.link_port, sizeof check.link_port, "%u", (unsigned)link->port);
    enum trib_exit result = check_with(cli, &check);
    trib_way_close(&check.way);
    return result;
}
