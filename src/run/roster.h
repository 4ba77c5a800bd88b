/* roster.h - who takes part: clients, whether they are present, what they hold and wait for.
 *
 * A client is present if it has spoken within the lease or a poll of it is parked. It stays in
 * the roster as long as there is room. When there is none, whoever has been idle longest (absent,
 * and nothing of it under way) is forgotten, and is known again once it has joined again. So an
 * index keeps its meaning only while its client is present, set aside or pinned; pointers are good
 * until the next trib_roster_add. */
#ifndef TRIB_RUN_ROSTER_H
#define TRIB_RUN_ROSTER_H

#include "base/map.h"
#include "learn/policy.h"
#include "run/agenda.h"
#include "run/run.h"
#include "run/select.h"

enum trib_task_state {
    TRIB_TASK_NONE,
    TRIB_TASK_HELD,     /* given, not yet answered */
    TRIB_TASK_ANSWERED, /* an update with this base was admitted */
    TRIB_TASK_RETURNED, /* declined, or its update was found bad */
};

struct trib_client {
    char name[TRIB_NAME_BYTES];
    enum trib_client_role role;
    bool is_present;           /* read-only */
    bool is_set_aside;         /* read-only */
    bool is_idle;              /* private: in the queue of those who may be forgotten */
    struct trib_traits traits; /* read-only: what follows from its attributes */
    uint32_t refusals;         /* in a row, of the kinds that count */
    uint32_t pins;             /* read-only: what is under way of it, which names its index; 0: it
                                  has no slot */
    uint32_t next_idle;        /* private: index + 1 of its neighbours in that queue */
    uint32_t previous_idle;
    trib_time_ns spoke_at; /* last sign of life */

    trib_request poll;       /* read-only: the parked ASK, 0 = none */
    trib_time_ns poll_until; /* read-only */
    bool is_called;          /* private: in the queue of polls to answer */
    uint32_t next_called;    /* private: index + 1 of the next in that queue */

    /* The newest train task. It means nothing once another version is current. */
    trib_version task_version;
    enum trib_task_state task_state;
    bool has_seat;           /* read-only: counts among those the round waits for */
    uint32_t unseated_place; /* private: index + 1 in roster.unseated; 0: not there */
    trib_time_ns asked_at;
    struct trib_assignment assignment; /* of that task */
    uint32_t writing;                  /* its updates that are admitted and not yet durable */
    trib_time_ns rests_until;          /* returned: not asked again for this version before */
    /* The one before, if it was never answered: its late update still says how long it took. */
    bool has_late_task;
    trib_version late_version;
    trib_time_ns late_asked_at;

    trib_version since;       /* base of the first update that is known of it */
    uint64_t updates;         /* admitted since then */
    trib_version base;        /* of the newest admitted update */
    uint32_t updates_of_base; /* admitted with that base */

    trib_version reported; /* newest version with a report of this client */
    uint64_t reports;      /* bit i: it has reported version `reported` - i */
    trib_version spared;   /* evaluation of this version was declined; 0 = none */
};

struct trib_ranked {
    uint64_t rank;
    uint32_t index;
    uint8_t liking;
};

struct trib_roster {
    const struct trib_env *env;  /* private */
    struct trib_ranked *ranking; /* room to sort clients in: [count] */
    struct trib_client *clients; /* read-only: [count] */
    uint32_t count;              /* read-only */
    uint32_t capacity;           /* private */
    uint32_t ranking_capacity;   /* private */
    uint32_t clients_max;        /* private */
    trib_time_ns lease;          /* read-only */
    struct trib_map names;       /* private: name -> index */
    struct trib_agenda agenda;   /* private: what each client waits for next */
    uint32_t speaker;            /* private: index + 1 of whoever was heard last */
    uint32_t first_called;       /* private: index + 1 */
    uint32_t last_called;        /* private */
    uint32_t first_idle;         /* private: index + 1; idle longest */
    uint32_t last_idle;          /* private */
    uint32_t *unseated; /* read-only: [unseated_count] indices of those who are available and have
                           no seat, in no order */
    uint32_t unseated_count;      /* read-only */
    uint32_t unseated_capacity;   /* private */
    uint32_t parked;              /* private: clients with a poll */
    uint32_t present;             /* read-only: clients of any role */
    uint32_t trainers_available;  /* read-only: those that trib_client_is_available */
    uint32_t trainers_unselected; /* read-only: present trainers that `select` leaves out */
    uint32_t set_aside;           /* read-only */
};

void trib_roster_init(struct trib_roster *roster, const struct trib_env *env, uint32_t clients_max,
                      trib_time_ns lease);
void trib_roster_deinit(struct trib_roster *roster);

/* NULL: never joined. */
struct trib_client *trib_roster_find(const struct trib_roster *roster, const char *name);
/* The same, quicker if it is the client that was found or added last: who speaks often goes on. */
struct trib_client *trib_roster_find_speaker(struct trib_roster *roster, const char *name);
/* A new client, not present; in a full roster it takes the place of the one that has been idle
 * longest. NULL: clients_max, or no memory; nothing has changed. */
struct trib_client *trib_roster_add(struct trib_roster *roster, const char *name,
                                    enum trib_client_role role);
uint32_t trib_roster_index(const struct trib_roster *roster, const struct trib_client *client);

void trib_roster_set_role(struct trib_roster *roster, struct trib_client *client,
                          enum trib_client_role role);
void trib_roster_set_aside(struct trib_roster *roster, struct trib_client *client,
                           bool is_set_aside);
/* Something that names the client by its index is under way, or has ended. */
void trib_roster_pin(struct trib_roster *roster, uint32_t index);
void trib_roster_unpin(struct trib_roster *roster, uint32_t index);
/* The client will not come back; it has no poll. It is absent, and the first to be forgotten. */
void trib_roster_dismiss(struct trib_roster *roster, struct trib_client *client);
void trib_roster_set_traits(struct trib_roster *roster, struct trib_client *client,
                            const struct trib_traits *traits);
void trib_roster_set_seat(struct trib_roster *roster, struct trib_client *client, bool has_seat);
/* A trainer that is present, selected and not set aside. */
bool trib_client_is_available(const struct trib_client *client);

/* The client has spoken at `now`: it is present for a lease. */
void trib_roster_hear(struct trib_roster *roster, struct trib_client *client, trib_time_ns now);
/* The client has spoken, and what it asked waits to be answered; it has no other poll. */
void trib_roster_park(struct trib_roster *roster, struct trib_client *client, trib_request request,
                      trib_time_ns until, trib_time_ns now);
/* The poll is answered or gone: until now its client was there. */
void trib_roster_unpark(struct trib_roster *roster, struct trib_client *client, trib_time_ns now);
/* Put a parked client into the queue of polls to look at (nothing if it is there or not parked). */
void trib_roster_call(struct trib_roster *roster, struct trib_client *client);
void trib_roster_call_all(struct trib_roster *roster);
/* Take the first of that queue, NULL when it is empty. Its poll may be gone by now. It must be
 * unparked or trib_roster_schedule()d. */
struct trib_client *trib_roster_next_called(struct trib_roster *roster);
bool trib_roster_has_called(const struct trib_roster *roster);
/* Work out anew when the client needs a look: its poll, its lease or its rest ends. */
void trib_roster_schedule(struct trib_roster *roster, struct trib_client *client, trib_time_ns now);
/* A client whose time has come by `now`: its poll has been called, its lease has run out, its rest
 * is over. NULL: none. */
struct trib_client *trib_roster_next_due(struct trib_roster *roster, trib_time_ns now);
trib_time_ns trib_roster_deadline(const struct trib_roster *roster);

/* Has it reported this version? Exact for the 64 versions up to the newest it reported. */
bool trib_client_has_reported(const struct trib_client *client, trib_version version);
void trib_client_mark_reported(struct trib_client *client, trib_version version);

#endif
