/* test_receipt.c - a receipt proves that an update was counted once, by a ledger that nobody changed. */
#include "cli/receipt.h"

#include "folder.h"
#include "node/signed.h"
#include "screen.h"
#include "support/check.h"

#include <stdio.h>

enum { LEDGER_BYTES = 4096 };

/* A folder with ledger.key, ledger.pub and whatever a test writes there, and a screen. */
struct desk {
    struct test_folder *folder;
    struct test_screen screen;
    struct trib_signature_key *key;
    char paths[3][128]; /* key, signed line, ledger */
    char ledger[LEDGER_BYTES];
    struct trib_digest last;
    unsigned records;
};

static void open_desk(struct desk *desk, void **state) {
    struct trib_files *files;
    *desk = (struct desk){.folder = *state};
    test_screen_init(&desk->screen, trib_env_system());
    const struct trib_env *env = trib_env_system();
    assert_int_equal(trib_files_open(env, desk->folder->path, false, &files, NULL), TRIB_OK);
    assert_int_equal(trib_signed_key_open(env, files, &desk->key, NULL), TRIB_OK);
    trib_files_close(files);
    static const char *const names[] = {TRIB_SIGNED_PUBLIC_FILE, "reply", "ledger.json"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        (void)snprintf(desk->paths[i], sizeof desk->paths[i], "%s",
                       test_folder_path(desk->folder, names[i]));
    }
}

static void close_desk(struct desk *desk) {
    trib_signature_key_free(desk->key);
    test_screen_deinit(&desk->screen);
}

/* --- a ledger ------------------------------------------------------------------------------------ */

static void begin_ledger(struct desk *desk) {
    static const char start[] = "tributary ledger 1\nr"; /* docs/state.md (2) */
    desk->ledger[0] = '\0';
    desk->records = 0;
    trib_digest_of(start, sizeof start - 1, &desk->last);
}

static void add_record(struct desk *desk, const char *record) {
    char before[TRIB_DIGEST_HEX_BYTES], after[TRIB_DIGEST_HEX_BYTES];
    unsigned char joined[32 + 1024];
    size_t count = strlen(record), used = strlen(desk->ledger);
    assert_true(count <= sizeof joined - 32);
    trib_digest_to_hex(&desk->last, before);
    memcpy(joined, desk->last.bytes, 32);
    memcpy(joined + 32, record, count);
    trib_digest_of(joined, 32 + count, &desk->last);
    trib_digest_to_hex(&desk->last, after);
    int added = snprintf(desk->ledger + used, LEDGER_BYTES - used,
                         "{\"index\":%u,\"digest\":\"%s\",\"previous\":\"%s\",\"record\":%s}\n",
                         desk->records++, after, before, record);
    assert_in_range(added, 1, LEDGER_BYTES - used - 1);
}

#define DIGEST_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define DIGEST_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define UPDATE(client, update, base, weight, digest)                                            \
    "{\"client\":\"" client "\",\"update\":\"" update "\",\"base\":" base ",\"weight\":" weight \
    ",\"digest\":\"" digest "\"}"
#define MINE UPDATE("dev-1", "u1", "0", "5", DIGEST_A)
#define OTHERS \
    UPDATE("dev-2", "u1", "0", "9", DIGEST_B) "," UPDATE("dev-1", "u2", "0", "7", DIGEST_B)
#define VERSION(number, updates) \
    "{\"type\":\"version\",\"version\":" number ",\"updates\":[" updates "]}"
#define STOP(updates) \
    "{\"type\":\"state\",\"reason\":\"by the operator\",\"dropped\":[" updates "]}"
#define CREATED "{\"type\":\"run\"}"

static struct trib_signed_receipt my_receipt(void) {
    struct trib_signed_receipt receipt = {
        .run = "r", .client = "dev-1", .update = "u1", .weight = 5, .version = 1, .time = 9};
    memset(receipt.digest.bytes, 0xaa, sizeof receipt.digest.bytes);
    return receipt;
}

/* --- verdicts ------------------------------------------------------------------------------------ */

static enum trib_exit verify(struct desk *desk) {
    test_folder_write_text(desk->folder, "ledger.json", desk->ledger);
    return TEST_RUN(&desk->screen, "ledger", "verify", "--key", desk->paths[0], "--receipt",
                    desk->paths[1], "--ledger", desk->paths[2]);
}

static void write_receipt(struct desk *desk, const struct trib_signed_receipt *receipt) {
    char text[TRIB_SIGNED_TEXT_BYTES];
    trib_signed_receipt_write(desk->key, receipt, text);
    test_folder_write_text(desk->folder, "reply", text);
}

static void a_receipt_is_held_against_the_ledger(void **state) {
    static const struct {
        const char *records[3];
        const char *said; /* on out when it is good, else on err */
        bool is_good, has_no_weight;
    } cases[] = {
        {{VERSION("1", MINE "," OTHERS)}, "counted once, in version 1", true, false},
        {{VERSION("1", OTHERS), STOP(MINE)}, "dropped: by the operator", true, false},
        {{VERSION("1", OTHERS), VERSION("2", MINE)}, "not as the receipt says", false, false},
        {{VERSION("1", OTHERS), VERSION("2", MINE)}, "counted once, in version 2", true, true},
        {{VERSION("1", OTHERS)}, "ends at version 1, neither counts nor drops it", false, false},
        {{VERSION("1", MINE "," MINE)}, "counts it 2 times, drops it 0 times", false, false},
        {{VERSION("1", MINE), VERSION("2", MINE)}, "counts it 2 times", false, true},
        {{VERSION("1", MINE), STOP(MINE)}, "counts it 1 times, drops it 1 times", false, false},
        {{STOP(MINE), STOP(MINE)}, "counts it 0 times, drops it 2 times", false, false},
        {{VERSION("1", UPDATE("dev-1", "u1", "0", "5", DIGEST_B))}, "not as the", false, false},
        {{VERSION("1", UPDATE("dev-1", "u1", "0", "5", DIGEST_B))}, "not as the", false, true},
        {{VERSION("1", UPDATE("dev-1", "u1", "1", "5", DIGEST_A))}, "not as the", false, false},
        {{VERSION("1", UPDATE("dev-1", "u1", "0", "6", DIGEST_A))}, "not as the", false, false},
        {{STOP(UPDATE("dev-1", "u1", "0", "5", DIGEST_B))}, "not as the", false, false},
    };
    struct desk desk;
    open_desk(&desk, state);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct trib_signed_receipt receipt = my_receipt();
        if (cases[i].has_no_weight) {
            receipt.weight = receipt.version = 0;
        }
        write_receipt(&desk, &receipt);
        begin_ledger(&desk);
        add_record(&desk, CREATED);
        for (size_t k = 0; k < 3 && cases[i].records[k] != NULL; k++) {
            add_record(&desk, cases[i].records[k]);
        }
        enum trib_exit result = verify(&desk);
        const char *said = cases[i].is_good ? desk.screen.out : desk.screen.err;
        if (result != (cases[i].is_good ? TRIB_EXIT_OK : TRIB_EXIT_FAILED) ||
            strstr(said, cases[i].said) == NULL) {
            fail_msg("case %zu: %d, %s%s", i, result, desk.screen.out, desk.screen.err);
        }
    }
    close_desk(&desk);
}

/* Also where the record does not concern this update. */
static void a_changed_ledger_is_noticed(void **state) {
    struct desk desk;
    open_desk(&desk, state);
    const struct trib_signed_receipt receipt = my_receipt();
    write_receipt(&desk, &receipt);
    begin_ledger(&desk);
    add_record(&desk, CREATED);
    add_record(&desk, VERSION("1", MINE "," OTHERS));
    assert_int_equal(verify(&desk), TRIB_EXIT_OK);
    for (char *at = desk.ledger; (at = strstr(at, "\"record\":")) != NULL;) {
        char *last = strchr(at, '\n');
        for (at += strlen("\"record\":"); at < last - 1; at++) {
            *at ^= 1;
            assert_int_equal(verify(&desk), TRIB_EXIT_FAILED);
            assert_non_null(strstr(desk.screen.err, "does not follow from those before it"));
            *at ^= 1;
        }
    }
    memmove(desk.ledger, strchr(desk.ledger, '\n') + 1, strlen(strchr(desk.ledger, '\n')));
    assert_int_equal(verify(&desk), TRIB_EXIT_FAILED); /* without its first record */
    close_desk(&desk);
}

static void a_head_is_of_this_ledger_or_not(void **state) {
    struct desk desk;
    char text[TRIB_SIGNED_TEXT_BYTES], reply[TRIB_SIGNED_TEXT_BYTES + 16];
    open_desk(&desk, state);
    begin_ledger(&desk);
    add_record(&desk, CREATED);
    const struct trib_digest first = desk.last;
    add_record(&desk, VERSION("1", MINE));
    struct trib_signed_head head = {.run = "r", .index = 1, .digest = desk.last, .time = 9};
    trib_signed_head_write(desk.key, &head, text);
    (void)snprintf(reply, sizeof reply, "{\"head\":\"%s\"}", text);
    test_folder_write_text(desk.folder, "reply", reply);
    assert_int_equal(verify(&desk), TRIB_EXIT_OK);
    add_record(&desk, STOP(""));
    assert_int_equal(verify(&desk), TRIB_EXIT_OK); /* it has grown since */
    assert_non_null(strstr(desk.screen.out, "record 1 is this one, of 3"));
    *(strchr(desk.ledger, '\n') + 1) = '\0';
    assert_int_equal(verify(&desk), TRIB_EXIT_FAILED);
    assert_non_null(strstr(desk.screen.err, "another one, or was cut short"));
    head.index = 0;
    trib_signed_head_write(desk.key, &head, text);
    test_folder_write_text(desk.folder, "reply", text);
    assert_int_equal(verify(&desk), TRIB_EXIT_FAILED);
    head.digest = first;
    trib_signed_head_write(desk.key, &head, text);
    test_folder_write_text(desk.folder, "reply", text);
    assert_int_equal(verify(&desk), TRIB_EXIT_OK);
    close_desk(&desk);
}

/* --- files --------------------------------------------------------------------------------------- */

static void what_is_not_signed_proves_nothing(void **state) {
    struct desk desk;
    open_desk(&desk, state);
    char text[TRIB_SIGNED_TEXT_BYTES], reply[TRIB_SIGNED_TEXT_BYTES + 64];
    const struct trib_signed_receipt receipt = my_receipt();
    trib_signed_receipt_write(desk.key, &receipt, text);
    begin_ledger(&desk);
    add_record(&desk, VERSION("1", MINE));
    (void)snprintf(reply, sizeof reply, "{\"fate\":\"spooled\",\"receipt\":\"%s\"}", text);
    test_folder_write_text(desk.folder, "reply", reply);
    assert_int_equal(verify(&desk), TRIB_EXIT_OK);
    for (size_t i = 0; text[i] != '\0'; i++) {
        char kept = text[i];
        text[i] ^= 4; /* stays printable, but for '~' and 'z', which become other signs */
        test_folder_write_text(desk.folder, "reply", text);
        assert_int_equal(verify(&desk), TRIB_EXIT_FAILED);
        assert_string_equal(desk.screen.out, "");
        text[i] = kept;
    }
    static const char *const others[] = {"", "{", "{}", "{\"receipt\":7}", "null"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        test_folder_write_text(desk.folder, "reply", others[i]);
        assert_int_equal(verify(&desk), TRIB_EXIT_FAILED);
        assert_non_null(strstr(desk.screen.err, "no receipt and no head of a ledger"));
    }
    close_desk(&desk);
}

static void files_that_cannot_be_read_are_named(void **state) {
    struct desk desk;
    static char long_text[9000];
    open_desk(&desk, state);
    begin_ledger(&desk);
    assert_int_equal(verify(&desk), TRIB_EXIT_FAILED);
    assert_non_null(strstr(desk.screen.err, "reply: No such file"));
    memset(long_text, 'x', sizeof long_text - 1);
    test_folder_write_text(desk.folder, "reply", long_text);
    assert_int_equal(verify(&desk), TRIB_EXIT_FAILED);
    assert_non_null(strstr(desk.screen.err, "reply: cannot be read, or is too long"));
    test_folder_write_text(desk.folder, TRIB_SIGNED_PUBLIC_FILE, "no key");
    assert_int_equal(verify(&desk), TRIB_EXIT_FAILED);
    assert_non_null(strstr(desk.screen.err, "ledger.pub: not an Ed25519 key in PEM"));
    close_desk(&desk);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST_IN_FOLDER(a_receipt_is_held_against_the_ledger),
        TEST_IN_FOLDER(a_changed_ledger_is_noticed),
        TEST_IN_FOLDER(a_head_is_of_this_ledger_or_not),
        TEST_IN_FOLDER(what_is_not_signed_proves_nothing),
        TEST_IN_FOLDER(files_that_cannot_be_read_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
