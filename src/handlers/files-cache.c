/* SPDX-License-Identifier: MIT */
#include "handlers/files-cache.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/hash.h"
#include "handlers/files-root.h"

/*
 * One cache a worker, so there are no locks. An entry is found by its route and the path of the
 * request, decoded. A raw target finds it too, without being decoded first: what is decoded holds
 * no "//", "/./" or "/../", so a target that equals it byte for byte means it, unless it holds a
 * "%", for that is an escape in a target and a plain byte in a key (`has_percent`).
 *
 * Two lists, each in order of age, one bounded by bytes and one by descriptors. A hit does not move
 * its entry but sets `used`; who looks for something to let go finds it, clears it and gives the
 * entry another round (second chance): nearly as good as the order of last use, and a hit writes
 * one byte. What an exchange still sends from counts until it lets go, so that the bound is one.
 *
 * Descriptors are given back when they were not used for SWEEP_USEC, so that a deleted file does
 * not keep its disk space because it was asked for once; the timer runs only while there are any.
 */
enum {
        SLOTS_MIN = 64,
        FILES_MAX = 128,      /* descriptors a worker keeps open between requests; a guess */
        EVICT_STEPS_MAX = 64, /* entries looked at to make room for one: it must not take long */
        BLOCKS_KEPT = 64,
        SWEEP_USEC = 10 * 1000 * 1000,
};

/* ---- the table ---- */

uint64_t files_key_hash(uint64_t route, struct text path) {
        return hash_text(path) ^ route * UINT64_C(0x9e3779b97f4a7c15);
}

struct files_key *files_table_find(const struct files_table *t, uint64_t hash, uint64_t route,
                                   struct text path) {
        struct files_key *key = t->slots ? t->slots[hash & t->mask] : NULL;

        while (key && !(key->hash == hash && key->route == route && text_equal(key->path, path)))
                key = key->next;
        return key;
}

static int table_grow(struct files_table *t) {
        size_t slots = t->slots ? 2 * (t->mask + 1) : SLOTS_MIN;
        struct files_key **fresh = calloc(slots, sizeof(struct files_key *));

        if (!fresh)
                return -ENOMEM;
        for (size_t i = 0; t->slots && i <= t->mask; i++)
                for (struct files_key *key = t->slots[i], *next; key; key = next) {
                        struct files_key **slot = &fresh[key->hash & (slots - 1)];

                        next = key->next;
                        key->next = *slot;
                        *slot = key;
                }
        free(t->slots);
        t->slots = fresh;
        t->mask = slots - 1;
        return 0;
}

int files_table_insert(struct files_table *t, struct files_key *key) {
        struct files_key **slot;

        /* a table that cannot grow only gets slower */
        if ((!t->slots || t->count > t->mask) && table_grow(t) < 0 && !t->slots)
                return -ENOMEM;
        slot = &t->slots[key->hash & t->mask];
        key->next = *slot;
        key->listed = true;
        *slot = key;
        t->count++;
        return 0;
}

void files_table_remove(struct files_table *t, struct files_key *key) {
        struct files_key **at;

        if (!key->listed)
                return;
        at = &t->slots[key->hash & t->mask];
        while (*at != key)
                at = &(*at)->next;
        *at = key->next;
        key->listed = false;
        t->count--;
}

static struct files_entry *entry_of(struct list *link) {
        return container_of(link, struct files_entry, link);
}

/* ---- entries ---- */

struct files_entry *files_entry_free(struct files_entry *e) {
        if (!e)
                return NULL;
        assert(!e->references && !e->key.listed);
        fd_close(e->file);
        free(e);
        return NULL;
}

static void entry_close_work(struct loop_job *job) {
        struct files_entry *e = container_of(job, struct files_entry, closing);

        e->file = fd_close(e->file);
}

static void entry_close_done(struct loop_job *job) {
        struct files_entry *e = container_of(job, struct files_entry, closing);
        struct files_cache *c = e->cache;

        files_entry_free(e);
        files_cache_job_done(c);
}

static void entry_dispose(struct files_cache *c, struct files_entry *e) {
        if (e->counted)
                c->bytes -= e->bytes;
        if (e->file >= 0 && !e->local &&
            !c->orphaned) { /* the loop of an orphaned one takes no job */
                e->cache = c;
                files_cache_job_start(c, &e->closing, entry_close_work, entry_close_done);
        } else {
                files_entry_free(e);
        }
}

void files_entry_release(struct files_cache *c, struct files_entry *e) {
        assert(e->references > 0);
        if (--e->references == 0 && !e->key.listed)
                entry_dispose(c, e);
}

void files_cache_forget(struct files_cache *c, struct files_entry *e) {
        if (!e->key.listed)
                return;
        files_table_remove(&c->entries, &e->key);
        list_remove(&e->link);
        c->file_count -= e->file >= 0;
        if (!e->references)
                entry_dispose(c, e);
}

struct files_entry *files_cache_hit(struct files_cache *c, uint64_t route, struct text raw_path,
                                    uint64_t now_usec) {
        struct files_key *key =
                files_table_find(&c->entries, files_key_hash(route, raw_path), route, raw_path);
        struct files_entry *e;

        if (!key || key->has_percent)
                return NULL;
        e = container_of(key, struct files_entry, key);
        if (now_usec >= e->fresh_until_usec)
                return NULL;
        e->used = true;
        return files_entry_ref(e);
}

/* ---- making room ---- */

/* Let go of one entry of the list that was not used lately. False when none was found. */
static bool evict_one(struct files_cache *c, struct list *list, unsigned *steps) {
        while (!list_is_empty(list) && *steps > 0) {
                struct files_entry *e = entry_of(list->previous);

                (*steps)--;
                if (!e->used && !e->references) {
                        files_cache_forget(c, e);
                        return true;
                }
                e->used = false;
                list_remove(&e->link);
                list_prepend(list, &e->link);
        }
        return false;
}

static bool make_room(struct files_cache *c, const struct files_entry *e) {
        unsigned steps = EVICT_STEPS_MAX;

        if (e->bytes > c->bytes_max)
                return false;
        while (c->bytes + e->bytes > c->bytes_max)
                if (!evict_one(c, list_is_empty(&c->bodies) ? &c->files : &c->bodies, &steps))
                        return false;
        while (e->file >= 0 && c->file_count >= c->file_count_max)
                if (!evict_one(c, &c->files, &steps))
                        return false;
        return true;
}

void files_cache_keep(struct files_cache *c, struct files_entry *e) {
        struct files_key *old =
                files_table_find(&c->entries, e->key.hash, e->key.route, e->key.path);

        assert(!e->counted && !e->key.listed);
        if (old)
                files_cache_forget(c, container_of(old, struct files_entry, key));
        if (!e->settled || c->orphaned || !make_room(c, e) ||
            files_table_insert(&c->entries, &e->key) < 0)
                return;
        e->counted = true;
        c->bytes += e->bytes;
        list_prepend(e->file >= 0 ? &c->files : &c->bodies, &e->link);
        if (e->file < 0)
                return;
        c->file_count++;
        e->used = true; /* for the sweep, which may come at once */
        if (!loop_timer_is_set(&c->sweep))
                loop_timer_set(c->loop, &c->sweep, loop_now_usec(c->loop) + SWEEP_USEC);
}

static void drop_list(struct files_cache *c, struct list *list) {
        list_for_each_safe(at, list) {
                files_cache_forget(c, entry_of(at));
        }
}

unsigned files_cache_close_files(struct files_cache *c) {
        unsigned before = c->file_count;

        list_for_each_safe(at, &c->files) {
                if (!entry_of(at)->references)
                        files_cache_forget(c, entry_of(at));
        }
        return before - c->file_count;
}

static void sweep_fired(struct loop_timer *timer) {
        struct files_cache *c = container_of(timer, struct files_cache, sweep);

        list_for_each_safe(at, &c->files) {
                struct files_entry *e = entry_of(at);

                if (e->used || e->references)
                        e->used = false;
                else
                        files_cache_forget(c, e);
        }
        if (!list_is_empty(&c->files))
                loop_timer_set(c->loop, timer, loop_now_usec(c->loop) + SWEEP_USEC);
}

/* ---- the cache ---- */

int files_cache_new(struct loop *loop, size_t bytes_max, struct files_cache **ret) {
        struct files_cache *c = calloc(1, sizeof(*c));

        if (!c)
                return -ENOMEM;
        c->loop = loop;
        c->bytes_max = bytes_max;
        c->file_count_max = FILES_MAX;
        c->sweep.fired = sweep_fired;
        list_init(&c->bodies);
        list_init(&c->files);
        list_init(&c->views);
        pool_init(&c->blocks, FILES_BLOCK_BYTES, BLOCKS_KEPT);
        *ret = c;
        return 0;
}

void files_cache_drop(struct files_cache *c) {
        drop_list(c, &c->bodies);
        drop_list(c, &c->files);
        files_view_drop(c, false);
}

static void cache_release(struct files_cache *c) {
        assert(!c->entries.count && !c->loads.count);
        free(c->entries.slots);
        free(c->loads.slots);
        free(c);
}

struct files_cache *files_cache_free(struct files_cache *c) {
        if (!c)
                return NULL;
        c->orphaned = true;
        loop_timer_clear(&c->sweep);
        files_cache_drop(c);
        files_view_drop(c, true);
        pool_finish(&c->blocks);
        if (!c->jobs)
                cache_release(c);
        return NULL;
}

void files_cache_job_start(struct files_cache *c, struct loop_job *job,
                           void (*work)(struct loop_job *job), void (*done)(struct loop_job *job)) {
        c->jobs++;
        loop_offload(c->loop, job, work, done);
}

void files_cache_job_done(struct files_cache *c) {
        assert(c->jobs > 0);
        if (--c->jobs == 0 && c->orphaned)
                cache_release(c);
}
