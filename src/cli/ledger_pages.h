/* ledger_pages.h - the records of a run as the daemon hands them out: page after page. */
#ifndef TRIB_CLI_LEDGER_PAGES_H
#define TRIB_CLI_LEDGER_PAGES_H

#include "cli/remote.h"

/* One record: the document {"index", "digest", "previous", "record"}, and the line that it was. */
typedef void trib_ledger_visit(void *context, const char *line, const json_t *document);

/* Visit every record from the one with this index to the last. Prints; exit codes as of
 * trib_remote_send(), and TRIB_EXIT_FAILED when a record is missing in between. */
enum trib_exit trib_ledger_pages(struct trib_remote *remote, const char *run, uint64_t from,
                                 trib_ledger_visit *visit, void *context);

#endif
