/* handover.h - bytes that go from one process to another as memory, which nobody can change any more.
 *
 *     sender     begin() --> append()... --> seal() --> the descriptor over a Unix socket (SCM_RIGHTS)
 *     receiver   map() --> a sealed block; the pages are the very ones that the sender wrote
 *
 * The memory is a memfd (memfd_create(2)) with the seals WRITE, SHRINK and GROW (fcntl(2),
 * F_ADD_SEALS): without them a sender could change what has been checked and digested, or cut it
 * off under the reader, whom the kernel would then kill. Linux only; elsewhere begin() and map()
 * say TRIB_EUNSUPPORTED and bytes go through the socket. Thread: any. */
#ifndef TRIB_BASE_HANDOVER_H
#define TRIB_BASE_HANDOVER_H

#include "base/block.h"
#include "base/status.h"

/* An empty memory of the caller's (close(2)). TRIB_EUNSUPPORTED: there is no such thing here;
 * TRIB_EMEMORY: no descriptor or no memory. */
enum trib_status trib_handover_begin(int *descriptor);
/* Add count bytes at the end. TRIB_EMEMORY: there is no more; the descriptor is of no use then. */
enum trib_status trib_handover_append(int descriptor, const void *bytes, size_t count);
/* From now on nobody can change it. TRIB_EIO: the kernel refuses. */
enum trib_status trib_handover_seal(int descriptor);

/* The memory behind a descriptor from another process, as a sealed block of byte_count > 0 bytes.
 * The descriptor is borrowed: close it when you like; the block keeps the pages.
 *
 * TRIB_EINVALID: it is no memfd, a seal is missing, or its size is not byte_count; TRIB_EMEMORY;
 * TRIB_EUNSUPPORTED. error says which. On error there is no block. */
enum trib_status trib_handover_map(const struct trib_env *env, int descriptor, size_t byte_count,
                                   struct trib_block **block, struct trib_error *error);

#endif
