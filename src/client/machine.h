/* machine.h - the participant as a pure state machine: what to send next, what a reply means.
 *
 * No sockets, no clock, no memory of its own: time comes in, requests come out. One errand at a
 * time is carried to its end, over as many requests and pauses as that takes:
 *
 *     trib_machine_begin(&machine, &errand);
 *     for (;;)
 *         switch (trib_machine_next(&machine)) {
 *         case TRIB_MACHINE_SEND:   send machine.request, then
 *                                   trib_machine_hear(...) or trib_machine_lose(...); break;
 *         case TRIB_MACHINE_PAUSE:  wait until machine.pause_until, then go on; break;
 *         case TRIB_MACHINE_OVER:   return machine.result;
 *         }
 *
 *     begin --> [join first, when not joined] --> request --2xx------------------> over: OK
 *                 ^                                 |  ^--- pause <- lost, 408, 429, 5xx
 *                 '--- 401, 403 forbidden (once) ---'  '--- pause <- task "wait"
 *                                                   |--- task "stop" ------------> over: STOPPED
 *                                                   |--- 409 stale, base_unknown,
 *                                                   |    ended ----------------> over: OK
 *                                                   |--- lost, while renewing ---> over: UNREACHABLE
 *                                                   '--- any other 4xx ----------> over: REFUSED
 *
 * Pauses double from 0.25 s to 30 s, each cut by a random part of up to a half so that a fleet that
 * lost its daemon at one moment does not come back at one moment; Retry-After is a lower bound. */
#ifndef TRIB_CLIENT_MACHINE_H
#define TRIB_CLIENT_MACHINE_H

#include "base/env.h"
#include "base/name.h"
#include "base/random.h"
#include "client/heard.h"
#include "tributary/client.h"

#define TRIB_MACHINE_TOKEN_BYTES 512
#define TRIB_MACHINE_BODY_BYTES 8192 /* of the JSON that is sent; all of it is small */
#define TRIB_MACHINE_TEXT_BYTES 512

enum trib_errand_kind {
    TRIB_ERRAND_JOIN,
    TRIB_ERRAND_ASK,      /* for a task */
    TRIB_ERRAND_FETCH,    /* a version */
    TRIB_ERRAND_SUBMIT,   /* an update: the body is the caller's to send */
    TRIB_ERRAND_EVALUATE, /* report an evaluation */
    TRIB_ERRAND_DECLINE,  /* a task */
    TRIB_ERRAND_RENEW,    /* the lease; a lost one is not worth repeating */
};

struct trib_errand {
    enum trib_errand_kind kind;
    const char *task;    /* submit, evaluate, decline, renew: its id */
    const char *metrics; /* submit (or NULL), evaluate: JSON object in one line */
    const char *reason;  /* decline, or NULL */
    uint64_t version;    /* fetch, submit, evaluate */
    uint64_t examples;   /* submit, evaluate */
    double done;         /* renew: share of the work, 0 to 1; < 0: not known */
};

/* All texts are borrowed for the life of the machine. */
struct trib_machine_settings {
    const char *prefix;     /* of targets, "" or "/prefix" */
    const char *run;        /* a valid name */
    const char *client;     /* a valid name; also the seed of the pauses */
    const char *role;       /* "trainer" or "evaluator" */
    const char *attributes; /* JSON object, or NULL */
    const char *token;      /* of the link; "" when there is none */
    trib_time_ns retry_for; /* give up after so long without an answer or progress */
};

struct trib_machine_request {
    enum trib_errand_kind kind; /* JOIN also when another errand has to join first */
    const char *method;
    const char *content_type; /* NULL: there is no body */
    const char *token;        /* "" : none */
    char target[768];
    char fields[1536];                  /* further head lines; "" when there are none */
    char body[TRIB_MACHINE_BODY_BYTES]; /* JSON; not used for SUBMIT */
    size_t body_bytes;
};

enum trib_machine_turn { TRIB_MACHINE_SEND, TRIB_MACHINE_PAUSE, TRIB_MACHINE_OVER };

struct trib_machine {
    struct trib_machine_request request; /* read-only, when it is time to SEND */
    trib_time_ns pause_until;            /* read-only, when it is time to PAUSE */
    enum trib_client_result result;      /* read-only, when it is OVER */
    char text[TRIB_MACHINE_TEXT_BYTES];  /* read-only: why the result is not OK; "" when it is */
    struct trib_heard_task task; /* read-only: after ASK; settings borrowed from the reply */
    double lease_s;              /* read-only: 0 until the daemon has said it */
    enum trib_client_fate fate;  /* read-only: after SUBMIT, of the update */

    struct trib_machine_settings settings; /* private */
    struct trib_random random;             /* private */
    struct trib_errand errand;             /* private: texts borrowed until it is over */
    enum trib_machine_turn turn;           /* private */
    bool is_joined;                        /* private */
    bool has_rejoined;                     /* private: since the last good answer */
    uint32_t failures;                     /* private: in a row */
    trib_time_ns silent_since;             /* private: the first of these failures */
    char token[TRIB_MACHINE_TOKEN_BYTES];  /* private: of this client, once it has joined */
};

struct trib_machine_reply {
    int status;           /* 200 .. 599 */
    double retry_after_s; /* < 0: not said */
    const char *body;     /* JSON, or anything when the status is no success; borrowed */
    size_t body_bytes;    /* 0 after FETCH */
};

/* False: a text of the settings does not fit a request (only attributes can be too long). */
bool trib_machine_init(struct trib_machine *machine, const struct trib_machine_settings *settings);
/* The errand before must be over, or is given up by this. */
void trib_machine_begin(struct trib_machine *machine, const struct trib_errand *errand);
/* What is to be done now. After PAUSE, the next call says what comes behind it. */
enum trib_machine_turn trib_machine_next(struct trib_machine *machine);
/* Is the errand over, with TRIB_CLIENT_OK? */
bool trib_machine_is_done(const struct trib_machine *machine);
/* The reply to the request came. */
void trib_machine_hear(struct trib_machine *machine, const struct trib_machine_reply *reply,
                       trib_time_ns now);
/* There was no reply; why says so to people. */
void trib_machine_lose(struct trib_machine *machine, const char *why, trib_time_ns now);
/* A large body has moved on meanwhile: a transfer that gets ahead is never given up. */
void trib_machine_progress(struct trib_machine *machine);
/* End the errand for a reason that only the caller knows. */
void trib_machine_end(struct trib_machine *machine, enum trib_client_result result,
                      const char *text);

#endif
