/* handover.c - sealed memory of Linux, written with write(2) and read through a mapping.
 *
 * write(2) and not a mapping on the sender's side: a page that is written as a whole needs neither a
 * fault nor to be cleared first. Private mapping on the other: kernels before 6.7 refuse a shared
 * one of sealed memory, and as long as nobody writes both are the same pages. */
#include "base/handover.h"

#ifdef __linux__

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW)

enum trib_status trib_handover_begin(int *descriptor) {
    int fresh = memfd_create("tributary", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fresh < 0) {
        return errno == ENOSYS ? TRIB_EUNSUPPORTED : TRIB_EMEMORY;
    }
    *descriptor = fresh;
    return TRIB_OK;
}

enum trib_status trib_handover_append(int descriptor, const void *bytes, size_t count) {
    const char *next = bytes;
    while (count > 0) {
        ssize_t written = write(descriptor, next, count);
        if (written < 0 && errno != EINTR) {
            return TRIB_EMEMORY;
        }
        if (written > 0) {
            next += written;
            count -= (size_t)written;
        }
    }
    return TRIB_OK;
}

enum trib_status trib_handover_seal(int descriptor) {
    return fcntl(descriptor, F_ADD_SEALS, SEALS | F_SEAL_SEAL) == 0 ? TRIB_OK : TRIB_EIO;
}

static enum trib_status check(int descriptor, size_t byte_count, struct trib_error *error) {
    struct stat about;
    int seals = fcntl(descriptor, F_GET_SEALS);
    if (seals < 0) {
        return trib_error_set(error, TRIB_EINVALID, "the descriptor handed over is no memfd");
    }
    if ((seals & SEALS) != SEALS) {
        return trib_error_set(error, TRIB_EINVALID, "the memory handed over lacks the seal %s",
                              (seals & F_SEAL_WRITE) == 0    ? "F_SEAL_WRITE"
                              : (seals & F_SEAL_SHRINK) == 0 ? "F_SEAL_SHRINK"
                                                             : "F_SEAL_GROW");
    }
    /* The size after the seals: before, it could still change. */
    if (fstat(descriptor, &about) != 0 || !S_ISREG(about.st_mode)) {
        return trib_error_set(error, TRIB_EINVALID, "the descriptor handed over is no memfd");
    }
    if (about.st_size < 0 || (uint64_t)about.st_size != byte_count) {
        return trib_error_set(error, TRIB_EINVALID,
                              "the memory handed over has %lld bytes, %zu were announced",
                              (long long)about.st_size, byte_count);
    }
    return TRIB_OK;
}

static void unmap(void *bytes, size_t byte_count) {
    TRIB_ASSERT(munmap(bytes, byte_count) == 0);
}

enum trib_status trib_handover_map(const struct trib_env *env, int descriptor, size_t byte_count,
                                   struct trib_block **block, struct trib_error *error) {
    enum trib_status status = check(descriptor, byte_count, error);
    if (status != TRIB_OK) {
        return status;
    }
    void *bytes = mmap(NULL, byte_count, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (bytes == MAP_FAILED) {
        return trib_error_set(error, TRIB_EMEMORY, "the memory handed over cannot be mapped");
    }
    *block = trib_block_of(env, bytes, byte_count, unmap);
    if (*block == NULL) {
        unmap(bytes, byte_count);
        return trib_error_set(error, TRIB_EMEMORY, "no memory for what was handed over");
    }
    return TRIB_OK;
}

#else

enum trib_status trib_handover_begin(int *descriptor) {
    (void)descriptor;
    return TRIB_EUNSUPPORTED;
}

enum trib_status trib_handover_append(int descriptor, const void *bytes, size_t count) {
    (void)descriptor;
    (void)bytes;
    (void)count;
    return TRIB_EUNSUPPORTED;
}

enum trib_status trib_handover_seal(int descriptor) {
    (void)descriptor;
    return TRIB_EUNSUPPORTED;
}

enum trib_status trib_handover_map(const struct trib_env *env, int descriptor, size_t byte_count,
                                   struct trib_block **block, struct trib_error *error) {
    (void)env;
    (void)descriptor;
    (void)byte_count;
    (void)block;
    return trib_error_set(error, TRIB_EUNSUPPORTED, "memory can be handed over on Linux only");
}

#endif
