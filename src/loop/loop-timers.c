/* SPDX-License-Identifier: MIT */
#include "loop/loop-backend.h"

/*
 * A hierarchical wheel. A timer due at tick T stands on the level of the highest six bits in which
 * T and the present tick differ, in the slot that those bits of T name; so all that stands on a
 * level is due before anything on the level above, and the first occupied slot of the lowest
 * occupied level is the next to look at. When time comes to a slot above level 0, its timers are
 * put in again, lower.
 *
 * A deadline is rounded up to a whole tick: a timer is never early. A timer moved to a later time
 * keeps its slot and is put in again when that slot's time comes: a connection that lives on moves
 * its deadline with one store a request. `slot_usec` is the time of the slot, to know what "later"
 * is.
 *
 * The bit of a slot is not cleared when its last timer leaves (a timer does not know its slot): who
 * finds the slot empty clears it.
 */

enum {
        SLOT_BITS = 6,
        TOP = LOOP_WHEEL_LEVELS - 1,
        /* so far ahead that the slot on the top level is never the present one */
        TICKS_MAX = (LOOP_WHEEL_SLOTS - 1) << (TOP * SLOT_BITS),
};

static uint64_t tick_of(uint64_t deadline_usec) {
        return deadline_usec / LOOP_TICK_USEC + (deadline_usec % LOOP_TICK_USEC != 0);
}

static unsigned slot_of(uint64_t tick, unsigned level) {
        return (tick >> (level * SLOT_BITS)) % LOOP_WHEEL_SLOTS;
}

static void wheel_insert(struct loop_wheel *w, struct loop_timer *t) {
        uint64_t tick = MIN(tick_of(t->deadline_usec), w->now_tick + TICKS_MAX);
        uint64_t differ;
        unsigned level, slot;

        tick = MAX(tick, w->now_tick);
        differ = (tick ^ w->now_tick) | 1;
        level = MIN((63 - (unsigned)__builtin_clzll(differ)) / SLOT_BITS, (unsigned)TOP);
        slot = slot_of(tick, level);
        list_append(&w->slots[level][slot], &t->link);
        w->occupied[level] |= UINT64_C(1) << slot;
        tick = tick >> (level * SLOT_BITS) << (level * SLOT_BITS);
        t->slot_usec = tick * LOOP_TICK_USEC;
}

/* The next slot to look at and the tick it begins at; false when there is no timer. */
static bool wheel_next(struct loop_wheel *w, unsigned *ret_level, unsigned *ret_slot,
                       uint64_t *ret_tick) {
        for (unsigned level = 0; level < LOOP_WHEEL_LEVELS; level++) {
                unsigned shift = level * SLOT_BITS, now_slot = slot_of(w->now_tick, level);

                while (w->occupied[level]) {
                        uint64_t bits = w->occupied[level];
                        unsigned ahead, slot;

                        /* slots in the order in which their time comes; the top level goes round */
                        bits = bits >> now_slot | bits << (-now_slot % LOOP_WHEEL_SLOTS);
                        ahead = (unsigned)__builtin_ctzll(bits);
                        slot = (now_slot + ahead) % LOOP_WHEEL_SLOTS;
                        if (list_is_empty(&w->slots[level][slot])) {
                                w->occupied[level] &= ~(UINT64_C(1) << slot);
                                continue;
                        }
                        *ret_level = level;
                        *ret_slot = slot;
                        *ret_tick = ((w->now_tick >> shift) + ahead) << shift;
                        return true;
                }
        }
        return false;
}

/* Move all members of `from` to the empty list `to`. */
static void list_take(struct list *from, struct list *to) {
        list_init(to);
        if (list_is_empty(from))
                return;
        *to = *from;
        to->next->previous = to->previous->next = to;
        list_init(from);
}

void loop_wheel_init(struct loop_wheel *w, uint64_t now_usec) {
        *w = (struct loop_wheel){ .now_tick = now_usec / LOOP_TICK_USEC };
        for (unsigned level = 0; level < LOOP_WHEEL_LEVELS; level++)
                for (unsigned slot = 0; slot < LOOP_WHEEL_SLOTS; slot++)
                        list_init(&w->slots[level][slot]);
}

void loop_wheel_set(struct loop_wheel *w, struct loop_timer *timer, uint64_t deadline_usec) {
        assert(timer->fired);
        timer->deadline_usec = deadline_usec;
        if (list_is_linked(&timer->link)) {
                if (deadline_usec >= timer->slot_usec)
                        return;
                list_remove(&timer->link);
        }
        wheel_insert(w, timer);
}

uint64_t loop_wheel_next_usec(struct loop_wheel *w) {
        unsigned level, slot;
        uint64_t tick;

        return wheel_next(w, &level, &slot, &tick) ? tick * LOOP_TICK_USEC : USEC_INFINITY;
}

/* Fire what is due in `due`, at most `*most`; what is not yet due goes back into the wheel. */
static void wheel_fire(struct loop_wheel *w, struct list *due, unsigned *most, uint64_t now_usec) {
        while (!list_is_empty(due) && *most > 0) {
                struct loop_timer *t = container_of(due->next, struct loop_timer, link);

                list_remove(&t->link);
                if (t->deadline_usec > now_usec) {
                        wheel_insert(w, t);
                        continue;
                }
                (*most)--;
                t->fired(t);
        }
}

void loop_wheel_run(struct loop_wheel *w, uint64_t now_usec) {
        uint64_t now_tick = now_usec / LOOP_TICK_USEC, tick;
        unsigned level, slot, most = LOOP_TIMERS_MAX;

        while (wheel_next(w, &level, &slot, &tick) && tick <= now_tick) {
                struct list due;

                w->now_tick = MAX(w->now_tick, tick);
                list_take(&w->slots[level][slot], &due);
                if (level > 0) {
                        while (!list_is_empty(&due)) {
                                struct list *first = due.next;

                                list_remove(first);
                                wheel_insert(w, container_of(first, struct loop_timer, link));
                        }
                        continue;
                }
                wheel_fire(w, &due, &most, now_usec);
                if (most > 0)
                        continue;
                /* the rest is due still: this slot is where wheel_insert() puts it */
                while (!list_is_empty(&due)) {
                        struct list *last = due.previous;

                        list_remove(last);
                        list_prepend(&w->slots[0][slot], last);
                }
                w->occupied[0] |= UINT64_C(1) << slot;
                return;
        }
        w->now_tick = MAX(w->now_tick, now_tick);
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t deadline_usec) {
        loop_wheel_set(&loop->wheel, timer, deadline_usec);
}

void loop_timer_clear(struct loop_timer *timer) {
        list_remove(&timer->link);
}
