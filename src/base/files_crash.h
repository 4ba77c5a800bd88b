/* files_crash.h - a table of files with crash points around all that changes them (crash.h).
 *
 * Points: KIND.ACTION.MOMENT, where KIND is the last part of the path without ".tmp" and without
 * its number ("spool/3.segment" and "3.segment.tmp": segment; "state/7": state; ".": root),
 * ACTION is write, sync, truncate, rename (KIND of the new name), remove or sync-directory, and
 * MOMENT is before or after, for write also half: the first half of the bytes is there.
 *
 * When the plan is a power cut, the bytes that a write or a truncation replaced are remembered
 * until the file is synced, and put back before the process dies. Names are not taken back: what
 * a directory that was not synced forgets is tested in tests/unit/store with files in memory. */
#ifndef TRIB_BASE_FILES_CRASH_H
#define TRIB_BASE_FILES_CRASH_H

#include "base/files.h"

/* Change *files, which stays where it is, so that it passes the points. TRIB_EMEMORY: unchanged.
 * Files that are open already must not be used through it. */
enum trib_status trib_files_crash_install(const struct trib_env *env, struct trib_files *files);
/* Make *files what it was; its files are closed. Does nothing when nothing was installed. */
void trib_files_crash_remove(struct trib_files *files);

#endif
