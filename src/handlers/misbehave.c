/* SPDX-License-Identifier: MIT */
#include "handlers/misbehave.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"

/*
 * GET PREFIX/NAME tries that one and answers with a line: the name, "done" or "denied", the error's
 * name ("0" for none) and a note, with tabs between them. PREFIX/ lists the names.
 *
 * What is tried in a child sends its line through a pair of sockets, because pipes are among what
 * the unit's filter takes away.
 */
struct misbehave_exchange {
        uint32_t bytes, taken;
        char line[EXCHANGE_STATE_BYTES - 8];
};
_Static_assert(sizeof(struct misbehave_exchange) <= EXCHANGE_STATE_BYTES, "fits into an exchange");

static const struct misbehaviour *misbehaviour_find(struct text name) {
        for (size_t i = 0; misbehaviours[i]; i++)
                for (const struct misbehaviour *m = misbehaviours[i]; m->name; m++)
                        if (text_equal(text_of(m->name), name))
                                return m;
        return NULL;
}

struct outcome {
        int result;
        char note[MISBEHAVIOUR_NOTE_BYTES];
};

static void outcome_in_child(const struct misbehaviour *m, struct outcome *o) {
        int sockets[2], status = 0;
        pid_t child;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0) {
                o->result = -errno;
                return;
        }
        child = fork();
        if (child == 0) {
                o->result = m->run(NULL, o->note);
                (void)!write(sockets[1], o, sizeof(*o));
                _exit(0);
        }
        o->result = child < 0 ? -errno : -EBADMSG;
        fd_close(sockets[1]);
        if (child > 0) {
                if (read(sockets[0], o, sizeof(*o)) != sizeof(*o))
                        snprintf(o->note, sizeof(o->note), "the child said nothing");
                while (waitpid(child, &status, 0) < 0 && errno == EINTR)
                        ;
                if (WIFSIGNALED(status))
                        snprintf(o->note, sizeof(o->note), "killed by signal %d", WTERMSIG(status));
        }
        fd_close(sockets[0]);
}

static void misbehave(struct exchange *x, const struct misbehaviour *m) {
        struct misbehave_exchange *s = (struct misbehave_exchange *)x->state;
        struct outcome o = {};
        const char *error;

        if (m->in_child)
                outcome_in_child(m, &o);
        else
                o.result = m->run(handler_worker_of(x)->loop, o.note);
        error = o.result < 0 ? strerrorname_np(-o.result) : "0";
        snprintf(s->line, sizeof(s->line), "%s\t%s\t%s\t%s\n", m->name,
                 o.result < 0 ? "denied" : "done", error ? error : "?", o.note);
        s->bytes = (uint32_t)strlen(s->line);
        exchange_answer(x, 200, TEXT("Content-Type: text/plain\r\nCache-Control: no-store\r\n"),
                        s->bytes);
}

static uint64_t list_bytes(void) {
        uint64_t bytes = 0;

        for (size_t i = 0; misbehaviours[i]; i++)
                for (const struct misbehaviour *m = misbehaviours[i]; m->name; m++)
                        bytes += strlen(m->name) + 1;
        return bytes;
}

static void misbehave_start(struct exchange *x) {
        struct text path = http_span_text(&x->request, x->request.path);
        size_t at = path.size;
        const struct misbehaviour *m;

        while (at > 0 && path.data[at - 1] != '/')
                at--;
        m = misbehaviour_find((struct text){ path.data + at, path.size - at });
        if (m)
                misbehave(x, m);
        else if (at == path.size)
                exchange_answer(x, 200, TEXT("Content-Type: text/plain\r\n"), list_bytes());
        else
                exchange_refuse(x, 404, (struct text){});
}

/* The next name of the list; false past the last. */
static bool list_next(struct misbehave_exchange *s) {
        uint32_t left = s->taken;

        for (size_t i = 0; misbehaviours[i]; i++)
                for (const struct misbehaviour *m = misbehaviours[i]; m->name; m++)
                        if (left-- == 0) {
                                snprintf(s->line, sizeof(s->line), "%s\n", m->name);
                                s->taken++;
                                return true;
                        }
        return false;
}

static int misbehave_pull(struct exchange *x, uint64_t room_bytes, struct exchange_piece *ret) {
        struct misbehave_exchange *s = (struct misbehave_exchange *)x->state;
        size_t bytes;

        if (s->bytes == 0) {
                bool found = list_next(s);

                bytes = found ? strlen(s->line) : 0;
                *ret = (struct exchange_piece){ .data = s->line, .bytes = bytes, .last = !found };
                return bytes > room_bytes ? -EMSGSIZE : 0;
        }
        bytes = MIN(room_bytes, s->bytes - s->taken);
        *ret = (struct exchange_piece){
                .data = s->line + s->taken,
                .bytes = bytes,
                .last = s->taken + bytes == s->bytes,
        };
        s->taken += (uint32_t)bytes;
        return 0;
}

int misbehave_route_prepare(struct handler_route *route, char reason[static HANDLER_REASON_BYTES]) {
        return 0;
}

const struct exchange_handler misbehave_handler = {
        .name = "misbehave",
        .start = misbehave_start,
        .pull = misbehave_pull,
};
