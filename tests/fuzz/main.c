/* main.c - a fuzz target without a fuzzer: every file of the named directories, once.
 *
 * Prints how many there were. No file at all is a failure: a test that cannot fail is none. */
#include "fuzz/target.h"

#include <dirent.h>
#include <stdio.h>

static void run_file(const char *directory, const char *name) {
    char path[4096];
    const int length = snprintf(path, sizeof path, "%s/%s", directory, name);
    TRIB_ASSERT(length > 0 && (size_t)length < sizeof path);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        exit(1);
    }
    static uint8_t bytes[1 << 20];
    const size_t count = fread(bytes, 1, sizeof bytes, file);
    TRIB_ASSERT(count < sizeof bytes && !ferror(file));
    (void)fclose(file);                  /* only read from */
    (void)fprintf(stderr, "%s\n", path); /* the last line names the input that broke a rule */
    (void)LLVMFuzzerTestOneInput(bytes, count);
}

static int compare_names(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_visible(const struct dirent *entry) {
    return entry->d_name[0] != '.';
}

int main(int argc, char **argv) {
    int count = 0;
    for (int i = 1; i < argc; i++) {
        struct dirent **entries = NULL;
        const int found = scandir(argv[i], &entries, is_visible, compare_names);
        if (found < 0) {
            perror(argv[i]);
            return 1;
        }
        for (int entry = 0; entry < found; entry++) {
            run_file(argv[i], entries[entry]->d_name);
            free(entries[entry]);
        }
        free(entries);
        count += found;
    }
    printf("%d inputs\n", count);
    return count > 0 ? 0 : 1;
}
