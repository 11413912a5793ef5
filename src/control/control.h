/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/buffer.h"
#include "control/control-line.h"
#include "control/control-path.h"

#include <poll.h>
#include <sys/types.h>

/*
 * The server's side of the control socket: one request a connection (control-line.h), answered by a
 * first line with a decimal exit status, 0 or one of sysexits.h, then text until the end of file.
 * All of it runs on the thread that calls it, which polls its descriptors beside its own; nothing
 * here waits. Whoever may connect may ask: the socket's mode and folder are the guard.
 */
enum {
        CONTROL_CLIENTS_MAX = 8,
        CONTROL_POLL_MAX = CONTROL_CLIENTS_MAX + 1,
        CONTROL_ANSWER_BYTES_MAX = 256 * 1024, /* a longer text is cut */

        CONTROL_USAGE = 64,       /* EX_USAGE: no such verb, or not so many arguments */
        CONTROL_UNAVAILABLE = 69, /* EX_UNAVAILABLE */
        CONTROL_SYSTEM = 71,      /* EX_OSERR */
};

/*
 * One request. A verb's function gets it, and either answers with control_answer() or keeps it
 * waiting with control_wait(); behind that it is not touched any more.
 */
struct control_request {
        struct text words[CONTROL_WORDS_MAX]; /* the verb, then its arguments */
        size_t word_count;
        uid_t uid; /* who asks, as this process sees it (SO_PEERCRED) */
        pid_t pid;
};

struct control_verb {
        const char *name;
        size_t arguments_max;
        void (*run)(void *context, struct control_request *request);
};

struct control; /* opaque */

/*
 * Listen at `path` with mode 0660. A socket that nobody listens on is taken away first. `verbs`
 * ends with a row without a name; it and `context`, which each verb is given, are borrowed.
 * Errors: -EADDRINUSE: another process listens there; -ENOTSOCK: something else is there; -ENOMEM;
 * -errno.
 */
int control_open(const char *path, const struct control_verb *verbs, void *context,
                 struct control **ret);

/* Ends all connections and takes the socket away if it is still ours. Accepts NULL; gives NULL. */
struct control *control_close(struct control *c);

/* What to poll for; entries that are not used have descriptor -1. Accepts NULL. */
void control_poll(const struct control *c, struct pollfd fds[static CONTROL_POLL_MAX]);

/* What poll(2) found: accepts, reads requests and runs them, sends answers. Accepts NULL. */
void control_take(struct control *c, const struct pollfd fds[static CONTROL_POLL_MAX]);

/* End what has had its time. Gives when to call again, USEC_INFINITY for never. Accepts NULL. */
uint64_t control_step(struct control *c, uint64_t now_usec);

/* The text gets a newline where it ends without one. */
void control_answer(struct control_request *request, int status, struct text text);

/*
 * Keep a request until control_answer_waiting() is called with its topic and a number not below its
 * own. The client may go away meanwhile; nobody needs to know.
 */
void control_wait(struct control_request *request, unsigned topic, uint64_t number);
void control_answer_waiting(struct control *c, unsigned topic, uint64_t number_max, int status,
                            struct text text);
