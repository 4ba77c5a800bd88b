/* access.h - who may ask for what, judged from a request's head and the row of its route. */
#ifndef TRIB_NODE_ACCESS_H
#define TRIB_NODE_ACCESS_H

#include <stdbool.h>

#include "wire/http.h"

struct trib_call;
struct trib_hosted;

/* What is wrong with the token that came; /metrics counts by these. */
enum trib_token_fault {
    TRIB_TOKEN_FAULT_NONE,      /* none came, or it is good */
    TRIB_TOKEN_FAULT_BAD,       /* not made by this daemon */
    TRIB_TOKEN_FAULT_EXPIRED,   /* once good */
    TRIB_TOKEN_FAULT_REVOKED,   /* taken back */
    TRIB_TOKEN_FAULT_FORBIDDEN, /* good, for something else */
    TRIB_TOKEN_FAULT_COUNT
};
extern const char *const trib_token_fault_names[TRIB_TOKEN_FAULT_COUNT]; /* "bad", ... */

/* Read what the head says about the asker into call->token, fault and is_local. */
void trib_access_read(struct trib_call *call, const struct trib_http_request *request);
/* Host, Origin, token and its scope. False: the call has been refused. */
bool trib_access_is_granted(struct trib_call *call, const struct trib_http_request *request);
/* Something was revoked in this run: let no poll and no event stream go on with it. */
void trib_access_end_revoked(struct trib_hosted *hosted);
/* The token was revoked while the request was under way. */
bool trib_access_was_revoked(const struct trib_call *call);

#endif
