/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/pool.h"
#include "handlers/files-entry.h"
#include "handlers/handler.h"

/*
 * What a worker keeps of the files it serves. For files*.c; all others know files_cache by
 * handler.h.
 */

struct files_table {
        struct files_key **slots;
        size_t mask, count;
};

struct files_cache {
        struct loop *loop;
        struct files_table entries, loads;
        struct list bodies, files; /* of entries, the last looked at first */
        size_t bytes, bytes_max; /* of entries that were ever in the table and are not freed yet */
        unsigned file_count, file_count_max;
        struct list views; /* of files_view, the last used first */
        unsigned view_count;
        struct pool blocks; /* of FILES_BLOCK_BYTES */
        unsigned jobs;      /* on the pool */
        unsigned abandoned; /* loads that nobody waits for any more */
        bool orphaned;      /* freed when the last job is done */
        struct loop_timer sweep;
};

/* Fields with a Content-Range behind them. */
enum { FILES_BLOCK_BYTES = FILES_FIELDS_BYTES_MAX + 96 };

uint64_t files_key_hash(uint64_t route, struct text path);
struct files_key *files_table_find(const struct files_table *t, uint64_t hash, uint64_t route,
                                   struct text path);
int files_table_insert(struct files_table *t, struct files_key *key); /* Errors: -ENOMEM */
void files_table_remove(struct files_table *t, struct files_key *key);

/*
 * A fresh entry for a raw target path, with a reference for the caller; NULL: none, which says
 * nothing about the file. The way of nearly all requests.
 */
struct files_entry *files_cache_hit(struct files_cache *c, uint64_t route, struct text raw_path,
                                    uint64_t now_usec);

/* Keep an entry, in place of one with the same key, if there is room. Takes no reference. */
void files_cache_keep(struct files_cache *c, struct files_entry *e);
void files_cache_forget(struct files_cache *c, struct files_entry *e);
/* Close descriptors that nobody uses. Gives how many. */
unsigned files_cache_close_files(struct files_cache *c);

static inline struct files_entry *files_entry_ref(struct files_entry *e) {
        e->references++;
        return e;
}
/* The last reference of one that is in no table frees it. */
void files_entry_release(struct files_cache *c, struct files_entry *e);

/* Jobs on the pool keep the cache's memory alive until they are done. */
void files_cache_job_start(struct files_cache *c, struct loop_job *job,
                           void (*work)(struct loop_job *job), void (*done)(struct loop_job *job));
void files_cache_job_done(struct files_cache *c);
