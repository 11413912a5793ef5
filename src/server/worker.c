/* SPDX-License-Identifier: MIT */
#include "server/worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/invariant.h"
#include "base/log.h"
#include "server/listeners.h"
#include "server/sandbox.h"

/*
 * A worker's life: worker_run() makes the loop and what hangs on it, runs it until it has been
 * told to leave and the last connection is gone, and takes everything apart again. In between the
 * supervisor's commands arrive as messages of the loop, one after the other, in order.
 */

#define TROUBLE_TOLD_USEC (10 * USEC_PER_SEC)      /* a warning of scarce descriptors, no oftener */
enum { FILES_CACHE_BYTES_MAX = 16 * 1024 * 1024 }; /* bodies held in memory by one worker */

/* Listeners taken together; freed when the loop has let go of the last. */
struct worker_listeners {
        struct worker *worker;
        struct listener_set *set;
        size_t count, alive;
        bool *tls; /* of each, by the settings in force; behind the listeners in memory */
        struct loop_listener listeners[];
};

static struct worker *worker_of_conns(struct conn_set *set) {
        return container_of(set, struct worker, conns);
}

static void worker_poke(const struct worker *worker) {
        uint64_t one = 1;

        /* an eventfd whose counter is full wakes its reader just the same */
        (void)!write(worker->poke_fd, &one, sizeof(one));
}

/* ---- exchanges: what the sessions ask ---- */

static void worker_note_activity(struct worker *w) {
        counter_set(&w->figures.active_usec, loop_now_usec(w->loop));
        if (unlikely(atomic_load_explicit(w->poke_on_activity, memory_order_relaxed)) &&
            atomic_exchange(w->poke_on_activity, false))
                worker_poke(w);
}

static void no_site_start(struct exchange *x) {
        exchange_refuse(x, 404, (struct text){});
}

/* For hosts that no site names. */
static const struct exchange_handler no_site_handler = {
        .name = "no-site",
        .takes_upgrade = true, /* refused as others are */
        .start = no_site_start,
};

static void misdirected_start(struct exchange *x) {
        exchange_refuse(x, 421, (struct text){});
}

/* The connection's certificates were asked for by the rules of another Site (RFC 9110, 15.5.20). */
static const struct exchange_handler misdirected_handler = {
        .name = "misdirected",
        .takes_upgrade = true, /* refused as others are */
        .start = misdirected_start,
};

static void in_clear_start(struct exchange *x) {
        exchange_refuse(x, 403, (struct text){});
}

/* No certificate can be shown here, and the Site is for nobody without one. */
static const struct exchange_handler in_clear_handler = {
        .name = "in-clear",
        .takes_upgrade = true, /* refused as others are */
        .start = in_clear_start,
};

/* What a Site says of TLS, for the request that came by it, or did not. */
static void worker_apply_site_rules(const struct http_session *s, struct exchange *x,
                                    const struct handler_route *route) {
        const struct settings_tls *tls = &route->site->tls;

        if (s->tls) {
                x->route_fields = route->tls_fields;
                if (route->client_rules && route->client_rules != conn_client_rules(s))
                        x->handler = &misdirected_handler;
        } else if (route->settings->is_challenge) {
                return;
        } else if (tls->redirect) {
                x->handler = &to_https_handler;
        } else if (tls->client_certificate == CLIENT_CERTIFICATE_REQUIRED) {
                x->handler = &in_clear_handler;
        }
}

static void worker_route(struct http_session *s, struct exchange *x) {
        struct worker *w = worker_of_context(s->context);
        const struct handler_route *route = snapshot_route(w->snapshot, &x->request);

        x->handler = route ? route->handler : &no_site_handler;
        if (route && unlikely(s->tls || route->site_has_rules))
                worker_apply_site_rules(s, x, route);
        x->route = route;
        x->worker = &w->handlers;
        x->owner = w->snapshot;
        w->snapshot->uses[w->index].exchanges++;
        counter_add(&w->figures.exchanges, 1);
        worker_note_activity(w);
}

/* The last exchange that used an older snapshot is over, or there was none. */
static void worker_let_go(struct worker *w, struct snapshot *s) {
        files_cache_drop(w->handlers.files); /* with the roots of its routes */
        snapshot_let_go_of_tls(s, w->index);
        held_let_go(&s->held);
        worker_poke(w);
}

static void worker_log_bug(const char *what, const char *peer) {
        log_event(LOG_EVENT_BUG, LOG_LEVEL_ERROR,
                  "%s of %s ended: a bug of emberd's at %s; please report it", what, peer,
                  invariant_broken_at());
}

static void worker_exchange_finished(struct http_session *s, struct exchange *x) {
        struct worker *w = worker_of_context(s->context);
        struct snapshot *snapshot = x->owner;

        /* of HTTP/1 it is the connection that ends, and is logged */
        if (unlikely(x->error == -EBADMSG) && x->request.version_major == 2) {
                char peer[CONN_PEER_BYTES];

                conn_peer_name(s, peer);
                worker_log_bug("request", peer);
        }
        counter_add(&w->figures.requests, 1);
        if (access_log_is_on(&w->log)) {
                char peer[CONN_PEER_BYTES];

                conn_peer_name(s, peer);
                access_log_add(&w->log, x, peer);
        }
        if (!snapshot) /* refused before it was routed */
                return;
        counter_add(&w->figures.exchanges, UINT64_MAX);
        worker_note_activity(w);
        if (--snapshot->uses[w->index].exchanges == 0 && snapshot != w->snapshot)
                worker_let_go(w, snapshot);
}

/* ---- listening ---- */

static void worker_listen_as_fits(struct worker *w) {
        bool accepting = !w->paused && !w->draining && !w->conns.full;

        for (size_t i = 0; w->listeners && i < w->listeners->count; i++) {
                struct loop_listener *l = &w->listeners->listeners[i];

                if (accepting && l->paused)
                        loop_listener_resume(l);
                if (!accepting && !l->paused)
                        loop_listener_pause(l);
        }
}

static struct worker *worker_of_listener(struct loop_listener *l) {
        return ((struct worker_listeners *)l->owner)->worker;
}

/* As the settings in force say, by the listener's name. */
static bool worker_listener_is_tls(const struct worker *w, const struct loop_listener *l) {
        const struct worker_listeners *all = l->owner;

        return all->tls[l - all->listeners];
}

static void worker_serve(struct worker *w, int fd, const struct sockaddr *address, socklen_t size,
                         bool tls) {
        if (tls && !w->conns.tls_server)
                fd_close(fd); /* no Site has a certificate, as the log has said */
        else if (conn_accept(&w->conns, fd, address, size, tls) < 0)
                log_warning("a connection was dropped: out of memory");
}

static void worker_accepted(struct loop_listener *l, int fd, const struct sockaddr *address,
                            socklen_t size) {
        struct worker *w = worker_of_listener(l);

        bool tls = worker_listener_is_tls(w, l);

        if (w->all_count > 1 && worker_pass_on(w, fd, address, size, tls))
                return;
        worker_serve(w, fd, address, size, tls);
}

static void worker_accept_trouble(struct loop_listener *l, int error) {
        struct worker *w = worker_of_listener(l);
        uint64_t now = loop_now_usec(w->loop);
        bool evicted;

        if (error != -EMFILE && error != -ENFILE && error != -ENOBUFS && error != -ENOMEM) {
                log_event(LOG_EVENT_LISTENER_BROKEN, LOG_LEVEL_ERROR,
                          "a listening socket is broken: %s; restart emberd to open it again",
                          strerror(-error));
                return;
        }
        evicted = conn_set_evict(&w->conns);
        if (now < w->trouble_told_usec + TROUBLE_TOLD_USEC && w->trouble_told_usec)
                return; /* it is tried ten times a second, which nobody wants to read */
        w->trouble_told_usec = now;
        log_event(LOG_EVENT_FILES_SCARCE, LOG_LEVEL_WARNING,
                  "cannot accept connections for a moment: %s%s", strerror(-error),
                    evicted ? "; the longest idle one was ended" : "");
}

static void worker_leave_if_done(struct worker *w) {
        if (w->draining && w->conns.count == 0 && w->listening == 0)
                loop_stop(w->loop);
}

static void worker_conns_gone(struct conn_set *set) {
        worker_leave_if_done(worker_of_conns(set));
}

static void worker_conns_full_changed(struct conn_set *set) {
        worker_listen_as_fits(worker_of_conns(set));
}

static void worker_conn_broken(struct conn_set *set, const char *peer) {
        worker_log_bug("connection", peer);
}

static void worker_listener_stopped(struct loop_listener *l) {
        struct worker_listeners *all = l->owner;
        struct worker *w = all->worker;

        if (--all->alive > 0)
                return;
        held_let_go(&all->set->held);
        free(all);
        w->listening--;
        worker_poke(w);
        worker_leave_if_done(w);
}

static void worker_look_at_listeners(struct worker *w) {
        struct worker_listeners *all = w->listeners;

        for (size_t i = 0; all && i < all->count; i++)
                all->tls[i] = listener_is_tls(all->set->listeners[i], w->snapshot->settings);
}

static void worker_stop_listening(struct worker *w) {
        struct worker_listeners *all = take_ptr(w->listeners);

        for (size_t i = 0; all && i < all->count; i++)
                loop_listener_stop(&all->listeners[i], worker_listener_stopped);
}

static void worker_take_listeners(struct worker *w, struct listener_set *set) {
        struct worker_listeners *all;

        worker_stop_listening(w);
        all = calloc(1, sizeof(*all) + set->count * (sizeof(all->listeners[0]) + 1));
        if (!all || !set->count) {
                if (!all)
                        log_error("worker %u does not accept connections: out of memory", w->index);
                free(all);
                held_let_go(&set->held);
                return;
        }
        *all = (struct worker_listeners){ w, set, set->count, set->count, .tls = NULL };
        all->tls = (bool *)&all->listeners[set->count];
        for (size_t i = 0; i < set->count; i++) {
                loop_listen(w->loop, &all->listeners[i], set->listeners[i]->fd, w->all_count > 1,
                            worker_accepted, worker_accept_trouble);
                all->listeners[i].owner = all;
        }
        w->listeners = all;
        worker_look_at_listeners(w);
        w->listening++;
        worker_listen_as_fits(w);
}

/* ---- commands ---- */

static void worker_apply_settings(struct worker *w) {
        const struct settings *settings = w->snapshot->settings;

        w->http.limits = (struct http_limits){
                .head_bytes_max = settings->head_bytes_max,
                .body_bytes_max = settings->body_bytes_max,
                .body_timeout_usec = settings->body_timeout_usec,
                .send_timeout_usec = settings->send_timeout_usec,
        };
        w->http.takes_upgrade = w->snapshot->takes_upgrade;
        w->conns.limits = (struct conn_limits){
                .head_timeout_usec = settings->head_timeout_usec,
                .body_timeout_usec = settings->body_timeout_usec,
                .keep_alive_usec = settings->keep_alive_usec,
                .send_timeout_usec = settings->send_timeout_usec,
                .conns_max = w->options.sockets_max,
        };
        if (w->snapshot->http2) /* sessions of before need it as long as they live */
                w->conns.http2 = w->snapshot->http2;
        w->conns.http2_plain = w->snapshot->http2 && settings->http2 == HTTP2_YES;
        if (w->snapshot->tls)
                w->conns.tls = w->snapshot->tls;
        w->conns.tls_server = w->snapshot->tls ? w->snapshot->tls_servers[w->index] : NULL;
        w->conns.kernel_tls =
                settings->kernel_tls == KERNEL_TLS_AUTO && conn_tls_kernel_is_sound();
        worker_look_at_listeners(w);
}

static void worker_take_snapshot(struct worker *w, struct snapshot *s) {
        struct snapshot *old = w->snapshot;

        w->snapshot = s;
        worker_apply_settings(w);
        if (old->uses[w->index].exchanges == 0)
                worker_let_go(w, old);
}

static void worker_take_keys(struct worker *w, const struct tls_ticket_keys *keys) {
        const struct snapshot *s = w->snapshot;

        if (s->tls)
                s->tls->worker_take_keys(s->tls_workers[w->index], keys);
}

static void worker_drain(struct worker *w) {
        w->draining = true;
        w->http.draining = true;
        worker_stop_listening(w);
        conn_set_drain(&w->conns);
        worker_leave_if_done(w);
}

/* What is in use is freed when its user lets go. */
static void worker_drop_caches(struct worker *w) {
        files_cache_drop(w->handlers.files);
        conn_set_trim(&w->conns);
        http_context_trim(&w->http);
        access_log_trim(&w->log);
}

static void worker_do(struct worker *w, const struct worker_command *command) {
        switch (command->kind) {
        case WORKER_TAKE_SNAPSHOT: worker_take_snapshot(w, command->snapshot); break;
        case WORKER_TAKE_LISTENERS: worker_take_listeners(w, command->listeners); break;
        case WORKER_TAKE_SOCKET:
                if (!command->sequence)
                        atomic_fetch_sub(&w->incoming, 1);
                worker_serve(w, command->socket.fd,
                             (const struct sockaddr *)&command->socket.address,
                             command->socket.address_size, command->socket.tls);
                break;
        case WORKER_PAUSE:
                w->paused = true;
                worker_listen_as_fits(w);
                atomic_store(&w->was_busy, conn_set_is_busy(&w->conns));
                break;
        case WORKER_RESUME:
                w->paused = false;
                worker_listen_as_fits(w);
                break;
        case WORKER_DRAIN: worker_drain(w); break;
        case WORKER_ABORT:
                worker_drain(w);
                conn_set_abort(&w->conns);
                break;
        case WORKER_TAKE_LOG: access_log_set_target(&w->log, command->log); break;
        case WORKER_TAKE_KEYS: worker_take_keys(w, &command->keys); break;
        case WORKER_PING: break;
        case WORKER_DROP_CACHES: worker_drop_caches(w); break;
        }
}

static void worker_command_run(struct loop_message *message) {
        struct worker_command *command = container_of(message, struct worker_command, message);
        struct worker *w = command->worker;

        worker_do(w, command);
        if (command->sequence) { /* the supervisor's, which waits to hear of it */
                atomic_store(&w->done_sequence, command->sequence);
                worker_poke(w);
        }
        free(command);
}

bool worker_send(struct worker *worker, struct worker_command *command) {
        bool open;

        command->worker = worker;
        command->message.run = worker_command_run;
        pthread_mutex_lock(&worker->lock);
        open = worker->loop && !worker->closing;
        if (open)
                loop_post(worker->loop, &command->message);
        pthread_mutex_unlock(&worker->lock);
        return open;
}

/* ---- the thread ---- */

static int worker_open(struct worker *w) {
        int r = loop_new(w->backend, &w->options, &w->loop);

        if (r < 0)
                return r;
        w->handlers.loop = w->loop;
        w->handlers.real_usec = clock_real_usec;
        r = files_cache_new(w->loop, FILES_CACHE_BYTES_MAX, &w->handlers.files);
        if (r < 0) {
                w->loop = loop_free(w->loop);
                return r;
        }
        http_context_init(&w->http, loop_clock(w->loop));
        w->http.route = worker_route;
        w->http.finished = worker_exchange_finished;
        access_log_init(&w->log, w->loop, &w->figures.log_dropped);
        conn_set_init(&w->conns, w->loop, &w->http);
        w->conns.count_shown = &w->figures.connections;
        w->conns.gone = worker_conns_gone;
        w->conns.full_changed = worker_conns_full_changed;
        w->conns.broken = worker_conn_broken;
        worker_apply_settings(w);
        return 0;
}

/* Jobs of exchanges that were given up may still be with the pool: they come home first. */
static void worker_close(struct worker *w) {
        pthread_mutex_lock(&w->lock);
        w->closing = true;
        pthread_mutex_unlock(&w->lock);
        while (!loop_is_quiet(w->loop) && loop_turn(w->loop, USEC_INFINITY) >= 0)
                ;
        access_log_finish(&w->log);
        conn_set_finish(&w->conns);
        http_context_finish(&w->http);
        w->handlers.files = files_cache_free(w->handlers.files);
        w->loop = loop_free(w->loop);
}

void worker_gate_close(struct worker_gate *gate, bool all_wait) {
        gate->shut = all_wait;
        gate->called_off = false;
        if (all_wait)
                pthread_mutex_lock(&gate->lock);
}

void worker_gate_open(struct worker_gate *gate, bool to_serve) {
        if (!gate->shut)
                return;
        gate->called_off = !to_serve;
        pthread_mutex_unlock(&gate->lock);
}

/* False: it is to leave without having served. */
static bool worker_gate_pass(struct worker_gate *gate) {
        bool to_serve;

        if (!gate || !gate->shut)
                return true;
        pthread_mutex_lock(&gate->lock);
        to_serve = !gate->called_off;
        pthread_mutex_unlock(&gate->lock);
        return to_serve;
}

static void *worker_run(void *data) {
        struct worker *w = data;
        char name[16];

        snprintf(name, sizeof(name), "worker-%u", w->index);
        pthread_setname_np(pthread_self(), name);
        w->result = worker_open(w);
        if (w->result == 0) {
                (void)sandbox_seal(); /* the supervisor says it where it cannot be had */
                if (w->first_log)
                        access_log_set_target(&w->log, w->first_log);
                atomic_store(&w->started, true);
                worker_poke(w);
                if (worker_gate_pass(w->gate) && w->first_listeners)
                        worker_take_listeners(w, w->first_listeners);
                w->result = loop_run(w->loop);
                if (w->result == 0)
                        worker_close(w);
        }
        atomic_store(&w->ended, true);
        worker_poke(w);
        return NULL;
}

int worker_start(struct worker *worker) {
        int r = pthread_create(&worker->thread, NULL, worker_run, worker);

        if (r)
                return -r;
        worker->thread_started = true;
        return 0;
}
