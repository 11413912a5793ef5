/* SPDX-License-Identifier: MIT */
/*
 * The world itself: clock, events, descriptors, chance and the plan of faults. All that is decided
 * by chance is drawn from one generator in the order of the calls, and nothing here depends on an
 * address or on real time, so equal seeds give equal runs.
 */
#include "scripted-world.h"

#include <errno.h>
#include <stdlib.h>

static _Thread_local struct scripted_world *current;

struct scripted_world *scripted_world_current(void) {
        return current;
}

struct scripted_world *scripted_world_new(uint64_t seed) {
        struct scripted_world *world = calloc(1, sizeof(*world));

        assert(world);
        world->seed = seed;
        world->random[0] = seed;
        world->random[1] = UINT64_C(0x9e3779b97f4a7c15);
        for (unsigned i = 0; i < 16; i++)
                scripted_random(world);        /* the first numbers of like seeds are alike */
        world->now_usec = 1000 * USEC_PER_SEC; /* 0 would hide what was never set */
        world->trace_hash = UINT64_C(14695981039346656037);
        world->descriptors_max = UINT32_MAX;
        world->port_next = 10000;
        list_init(&world->events);
        list_init(&world->ends);
        current = world;
        return world;
}

struct scripted_world *scripted_world_free(struct scripted_world *world) {
        if (!world)
                return NULL;
        assert(world->loops == 0);
        for (unsigned i = 0; i < world->descriptors_size; i++) {
                if (world->descriptors[i].listening)
                        scripted_listener_close(world, SCRIPTED_FD_FIRST + (int)i);
        }
        while (!list_is_empty(&world->ends)) {
                struct scripted_peer *end =
                        container_of(world->ends.next, struct scripted_peer, link);

                scripted_end_close(end, true);
        }
        list_for_each_safe(link, &world->events)
                list_remove(link);
        if (current == world)
                current = NULL;
        free(world->descriptors);
        free(world);
        return NULL;
}

/* ---- chance: xorshift128+ ---- */

uint64_t scripted_random(struct scripted_world *world) {
        uint64_t a = world->random[0], b = world->random[1];

        world->random[0] = b;
        a ^= a << 23;
        world->random[1] = a ^ b ^ (a >> 17) ^ (b >> 26);
        return world->random[1] + b;
}

unsigned scripted_below(struct scripted_world *world, unsigned bound) {
        return bound == 0 ? 0 : (unsigned)((scripted_random(world) >> 16) % bound);
}

bool scripted_chance(struct scripted_world *world, unsigned per_thousand) {
        /*
         * odds of 0 draw nothing, so that adding a kind of fault leaves the old seeds as they are
         */
        return per_thousand > 0 && scripted_below(world, 1000) < per_thousand;
}

/* ---- the trace ---- */

uint64_t scripted_trace_hash(const struct scripted_world *world) {
        return world->trace_hash;
}

void scripted_trace_to(struct scripted_world *world, FILE *stream) {
        world->trace = stream;
}

static void hash_bytes(uint64_t *hash, const void *data, size_t size) {
        const uint8_t *bytes = data;

        for (size_t i = 0; i < size; i++)
                *hash = (*hash ^ bytes[i]) * UINT64_C(1099511628211); /* FNV-1a */
}

void scripted_trace(struct scripted_world *world, const char *what, int fd, int64_t result) {
        if (fd < SCRIPTED_FD_FIRST)
                fd = -1; /* the kernel's numbers differ from run to run */
        hash_bytes(&world->trace_hash, &world->now_usec, sizeof(world->now_usec));
        hash_bytes(&world->trace_hash, what, strlen(what));
        hash_bytes(&world->trace_hash, &fd, sizeof(fd));
        hash_bytes(&world->trace_hash, &result, sizeof(result));
        if (world->trace)
                fprintf(world->trace, "%10llu %-12s %3d %lld\n",
                        (unsigned long long)(world->now_usec - 1000 * USEC_PER_SEC), what,
                        fd < 0 ? fd : fd - SCRIPTED_FD_FIRST, (long long)result);
}

/* ---- time ---- */

uint64_t scripted_now_usec(const struct scripted_world *world) {
        return world->now_usec;
}

void scripted_event_set(struct scripted_world *world, struct scripted_event *event,
                        uint64_t at_usec) {
        struct list *at = &world->events;

        list_remove(&event->link);
        event->at_usec = at_usec;
        /* behind those of the same time: the order of setting is the order of running */
        while (at->previous != &world->events &&
               container_of(at->previous, struct scripted_event, link)->at_usec > at_usec)
                at = at->previous;
        list_insert_after(at->previous, &event->link);
}

void scripted_event_clear(struct scripted_event *event) {
        list_remove(&event->link);
}

uint64_t scripted_event_next_usec(const struct scripted_world *world) {
        if (list_is_empty(&world->events))
                return USEC_INFINITY;
        return container_of(world->events.next, struct scripted_event, link)->at_usec;
}

bool scripted_events_run(struct scripted_world *world) {
        bool ran = false;

        /* an event that sets itself to the same moment must not hold the world up */
        for (unsigned i = 0; i < 10000 && scripted_event_next_usec(world) <= world->now_usec; i++) {
                struct scripted_event *event =
                        container_of(world->events.next, struct scripted_event, link);

                list_remove(&event->link);
                event->run(event);
                ran = true;
        }
        return ran;
}

void scripted_advance(struct scripted_world *world, uint64_t usec) {
        uint64_t until = world->now_usec + usec;

        while (scripted_event_next_usec(world) <= until) {
                world->now_usec = MAX(world->now_usec, scripted_event_next_usec(world));
                scripted_events_run(world);
        }
        world->now_usec = until;
}

void scripted_patience(struct scripted_world *world, uint64_t real_usec) {
        world->patience_usec = real_usec;
}

/* ---- descriptors ---- */

unsigned scripted_descriptors_open(const struct scripted_world *world) {
        return world->descriptors_open;
}

void scripted_descriptors_limit(struct scripted_world *world, unsigned most) {
        world->descriptors_max = most;
}

int scripted_fd_take(struct scripted_world *world, struct scripted_peer *end,
                     struct scripted_listening *listening) {
        unsigned i = 0;

        if (world->descriptors_open >= world->descriptors_max)
                return -EMFILE;
        while (i < world->descriptors_size &&
               (world->descriptors[i].end || world->descriptors[i].listening))
                i++;
        if (i == world->descriptors_size) {
                unsigned size = MAX(64, 2 * world->descriptors_size);
                void *bigger = reallocarray(world->descriptors, size, sizeof(*world->descriptors));

                assert(bigger);
                world->descriptors = bigger;
                memset(world->descriptors + i, 0, (size - i) * sizeof(*world->descriptors));
                world->descriptors_size = size;
        }
        world->descriptors[i] = (struct scripted_descriptor){ end, listening };
        world->descriptors_open++;
        return SCRIPTED_FD_FIRST + (int)i;
}

void scripted_fd_give(struct scripted_world *world, int fd) {
        assert(scripted_end_of(world, fd) || scripted_listening_of(world, fd));
        world->descriptors[fd - SCRIPTED_FD_FIRST] = (struct scripted_descriptor){};
        world->descriptors_open--;
}

static struct scripted_descriptor *descriptor_at(struct scripted_world *world, int fd) {
        unsigned i = (unsigned)fd - SCRIPTED_FD_FIRST;

        return fd >= SCRIPTED_FD_FIRST && i < world->descriptors_size ? &world->descriptors[i]
                                                                      : NULL;
}

struct scripted_peer *scripted_end_of(struct scripted_world *world, int fd) {
        struct scripted_descriptor *d = descriptor_at(world, fd);

        return d ? d->end : NULL;
}

struct scripted_listening *scripted_listening_of(struct scripted_world *world, int fd) {
        struct scripted_descriptor *d = descriptor_at(world, fd);

        return d ? d->listening : NULL;
}

/* ---- faults ---- */

void scripted_odds_set(struct scripted_world *world, const struct scripted_odds *odds) {
        world->odds = *odds;
}

void scripted_fault(struct scripted_world *world, unsigned kind, unsigned nth,
                    enum scripted_fault fault, int64_t value) {
        assert(world->planned < SCRIPTED_PLANNED_MAX && kind < SCRIPTED_KINDS);
        world->plan[world->planned++] = (struct scripted_planned){
                .kind = kind, .count = nth, .each = nth == 0, .fault = fault, .value = value
        };
}

void scripted_faults_clear(struct scripted_world *world) {
        world->planned = 0;
}

static void fate_apply(struct scripted_fate *fate, enum scripted_fault fault, int64_t value) {
        switch (fault) {
        case SCRIPTED_RESULT:
                fate->forced = true;
                fate->result = (int)value;
                break;
        case SCRIPTED_CLAMP: fate->clamp = MAX((size_t)value, (size_t)1); break;
        case SCRIPTED_STARVE: fate->starved = true; /* fall through */
        case SCRIPTED_DELAY: fate->delay_usec += (uint64_t)value; break;
        case SCRIPTED_RESET: fate->reset = true; break;
        }
}

static void fate_by_odds(struct scripted_world *world, unsigned kind, struct scripted_fate *fate) {
        const struct scripted_odds *odds = &world->odds;
        unsigned bound = (unsigned)MIN(odds->delay_usec_max, (uint64_t)INT32_MAX);

        if (kind < SCRIPTED_ACCEPT && scripted_chance(world, odds->delay))
                fate_apply(fate, SCRIPTED_DELAY, scripted_below(world, bound));
        if (kind == LOOP_RECV && scripted_chance(world, odds->starve))
                fate_apply(fate, SCRIPTED_STARVE, scripted_below(world, bound));
        if (kind != SCRIPTED_ACCEPT && kind != LOOP_POLL && kind != LOOP_LISTEN &&
            scripted_chance(world, odds->reset))
                fate->reset = true;
        if (kind == SCRIPTED_ACCEPT && scripted_chance(world, odds->accept_fails))
                fate_apply(fate, SCRIPTED_RESULT, -EMFILE);
        if ((kind == SCRIPTED_SEND_NOW || kind == SCRIPTED_SEND_FILE) &&
            scripted_chance(world, odds->refuse_now))
                fate_apply(fate, SCRIPTED_RESULT, -EAGAIN);
}

struct scripted_fate scripted_fate(struct scripted_world *world, unsigned kind) {
        struct scripted_fate fate = { .clamp = SIZE_MAX };

        fate_by_odds(world, kind, &fate);
        for (unsigned i = 0; i < world->planned;) {
                struct scripted_planned *p = &world->plan[i];

                if (p->kind != kind || (!p->each && --p->count > 0)) {
                        i++;
                        continue;
                }
                fate_apply(&fate, p->fault, p->value);
                if (p->each)
                        i++;
                else
                        *p = world->plan[--world->planned];
        }
        return fate;
}
