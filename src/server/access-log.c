/* SPDX-License-Identifier: MIT */
#include "server/access-log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "http/date.h"
#include "systemd/activation.h"

/*
 * Two buffers a worker: one gathers, one is with the pool. The gathering one is handed over when it
 * is a quarter full or 100 ms old, whichever comes first; while the other is still being written it
 * goes on gathering up to its bound, past which lines are dropped.
 */
enum {
        GATHERED_BYTES_MAX = 256 * 1024,
        GATHERED_BYTES_FLUSH = 64 * 1024,
        TEXT_BYTES_MAX = 2048, /* of one field in a line; a longer one is cut */
};
#define FLUSH_USEC        (100 * USEC_PER_MSEC)
#define TROUBLE_TOLD_USEC (60 * USEC_PER_SEC) /* that lines are lost, no oftener */

int log_target_new(const struct settings *settings, bool under_systemd, struct log_target **ret) {
        _cleanup_(log_target_freep)
        struct log_target *t = calloc(1, sizeof(*t));

        if (!t)
                return -ENOMEM;
        t->fd = -1;
        t->kind = settings->access_log;
        if (t->kind == ACCESS_LOG_AUTO)
                t->kind = under_systemd ? ACCESS_LOG_JOURNAL : ACCESS_LOG_STDOUT;
        if (t->kind == ACCESS_LOG_STDOUT)
                t->fd = STDOUT_FILENO;
        if (t->kind == ACCESS_LOG_FILE) {
                t->fd = open(settings->access_log_path,
                             O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
                if (t->fd < 0)
                        return -errno;
                t->path = strdup(settings->access_log_path);
                if (!t->path)
                        return -ENOMEM;
        }
        *ret = take_ptr(t);
        return 0;
}

struct log_target *log_target_free(struct log_target *target) {
        if (!target)
                return NULL;
        if (target->kind == ACCESS_LOG_FILE)
                fd_close(target->fd);
        free(target->path);
        free(target);
        return NULL;
}

/* ---- a line ---- */

/*
 * Bytes that could end the line, the quotes or the escape itself become \xNN, as nginx writes them.
 */
static void append_escaped(struct buffer *b, struct text t) {
        static const char hex[] = "0123456789ABCDEF";

        t.size = MIN(t.size, (size_t)TEXT_BYTES_MAX);
        if (!t.size) {
                buffer_append(b, "-", 1);
                return;
        }
        if (buffer_reserve(b, t.size * 4) < 0)
                return;
        for (size_t i = 0; i < t.size; i++) {
                unsigned char c = (unsigned char)t.data[i];

                if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') {
                        b->data[b->used++] = (char)c;
                } else {
                        b->data[b->used++] = '\\';
                        b->data[b->used++] = 'x';
                        b->data[b->used++] = hex[c >> 4];
                        b->data[b->used++] = hex[c & 15];
                }
        }
}

static const char *clock_text(struct access_log *log) {
        uint64_t second = clock_real_usec() / USEC_PER_SEC;
        char date[HTTP_DATE_BYTES + 1]; /* Sun, 06 Nov 1994 08:49:37 GMT */

        if (second == log->clock_second)
                return log->clock_text;
        log->clock_second = second;
        /*
         * UTC: the sandbox need not show /etc/localtime, and no hour comes twice. Not by gmtime(3),
         * which reads that file all the same, before the first answer.
         */
        http_date_format(second, date);
        snprintf(log->clock_text, sizeof(log->clock_text), "%.2s/%.3s/%.4s:%.8s +0000", date + 5,
                 date + 8, date + 12, date + 17);
        return log->clock_text;
}

static void append_line(struct access_log *log, const struct exchange *x, const char *peer) {
        const struct http_request *r = &x->request;
        struct buffer *b = &log->gathering;

        buffer_printf(b, "%s - - [%s] \"", peer, clock_text(log));
        if (r->method_name.size) {
                append_escaped(b, http_span_text(r, r->method_name));
                buffer_append(b, " ", 1);
                append_escaped(b, http_span_text(r, r->target));
                buffer_printf(b, " HTTP/%u.%u", r->version_major, r->version_minor);
        } else {
                buffer_append(b, "-", 1); /* refused before its first line was whole */
        }
        /* 499, as nginx has it: the client went before there was an answer */
        buffer_printf(b, "\" %u %llu \"", x->status ? x->status : 499,
                      (unsigned long long)x->sent_bytes);
        append_escaped(b,
                       r->method_name.size ? http_request_field(r, HTTP_REFERER) : (struct text){});
        buffer_append(b, "\" \"", 3);
        append_escaped(b, r->method_name.size ? http_request_field(r, HTTP_USER_AGENT)
                                              : (struct text){});
        buffer_append(b, "\"\n", 2);
}

/* ---- writing ---- */

static void write_to_journal(struct text lines) {
        struct text line;

        while (text_next_word(&lines, "\n", &line))
                if (journal_write_line(line.data, line.size) < 0)
                        return; /* no journal: there is nowhere to tell it either */
}

static void tell_trouble(struct log_target *target, int error) {
        uint64_t now = clock_monotonic_usec(), told = atomic_load(&target->trouble_told_usec);

        if ((!told || now >= told + TROUBLE_TOLD_USEC) &&
            atomic_compare_exchange_strong(&target->trouble_told_usec, &told, now))
                log_event(LOG_EVENT_ACCESS_LOG, LOG_LEVEL_ERROR,
                          "the access log, %s, cannot be written: %s; lines are lost",
                          target->path ? target->path : "standard output", strerror(-error));
}

/* A full disk loses lines, never a request. */
static void lines_write(struct log_target *target, struct text lines) {
        int r = 0;

        if (target->kind == ACCESS_LOG_JOURNAL)
                write_to_journal(lines);
        else
                r = fd_write_all(target->fd, lines.data, lines.size);
        if (r < 0)
                tell_trouble(target, r);
}

/* On a thread of the pool. */
static void job_write(struct loop_job *job) {
        struct access_log *log = container_of(job, struct access_log, job);

        lines_write(log->writing_to, buffer_text(&log->writing));
}

static void job_written(struct loop_job *job) {
        struct access_log *log = container_of(job, struct access_log, job);

        if (log->writing_to != log->target)
                held_let_go(&log->writing_to->held);
        log->writing_to = NULL;
        log->writing.used = 0;
        if (log->gathering.used)
                loop_timer_set(log->loop, &log->flush, loop_now_usec(log->loop));
}

static void log_flush(struct access_log *log) {
        struct buffer empty = log->writing;

        if (log->writing_to || !log->gathering.used)
                return;
        log->writing = log->gathering;
        log->gathering = empty;
        log->writing_to = log->target;
        loop_timer_clear(&log->flush);
        loop_offload(log->loop, &log->job, job_write, job_written);
}

static void flush_timer_fired(struct loop_timer *timer) {
        log_flush(container_of(timer, struct access_log, flush));
}

void access_log_init(struct access_log *log, struct loop *loop, counter *dropped) {
        *log = (struct access_log){ .loop = loop, .dropped = dropped };
        log->flush.fired = flush_timer_fired;
}

void access_log_finish(struct access_log *log) {
        assert(!log->writing_to);
        loop_timer_clear(&log->flush);
        if (log->gathering.used)
                lines_write(log->target, buffer_text(&log->gathering));
        buffer_finish(&log->gathering);
        buffer_finish(&log->writing);
}

void access_log_trim(struct access_log *log) {
        if (!log->writing_to)
                buffer_finish(&log->writing);
        if (!log->gathering.used)
                buffer_finish(&log->gathering);
}

void access_log_set_target(struct access_log *log, struct log_target *target) {
        struct log_target *old = log->target;

        log->target = target;
        if (old && log->writing_to != old)
                held_let_go(&old->held);
}

void access_log_add(struct access_log *log, const struct exchange *x, const char *peer) {
        size_t before = log->gathering.used;

        if (before >= GATHERED_BYTES_MAX) {
                counter_add(log->dropped, 1);
                return;
        }
        append_line(log, x, peer);
        if (log->gathering.failed) {
                log->gathering.failed = false;
                log->gathering.used = before;
                counter_add(log->dropped, 1);
                return;
        }
        if (log->gathering.used >= GATHERED_BYTES_FLUSH)
                log_flush(log);
        else if (!loop_timer_is_set(&log->flush) && !log->writing_to)
                loop_timer_set(log->loop, &log->flush, loop_now_usec(log->loop) + FLUSH_USEC);
}
