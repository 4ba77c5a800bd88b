/* scripted.h - a daemon that plays a script over a real socket, in a thread of its own.
 *
 * Each step reads one request, checks how it begins, and answers or misbehaves as it says. After
 * scripted_finish() the requests can be looked at. */
#ifndef TRIB_TEST_SCRIPTED_H
#define TRIB_TEST_SCRIPTED_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#define SCRIPTED_STEPS_MAX 24

struct scripted_step {
    const char *expected; /* the request begins with this */
    const char *reply;    /* as it goes over the wire; NULL: none */
    size_t reply_bytes;   /* 0: strlen(reply) */
    bool is_early;        /* reply when the head is there, read nothing for a while, then drop what
                             comes until the client closes */
    bool is_cut;          /* close in the middle: when half of the body has been read */
    bool closes;          /* close after the reply */
    bool holds;           /* then wait until the client closes */
};

struct scripted_request {
    char head[4096];
    char *body;
    size_t body_bytes;
    int connection; /* 1 for the first that was accepted, 2 ... */
};

struct scripted {
    char port[8];      /* read-only */
    char host[64];     /* read-only: "127.0.0.1" or "unix:/..." */
    char failure[256]; /* read-only: "" when everything went as the script says */
    size_t done;       /* read-only: steps played */
    struct scripted_request requests[SCRIPTED_STEPS_MAX]; /* read-only */

    /* private */
    const struct scripted_step *steps;
    size_t step_count;
    int listener;
    int descriptor; /* of the connection; -1: none */
    int accepted;
    size_t expected_bytes; /* of the body being read */
    pthread_t thread;
};

/* steps stay where they are until finish. */
void scripted_start(struct scripted *server, const struct scripted_step *steps, size_t count);
void scripted_start_unix(struct scripted *server, const struct scripted_step *steps, size_t count);
/* Wait until the script is played (the client must have closed or be gone when the last step
 * holds), and fail the test when it was not played to its end. */
void scripted_finish(struct scripted *server);
void scripted_release(struct scripted *server); /* the bodies */
/* "HTTP/1.1 STATUS\r\n...": a reply with a JSON body and, if not NULL, further fields ("A: b\r\n").
 * Lives until the next but seven call. */
const char *scripted_json(int status, const char *fields, const char *json);
/* A port on which nobody listens. */
void scripted_free_port(char port[8]);

#endif
