/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/list.h"
#include "http/conditional.h"
#include "loop/loop.h"

#include <sys/stat.h>
#include <time.h>

enum {
        FILES_BODY_BYTES_MAX =
                16384, /* a file up to this is held in memory, a longer one as a descriptor */
        FILES_FIELDS_BYTES_MAX =
                384, /* the ready-made fields: longest type 127, two dates, an ETag */
};

/* By what a file is recognised. Equal: the same bytes, if the last change was not a moment ago. */
struct files_identity {
        dev_t device;
        ino_t inode;
        uint64_t size;
        struct timespec modified, changed;
};

struct files_cache;

/* A name that is looked up by: of an entry, or of a load under way. */
struct files_key {
        struct files_key *next; /* private to the table */
        uint64_t hash, route;
        struct text path; /* of the request, decoded and resolved */
        bool has_percent; /* a "%" that is meant: as a raw target it would be another path */
        bool listed;      /* it is in a table */
};

/*
 * A file, ready to be sent: the fields of its answer and its bytes, or a descriptor. Never changed
 * once made, so that those who send from it need not care what becomes of the file.
 */
struct files_entry {
        struct files_key key;
        uint64_t fresh_until_usec; /* monotonic; from then on it must be looked at again */
        uint32_t references;       /* of exchanges */
        bool used;                 /* since the cache last looked for something to let go */
        bool counted;              /* in the cache's figures */
        bool settled;              /* its last change was long enough ago to trust its identity */
        bool local;                /* closing it does not wait */
        struct list link;          /* cache->bodies or cache->files */
        struct text fields;        /* Content-Type, Last-Modified, ETag, Accept-Ranges */
        struct text fields_304;    /* the part of it that a 304 needs */
        const char *body;          /* NULL: in `file` */
        int file;                  /* or -1 */
        uint64_t size;
        size_t bytes; /* of memory */
        struct http_validators validators;
        struct files_identity identity;
        struct loop_job closing;   /* for where close(2) may wait … */
        struct files_cache *cache; /* … then */
        char data[];               /* the key, the fields, the body */
};

static inline bool files_identity_equal(const struct files_identity *a,
                                        const struct files_identity *b) {
        return a->inode == b->inode && a->device == b->device && a->size == b->size &&
               a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec &&
               a->modified.tv_sec == b->modified.tv_sec &&
               a->modified.tv_nsec == b->modified.tv_nsec;
}

/* Nobody uses it, and it is in no table. Closes the descriptor, which may wait. */
struct files_entry *files_entry_free(struct files_entry *e); /* accepts NULL; gives NULL */
DEFINE_FREEP(struct files_entry, files_entry)
