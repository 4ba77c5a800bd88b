/* receipt.h - check what a daemon has signed: a receipt of an update, or the head of a ledger. */
#ifndef TRIB_CLI_RECEIPT_H
#define TRIB_CLI_RECEIPT_H

#include "cli/command.h"

struct trib_receipt_options {
    const char *signed_file; /* one signed line, or the JSON reply that it came in */
    const char *key_file;    /* the daemon's ledger.pub */
    const char *ledger_file; /* lines of GET .../ledger, from record 0 on; or NULL */
    const char *data_dir;    /* of a daemon that is not running, with `run`; or NULL */
    const char *run;
};

/* Who signed it; and, where a ledger is given, that the update is in it as the receipt says: counted
 * once or dropped once, with that digest, base and weight; or that the ledger has this head. Prints
 * what was found; TRIB_EXIT_FAILED when something is not as it was signed. */
enum trib_exit trib_receipt_verify(const struct trib_cli *cli,
                                   const struct trib_receipt_options *options);

#endif
