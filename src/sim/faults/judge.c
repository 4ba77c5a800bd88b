/* judge.c - the promises, watched from outside. */
#include "sim/faults/judge.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "node/daemon.h"
#include "sim/faults/machine.h"
#include "sim/faults/offers.h"
#include "sim/faults/world.h"

#define HEX TRIB_DIGEST_HEX_BYTES
#define CLIENTS_MAX 24
#define SEGMENTS_GAP 64 /* numbers without a segment after which no further one is looked for */

struct settled {
    char client[64], id[64];
    bool is_dropped;
    uint64_t version;
    struct trib_digest digest;
};

struct evaluation {
    char client[64];
    uint64_t version;
};

struct revision {
    uint64_t from; /* first version that is made by it */
    struct rules rules;
    struct trib_digest spec; /* of its text */
};

static struct {
    struct judge_rules rules;
    struct sums sums;
    struct revision *revisions; /* the first is the run's own spec */
    size_t revision_count;
    size_t revision; /* that the sums follow */
    unsigned char *first;
    size_t first_bytes;

    struct judge_sent *sent;
    size_t sent_count;
    size_t *acknowledged; /* indexes of sent */
    size_t acknowledged_count;
    struct settled *settled;
    size_t settled_count;
    struct trib_fingerprint_key fingerprint_key; /* of the daemon, once it has replied */
    struct trib_digest *versions;                /* published ones, by number */
    size_t version_count;
    struct trib_digest *combined; /* [version_count] of the delta it was made of; else all zero */
    char state[32];               /* the last one recorded */
    struct evaluation *evaluations;
    size_t evaluation_count;

    struct client {
        char name[64];
        bool has_joined;
        uint64_t revoked, revoked_told; /* how often: by the ledger, and as the operator knows */
    } clients[CLIENTS_MAX];
    size_t client_count;

    uint64_t offset;       /* of the ledger: read up to here */
    uint64_t record_count; /* records up to there */
    struct trib_digest *chain;
    size_t chain_count;    /* the most records that were ever durable */
    uint64_t segment_last; /* the newest segment seen */
} judge;

static void *grown(void *list, size_t count, size_t bytes) {
    if ((count & (count - 1)) != 0) {
        return list; /* room doubles with each power of two */
    }
    list = realloc(list, (count == 0 ? 1 : 2 * count) * bytes);
    TRIB_ASSERT(list != NULL);
    return list;
}

/* --- beginning and end ------------------------------------------------------------------------------ */

void judge_begin(const struct judge_rules *rules) {
    memset(&judge, 0, sizeof judge);
    judge.rules = *rules;
    sums_begin(&judge.sums, rules->counts, &rules->spec);
    judge.revisions = grown(judge.revisions, 0, sizeof *judge.revisions);
    judge.revisions[judge.revision_count++] = (struct revision){.rules = rules->spec};
    judge.first = sums_version(&judge.sums, &judge.first_bytes);
}

void judge_end(void) {
    for (size_t i = 0; i < judge.sent_count; i++) {
        free(judge.sent[i].deltas);
        free(judge.sent[i].body);
    }
    free(judge.sent);
    free(judge.acknowledged);
    free(judge.settled);
    free(judge.versions);
    free(judge.combined);
    free(judge.revisions);
    free(judge.evaluations);
    free(judge.chain);
    free(judge.first);
    offers_end();
    sums_end(&judge.sums);
}

const unsigned char *judge_first_model(size_t *byte_count) {
    *byte_count = judge.first_bytes;
    return judge.first;
}

const char *judge_run(void) {
    return judge.rules.run;
}

const struct sums *judge_sums(void) {
    return &judge.sums;
}

/* --- what was sent ------------------------------------------------------------------------------------ */

/* What the ledger calls a body. Who sends one has a token, so that the daemon has its key. */
static void digest_of_body(const struct judge_sent *sent, struct trib_digest *digest) {
    struct trib_digester digester;
    TRIB_ASSERT(judge.rules.spec.is_durable
                    ? trib_digester_begin(&digester)
                    : trib_digester_begin_fingerprint(&digester, &judge.fingerprint_key));
    trib_digester_add(&digester, sent->body, sent->body_bytes);
    trib_digester_finish(&digester, digest);
}

size_t judge_note(const struct judge_sent *sent) {
    judge.sent = grown(judge.sent, judge.sent_count, sizeof *judge.sent);
    judge.sent[judge.sent_count] = *sent;
    digest_of_body(sent, &judge.sent[judge.sent_count].digest);
    return judge.sent_count++;
}

const struct judge_sent *judge_look(size_t index) {
    TRIB_ASSERT(index < judge.sent_count);
    return &judge.sent[index];
}

size_t judge_find(const char *client, const char *id, const struct trib_digest *digest) {
    for (size_t i = 0; i < judge.sent_count; i++) {
        const struct judge_sent *sent = &judge.sent[i];
        if (trib_digest_equal(&sent->digest, digest) && strcmp(sent->client, client) == 0 &&
            strcmp(sent->id, id) == 0) {
            return i;
        }
    }
    return SIZE_MAX;
}

static const struct judge_sent *find_sent(const char *client, const char *id,
                                          const struct trib_digest *digest) {
    size_t index = judge_find(client, id, digest);
    return index == SIZE_MAX ? NULL : &judge.sent[index];
}

static const struct settled *find_settled(const char *client, const char *id) {
    for (size_t i = 0; i < judge.settled_count; i++) {
        if (strcmp(judge.settled[i].client, client) == 0 && strcmp(judge.settled[i].id, id) == 0) {
            return &judge.settled[i];
        }
    }
    return NULL;
}

static const struct judge_sent *find_acknowledged(const char *client, const char *id) {
    for (size_t i = 0; i < judge.acknowledged_count; i++) {
        const struct judge_sent *sent = &judge.sent[judge.acknowledged[i]];
        if (strcmp(sent->client, client) == 0 && strcmp(sent->id, id) == 0) {
            return sent;
        }
    }
    return NULL;
}

/* --- the ledger's records -------------------------------------------------------------------------------- */

static const char *text_of(const json_t *document, const char *key) {
    const char *text = json_string_value(json_object_get(document, key));
    return text == NULL ? "" : text;
}

static uint64_t number_of(const json_t *document, const char *key) {
    return (uint64_t)json_integer_value(json_object_get(document, key));
}

/* Each id once, ever, with the body that was acknowledged. */
static const struct judge_sent *settle(const json_t *update, bool is_dropped, uint64_t version) {
    struct settled fresh = {.is_dropped = is_dropped, .version = version};
    (void)snprintf(fresh.client, sizeof fresh.client, "%s", text_of(update, "client"));
    (void)snprintf(fresh.id, sizeof fresh.id, "%s", text_of(update, "update"));
    if (!trib_digest_from_hex(text_of(update, "digest"), &fresh.digest)) {
        world_fail("update %s of %s: no digest in the ledger", fresh.id, fresh.client);
    }
    const struct settled *before = find_settled(fresh.client, fresh.id);
    if (before != NULL) {
        world_fail("update %s of %s is settled twice: %s %" PRIu64 ", then %s %" PRIu64, fresh.id,
                   fresh.client, before->is_dropped ? "dropped" : "counted in", before->version,
                   is_dropped ? "dropped" : "counted in", version);
    }
    const struct judge_sent *sent = find_sent(fresh.client, fresh.id, &fresh.digest);
    if (sent == NULL) {
        world_fail("update %s of %s: nobody sent what was counted", fresh.id, fresh.client);
    }
    const struct judge_sent *promised = find_acknowledged(fresh.client, fresh.id);
    if (promised != NULL && promised != sent) {
        world_fail("update %s of %s: another body was acknowledged", fresh.id, fresh.client);
    }
    judge.settled = grown(judge.settled, judge.settled_count, sizeof *judge.settled);
    judge.settled[judge.settled_count++] = fresh;
    return sent;
}

/* --- by which rules ------------------------------------------------------------------------------------- */

/* The newest that holds by then: one may be replaced before it does. */
static size_t revision_of(uint64_t version) {
    size_t i = judge.revision_count - 1;
    while (judge.revisions[i].from > version) {
        i--;
    }
    return i;
}

static void digest_of_document(const json_t *document, struct trib_digest *digest) {
    char *text = json_dumps(document, JSON_COMPACT | JSON_SORT_KEYS);
    TRIB_ASSERT(text != NULL);
    trib_digest_of(text, strlen(text), digest);
    free(text);
}

/* It holds for a version that nothing has been counted in. */
static void take_revision(const json_t *record) {
    struct revision fresh = {.from = number_of(record, "version")};
    const json_t *spec = json_object_get(record, "spec");
    if (fresh.from < judge.version_count) {
        world_fail("a change of the spec from version %" PRIu64 " on, and %zu are there",
                   fresh.from, judge.version_count);
    }
    if (!rules_read(&fresh.rules, spec) || fresh.rules.is_durable != judge.rules.spec.is_durable ||
        fresh.rules.delta_max != judge.rules.spec.delta_max) {
        world_fail("a change of the spec to what cannot change");
    }
    digest_of_document(spec, &fresh.spec);
    judge.revisions = grown(judge.revisions, judge.revision_count, sizeof fresh);
    judge.revisions[judge.revision_count++] = fresh;
    tally_add(TALLY_REVISIONS, 1);
    world_trace("        durable: another spec from version %" PRIu64 " on", fresh.from);
}

static void follow_revision(uint64_t version) {
    size_t revision = revision_of(version);
    if (revision != judge.revision) {
        judge.revision = revision;
        sums_follow(&judge.sums, &judge.revisions[revision].rules);
    }
}

/* --- versions ------------------------------------------------------------------------------------------- */

static void add_update(const json_t *update, uint64_t version) {
    const struct judge_sent *sent = settle(update, false, version);
    const struct rules *rules = &judge.sums.rules;
    uint64_t weight = number_of(update, "weight");
    if (!sent->is_sound) {
        world_fail("update %s of %s was counted though it is not sound", sent->id, sent->client);
    }
    if (number_of(update, "base") != sent->base ||
        number_of(update, "examples") != sent->examples ||
        weight != rules_weight(rules, sent->examples, number_of(update, "staleness"))) {
        world_fail("update %s of %s: base, examples or weight are not what was sent", sent->id,
                   sent->client);
    }
    if (number_of(update, "staleness") != version - 1 - sent->base) {
        world_fail("update %s of %s: staleness %" PRIu64 " in version %" PRIu64, sent->id,
                   sent->client, number_of(update, "staleness"), version);
    }
    if (!rules->is_combined) {
        sums_add(&judge.sums, sent->deltas, sent->base, weight);
    }
}

/* What the version is made of instead of its updates. */
static void add_combined(const json_t *record, uint64_t version, struct trib_digest *digest) {
    const json_t *combined = json_object_get(record, "combined");
    bool is_combined = version > 0 && judge.sums.rules.is_combined;
    if ((combined != NULL) != is_combined) {
        world_fail("version %" PRIu64 " was %scombined by somebody else", version,
                   is_combined ? "not " : "");
    }
    if (!is_combined) {
        return;
    }
    const json_t *updates = json_object_get(record, "updates");
    size_t index = trib_digest_from_hex(text_of(combined, "digest"), digest)
                       ? offers_find(version, digest, updates)
                       : OFFERS_NONE;
    if (index == OFFERS_NONE) {
        world_fail("version %" PRIu64 ": nobody has sent %.12s for these %zu updates", version,
                   text_of(combined, "digest"), json_array_size(updates));
    }
    if (!offers_look(index)->is_sound) {
        world_fail("version %" PRIu64 " was made of a delta that is not sound", version);
    }
    sums_add(&judge.sums, offers_look(index)->deltas, version - 1, 1);
    tally_add(TALLY_COMBINED, 1);
}

static void take_version(const json_t *record) {
    uint64_t version = number_of(record, "version");
    if (version != judge.version_count) {
        world_fail("version %" PRIu64 " follows %zu", version, judge.version_count);
    }
    uint64_t total = 0;
    size_t i;
    json_t *update;
    struct trib_digest combined = {0};
    const json_t *updates = json_object_get(record, "updates");
    follow_revision(version);
    json_array_foreach(updates, i, update) {
        add_update(update, version);
        total += number_of(update, "weight");
    }
    if (version > 0) {
        if (json_array_size(updates) == 0) {
            world_fail("version %" PRIu64 " was made of nothing", version);
        }
        if (total != number_of(record, "weight")) {
            world_fail("version %" PRIu64 ": weights do not add up", version);
        }
        add_combined(record, version, &combined);
        sums_merge(&judge.sums);
    }
    size_t byte_count;
    unsigned char *bytes = sums_version(&judge.sums, &byte_count);
    struct trib_digest digest;
    char hex[HEX];
    trib_digest_of(bytes, byte_count, &digest);
    free(bytes);
    trib_digest_to_hex(&digest, hex);
    if (strcmp(hex, text_of(record, "model")) != 0) {
        world_fail("version %" PRIu64 ": its %zu updates give %.12s, the ledger says %.12s",
                   version, json_array_size(updates), hex, text_of(record, "model"));
    }
    judge.combined = grown(judge.combined, judge.version_count, sizeof *judge.combined);
    judge.combined[judge.version_count] = combined;
    judge.versions = grown(judge.versions, judge.version_count, sizeof *judge.versions);
    judge.versions[judge.version_count++] = digest;
    tally_add(TALLY_VERSIONS, 1);
    tally_add(TALLY_RANGED, judge.rules.is_ranged);
    tally_add(TALLY_COUNTED, json_array_size(updates));
    world_trace("        durable: version %" PRIu64 " of %zu updates", version,
                json_array_size(updates));
}

static void take_state(const json_t *record) {
    (void)snprintf(judge.state, sizeof judge.state, "%s", text_of(record, "state"));
    size_t i;
    json_t *update;
    json_array_foreach(json_object_get(record, "dropped"), i, update) {
        (void)settle(update, true, judge.version_count);
        tally_add(TALLY_DROPPED, 1);
    }
    world_trace("        durable: state %s", judge.state);
}

static bool is_evaluated(const char *client, uint64_t version) {
    for (size_t i = 0; i < judge.evaluation_count; i++) {
        if (judge.evaluations[i].version == version &&
            strcmp(judge.evaluations[i].client, client) == 0) {
            return true;
        }
    }
    return false;
}

static void take_evaluation(const json_t *record) {
    struct evaluation fresh = {.version = number_of(record, "version")};
    (void)snprintf(fresh.client, sizeof fresh.client, "%s", text_of(record, "client"));
    if (is_evaluated(fresh.client, fresh.version)) {
        world_fail("%s has evaluated version %" PRIu64 " twice", fresh.client, fresh.version);
    }
    judge.evaluations = grown(judge.evaluations, judge.evaluation_count, sizeof fresh);
    judge.evaluations[judge.evaluation_count++] = fresh;
}

static struct client *find_client(const char *name) {
    for (size_t i = 0; i < judge.client_count; i++) {
        if (strcmp(judge.clients[i].name, name) == 0) {
            return &judge.clients[i];
        }
    }
    return NULL;
}

static struct client *note_client(const char *name) {
    struct client *client = find_client(name);
    if (client == NULL) {
        TRIB_ASSERT(judge.client_count < CLIENTS_MAX);
        client = &judge.clients[judge.client_count++];
        (void)snprintf(client->name, sizeof client->name, "%s", name);
    }
    return client;
}

static bool is_joined(const char *client) {
    const struct client *known = find_client(client);
    return known != NULL && known->has_joined;
}

/* Of a client, or of another token by its serial. */
static void take_revocation(const json_t *record) {
    const char *client = text_of(record, "client");
    if (client[0] != '\0') {
        note_client(client)->revoked++;
    }
}

uint64_t judge_revocations(const char *name) {
    const struct client *client = find_client(name);
    return client == NULL ? 0 : client->revoked;
}

bool judge_is_revoked(const char *name, uint64_t serial) {
    const struct client *client = find_client(name);
    return client != NULL && serial < client->revoked_told;
}

static void take_client(const json_t *record) {
    note_client(text_of(record, "client"))->has_joined = true;
}

static void take_record(const char *text, size_t text_bytes) {
    json_t *record = json_loadb(text, text_bytes, JSON_REJECT_DUPLICATES, NULL);
    if (record == NULL) {
        world_fail("record %" PRIu64 " of the ledger is not JSON", judge.record_count);
    }
    const char *type = text_of(record, "type");
    if (strcmp(judge.state, "stopped") == 0 && strcmp(type, "version") == 0) {
        world_fail("a version after the run has stopped");
    }
    if (strcmp(type, "version") == 0) {
        take_version(record);
    } else if (strcmp(type, "state") == 0) {
        take_state(record);
    } else if (strcmp(type, "evaluation") == 0) {
        take_evaluation(record);
    } else if (strcmp(type, "client") == 0) {
        take_client(record);
    } else if (strcmp(type, "revision") == 0) {
        take_revision(record);
    } else if (strcmp(type, "revoked") == 0) {
        take_revocation(record);
    }
    json_decref(record);
}

/* --- reading it from the disk (docs/state.md, sections 1 and 2) -------------------------------------- */

static uint64_t little(const unsigned char *bytes, int count) {
    uint64_t value = 0;
    for (int i = 0; i < count; i++) {
        value |= (uint64_t)bytes[i] << 8 * i;
    }
    return value;
}

#define RECORD_HEAD_BYTES 32

/* The payload of the record at `offset`; NULL: there is none that is whole. */
static const unsigned char *record_at(const unsigned char *file, uint64_t file_bytes,
                                      uint64_t offset, uint64_t salt, uint64_t *payload_bytes) {
    if (offset + RECORD_HEAD_BYTES > file_bytes) {
        return NULL;
    }
    const unsigned char *head = file + offset;
    *payload_bytes = little(head + 12, 4);
    if (little(head, 8) != salt || little(head + 28, 4) != crc32(0, head, 28) ||
        offset + RECORD_HEAD_BYTES + *payload_bytes > file_bytes ||
        little(head + 24, 4) != crc32(0, head + RECORD_HEAD_BYTES, (uInt)*payload_bytes)) {
        return NULL;
    }
    return head + RECORD_HEAD_BYTES;
}

static void check_chain(const unsigned char *payload, uint64_t text_bytes) {
    struct trib_digest expected, digest;
    struct trib_digester digester = {0};
    char start[128];
    TRIB_ASSERT(trib_digester_begin(&digester));
    if (judge.record_count == 0) {
        int count = snprintf(start, sizeof start, "tributary ledger 1\n%s", judge.rules.run);
        trib_digest_of(start, (size_t)count, &expected);
        trib_digester_add(&digester, expected.bytes, sizeof expected.bytes);
    } else {
        trib_digester_add(&digester, judge.chain[judge.record_count - 1].bytes, 32);
    }
    trib_digester_add(&digester, payload, (size_t)text_bytes);
    trib_digester_finish(&digester, &expected);
    memcpy(digest.bytes, payload + text_bytes, sizeof digest.bytes);
    if (!trib_digest_equal(&digest, &expected)) {
        world_fail("record %" PRIu64 " breaks the ledger's chain", judge.record_count);
    }
    if (judge.record_count < judge.chain_count) {
        if (!trib_digest_equal(&digest, &judge.chain[judge.record_count])) {
            world_fail("record %" PRIu64 " was durable and is another one now", judge.record_count);
        }
        return;
    }
    judge.chain = grown(judge.chain, judge.chain_count, sizeof *judge.chain);
    judge.chain[judge.chain_count++] = digest;
}

void judge_read_ledger(void) {
    char path[128];
    uint64_t file_bytes = 0;
    (void)snprintf(path, sizeof path, "runs/%s/ledger", judge.rules.run);
    const unsigned char *file = trib_files_memory_durable(&world.disk, path, &file_bytes);
    if (file == NULL || file_bytes < 28) {
        return;
    }
    uint64_t salt = little(file + 16, 8);
    if (judge.offset == 0) {
        judge.offset = 28 + little(file + 12, 4);
    }
    const unsigned char *payload;
    uint64_t payload_bytes;
    while ((payload = record_at(file, file_bytes, judge.offset, salt, &payload_bytes)) != NULL) {
        bool is_new = judge.record_count == judge.chain_count;
        check_chain(payload, payload_bytes - 32);
        if (is_new) {
            take_record((const char *)payload, (size_t)payload_bytes - 32);
        }
        judge.record_count++;
        judge.offset += RECORD_HEAD_BYTES + payload_bytes;
    }
}

void judge_crashed(void) {
    judge.offset = 0;
    judge.record_count = 0;
    judge_read_ledger();
    if (judge.record_count < judge.chain_count) {
        world_fail("%zu records were durable, %" PRIu64 " are there after the crash",
                   judge.chain_count, judge.record_count);
    }
    tally_add(TALLY_CRASHES_CHECKED, 1);
}

void judge_begins_anew(void) {
    size_t kept = 0;
    judge_read_ledger();
    for (size_t i = 0; i < judge.acknowledged_count; i++) {
        const struct judge_sent *sent = &judge.sent[judge.acknowledged[i]];
        if (judge.rules.spec.is_durable || find_settled(sent->client, sent->id) != NULL) {
            judge.acknowledged[kept++] = judge.acknowledged[i];
        }
    }
    tally_add(TALLY_FORGOTTEN, judge.acknowledged_count - kept);
    judge.acknowledged_count = kept;
}

/* --- the spool on the disk --------------------------------------------------------------------------- */

static bool is_in_segment(const unsigned char *file, uint64_t file_bytes,
                          const struct trib_digest *digest) {
    if (file_bytes < 28) {
        return false;
    }
    uint64_t salt = little(file + 16, 8), payload_bytes;
    uint64_t offset = 28 + little(file + 12, 4);
    const unsigned char *payload;
    while ((payload = record_at(file, file_bytes, offset, salt, &payload_bytes)) != NULL) {
        if (payload_bytes >= 100 && memcmp(payload + 4 + 64, digest->bytes, 32) == 0) {
            return true;
        }
        offset += RECORD_HEAD_BYTES + payload_bytes;
    }
    return false;
}

static bool is_spooled(const struct trib_digest *digest) {
    for (uint64_t n = 1; n <= judge.segment_last + SEGMENTS_GAP; n++) {
        char path[128];
        uint64_t file_bytes = 0;
        (void)snprintf(path, sizeof path, "runs/%s/spool/%" PRIu64 ".segment", judge.rules.run, n);
        const unsigned char *file = trib_files_memory_durable(&world.disk, path, &file_bytes);
        if (file == NULL) {
            continue;
        }
        judge.segment_last = n > judge.segment_last ? n : judge.segment_last;
        if (is_in_segment(file, file_bytes, digest)) {
            return true;
        }
    }
    return false;
}

/* --- replies -------------------------------------------------------------------------------------------- */

static void check_version(uint64_t version, const char *hex, const char *what) {
    char expected[HEX];
    if (version >= judge.version_count) {
        world_fail("%s tells of version %" PRIu64 ", whose record is not durable", what, version);
    }
    trib_digest_to_hex(&judge.versions[version], expected);
    if (strcmp(hex, expected) != 0) {
        world_fail("%s: version %" PRIu64 " is said to be %.12s and is %.12s", what, version, hex,
                   expected);
    }
}

static void check_fate(const char *client, const char *id, const json_t *receipt) {
    const char *fate = text_of(receipt, "fate");
    const struct settled *settled = find_settled(client, id);
    if (strcmp(fate, "counted") == 0) {
        if (settled == NULL || settled->is_dropped ||
            settled->version != number_of(receipt, "version")) {
            world_fail("update %s of %s is called counted in %" PRIu64 ", the ledger knows better",
                       id, client, number_of(receipt, "version"));
        }
    } else if (strcmp(fate, "dropped") == 0) {
        if (settled == NULL || !settled->is_dropped) {
            world_fail("update %s of %s is called dropped, the ledger knows better", id, client);
        }
    } else if (strcmp(fate, "spooled") != 0) {
        world_fail("update %s of %s: fate \"%s\"", id, client, fate);
    }
}

static void check_acknowledgement(const struct network_request *request, const json_t *receipt) {
    const struct judge_sent *sent = judge_look(request->sent);
    const struct judge_sent *before = find_acknowledged(request->client, request->id);
    if (before != NULL && !trib_digest_equal(&before->digest, &sent->digest)) {
        world_fail("update %s of %s: a second body was acknowledged", request->id, request->client);
    }
    if (!sent->is_sound) {
        world_fail("update %s of %s is not sound and was acknowledged", request->id,
                   request->client);
    }
    check_fate(request->client, request->id, receipt);
    bool is_durable = judge.rules.spec.is_durable;
    if (strcmp(text_of(receipt, "durability"), is_durable ? "spool" : "memory") != 0) {
        world_fail("update %s of %s: durability \"%s\"", request->id, request->client,
                   text_of(receipt, "durability"));
    }
    if (is_durable && strcmp(text_of(receipt, "fate"), "spooled") == 0 &&
        find_settled(request->client, request->id) == NULL && !is_spooled(&sent->digest)) {
        world_fail("update %s of %s was acknowledged before it was durable", request->id,
                   request->client);
    }
    if (before == NULL) {
        judge.acknowledged =
            grown(judge.acknowledged, judge.acknowledged_count, sizeof *judge.acknowledged);
        judge.acknowledged[judge.acknowledged_count++] = request->sent;
    }
}

static void check_control(const char *state) {
    bool is_recorded = strcmp(state, "paused") == 0 || strcmp(state, "stopped") == 0;
    if (is_recorded && strcmp(judge.state, state) != 0) {
        world_fail("the run is said to be %s, the ledger says \"%s\"", state, judge.state);
    }
}

static void check_revocation(const struct network_request *request) {
    struct client *client = find_client(request->id);
    if (client == NULL || client->revoked == client->revoked_told) {
        world_fail("%s is said to be revoked, the ledger knows nothing", request->id);
    }
    client->revoked_told = client->revoked;
}

/* The change that was asked for is the newest one recorded, and holds from then on. */
static void check_change(const json_t *document) {
    const struct revision *newest = &judge.revisions[judge.revision_count - 1];
    struct trib_digest spec;
    digest_of_document(json_object_get(document, "spec"), &spec);
    if (judge.revision_count == 1 || newest->from != number_of(document, "version") ||
        !trib_digest_equal(&spec, &newest->spec)) {
        world_fail("the spec is said to change from version %" PRIu64
                   " on, the ledger knows better",
                   number_of(document, "version"));
    }
}

/* What is offered for the next version was sent, is sound, and is not settled yet. */
static void check_offer(const json_t *document) {
    struct offer offer;
    if (!json_is_object(document)) {
        return; /* null: nothing is offered */
    }
    const json_t *current = json_object_get(document, "current");
    offer_read(&offer, document);
    if (offer.version != judge.version_count || offer.count == 0 ||
        number_of(current, "version") != offer.version - 1) {
        world_fail("version %" PRIu64 " is offered with %zu updates, and %zu versions are there",
                   offer.version, offer.count, judge.version_count);
    }
    check_version(offer.version - 1, text_of(current, "digest"), "an offer");
    for (size_t i = 0; i < offer.count; i++) {
        const struct judge_sent *sent = &judge.sent[offer.updates[i]];
        if (!sent->is_sound || find_settled(sent->client, sent->id) != NULL) {
            world_fail("version %" PRIu64 " is offered with update %s of %s, which is %s",
                       offer.version, sent->id, sent->client,
                       sent->is_sound ? "settled" : "not sound");
        }
    }
    offer_release(&offer);
}

/* Whoever is told that a version was made of what it sent. */
static void check_combination(const struct network_request *request, const json_t *document) {
    uint64_t version = number_of(document, "version");
    check_version(version, text_of(document, "digest"), "the answer to a combiner");
    if (!trib_digest_equal(&judge.combined[version], &offers_look(request->sent)->digest)) {
        world_fail("version %" PRIu64 " was made of something else than its combiner is told",
                   version);
    }
}

static void check_creation(void) {
    char path[128];
    uint64_t byte_count;
    (void)snprintf(path, sizeof path, "runs/%s/spec.json", judge.rules.run);
    if (trib_files_memory_durable(&world.disk, path, &byte_count) == NULL) {
        world_fail("the run is said to be created and is not durable");
    }
}

/* Status documents and events name versions, too. */
static void check_named(const json_t *document, const char *what) {
    const json_t *model = json_object_get(document, "model");
    uint64_t version = number_of(document, "version");
    if ((version > 0 || model != NULL) && version >= judge.version_count) {
        world_fail("%s tells of version %" PRIu64 ", whose record is not durable", what, version);
    }
    if (model != NULL) {
        check_version(version, text_of(model, "digest"), what);
    }
}

static void check_status_code(const struct network_request *request, int status,
                              const json_t *document) {
    const char *code = text_of(document, "code");
    if (request->purpose == NETWORK_CREATE && status == 400) {
        world_fail("the spec is refused: %s", text_of(document, "message"));
    }
    if (status == 500 && strcmp(code, "io") != 0) {
        world_fail("%s %s: 500 %s", request->method, request->target, code);
    }
    if (status == 404 && request->purpose == NETWORK_UPDATE_GET &&
        find_acknowledged(request->client, request->id) != NULL) {
        world_fail("update %s of %s was acknowledged and is not known", request->id,
                   request->client);
    }
}

void judge_replied(const struct network_request *request, int status, const char *etag,
                   uint64_t version, bool has_version, const unsigned char *body,
                   size_t body_bytes) {
    if (world.node != NULL) {
        judge.fingerprint_key = world.node->fingerprint_key;
    }
    judge_read_ledger();
    tally_add(TALLY_TOLD, 1);
    if (request->purpose == NETWORK_MODEL_GET) {
        char hex[HEX] = "";
        if (status == 200 && has_version && sscanf(etag, "\"%64[0-9a-f]\"", hex) == 1) {
            check_version(version, hex, "GET of a version");
        }
        return;
    }
    json_t *document = json_loadb((const char *)body, body_bytes, JSON_DECODE_ANY, NULL);
    if (request->is_dead && status < 400) {
        world_fail("%s %s: %d with a token that was revoked", request->method, request->target,
                   status);
    }
    if (status >= 400) {
        check_status_code(request, status, document);
    } else if (request->purpose == NETWORK_UPDATE_PUT) {
        check_acknowledgement(request, document);
    } else if (request->purpose == NETWORK_UPDATE_GET) {
        check_fate(request->client, request->id, document);
    } else if (request->purpose == NETWORK_MODEL_PUT) {
        check_version(0, text_of(document, "digest"), "PUT of the model");
    } else if (request->purpose == NETWORK_TASK && json_object_get(document, "digest") != NULL) {
        check_version(number_of(document, "version"), text_of(document, "digest"), "a task");
    } else if (request->purpose == NETWORK_CONTROL) {
        check_control(text_of(document, "state"));
    } else if (request->purpose == NETWORK_CREATE) {
        check_creation();
    } else if (request->purpose == NETWORK_REVOKE) {
        check_revocation(request);
    } else if (request->purpose == NETWORK_CHANGE) {
        check_change(document);
    } else if (request->purpose == NETWORK_OFFER) {
        check_offer(document);
    } else if (request->purpose == NETWORK_COMBINE) {
        check_combination(request, document);
    } else if (request->purpose == NETWORK_STATUS) {
        check_named(document, "the status");
    } else if (request->purpose == NETWORK_JOIN) {
        if (!is_joined(request->client)) {
            world_fail("%s is told that it has joined; it is not durable", request->client);
        }
    } else if (request->purpose == NETWORK_EVALUATION &&
               !is_evaluated(request->client, number_of(document, "version"))) {
        world_fail("%s was told that its evaluation counts; it is not durable", request->client);
    }
    json_decref(document);
}

void judge_heard(const char *text, size_t text_bytes) {
    static const char version_event[] = "event: version\ndata: ";
    const char *event = memmem(text, text_bytes, version_event, sizeof version_event - 1);
    if (event != NULL) {
        const char *data = event + sizeof version_event - 1;
        json_t *document =
            json_loadb(data, text_bytes - (size_t)(data - text), JSON_DISABLE_EOF_CHECK, NULL);
        judge_read_ledger();
        check_named(document, "an event");
        if (json_object_get(document, "digest") != NULL) {
            check_version(number_of(document, "version"), text_of(document, "digest"), "an event");
        }
        json_decref(document);
    }
}

/* Of which offer is not known here: one that was made again may have another update at this index. */
static void check_offered_body(const struct network_request *request,
                               const struct trib_digest *digest) {
    bool is_sent = false;
    for (size_t i = 0; i < judge.sent_count && !is_sent; i++) {
        is_sent = judge.sent[i].is_sound && trib_digest_equal(&judge.sent[i].digest, digest);
    }
    if (!is_sent && machine_files_rotten() == TALLY_ROT_SPOOL) {
        tally_add(TALLY_ROT_NOTICED, 1); /* by whoever compares it with the digest in the offer */
    } else if (!is_sent) {
        world_fail("GET %s: nobody has sent this", request->target);
    }
}

void judge_delivered(const struct network_request *request, int status, const char *etag,
                     const unsigned char *body, size_t body_bytes, bool is_lost) {
    struct trib_digest digest;
    if (status != 200 || is_lost) {
        return;
    }
    if (request->purpose == NETWORK_OFFER_UPDATE) {
        trib_digest_of(body, body_bytes, &digest);
        check_offered_body(request, &digest);
    }
    if (request->purpose != NETWORK_MODEL_GET) {
        return;
    }
    char hex[HEX];
    trib_digest_of(body, body_bytes, &digest);
    trib_digest_to_hex(&digest, hex);
    bool is_other = strncmp(etag + 1, hex, HEX - 1) != 0;
    if (is_other && machine_files_rotten() == TALLY_ROT_VERSION) {
        tally_add(TALLY_ROT_NOTICED, 1); /* by whoever compares it with its ETag */
    } else if (is_other) {
        world_fail("GET %s: the bytes are not those of the ETag", request->target);
    }
}

/* --- in the end ------------------------------------------------------------------------------------------ */

bool judge_has_version(void) {
    return judge.version_count > 0;
}

uint64_t judge_version(void) {
    return judge.version_count == 0 ? 0 : judge.version_count - 1;
}

size_t judge_acknowledged_count(void) {
    return judge.acknowledged_count;
}

size_t judge_acknowledged(size_t nth) {
    TRIB_ASSERT(nth < judge.acknowledged_count);
    return judge.acknowledged[nth];
}

const char *judge_fate(const char *client, const char *id, uint64_t *version) {
    const struct settled *settled = find_settled(client, id);
    *version = settled == NULL ? 0 : settled->version;
    return settled == NULL ? "spooled" : settled->is_dropped ? "dropped" : "counted";
}

void judge_settled(void) {
    judge_read_ledger();
    if (strcmp(judge.state, "stopped") != 0) {
        world_fail("the run was stopped, the ledger says \"%s\"", judge.state);
    }
    for (size_t i = 0; i < judge.acknowledged_count; i++) {
        const struct judge_sent *sent = &judge.sent[judge.acknowledged[i]];
        if (find_settled(sent->client, sent->id) == NULL) {
            world_fail("update %s of %s was acknowledged and is neither counted nor dropped",
                       sent->id, sent->client);
        }
    }
}
