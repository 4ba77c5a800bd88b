/* directory.c - the data directory.
 *
 * `format` is written last: a directory without it was never finished and holds nothing of worth.
 * A run is made under runs/.new.<run> and renamed when it is complete; it is removed by renaming it
 * to runs/.trash.<run> first. So a run is there whole or not at all, whatever happens. */
#include "store/directory.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "store/ledger.h"

static const char format_text[] = "tributary 1\n";
static const char draft_suffix[] = ".tmp";
static const char new_prefix[] = ".new.";
static const char trash_prefix[] = ".trash.";
static const char *const run_folders[] = {"spool", "state", "tape", "versions"};
#define RUN_FOLDER_COUNT (sizeof run_folders / sizeof *run_folders)

/* What may lie in a directory whose set-up a crash cut short. */
static const char *const unfinished[] = {"format.tmp", "key", "key.tmp", "lock", "runs"};
#define UNFINISHED_COUNT (sizeof unfinished / sizeof *unfinished)

/* Names of a folder, each with its NUL, one after the other. */
static void add_name(void *visitor, const char *name) {
    trib_text_add(visitor, name, strlen(name) + 1);
}

static enum trib_status list_names(const struct trib_env *env, const struct trib_files *files,
                                   const char *path, struct trib_text *names) {
    trib_text_init(names, env);
    enum trib_status status = files->list(files->context, path, add_name, names);
    if (status == TRIB_OK && names->is_failed)
        status = TRIB_EMEMORY;
    if (status != TRIB_OK)
        trib_text_deinit(names);
    return status;
}

static const char *first_name(const struct trib_text *names) {
    return names->byte_count > 0 ? names->bytes : NULL;
}

static const char *next_name(const struct trib_text *names, const char *name) {
    name += strlen(name) + 1;
    return name < names->bytes + names->byte_count ? name : NULL;
}

static const char *join(char path[TRIB_DIRECTORY_PATH_BYTES], const char *folder,
                        const char *prefix, const char *name) {
    int count = snprintf(path, TRIB_DIRECTORY_PATH_BYTES, "%s/%s%s", folder, prefix, name);
    bool is_cut = count < 0 || count >= TRIB_DIRECTORY_PATH_BYTES;
    return is_cut ? NULL : path; /* a name that is too long is none of ours */
}

static bool has_suffix(const char *name, const char *suffix) {
    size_t name_bytes = strlen(name);
    size_t suffix_bytes = strlen(suffix);
    return name_bytes > suffix_bytes && strcmp(name + name_bytes - suffix_bytes, suffix) == 0;
}

static bool has_prefix(const char *name, const char *prefix) {
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

static enum trib_status explain(struct trib_error *error, enum trib_status status,
                                const char *what) {
    return status == TRIB_OK
               ? status
               : trib_error_set(error, status, "%s: %s", what, trib_status_text(status));
}

/* ---- removing ---- */

/* Remove the files of a folder: all, or those with the suffix. A missing folder is fine. */
static enum trib_status empty_folder(const struct trib_env *env, const struct trib_files *files,
                                     const char *folder, const char *suffix) {
    struct trib_text names;
    enum trib_status status = list_names(env, files, folder, &names);
    if (status != TRIB_OK)
        return status == TRIB_ENOTFOUND ? TRIB_OK : status;
    const char *name = first_name(&names);
    for (; name && status == TRIB_OK; name = next_name(&names, name)) {
        char path[TRIB_DIRECTORY_PATH_BYTES];
        if (suffix && !has_suffix(name, suffix))
            continue;
        status = join(path, folder, "", name) ? files->remove(files->context, path) : TRIB_EIO;
    }
    trib_text_deinit(&names);
    return status;
}

/* Remove a run's folder with all that we put there. */
static enum trib_status remove_tree(const struct trib_env *env, const struct trib_files *files,
                                    const char *folder) {
    enum trib_status status = TRIB_OK;
    for (size_t index = 0; index < RUN_FOLDER_COUNT && status == TRIB_OK; index++) {
        char path[TRIB_DIRECTORY_PATH_BYTES];
        if (!join(path, folder, "", run_folders[index]))
            return TRIB_EIO;
        status = empty_folder(env, files, path, NULL);
        if (status == TRIB_ENOTFOUND)
            status = TRIB_OK; /* a run of before there were tapes, or half removed */
    }
    if (status == TRIB_OK)
        status = empty_folder(env, files, folder, NULL); /* also the empty folders */
    if (status == TRIB_OK)
        status = files->remove(files->context, folder);
    return status == TRIB_ENOTFOUND ? TRIB_OK : status;
}

/* ---- set-up ---- */

static bool is_unfinished(const char *name) {
    for (size_t index = 0; index < UNFINISHED_COUNT; index++) {
        if (strcmp(name, unfinished[index]) == 0)
            return true;
    }
    return false;
}

/* A directory of ours is made only where there is nothing else. */
static enum trib_status check_vacant(const struct trib_env *env, const struct trib_files *files,
                                     struct trib_error *error) {
    struct trib_text names;
    enum trib_status status = list_names(env, files, ".", &names);
    if (status != TRIB_OK)
        return explain(error, status, "look into the data directory");
    const char *name = first_name(&names);
    for (; name && status == TRIB_OK; name = next_name(&names, name)) {
        if (!is_unfinished(name))
            status = trib_error_set(error, TRIB_ECONFLICT,
                                    "the data directory has no file `format` and is not empty "
                                    "(%.80s): it belongs to something else",
                                    name);
    }
    trib_text_deinit(&names);
    return status;
}

/* *is_new: there is no format yet. */
static enum trib_status check_format(const struct trib_env *env, const struct trib_files *files,
                                     bool *is_new, struct trib_error *error) {
    char *text;
    size_t text_bytes;
    enum trib_status status = trib_files_read_all(env, files, "format", 64, &text, &text_bytes);
    *is_new = status == TRIB_ENOTFOUND;
    if (*is_new)
        return TRIB_OK;
    if (status == TRIB_ELIMIT)
        return trib_error_set(error, TRIB_EUNSUPPORTED,
                              "the data directory is of an unknown format");
    if (status != TRIB_OK)
        return explain(error, status, "read `format` of the data directory");
    if (strcmp(text, format_text) != 0)
        status = trib_error_set(error, TRIB_EUNSUPPORTED,
                                "the data directory is of format \"%.*s\", this program knows "
                                "\"tributary 1\"",
                                (int)strcspn(text, "\n"), text);
    trib_release(env, text, text_bytes + 1, 1);
    return status;
}

static enum trib_status make_key(const struct trib_env *env, const struct trib_files *files,
                                 struct trib_error *error) {
    unsigned char key[TRIB_DIRECTORY_KEY_BYTES];
    env->entropy(env->context, key, sizeof key);
    enum trib_status status = trib_files_publish(files, "key", key, sizeof key);
    explicit_bzero(key, sizeof key);
    return explain(error, status, "write `key` of the data directory");
}

static enum trib_status read_key(const struct trib_env *env, const struct trib_files *files,
                                 unsigned char key[TRIB_DIRECTORY_KEY_BYTES],
                                 struct trib_error *error) {
    char *bytes;
    size_t byte_count;
    enum trib_status status =
        trib_files_read_all(env, files, "key", TRIB_DIRECTORY_KEY_BYTES, &bytes, &byte_count);
    bool is_key = status == TRIB_OK && byte_count == TRIB_DIRECTORY_KEY_BYTES;
    if (is_key)
        memcpy(key, bytes, TRIB_DIRECTORY_KEY_BYTES);
    if (status == TRIB_OK) {
        explicit_bzero(bytes, byte_count);
        trib_release(env, bytes, byte_count + 1, 1);
    }
    if (is_key)
        return TRIB_OK;
    if (status == TRIB_OK || status == TRIB_ELIMIT || status == TRIB_ENOTFOUND)
        return trib_error_set(error, TRIB_ECORRUPT,
                              "`key` of the data directory is missing or damaged: tokens cannot "
                              "be checked");
    return explain(error, status, "read `key` of the data directory");
}

/* Remove what a crash left in the folder of one run, or the whole folder when it is not a run. */
static enum trib_status tidy_run(const struct trib_env *env, const struct trib_files *files,
                                 const char *name) {
    char folder[TRIB_DIRECTORY_PATH_BYTES];
    if (!join(folder, "runs", "", name))
        return TRIB_OK;
    if (has_prefix(name, new_prefix) || has_prefix(name, trash_prefix))
        return remove_tree(env, files, folder);
    enum trib_status status = empty_folder(env, files, folder, draft_suffix);
    for (size_t index = 0; index < RUN_FOLDER_COUNT && status == TRIB_OK; index++) {
        char path[TRIB_DIRECTORY_PATH_BYTES];
        if (join(path, folder, "", run_folders[index]))
            status = empty_folder(env, files, path, draft_suffix);
    }
    return status;
}

static enum trib_status tidy(const struct trib_env *env, const struct trib_files *files,
                             struct trib_error *error) {
    struct trib_text names;
    enum trib_status status = list_names(env, files, "runs", &names);
    if (status != TRIB_OK)
        return explain(error, status, "list `runs` of the data directory");
    const char *name = first_name(&names);
    for (; name && status == TRIB_OK; name = next_name(&names, name)) {
        status = tidy_run(env, files, name);
        if (status != TRIB_OK)
            trib_error_set(error, status, "clean up runs/%.80s: %s", name,
                           trib_status_text(status));
    }
    trib_text_deinit(&names);
    return status;
}

enum trib_status trib_directory_prepare(const struct trib_env *env, const struct trib_files *files,
                                        unsigned char key[TRIB_DIRECTORY_KEY_BYTES],
                                        struct trib_error *error) {
    bool is_new;
    enum trib_status status = check_format(env, files, &is_new, error);
    if (status == TRIB_OK && is_new) {
        status = check_vacant(env, files, error);
        if (status == TRIB_OK)
            status = make_key(env, files, error);
        if (status == TRIB_OK)
            status = explain(error, files->make_directory(files->context, "runs"), "make `runs`");
        /* Publishing syncs the directory, which makes `runs` durable too. */
        if (status == TRIB_OK)
            status = explain(
                error, trib_files_publish(files, "format", format_text, sizeof format_text - 1),
                "write `format` of the data directory");
    }
    if (status == TRIB_OK)
        status = read_key(env, files, key, error);
    if (status == TRIB_OK)
        status = tidy(env, files, error);
    return status;
}

enum trib_status trib_directory_open(struct trib_directory *directory, const struct trib_env *env,
                                     const char *root, struct trib_error *error) {
    *directory = (struct trib_directory){.env = env};
    enum trib_status status = trib_files_open(env, root, true, &directory->files, error);
    if (status == TRIB_OK)
        status = trib_directory_prepare(env, directory->files, directory->key, error);
    if (status != TRIB_OK)
        trib_directory_close(directory);
    return status;
}

void trib_directory_close(struct trib_directory *directory) {
    trib_files_close(directory->files);
    explicit_bzero(directory, sizeof *directory);
}

/* ---- runs ---- */

static enum trib_status check_free(const struct trib_files *files, const char *run,
                                   struct trib_error *error) {
    char path[TRIB_DIRECTORY_PATH_BYTES];
    struct trib_file *file = NULL;
    trib_directory_path(path, run, "spec.json");
    enum trib_status status = files->open(files->context, path, TRIB_FILE_READ, &file);
    if (status == TRIB_ENOTFOUND)
        return TRIB_OK;
    if (status != TRIB_OK)
        return explain(error, status, path);
    files->close(files->context, file);
    return trib_error_set(error, TRIB_ECONFLICT, "there is a run %s", run);
}

/* Everything of a run below `folder`, durable. */
static enum trib_status fill_run(const struct trib_env *env, const struct trib_files *files,
                                 const char *folder, const char *run, const void *spec,
                                 size_t spec_bytes) {
    char path[TRIB_DIRECTORY_PATH_BYTES];
    enum trib_status status = files->make_directory(files->context, folder);
    for (size_t index = 0; index < RUN_FOLDER_COUNT && status == TRIB_OK; index++)
        status = files->make_directory(files->context, join(path, folder, "", run_folders[index]));
    if (status == TRIB_OK)
        status = trib_files_publish(files, join(path, folder, "", "spec.json"), spec, spec_bytes);
    if (status == TRIB_OK)
        status = trib_ledger_create(env, files, join(path, folder, "", "ledger"), run);
    return status;
}

enum trib_status trib_directory_create_run(const struct trib_env *env,
                                           const struct trib_files *files, const char *run,
                                           const void *spec, size_t spec_bytes,
                                           struct trib_error *error) {
    if (!trib_name_is_valid(run, strlen(run)))
        return trib_error_set(error, TRIB_EINVALID, "\"%.80s\" is not a name for a run", run);
    enum trib_status status = check_free(files, run, error);
    if (status != TRIB_OK)
        return status;
    char draft[TRIB_DIRECTORY_PATH_BYTES];
    char path[TRIB_DIRECTORY_PATH_BYTES];
    trib_directory_path(path, run, NULL);
    join(draft, "runs", new_prefix, run);
    status = remove_tree(env, files, draft); /* of an earlier try that failed */
    if (status == TRIB_OK)
        status = fill_run(env, files, draft, run, spec, spec_bytes);
    if (status == TRIB_OK)
        status = files->rename(files->context, draft, path);
    if (status == TRIB_OK)
        status = files->sync_directory(files->context, "runs");
    if (status != TRIB_OK)
        return trib_error_set(error, status, "create run %s: %s", run, trib_status_text(status));
    return TRIB_OK;
}

enum trib_status trib_directory_remove_run(const struct trib_env *env,
                                           const struct trib_files *files, const char *run,
                                           struct trib_error *error) {
    if (!trib_name_is_valid(run, strlen(run)))
        return trib_error_set(error, TRIB_EINVALID, "\"%.80s\" is not a name of a run", run);
    char path[TRIB_DIRECTORY_PATH_BYTES];
    char trash[TRIB_DIRECTORY_PATH_BYTES];
    trib_directory_path(path, run, NULL);
    join(trash, "runs", trash_prefix, run);
    enum trib_status status = remove_tree(env, files, trash); /* of an earlier run of that name */
    if (status == TRIB_OK)
        status = files->rename(files->context, path, trash);
    if (status == TRIB_OK)
        status = files->sync_directory(files->context, "runs");
    if (status == TRIB_OK)
        status = remove_tree(env, files, trash);
    if (status != TRIB_OK)
        return trib_error_set(error, status, "remove run %s: %s", run, trib_status_text(status));
    return TRIB_OK;
}

enum trib_status trib_directory_runs(const struct trib_env *env, const struct trib_files *files,
                                     void *context, trib_directory_visit *visit) {
    struct trib_text names;
    enum trib_status status = list_names(env, files, "runs", &names);
    if (status != TRIB_OK)
        return status;
    const char *name = first_name(&names);
    for (; name && status == TRIB_OK; name = next_name(&names, name)) {
        if (trib_name_is_valid(name, strlen(name)))
            status = visit(context, name);
    }
    trib_text_deinit(&names);
    return status;
}

const char *trib_directory_path(char path[TRIB_DIRECTORY_PATH_BYTES], const char *run,
                                const char *leaf) {
    TRIB_ASSERT(strlen(run) < TRIB_NAME_BYTES);
    int count = snprintf(path, TRIB_DIRECTORY_PATH_BYTES, "runs/%s%s%s", run, leaf ? "/" : "",
                         leaf ? leaf : "");
    TRIB_ASSERT(count > 0 && count < TRIB_DIRECTORY_PATH_BYTES);
    return path;
}
