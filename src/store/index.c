/* index.c - what the ledger says, made searchable in SQLite.
 *
 * Unsigned 64-bit numbers are stored in SQLite's signed ones: all but bit patterns above 2^63 sort
 * and read as they are, and no count of ours comes near. Every statement is prepared once. */
#include "store/index.h"

#include <string.h>

#include <sqlite3.h>

/* Another layout gets another number: an index of an old layout is deleted and filled again. */
#define LAYOUT 1

static const char settings_sql[] = "PRAGMA journal_mode = WAL;"
                                   "PRAGMA synchronous = OFF;";

static const char layout_sql[] =
    "BEGIN;"
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE updates (client TEXT NOT NULL, id TEXT NOT NULL, fate INTEGER NOT NULL,"
    "  version INTEGER NOT NULL, reason TEXT NOT NULL, digest BLOB NOT NULL,"
    "  weight INTEGER NOT NULL, staleness INTEGER NOT NULL,"
    "  PRIMARY KEY (client, id)) WITHOUT ROWID;"
    "CREATE TABLE versions (version INTEGER PRIMARY KEY, digest BLOB NOT NULL,"
    "  parent BLOB NOT NULL, updates INTEGER NOT NULL, weight INTEGER NOT NULL,"
    "  bytes INTEGER NOT NULL, seconds REAL NOT NULL, time REAL NOT NULL,"
    "  train TEXT NOT NULL, evaluation TEXT NOT NULL DEFAULT '');"
    "CREATE TABLE evaluations (version INTEGER NOT NULL, client TEXT NOT NULL, id TEXT NOT NULL,"
    "  examples INTEGER NOT NULL, metrics TEXT NOT NULL,"
    "  PRIMARY KEY (version, client)) WITHOUT ROWID;"
    "CREATE TABLE clients (client TEXT PRIMARY KEY, role TEXT NOT NULL,"
    "  attributes TEXT NOT NULL, joined REAL NOT NULL) WITHOUT ROWID;"
    "PRAGMA user_version = 1;"
    "COMMIT;";

_Static_assert(LAYOUT == 1, "user_version above says the same");

enum statement {
    BEGIN,
    COMMIT,
    ROLLBACK,
    GET_META,
    PUT_META,
    PUT_UPDATE,
    GET_UPDATE,
    COUNT_UPDATES,
    PUT_VERSION,
    PUT_VERSION_EVALUATION,
    GET_VERSIONS,
    PUT_EVALUATION,
    GET_EVALUATIONS,
    HAS_EVALUATION,
    PUT_CLIENT,
    GET_CLIENT,
    GET_CLIENTS,
    GET_CLIENTS_AFTER,
    STATEMENT_COUNT
};

static const char *const statement_sql[STATEMENT_COUNT] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [GET_META] = "SELECT value FROM meta WHERE name = ?1",
    [PUT_META] = "INSERT OR REPLACE INTO meta VALUES (?1, ?2)",
    [PUT_UPDATE] = "INSERT OR REPLACE INTO updates VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    [GET_UPDATE] = "SELECT fate, version, reason, digest, weight, staleness FROM updates"
                   " WHERE client = ?1 AND id = ?2",
    [COUNT_UPDATES] = "SELECT count(*) FROM updates WHERE fate = ?1",
    [PUT_VERSION] = "INSERT INTO versions VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9,"
                    " coalesce(?10, '')) ON CONFLICT (version) DO UPDATE SET"
                    " digest = excluded.digest, parent = excluded.parent,"
                    " updates = excluded.updates, weight = excluded.weight,"
                    " bytes = excluded.bytes, seconds = excluded.seconds, time = excluded.time,"
                    " train = excluded.train, evaluation = coalesce(?10, evaluation)",
    [PUT_VERSION_EVALUATION] = "UPDATE versions SET evaluation = ?2 WHERE version = ?1",
    [GET_VERSIONS] = "SELECT version, digest, parent, updates, weight, bytes, seconds, time,"
                     " train, evaluation FROM versions WHERE version BETWEEN ?1 AND ?2"
                     " ORDER BY version",
    [PUT_EVALUATION] = "INSERT OR REPLACE INTO evaluations VALUES (?1, ?2, ?3, ?4, ?5)",
    [GET_EVALUATIONS] = "SELECT version, client, id, examples, metrics FROM evaluations"
                        " WHERE version = ?1 ORDER BY client",
    [HAS_EVALUATION] = "SELECT 1 FROM evaluations WHERE version = ?1 AND client = ?2",
    [PUT_CLIENT] = "INSERT OR REPLACE INTO clients VALUES (?1, ?2, ?3, ?4)",
    /* Not one statement for both: "?1 IS NULL OR" would look at every client to find one. */
    [GET_CLIENT] = "SELECT client, role, attributes, joined FROM clients WHERE client = ?1",
    [GET_CLIENTS] = "SELECT client, role, attributes, joined FROM clients ORDER BY joined, client",
    [GET_CLIENTS_AFTER] = "SELECT client, role, attributes, joined FROM clients"
                          " WHERE client > ?1 ORDER BY client",
};

struct trib_index {
    const struct trib_env *env;
    char *path;
    sqlite3 *database;
    sqlite3_stmt *statements[STATEMENT_COUNT];
};

static enum trib_status status_of(int result) {
    switch (result & 0xff) { /* the primary code of an extended one */
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return TRIB_OK;
    case SQLITE_NOMEM:
        return TRIB_EMEMORY;
    case SQLITE_FULL:
        return TRIB_EFULL;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_CONSTRAINT: /* only a damaged table can break one of ours */
    case SQLITE_MISMATCH:
        return TRIB_ECORRUPT;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return TRIB_ECONFLICT;
    case SQLITE_TOOBIG:
        return TRIB_ELIMIT;
    default:
        return TRIB_EIO;
    }
}

/* ---- the file ---- */

static void disconnect(struct trib_index *index) {
    for (size_t statement = 0; statement < STATEMENT_COUNT; statement++) {
        /* It repeats the error of the last step, which was reported then. */
        (void)sqlite3_finalize(index->statements[statement]);
        index->statements[statement] = NULL;
    }
    /* Nothing is left open, so it cannot refuse. */
    (void)sqlite3_close(index->database);
    index->database = NULL;
}

static enum trib_status connect(struct trib_index *index) {
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    int result = sqlite3_open_v2(index->path, &index->database, flags, NULL);
    if (result == SQLITE_OK)
        result = sqlite3_exec(index->database, settings_sql, NULL, NULL, NULL);
    return status_of(result);
}

/* The single number that a pragma or query answers. */
static enum trib_status ask_number(struct trib_index *index, const char *sql, int64_t *number) {
    sqlite3_stmt *statement = NULL;
    int result = sqlite3_prepare_v2(index->database, sql, -1, &statement, NULL);
    if (result == SQLITE_OK)
        result = sqlite3_step(statement);
    if (result == SQLITE_ROW)
        *number = sqlite3_column_int64(statement, 0);
    (void)sqlite3_finalize(statement); /* repeats the error of the step */
    return status_of(result);
}

/* SQLite answers one row "ok", or rows that name what is wrong. */
static enum trib_status check_pages(struct trib_index *index) {
    sqlite3_stmt *statement = NULL;
    bool is_sound = false;
    int result = sqlite3_prepare_v2(index->database, "PRAGMA quick_check(1)", -1, &statement, NULL);
    if (result == SQLITE_OK)
        result = sqlite3_step(statement);
    if (result == SQLITE_ROW) {
        const unsigned char *text = sqlite3_column_text(statement, 0);
        is_sound = text && strcmp((const char *)text, "ok") == 0;
    }
    (void)sqlite3_finalize(statement); /* repeats the error of the step */
    enum trib_status status = status_of(result);
    return status == TRIB_OK && !is_sound ? TRIB_ECORRUPT : status;
}

static enum trib_status prepare(struct trib_index *index) {
    for (size_t statement = 0; statement < STATEMENT_COUNT; statement++) {
        int result =
            sqlite3_prepare_v3(index->database, statement_sql[statement], -1,
                               SQLITE_PREPARE_PERSISTENT, &index->statements[statement], NULL);
        if (result != SQLITE_OK) /* SQLITE_ERROR: the tables are not ours */
            return result == SQLITE_ERROR ? TRIB_ECORRUPT : status_of(result);
    }
    return TRIB_OK;
}

static enum trib_status make_tables(struct trib_index *index) {
    int result = sqlite3_exec(index->database, layout_sql, NULL, NULL, NULL);
    /* SQLITE_ERROR: there are tables of somebody else. */
    return result == SQLITE_ERROR ? TRIB_ECORRUPT : status_of(result);
}

/* Open what is there, or make it. TRIB_ECORRUPT: it has to go. */
static enum trib_status attach(struct trib_index *index) {
    int64_t layout = 0;
    enum trib_status status = connect(index);
    if (status == TRIB_OK)
        status = ask_number(index, "PRAGMA user_version", &layout);
    if (status == TRIB_OK && layout == 0) /* a fresh file */
        status = make_tables(index);
    else if (status == TRIB_OK)
        status = layout == LAYOUT ? check_pages(index) : TRIB_ECORRUPT;
    if (status == TRIB_OK)
        status = prepare(index);
    return status;
}

/* Through SQLite's own door to the file system. */
static enum trib_status delete_file(const struct trib_index *index, const char *suffix) {
    sqlite3_vfs *system = sqlite3_vfs_find(NULL);
    char *path = sqlite3_mprintf("%s%s", index->path, suffix);
    if (!path)
        return TRIB_EMEMORY;
    int result = system->xDelete(system, path, 0);
    sqlite3_free(path);
    return result == SQLITE_IOERR_DELETE_NOENT ? TRIB_OK : status_of(result);
}

enum trib_status trib_index_rebuild(struct trib_index *index, struct trib_error *error) {
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
    enum trib_status status = TRIB_OK;
    disconnect(index);
    for (size_t file = 0; file < sizeof suffixes / sizeof *suffixes && status == TRIB_OK; file++)
        status = delete_file(index, suffixes[file]);
    if (status == TRIB_OK)
        status = attach(index);
    if (status != TRIB_OK)
        trib_error_set(error, status, "make the index %s: %s", index->path,
                       index->database ? sqlite3_errmsg(index->database)
                                       : trib_status_text(status));
    return status;
}

/* ---- statements ---- */

/* After the last step, so that no read transaction stays open and no text stays bound. */
static void put_back(sqlite3_stmt *statement) {
    /* It repeats the error of the last step. */
    (void)sqlite3_reset(statement);
    (void)sqlite3_clear_bindings(statement); /* cannot fail */
}

/* Texts and digests are borrowed until put_back. A failed bind leaves NULL, which the table
 * refuses, so binds need no check of their own. */
static void bind_text(sqlite3_stmt *statement, int column, const char *text) {
    (void)sqlite3_bind_text(statement, column, text, -1, SQLITE_STATIC);
}

static void bind_number(sqlite3_stmt *statement, int column, uint64_t number) {
    (void)sqlite3_bind_int64(statement, column, (int64_t)number);
}

static void bind_digest(sqlite3_stmt *statement, int column, const struct trib_digest *digest) {
    (void)sqlite3_bind_blob(statement, column, digest->bytes, TRIB_DIGEST_BYTES, SQLITE_STATIC);
}

/* Step a statement that answers nothing. */
static enum trib_status run(sqlite3_stmt *statement) {
    enum trib_status status = status_of(sqlite3_step(statement));
    put_back(statement);
    return status;
}

static uint64_t number_at(sqlite3_stmt *statement, int column) {
    return (uint64_t)sqlite3_column_int64(statement, column);
}

/* "" when memory is out; the next step says so. */
static const char *text_at(sqlite3_stmt *statement, int column) {
    const unsigned char *text = sqlite3_column_text(statement, column);
    return text ? (const char *)text : "";
}

static bool copy_text(sqlite3_stmt *statement, int column, char *text, size_t room) {
    const char *found = text_at(statement, column);
    size_t bytes = strlen(found);
    if (bytes >= room)
        return false;
    memcpy(text, found, bytes + 1);
    return true;
}

static bool copy_digest(sqlite3_stmt *statement, int column, struct trib_digest *digest) {
    const void *found = sqlite3_column_blob(statement, column);
    if (!found || sqlite3_column_bytes(statement, column) != TRIB_DIGEST_BYTES)
        return false;
    memcpy(digest->bytes, found, TRIB_DIGEST_BYTES);
    return true;
}

/* ---- open, batches ---- */

static enum trib_status get_ledger_count(struct trib_index *index, uint64_t *count) {
    sqlite3_stmt *statement = index->statements[GET_META];
    bind_text(statement, 1, "ledger_count");
    int result = sqlite3_step(statement);
    *count = result == SQLITE_ROW ? number_at(statement, 0) : 0;
    put_back(statement);
    return status_of(result);
}

enum trib_status trib_index_open(const struct trib_env *env, const char *path,
                                 struct trib_index **index, uint64_t *ledger_count,
                                 struct trib_error *error) {
    *index = NULL;
    *ledger_count = 0;
    struct trib_index *opened = trib_allocate(env, 1, sizeof *opened);
    if (!opened)
        return trib_error_set(error, TRIB_EMEMORY, "open the index: out of memory");
    opened->env = env;
    opened->path = trib_text_copy(env, path);
    enum trib_status status = opened->path ? attach(opened) : TRIB_EMEMORY;
    if (status == TRIB_OK)
        status = get_ledger_count(opened, ledger_count);
    if (status == TRIB_ECORRUPT) {
        *ledger_count = 0;
        status = trib_index_rebuild(opened, error);
    } else if (status != TRIB_OK)
        trib_error_set(error, status, "open the index %s: %s", path, trib_status_text(status));
    if (status != TRIB_OK) {
        trib_index_close(opened);
        return status;
    }
    *index = opened;
    return TRIB_OK;
}

void trib_index_close(struct trib_index *index) {
    if (!index)
        return;
    disconnect(index);
    if (index->path)
        trib_text_release(index->env, index->path);
    trib_release(index->env, index, 1, sizeof *index);
}

enum trib_status trib_index_begin(struct trib_index *index) {
    return run(index->statements[BEGIN]);
}

enum trib_status trib_index_commit(struct trib_index *index, uint64_t ledger_count) {
    sqlite3_stmt *statement = index->statements[PUT_META];
    bind_text(statement, 1, "ledger_count");
    bind_number(statement, 2, ledger_count);
    enum trib_status status = run(statement);
    return status == TRIB_OK ? run(index->statements[COMMIT]) : status;
}

void trib_index_rollback(struct trib_index *index) {
    /* Refused when there is no batch, also because SQLite rolled it back by itself. */
    (void)run(index->statements[ROLLBACK]);
}

/* ---- updates ---- */

enum trib_status trib_index_put_update(struct trib_index *index,
                                       const struct trib_index_update *update) {
    sqlite3_stmt *statement = index->statements[PUT_UPDATE];
    bind_text(statement, 1, update->client);
    bind_text(statement, 2, update->update);
    bind_number(statement, 3, update->fate);
    bind_number(statement, 4, update->version);
    bind_text(statement, 5, update->reason);
    bind_digest(statement, 6, &update->digest);
    bind_number(statement, 7, update->weight);
    bind_number(statement, 8, update->staleness);
    return run(statement);
}

static enum trib_status read_update(sqlite3_stmt *statement, struct trib_index_update *found) {
    uint64_t fate = number_at(statement, 0);
    if (fate != TRIB_INDEX_COUNTED && fate != TRIB_INDEX_DROPPED)
        return TRIB_ECORRUPT;
    found->fate = (enum trib_index_fate)fate;
    found->version = number_at(statement, 1);
    found->weight = number_at(statement, 4);
    found->staleness = number_at(statement, 5);
    bool is_sound = copy_text(statement, 2, found->reason, sizeof found->reason) &&
                    copy_digest(statement, 3, &found->digest);
    return is_sound ? TRIB_OK : TRIB_ECORRUPT;
}

enum trib_status trib_index_get_update(struct trib_index *index, const char *client,
                                       const char *update, struct trib_index_update *found) {
    TRIB_ASSERT(strlen(client) < sizeof found->client && strlen(update) < sizeof found->update);
    *found = (struct trib_index_update){0};
    strcpy(found->client, client);
    strcpy(found->update, update);
    sqlite3_stmt *statement = index->statements[GET_UPDATE];
    bind_text(statement, 1, client);
    bind_text(statement, 2, update);
    int result = sqlite3_step(statement);
    enum trib_status status = status_of(result);
    if (result == SQLITE_DONE)
        status = TRIB_ENOTFOUND;
    else if (result == SQLITE_ROW)
        status = read_update(statement, found);
    put_back(statement);
    return status;
}

enum trib_status trib_index_count_updates(struct trib_index *index, enum trib_index_fate fate,
                                          uint64_t *count) {
    sqlite3_stmt *statement = index->statements[COUNT_UPDATES];
    bind_number(statement, 1, fate);
    int result = sqlite3_step(statement);
    *count = result == SQLITE_ROW ? number_at(statement, 0) : 0;
    put_back(statement);
    return status_of(result);
}

/* ---- versions ---- */

enum trib_status trib_index_put_version(struct trib_index *index,
                                        const struct trib_index_version *version) {
    sqlite3_stmt *statement = index->statements[PUT_VERSION];
    bind_number(statement, 1, version->version);
    bind_digest(statement, 2, &version->digest);
    bind_digest(statement, 3, &version->parent);
    bind_number(statement, 4, version->updates);
    bind_number(statement, 5, version->weight);
    bind_number(statement, 6, version->bytes);
    (void)sqlite3_bind_double(statement, 7, version->seconds); /* as bind_number */
    (void)sqlite3_bind_double(statement, 8, version->wall_s);
    bind_text(statement, 9, version->train);
    bind_text(statement, 10, version->evaluation);
    return run(statement);
}

enum trib_status trib_index_put_version_evaluation(struct trib_index *index, uint64_t version,
                                                   const char *evaluation) {
    sqlite3_stmt *statement = index->statements[PUT_VERSION_EVALUATION];
    bind_number(statement, 1, version);
    bind_text(statement, 2, evaluation);
    enum trib_status status = run(statement);
    if (status == TRIB_OK && sqlite3_changes(index->database) == 0)
        status = TRIB_ENOTFOUND;
    return status;
}

enum trib_status trib_index_versions(struct trib_index *index, uint64_t first, uint64_t last,
                                     void *context, trib_index_version_visit *visit) {
    sqlite3_stmt *statement = index->statements[GET_VERSIONS];
    bind_number(statement, 1, first < INT64_MAX ? first : INT64_MAX);
    bind_number(statement, 2, last < INT64_MAX ? last : INT64_MAX);
    int result;
    enum trib_status status = TRIB_OK;
    while (status == TRIB_OK && (result = sqlite3_step(statement)) != SQLITE_DONE) {
        struct trib_index_version version = {
            .version = number_at(statement, 0),
            .updates = number_at(statement, 3),
            .weight = number_at(statement, 4),
            .bytes = number_at(statement, 5),
            .seconds = sqlite3_column_double(statement, 6),
            .wall_s = sqlite3_column_double(statement, 7),
            .train = text_at(statement, 8),
            .evaluation = text_at(statement, 9),
        };
        status = status_of(result);
        if (status == TRIB_OK && (!copy_digest(statement, 1, &version.digest) ||
                                  !copy_digest(statement, 2, &version.parent)))
            status = TRIB_ECORRUPT;
        if (status == TRIB_OK)
            status = visit(context, &version);
    }
    put_back(statement);
    return status;
}

/* ---- evaluations and clients ---- */

enum trib_status trib_index_put_evaluation(struct trib_index *index,
                                           const struct trib_index_evaluation *evaluation) {
    sqlite3_stmt *statement = index->statements[PUT_EVALUATION];
    bind_number(statement, 1, evaluation->version);
    bind_text(statement, 2, evaluation->client);
    bind_text(statement, 3, evaluation->evaluation);
    bind_number(statement, 4, evaluation->examples);
    bind_text(statement, 5, evaluation->metrics);
    return run(statement);
}

enum trib_status trib_index_evaluations(struct trib_index *index, uint64_t version, void *context,
                                        trib_index_evaluation_visit *visit) {
    sqlite3_stmt *statement = index->statements[GET_EVALUATIONS];
    bind_number(statement, 1, version);
    int result;
    enum trib_status status = TRIB_OK;
    while (status == TRIB_OK && (result = sqlite3_step(statement)) != SQLITE_DONE) {
        struct trib_index_evaluation evaluation = {
            .version = number_at(statement, 0),
            .examples = number_at(statement, 3),
            .metrics = text_at(statement, 4),
        };
        status = status_of(result);
        if (status == TRIB_OK &&
            (!copy_text(statement, 1, evaluation.client, sizeof evaluation.client) ||
             !copy_text(statement, 2, evaluation.evaluation, sizeof evaluation.evaluation)))
            status = TRIB_ECORRUPT;
        if (status == TRIB_OK)
            status = visit(context, &evaluation);
    }
    put_back(statement);
    return status;
}

enum trib_status trib_index_has_evaluation(struct trib_index *index, uint64_t version,
                                           const char *client) {
    sqlite3_stmt *statement = index->statements[HAS_EVALUATION];
    bind_number(statement, 1, version);
    bind_text(statement, 2, client);
    int result = sqlite3_step(statement);
    put_back(statement);
    return result == SQLITE_DONE ? TRIB_ENOTFOUND : status_of(result);
}

enum trib_status trib_index_put_client(struct trib_index *index,
                                       const struct trib_index_client *client) {
    sqlite3_stmt *statement = index->statements[PUT_CLIENT];
    bind_text(statement, 1, client->client);
    bind_text(statement, 2, client->role);
    bind_text(statement, 3, client->attributes);
    (void)sqlite3_bind_double(statement, 4, client->joined_s); /* as bind_number */
    return run(statement);
}

static enum trib_status visit_clients(sqlite3_stmt *statement, const char *client, void *context,
                                      trib_index_client_visit *visit) {
    if (client != NULL)
        bind_text(statement, 1, client);
    int result;
    enum trib_status status = TRIB_OK;
    while (status == TRIB_OK && (result = sqlite3_step(statement)) != SQLITE_DONE) {
        struct trib_index_client found = {
            .attributes = text_at(statement, 2),
            .joined_s = sqlite3_column_double(statement, 3),
        };
        status = status_of(result);
        if (status == TRIB_OK && (!copy_text(statement, 0, found.client, sizeof found.client) ||
                                  !copy_text(statement, 1, found.role, sizeof found.role)))
            status = TRIB_ECORRUPT;
        if (status == TRIB_OK)
            status = visit(context, &found);
    }
    put_back(statement);
    return status;
}

enum trib_status trib_index_clients(struct trib_index *index, const char *client, void *context,
                                    trib_index_client_visit *visit) {
    return visit_clients(index->statements[client == NULL ? GET_CLIENTS : GET_CLIENT], client,
                         context, visit);
}

enum trib_status trib_index_clients_after(struct trib_index *index, const char *client,
                                          void *context, trib_index_client_visit *visit) {
    return visit_clients(index->statements[GET_CLIENTS_AFTER], client, context, visit);
}
