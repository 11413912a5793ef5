/* SPDX-License-Identifier: MIT */
/*
 * One client: every few milliseconds of the world's time it sends a piece and reads a piece, until
 * it has what it asked for, or misbehaves. What it may insist on depends on its manners and on the
 * weather: see client_ended().
 */
#include "sim.h"

#include <errno.h>

enum {
        STEPS_MISBEHAVE_MAX = 200,
        HEAD_SEC = 15,
        KEEP_ALIVE_SEC = 75,
        SLACK_SEC = 10,       /* sending ends before the last byte is read */
        POLITE_SEC_MAX = 300, /* far more than any plan takes: nothing has come for long */
        STALLED_SEC_MAX = 300,
};

static unsigned below(struct sim_client *c, unsigned bound) {
        return scripted_below(c->sim->world, bound);
}

static bool is_polite(const struct sim_client *c) {
        return c->manner <= SIM_WAITS;
}

static void client_over(struct sim_client *c) {
        if (c->peer)
                scripted_peer_close(c->peer);
        c->peer = NULL;
        c->over = true;
        c->sim->clients_over++;
        c->sim->answers += c->reader.done;
        if (c->reader.fault)
                sim_fault(c->sim, c, c->reader.fault);
}

/* Was it kept as long as it may be kept, and no longer? */
static void look_at_patience(struct sim_client *c) {
        uint64_t idle_sec = (scripted_now_usec(c->sim->world) - c->heard_usec) / USEC_PER_SEC;

        if (c->reader.says_close || c->half_closed)
                return;
        if (idle_sec < KEEP_ALIVE_SEC - SLACK_SEC || idle_sec > KEEP_ALIVE_SEC + SLACK_SEC)
                sim_fault(c->sim, c, "an idle connection was not ended when its time was up");
}

static void client_ended(struct sim_client *c, bool clean) {
        bool between = sim_reader_end(&c->reader, clean);
        bool all = c->reader.done == c->plan.count;
        /* what ends an answer that cannot be completed may take those before it with it */
        bool breaks = !all && c->plan.expected[c->plan.count - 1].breaks;

        if (!is_polite(c) || c->sim->weather == SIM_STORMY) {
                client_over(c);
                return;
        }
        if (c->sim->weather == SIM_CALM && !all && !breaks)
                sim_fault(c->sim, c, "the connection ended before all was answered");
        else if (c->sim->weather == SIM_CALM && all && !clean)
                sim_fault(c->sim, c, "the connection was reset behind the last answer");
        else if (!between && !breaks && !c->crossed)
                sim_fault(c->sim, c, "an answer that had begun was cut");
        else if (c->sim->weather == SIM_CALM && all)
                look_at_patience(c);
        client_over(c);
}

/* How far it may send: to a body that waits for a 100. */
static size_t send_limit(const struct sim_client *c) {
        unsigned gates = 0;

        for (unsigned i = 0; i < c->plan.count; i++) {
                const struct sim_expected *e = &c->plan.expected[i];

                if (!e->gate)
                        continue;
                if (c->reader.done <= i && c->reader.invited <= gates)
                        return e->gate;
                gates++;
        }
        return c->plan.out.used;
}

static bool has_sent_all(const struct sim_client *c) {
        return c->sent_bytes == c->plan.out.used;
}

static void client_send(struct sim_client *c) {
        size_t left = send_limit(c) - MIN(c->sent_bytes, send_limit(c));
        size_t piece = MIN(left, 1 + (size_t)below(c, (unsigned)c->piece_bytes_max));
        ssize_t n;

        if (c->reader.says_close || c->half_closed || piece == 0)
                return;
        c->crossed |= scripted_peer_ended(c->peer);
        n = scripted_peer_send(c->peer, c->plan.out.data + c->sent_bytes, piece);
        if (n > 0)
                c->sent_bytes += (size_t)n;
        else if (n < 0 && n != -EAGAIN)
                client_ended(c, false);
        if (!c->over && has_sent_all(c) && c->manner == SIM_HALF_CLOSE) {
                scripted_peer_half_close(c->peer);
                c->half_closed = true;
        }
}

static void client_receive(struct sim_client *c) {
        char data[32768];
        size_t most = below(c, 4) == 0 ? 1 + below(c, 100) : sizeof(data);
        ssize_t n = scripted_peer_recv(c->peer, data, most);

        if (n > 0)
                c->heard_usec = scripted_now_usec(c->sim->world);
        if (n > 0)
                sim_reader_feed(&c->reader, (struct text){ data, (size_t)n });
        if (c->reader.fault)
                client_over(c);
        else if (n == 0 || (n < 0 && n != -EAGAIN))
                client_ended(c, n == 0);
}

static uint64_t age_sec(const struct sim_client *c) {
        return (scripted_now_usec(c->sim->world) - c->begun_usec) / USEC_PER_SEC;
}

static void client_again(struct sim_client *c, uint64_t usec) {
        if (!c->over)
                scripted_event_set(c->sim->world, &c->event,
                                   scripted_now_usec(c->sim->world) + usec);
}

/* It stands still, and the server must not stand still with it for ever. */
static void client_stall(struct sim_client *c) {
        if (scripted_peer_ended(c->peer))
                client_over(c);
        else if (age_sec(c) > STALLED_SEC_MAX) {
                sim_fault(c->sim, c, "a client that stands still is kept");
                client_over(c);
        }
        client_again(c, USEC_PER_SEC);
}

/* A byte now and then must not prolong the time that a head may take. */
static void client_trickle(struct sim_client *c) {
        if (scripted_peer_ended(c->peer) || has_sent_all(c) ||
            scripted_peer_send(c->peer, c->plan.out.data + c->sent_bytes, 1) < 0)
                client_over(c);
        else if (age_sec(c) > HEAD_SEC + SLACK_SEC) {
                sim_fault(c->sim, c, "a head may take longer than its time");
                client_over(c);
        }
        c->sent_bytes++;
        client_again(c, USEC_PER_SEC);
}

/* True when it did what ends the connection, or stands still from here on. */
static bool client_misbehaves(struct sim_client *c) {
        if (is_polite(c) || c->steps_left-- > 0)
                return false;
        if (c->manner == SIM_RESETS) {
                scripted_peer_reset(c->peer);
                c->peer = NULL;
        }
        if (c->manner == SIM_STALLS)
                c->stalled = true;
        else
                client_over(c);
        return true;
}

static void client_look(struct sim_client *c) {
        if (c->over || !is_polite(c))
                return;
        if (c->manner == SIM_POLITE && has_sent_all(c) && c->reader.done == c->plan.count &&
            !c->reader.says_close)
                client_over(c);
        else if (age_sec(c) > POLITE_SEC_MAX) {
                sim_fault(c->sim, c, "nothing comes any more");
                client_over(c);
        }
}

static void client_connect(struct sim_client *c) {
        struct sim *sim = c->sim;
        int r = sim->listener_stopped
                        ? -ECONNREFUSED
                        : scripted_peer_connect(sim->world, sim->listener_fd, &c->peer);

        if (r == -ECONNREFUSED) {
                client_over(c);
                return;
        }
        client_again(c, 1000);
        if (r < 0)
                return;
        c->begun_usec = scripted_now_usec(sim->world);
        if (scripted_chance(sim->world, 300))
                scripted_peer_window(c->peer, 500 + below(c, 60000));
        if (scripted_chance(sim->world, 300))
                scripted_peer_server_window(c->peer, 200 + below(c, 60000));
        if (sim->weather == SIM_STORMY && scripted_chance(sim->world, 300))
                scripted_peer_break_at(c->peer, below(c, 100000),
                                       below(c, (unsigned)c->plan.out.used + 1));
}

static void client_step(struct scripted_event *event) {
        struct sim_client *c = container_of(event, struct sim_client, event);

        if (!c->peer) {
                client_connect(c);
                return;
        }
        if (c->manner == SIM_TRICKLES) {
                client_trickle(c);
                return;
        }
        if (c->stalled) {
                client_stall(c);
                return;
        }
        if (client_misbehaves(c)) {
                client_again(c, 1000);
                return;
        }
        client_send(c);
        if (!c->over)
                client_receive(c);
        client_look(c);
        if (!c->over && has_sent_all(c) && c->manner == SIM_WAITS &&
            scripted_peer_waiting(c->peer) == 0)
                client_again(c,
                             20000); /* there may be nothing to do until the server's time is up */
        else
                client_again(c, below(c, below(c, 20) ? 2000 : c->pause_usec_max));
}

void sim_client_begin(struct sim_client *c, struct sim *sim, unsigned index) {
        *c = (struct sim_client){ .sim = sim, .index = index };
        c->event.run = client_step;
        c->manner = below(c, 100) < 60 ? below(c, SIM_WAITS + 1) : below(c, SIM_MANNERS);
        c->steps_left = below(c, STEPS_MISBEHAVE_MAX);
        c->pause_usec_max = 20000;
        c->piece_bytes_max = below(c, 3) == 0 ? 20 : 20000;
        sim_plan_make(&c->plan, sim->world, &sim->site);
        if (c->plan.out.used > 100 * 1000)
                c->piece_bytes_max = 20000; /* else it would take longer than its body may */
        c->reader.plan = &c->plan;
        c->reader.site = &sim->site;
        c->reader.may_close = sim->weather != SIM_CALM;
        scripted_event_set(sim->world, &c->event,
                           scripted_now_usec(sim->world) + below(c, 2 * USEC_PER_SEC));
}

void sim_client_finish(struct sim_client *c) {
        if (c->peer)
                scripted_peer_close(c->peer);
        scripted_event_clear(&c->event);
        sim_plan_finish(&c->plan);
        sim_reader_finish(&c->reader);
}
