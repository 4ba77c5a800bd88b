/* machine.h - what the parts of the machine (loop, server, files) tell world.c. */
#ifndef TRIB_SIM_FAULTS_MACHINE_H
#define TRIB_SIM_FAULTS_MACHINE_H

#include <stddef.h>
#include <stdint.h>

#include "sim/faults/tally.h"

struct trib_file;

/* world_loop.c */
void machine_loop_crash(void);
/* The operator asks the daemon to end in order (SIGTERM). */
void machine_terminate(void);

/* world_json.c */
void machine_json_begin(void);
void machine_json_crash(void); /* every document is gone */
void machine_json_end(void);
size_t machine_json_live(void); /* blocks */

/* world_index.c */
void machine_index_begin(void);

/* world_server.c */
void machine_server_crash(void); /* every exchange is lost */
void machine_server_end(void);

/* world_files.c */
void machine_files_begin(void);
void machine_files_crash(void); /* the index may be lost, or be an older one */
void machine_files_end(void);
/* The file behind the descriptor of a reply; asserts that it is open. */
struct trib_file *machine_file_of(int descriptor);
/* Disk faults: one call fails, the disk fills up for a while, the machine stops in a call. */
void machine_files_trouble(void);
void machine_files_calm(void);
/* Flip one bit of a durable file of the run, and flip it back unless the file is another by now. */
void machine_files_rot(const char *run);
void machine_files_mend(void);
/* What is rotten: the row of the tally; TALLY_COUNT: nothing. */
enum tally machine_files_rotten(void);

#endif
