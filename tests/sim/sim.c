/* SPDX-License-Identifier: MIT */
/*
 *     sim COUNT [FIRST]   runs the seeds from FIRST (1) on, each twice: it must go the same way
 *     sim -v SEED         runs one seed and prints what happened
 *
 * A run is a world with a listener, the server's connections behind it, and some clients; it ends
 * when all clients are served or gone and the server has drained. Then nothing may be left.
 */
#include "sim.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "backends.h"

enum {
        CLIENTS_MAX = 40,
        TURNS_MAX = 3 * 1000 * 1000, /* a run takes some ten thousands */
        CONNS_MAX_STORMY = 8,
};

static const char *const weathers[] = { "calm", "drain", "stormy" };
static const char *const manners[] = {
        "polite", "half-close", "waits", "closes", "resets", "stalls", "trickles",
};

/* The world that plays; setsockopt() below has no other way to it. */
static struct scripted_world *playing;

/*
 * Connections set options with a system call of their own. One of them matters to a peer: a linger
 * time of 0 makes the close a reset. All others have no effect here.
 */
int setsockopt(int fd, int level, int name, const void *value, socklen_t size) {
        if (playing && level == SOL_SOCKET && name == SO_LINGER)
                scripted_close_resets(playing, fd);
        return 0;
}

void sim_fault(struct sim *sim, const struct sim_client *client, const char *what) {
        sim->faults++;
        if (client)
                fprintf(stderr,
                        "sim: seed %llu (%s), client %u (%s), answer %u of %u: %s\n"
                        "sim: to see it: sim -v %llu\n",
                        (unsigned long long)sim->seed, weathers[sim->weather], client->index,
                        manners[client->manner], client->reader.done + 1, client->plan.count, what,
                        (unsigned long long)sim->seed);
        else
                fprintf(stderr, "sim: seed %llu (%s): %s\nsim: to see it: sim -v %llu\n",
                        (unsigned long long)sim->seed, weathers[sim->weather], what,
                        (unsigned long long)sim->seed);
}

/* ---- the server ---- */

static struct sim *sim_of_conns(struct conn_set *set) {
        return container_of(set, struct sim, conns);
}

static void accepted(struct loop_listener *l, int fd, const struct sockaddr *address,
                     socklen_t size) {
        struct sim *sim = container_of(l, struct sim, listener);

        if (conn_accept(&sim->conns, fd, address, size, false) < 0)
                sim_fault(sim, NULL, "out of memory");
}

static void accept_trouble(struct loop_listener *l, int error) {
        struct sim *sim = container_of(l, struct sim, listener);

        if (error != -EMFILE)
                sim_fault(sim, NULL, "the listener died");
        else if (sim->weather == SIM_STORMY)
                conn_set_evict(&sim->conns);
}

static void conns_full_changed(struct conn_set *set) {
        struct loop_listener *l = &sim_of_conns(set)->listener;

        if (set->full && !l->paused)
                loop_listener_pause(l);
        if (!set->full && l->paused && !l->stopping)
                loop_listener_resume(l);
}

static void conn_gone(struct conn_set *set) {}

static void conn_broken(struct conn_set *set, const char *peer) {
        sim_fault(sim_of_conns(set), NULL, "an invariant is broken");
}

static void route(struct http_session *s, struct exchange *x) {
        site_route(&container_of(s->context, struct sim, http)->site, x);
}

static void exchange_finished(struct http_session *s, struct exchange *x) {
        if (x->failed && x->error == -EBADMSG)
                sim_fault(container_of(s->context, struct sim, http), NULL,
                          "an invariant is broken");
}

static uint64_t real_usec(void) {
        return UINT64_C(1000000000) * USEC_PER_SEC + scripted_now_usec(playing);
}

static void listener_stopped(struct loop_listener *l) {
        struct sim *sim = container_of(l, struct sim, listener);

        scripted_listener_close(sim->world, sim->listener_fd); /* who waits there is reset */
        sim->listener_stopped = true;
}

static void drain(struct sim *sim) {
        if (sim->listener.stopping)
                return;
        loop_listener_stop(&sim->listener, listener_stopped);
        sim->http.draining = true;
        conn_set_drain(&sim->conns);
}

static void end_message(struct loop_message *message) {
        struct sim *sim = container_of(message, struct sim, end_message);

        drain(sim);
        if (sim->aborts)
                conn_set_abort(&sim->conns);
}

static void end_event(struct scripted_event *event) {
        struct sim *sim = container_of(event, struct sim, end);

        loop_post(sim->loop, &sim->end_message); /* events run inside the wait */
}

static void server_begin(struct sim *sim) {
        const struct loop_options options = { .buffers_min = 2, .buffers_max = 4 };

        if (loop_new(&scripted_backend, &options, &sim->loop) < 0)
                abort();
        sim->site.loop = sim->loop;
        http_context_init(&sim->http, loop_clock(sim->loop));
        sim->http.real_usec = real_usec;
        sim->http.route = route;
        sim->http.finished = exchange_finished;
        conn_set_init(&sim->conns, sim->loop, &sim->http);
        sim->conns.limits = (struct conn_limits){
                .head_timeout_usec = 15 * USEC_PER_SEC,
                .body_timeout_usec = 60 * USEC_PER_SEC,
                .keep_alive_usec = 75 * USEC_PER_SEC,
                .send_timeout_usec = 60 * USEC_PER_SEC,
                .conns_max = sim->weather == SIM_STORMY ? CONNS_MAX_STORMY : 1000,
        };
        sim->conns.count_shown = &sim->conns_shown;
        sim->conns.full_changed = conns_full_changed;
        sim->conns.gone = conn_gone;
        sim->conns.broken = conn_broken;
        sim->listener_fd = scripted_listener(sim->world, 16);
        loop_listen(sim->loop, &sim->listener, sim->listener_fd, false, accepted, accept_trouble);
}

static void server_end(struct sim *sim) {
        conn_set_finish(&sim->conns);
        http_context_finish(&sim->http);
        if (sim->site.open > 0 || sim->conns_shown > 0)
                sim_fault(sim, NULL, "something is still open");
        sim->loop = loop_free(sim->loop);
}

/* ---- a run ---- */

static void odds_make(struct sim *sim) {
        bool is_stormy = sim->weather == SIM_STORMY;
        struct scripted_world *w = sim->world;
        const struct scripted_odds odds = {
                .short_recv = scripted_below(w, 600),
                .short_send = scripted_below(w, 600),
                .delay = scripted_below(w, 400),
                .shuffle = scripted_below(w, 1000),
                .reset = is_stormy ? scripted_below(w, 30) : 0,
                .starve = scripted_below(w, 100),
                .accept_fails = scripted_below(w, 200),
                .refuse_now = scripted_below(w, 300),
                .cancel_late = scripted_below(w, 1000),
                .reset_drops = is_stormy ? scripted_below(w, 1000) : 1000,
                .delay_usec_max = 3000,
        };

        scripted_odds_set(w, &odds);
}

static bool is_over(const struct sim *sim) {
        return sim->clients_over == sim->clients_count && sim->listener_stopped &&
               sim->conns.count == 0;
}

static void run_turns(struct sim *sim) {
        for (unsigned turns = 0; !is_over(sim); turns++) {
                if (sim->clients_over == sim->clients_count)
                        drain(sim);
                if (turns == TURNS_MAX || loop_turn(sim->loop, USEC_INFINITY) < 0) {
                        sim_fault(sim, NULL, "the run does not come to its end");
                        fflush(NULL);
                        abort(); /* what is left under way cannot be freed */
                }
        }
}

struct run_result {
        uint64_t hash, answers, begun;
        unsigned clients, faults;
};

static struct run_result run(uint64_t seed, FILE *trace) {
        struct sim sim = { .seed = seed, .weather = seed % SIM_WEATHERS };
        struct run_result result;

        playing = sim.world = scripted_world_new(seed);
        scripted_trace_to(sim.world, trace);
        site_init(&sim.site, sim.world);
        odds_make(&sim);
        server_begin(&sim);
        sim.clients_count = 1 + scripted_below(sim.world, CLIENTS_MAX);
        sim.clients = calloc(sim.clients_count, sizeof(*sim.clients));
        if (!sim.clients)
                abort();
        for (unsigned i = 0; i < sim.clients_count; i++)
                sim_client_begin(&sim.clients[i], &sim, i);
        sim.end.run = end_event;
        sim.end_message.run = end_message;
        sim.aborts = sim.weather == SIM_STORMY;
        if (sim.weather == SIM_DRAIN || (sim.aborts && scripted_chance(sim.world, 500)))
                scripted_event_set(sim.world, &sim.end,
                                   scripted_now_usec(sim.world) +
                                           scripted_below(sim.world, 3 * USEC_PER_SEC));
        run_turns(&sim);
        scripted_event_clear(&sim.end);
        for (unsigned i = 0; i < sim.clients_count; i++)
                sim_client_finish(&sim.clients[i]);
        free(sim.clients);
        server_end(&sim);
        if (scripted_descriptors_open(sim.world) > 0)
                sim_fault(&sim, NULL, "a descriptor is left open");
        result = (struct run_result){ .hash = scripted_trace_hash(sim.world),
                                      .answers = sim.answers,
                                      .begun = sim.site.begun,
                                      .clients = sim.clients_count,
                                      .faults = sim.faults };
        site_finish(&sim.site);
        scripted_world_free(sim.world);
        return result;
}

static int run_many(uint64_t first, uint64_t count) {
        uint64_t answers = 0, clients = 0;
        unsigned faults = 0;

        for (uint64_t seed = first; seed < first + count; seed++) {
                struct run_result once = run(seed, NULL), again = run(seed, NULL);

                answers += once.answers;
                clients += once.clients;
                faults += once.faults;
                if (once.hash != again.hash) {
                        fprintf(stderr, "sim: seed %llu goes another way the second time\n",
                                (unsigned long long)seed);
                        faults++;
                }
        }
        printf("sim: seeds %llu to %llu, %llu clients, %llu answers right, %u faults\n",
               (unsigned long long)first, (unsigned long long)(first + count - 1),
               (unsigned long long)clients, (unsigned long long)answers, faults);
        return faults ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv) {
        const char *times = getenv("EMBERD_TEST_TIMES");
        uint64_t count;

        if (argc == 3 && strcmp(argv[1], "-v") == 0) {
                uint64_t seed = strtoull(argv[2], NULL, 10);
                struct run_result result = run(seed, stdout);

                printf("sim: seed %llu: %016llx, %u clients, %llu answers, %u faults\n",
                       (unsigned long long)seed, (unsigned long long)result.hash, result.clients,
                       (unsigned long long)result.answers, result.faults);
                return result.faults ? EXIT_FAILURE : EXIT_SUCCESS;
        }
        if (argc < 2 || argc > 3) {
                fprintf(stderr, "usage: sim COUNT [FIRST] | sim -v SEED\n");
                return 64;
        }
        count = strtoull(argv[1], NULL, 10);
        if (times) /* as tests/fuzz/mutate.c does */
                count *= strtoull(times, NULL, 10);
        return run_many(argc == 3 ? strtoull(argv[2], NULL, 10) : 1, count);
}
