/* test_access.c - who may ask for what: every access, every token, from here and from elsewhere.
 *
 * What a connection is, the moment and the refusal are this file's (the linker's --wrap); the rest
 * is the daemon's own way from the fields of a head to the decision. */
#include "node/access.h"

#include "node/daemon.h"
#include "support/check.h"

#include <stdio.h>

/* --- a daemon without a network ------------------------------------------------------------------ */

static bool is_loopback, is_unix;
static char refused[32]; /* code of the last refusal; "" for none */

bool __wrap_trib_exchange_is_loopback(const struct trib_exchange *exchange);
bool __wrap_trib_exchange_is_unix(const struct trib_exchange *exchange);
const char *__wrap_trib_exchange_peer(const struct trib_exchange *exchange);
trib_time_ns __wrap_trib_node_now(const struct trib_node *node);
void __wrap_trib_call_refuse(struct trib_call *call, const char *code, const char *format, ...);

bool __wrap_trib_exchange_is_loopback(const struct trib_exchange *exchange) {
    (void)exchange;
    return is_loopback || is_unix;
}

bool __wrap_trib_exchange_is_unix(const struct trib_exchange *exchange) {
    (void)exchange;
    return is_unix;
}

const char *__wrap_trib_exchange_peer(const struct trib_exchange *exchange) {
    (void)exchange;
    return is_unix ? "unix" : is_loopback ? "127.0.0.1:5" : "192.0.2.7:5";
}

trib_time_ns __wrap_trib_node_now(const struct trib_node *node) {
    (void)node;
    return TRIB_SECOND;
}

void __wrap_trib_call_refuse(struct trib_call *call, const char *code, const char *format, ...) {
    (void)call;
    (void)format;
    (void)snprintf(refused, sizeof refused, "%s", code);
}

static double wall(void *context) {
    (void)context;
    return 1000.0;
}

static struct world {
    struct trib_env env;
    struct trib_node node;
    struct trib_hosted hosted;
    struct trib_spec spec;
} world;

static int begin(void **state) {
    (void)state;
    memset(&world, 0, sizeof world);
    world.env = *trib_env_system();
    world.env.wall = wall;
    world.node.env = &world.env;
    memset(world.node.directory.key, 7, sizeof world.node.directory.key);
    (void)snprintf(world.spec.name, sizeof world.spec.name, "r");
    world.hosted.node = &world.node;
    world.hosted.spec = &world.spec;
    trib_revoked_init(&world.hosted.revoked, &world.env);
    world.node.hosted[world.node.hosted_count++] = &world.hosted;
    return 0;
}

static int end(void **state) {
    (void)state;
    trib_revoked_deinit(&world.hosted.revoked);
    return 0;
}

static void revoke(const char *text) {
    json_t *record = json_loads(text, 0, NULL);
    assert_non_null(record);
    assert_int_equal(trib_revoked_take(&world.hosted.revoked, record), TRIB_OK);
    json_decref(record);
}

/* --- where from ---------------------------------------------------------------------------------- */

static const struct way {
    const char *field; /* of the head: a proxy was here */
    const char *public_url;
    bool is_loopback, is_unix;
    bool is_local; /* expected: it opens what is open on this machine */
} ways[] = {
    {.is_loopback = true, .is_local = true},
    {.is_unix = true, .is_local = true},
    {.is_unix = true, .public_url = "https://fl.test", .is_local = true},
    {.is_loopback = true, .public_url = "https://fl.test"},
    {.is_loopback = true, .field = "forwarded"},
    {.is_loopback = true, .field = "x-forwarded-for"},
    {.is_loopback = true, .field = "via"},
    {.is_unix = true, .field = "x-forwarded-for"},
    {.is_loopback = false},
};

static void come_by(const struct way *way) {
    is_loopback = way->is_loopback;
    is_unix = way->is_unix;
    world.node.config.public_url = way->public_url;
}

/* A call of PUT .../runs/r/clients/dev-1 or the like. token: text; NULL: none. Returns the code of
 * the refusal, "" when it was granted. */
static const char *ask(const struct way *way, enum trib_access access, const char *token) {
    const struct trib_route_rule rule = {.access = access};
    struct trib_call call = {.node = &world.node,
                             .hosted = &world.hosted,
                             .target = {.rule = &rule, .run = "r", .client = "dev-1"}};
    struct trib_http_request request = {.host = "localhost"};
    char field[TRIB_TOKEN_TEXT_BYTES + 16];
    come_by(way);
    if (way->field != NULL) {
        request.fields[request.field_count++] = (struct trib_http_field){way->field, "192.0.2.7"};
    }
    if (token != NULL) {
        (void)snprintf(field, sizeof field, "Bearer %s", token);
        request.fields[request.field_count++] = (struct trib_http_field){"authorization", field};
    }
    refused[0] = '\0';
    trib_access_read(&call, &request);
    bool is_granted = trib_access_is_granted(&call, &request);
    assert_int_equal(is_granted, refused[0] == '\0');
    return refused;
}

/* --- what a token opens -------------------------------------------------------------------------- */

static const struct trib_token tokens[] = {
    {.scope = TRIB_TOKEN_NONE},
    {.scope = TRIB_TOKEN_ADMIN},
    {.scope = TRIB_TOKEN_ADMIN, .run = "r", .serial = 1},
    {.scope = TRIB_TOKEN_ADMIN, .run = "other", .serial = 2},
    {.scope = TRIB_TOKEN_JOIN, .run = "r", .serial = 3},
    {.scope = TRIB_TOKEN_JOIN, .run = "r", .subject = "dev-1", .serial = 4},
    {.scope = TRIB_TOKEN_JOIN, .run = "r", .subject = "dev-2", .serial = 5},
    {.scope = TRIB_TOKEN_JOIN, .run = "other", .serial = 6},
    {.scope = TRIB_TOKEN_OBSERVE, .run = "r", .serial = 7},
    {.scope = TRIB_TOKEN_OBSERVE, .run = "other", .serial = 8},
    {.scope = TRIB_TOKEN_MERGE, .run = "r", .serial = 9},
    {.scope = TRIB_TOKEN_MERGE, .run = "other", .serial = 10},
    {.scope = TRIB_TOKEN_CLIENT, .run = "r", .subject = "dev-1", .serial = 1},
    {.scope = TRIB_TOKEN_CLIENT, .run = "r", .subject = "dev-2"},
    {.scope = TRIB_TOKEN_CLIENT, .run = "other", .subject = "dev-1"},
};
#define TOKEN_COUNT (sizeof tokens / sizeof *tokens)

/* A letter for each token of the table above: yes, local only, - never. */
static const struct row {
    enum trib_access access;
    const char *expected;
    enum trib_init_kind init; /* where the model comes from */
    bool is_revoked;          /* the client dev-1, once, before its present token was made */
} rows[] = {
    /*                       none | admin: all, r, other | join: r, dev-1, dev-2, other
     *                            | observe: r, other | merge: same | client: dev-1, dev-2, of other */
    {TRIB_ACCESS_OPEN, /*    */ "y yyy yyyy yy yy yyy", TRIB_INIT_UPLOAD, false},
    {TRIB_ACCESS_READ, /*    */ "l yyl yyyl yl yl yyl", TRIB_INIT_UPLOAD, false},
    {TRIB_ACCESS_JOIN, /*    */ "l yyl yyll ll ll yl-", TRIB_INIT_UPLOAD, false},
    {TRIB_ACCESS_JOIN, /*    */ "- yy- ---- -- -- y--", TRIB_INIT_UPLOAD, true},
    {TRIB_ACCESS_CLIENT, /*  */ "- --- ---- -- -- yy-", TRIB_INIT_UPLOAD, false},
    {TRIB_ACCESS_MODEL, /*   */ "- yy- ---- -- -- ---", TRIB_INIT_UPLOAD, false},
    {TRIB_ACCESS_MODEL, /*   */ "- yy- ---- -- -- yy-", TRIB_INIT_FIRST_CLIENT, false},
    {TRIB_ACCESS_MERGE, /*   */ "- yy- ---- -- y- ---", TRIB_INIT_UPLOAD, false},
    {TRIB_ACCESS_CONTROL, /* */ "- yy- ---- -- -- ---", TRIB_INIT_UPLOAD, false},
};

static void check_cell(const struct row *row, const struct way *way, const struct trib_token *token,
                       char expected) {
    char text[TRIB_TOKEN_TEXT_BYTES];
    bool has_token = token->scope != TRIB_TOKEN_NONE;
    bool is_granted = expected == 'y' || (expected == 'l' && way->is_local);
    if (has_token) {
        trib_token_format(world.node.directory.key, token, text);
    }
    uint64_t before = world.node.token_faults[TRIB_TOKEN_FAULT_FORBIDDEN];
    const char *code = ask(way, row->access, has_token ? text : NULL);
    const char *wanted = is_granted ? "" : has_token ? "forbidden" : "token";
    if (strcmp(code, wanted) != 0) {
        fail_msg("row %zu, way %zu, token %zu: \"%s\" and not \"%s\"", (size_t)(row - rows),
                 (size_t)(way - ways), (size_t)(token - tokens), code, wanted);
    }
    assert_int_equal(world.node.token_faults[TRIB_TOKEN_FAULT_FORBIDDEN] - before,
                     has_token && !is_granted);
}

static void each_token_opens_what_it_says_and_no_more(void **state) {
    (void)state;
    for (const struct row *row = rows; row < rows + sizeof rows / sizeof *rows; row++) {
        end(NULL);
        begin(NULL);
        world.spec.model.init = row->init;
        if (row->is_revoked) {
            revoke("{\"type\": \"revoked\", \"client\": \"dev-1\"}");
        }
        const char *letter = row->expected;
        for (size_t i = 0; i < TOKEN_COUNT; i++, letter++) {
            letter += *letter == ' ';
            for (const struct way *way = ways; way < ways + sizeof ways / sizeof *ways; way++) {
                check_cell(row, way, &tokens[i], *letter);
            }
        }
        assert_int_equal(*letter, '\0');
    }
}

/* --- tokens that are not good -------------------------------------------------------------------- */

static void a_bad_token_opens_nothing_but_what_is_open(void **state) {
    (void)state;
    static const struct {
        struct trib_token token;
        const char *code;
        enum trib_token_fault fault;
    } cases[] = {
        {{.scope = TRIB_TOKEN_ADMIN, .expiry = 1000}, "expired", TRIB_TOKEN_FAULT_EXPIRED},
        {{.scope = TRIB_TOKEN_ADMIN, .expiry = 1001}, "", TRIB_TOKEN_FAULT_NONE},
        {{.scope = TRIB_TOKEN_JOIN, .run = "r", .serial = 0x5f},
         "revoked",
         TRIB_TOKEN_FAULT_REVOKED},
        {{.scope = TRIB_TOKEN_JOIN, .run = "r", .serial = 0x5f, .expiry = 1},
         "revoked",
         TRIB_TOKEN_FAULT_REVOKED},
        {{.scope = TRIB_TOKEN_JOIN, .run = "r", .serial = 0x60}, "", TRIB_TOKEN_FAULT_NONE},
    };
    char text[TRIB_TOKEN_TEXT_BYTES];
    revoke("{\"type\": \"revoked\", \"serial\": \"000000000000005f\"}");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        trib_token_format(world.node.directory.key, &cases[i].token, text);
        assert_string_equal(ask(&ways[0], TRIB_ACCESS_JOIN, text), cases[i].code);
        assert_int_equal(world.node.token_faults[cases[i].fault] > 0, cases[i].code[0] != '\0');
        assert_string_equal(ask(&ways[0], TRIB_ACCESS_OPEN, text), "");
        text[strlen(text) - 1] ^= 1;
        assert_string_equal(ask(&ways[0], TRIB_ACCESS_READ, text), "token");
        assert_string_equal(ask(&ways[0], TRIB_ACCESS_OPEN, text), "");
    }
}

static void guessing_ends_where_addresses_can_be_told_apart(void **state) {
    (void)state;
    for (int i = 1; i <= 25; i++) {
        assert_string_equal(ask(&ways[0], TRIB_ACCESS_READ, "guess"),
                            i <= 20 ? "token" : "attempts");
        assert_string_equal(ask(&ways[1], TRIB_ACCESS_READ, "guess"), "token");
    }
}

/* --- Host and Origin ----------------------------------------------------------------------------- */

static void a_foreign_page_gets_nothing_by_the_operators_browser(void **state) {
    (void)state;
    static const struct {
        bool is_loopback, is_unix;
        const char *host, *origin, *code;
    } cases[] = {
        {true, false, "localhost:7700", NULL, ""},
        {true, false, "127.0.0.1", NULL, ""},
        {true, false, "[::1]:7700", NULL, ""},
        {true, false, "LAB.test:7700", NULL, ""}, /* --host-name */
        {true, false, "Fl.test", NULL, ""},       /* of --public-url */
        {true, false, "evil.test", NULL, "host"},
        {true, false, "localhost.evil.test", NULL, "host"},
        {true, false, "fl.test.evil.test:443", NULL, "host"},
        {true, false, "[", NULL, "host"},
        {true, false, ":7700", NULL, "host"},
        {false, true, "evil.test", NULL, ""},  /* no browser speaks to Unix sockets */
        {false, false, "evil.test", NULL, ""}, /* elsewhere tokens decide */
        {true, false, "localhost:7700", "http://localhost:7700", ""},
        {true, false, "localhost:7700", "http://localhost", "origin"},
        {true, false, "localhost:7700", "http://evil.test", "origin"},
        {true, false, "localhost:7700", "null", "origin"},
        {false, false, "fl.test", "https://evil.test", "origin"},
    };
    const struct trib_route_rule rule = {.access = TRIB_ACCESS_OPEN};
    world.node.config.host_names[0] = "lab.test";
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct trib_call call = {.node = &world.node, .target = {.rule = &rule}};
        struct trib_http_request request = {.host = cases[i].host, .origin = cases[i].origin};
        come_by(&(struct way){.is_loopback = cases[i].is_loopback,
                              .is_unix = cases[i].is_unix,
                              .public_url = "https://fl.test:7700/fl"});
        refused[0] = '\0';
        trib_access_read(&call, &request);
        bool is_granted = trib_access_is_granted(&call, &request);
        if (strcmp(refused, cases[i].code) != 0) {
            fail_msg("%s from %s: \"%s\"", cases[i].host, cases[i].origin, refused);
        }
        assert_int_equal(is_granted, cases[i].code[0] == '\0');
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_token_opens_what_it_says_and_no_more, begin, end),
        cmocka_unit_test_setup_teardown(a_bad_token_opens_nothing_but_what_is_open, begin, end),
        cmocka_unit_test_setup_teardown(guessing_ends_where_addresses_can_be_told_apart, begin,
                                        end),
        cmocka_unit_test_setup_teardown(a_foreign_page_gets_nothing_by_the_operators_browser, begin,
                                        end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
