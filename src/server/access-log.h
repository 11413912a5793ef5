/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/counters.h"
#include "config/settings.h"
#include "http/exchange.h"
#include "server/held.h"

/*
 * The access log: a line an exchange, in the combined format. Lines are gathered in a buffer of the
 * worker and written by the pool, so that a request never waits for a disk; when the writer falls
 * behind by two buffers, lines are dropped and counted.
 */

/* Where lines go; shared by the workers, counted by the supervisor's thread alone. */
struct log_target {
        struct held held;
        enum settings_access_log kind; /* never ACCESS_LOG_AUTO */
        int fd;                        /* ACCESS_LOG_FILE: append only; ACCESS_LOG_STDOUT: 1 */
        char *path;                    /* ACCESS_LOG_FILE */
        _Atomic uint64_t trouble_told_usec; /* when a failed write was last logged; 0: never */
};

/* Errors: -errno of open(2). `under_systemd` settles "auto". */
int log_target_new(const struct settings *settings, bool under_systemd, struct log_target **ret);
struct log_target *log_target_free(struct log_target *target); /* accepts NULL */
DEFINE_FREEP(struct log_target, log_target)

struct access_log {
        struct loop *loop;
        struct log_target *target; /* for lines written from here on */
        struct buffer gathering;
        struct loop_job job; /* writes `writing` to `writing_to` on a thread of the pool */
        struct buffer writing;
        struct log_target *writing_to; /* NULL: nothing is being written */
        struct loop_timer flush;
        counter *dropped;
        uint64_t clock_second; /* of `clock_text` */
        char clock_text[40];
};

void access_log_init(struct access_log *log, struct loop *loop, counter *dropped);
/* All lines are written, waiting for the disk if need be. */
void access_log_finish(struct access_log *log);

/*
 * Lines go to `target` from here on, those gathered and not yet written among them: a file that
 * was moved away gets no later ones, and nothing is written on the loop's thread.
 */
void access_log_set_target(struct access_log *log, struct log_target *target);

/* Give back the memory of buffers that hold nothing. */
void access_log_trim(struct access_log *log);

static inline bool access_log_is_on(const struct access_log *log) {
        return log->target && log->target->kind != ACCESS_LOG_OFF;
}

/* Gather the line of an exchange that is over. `peer`: the client's address as text. */
void access_log_add(struct access_log *log, const struct exchange *x, const char *peer);
