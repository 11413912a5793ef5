/* SPDX-License-Identifier: MIT */
#include "handlers/files.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/invariant.h"
#include "handlers/files-cache.h"
#include "handlers/files-load.h"
#include "handlers/files-root.h"
#include "http/range.h"
#include "http/target.h"

/*
 * GET and HEAD of files beneath a root.
 *
 *         hit (one hash, one compare)                        -> answer
 *         miss: resolve the path, look it up at once         -> answer, redirect or refuse
 *         that may wait: a load on the pool, shared by all
 *         who ask for the same path meanwhile                -> answer, redirect or refuse, later
 *
 * A stale entry is a miss whose lookup may end in "unchanged", which makes it fresh for a second.
 * The path of the request below the route's prefix is looked up beneath the root, as with `alias`
 * in other servers: with Root=/srv/x in Route /api/, /api/a is the file /srv/x/a. Names that begin
 * with "." are not there (404), but for ".well-known" (RFC 8615).
 *
 * A load outlives the exchanges that wait for it, since what runs on the pool cannot be stopped; it
 * owns or counts all that it uses. Those that nobody waits for are bounded, or clients that ask a
 * dead network file system and hang up would fill the memory. And nobody waits for ever: the
 * connection has no deadline while a handler is at work, so those who ask it would fill up
 * ConnectionsMax, for all sites.
 */
enum {
        FRESH_USEC = 1000000, /* how long an entry is served without a look at the file */
        ABANDONED_MAX = 1024, /* loads that nobody waits for; a guess */
        LOAD_USEC_MAX = 30 * 1000 * 1000, /* that requests wait for one; a guess */
        PATH_BYTES_MAX = HTTP_LINE_BYTES_MAX,
};

#define ALLOW "Allow: GET, HEAD, OPTIONS\r\n"

struct files_exchange {
        struct list waiting;       /* in load->waiting */
        struct files_load *load;   /* that it waits for, or NULL */
        uint64_t wait_until_usec;  /* … and how long */
        struct files_entry *entry; /* that it sends from, or NULL */
        uint64_t offset, left;     /* of the body */
        char *block;               /* fields of a 206, from the pool */
        char *location;            /* fields of a redirect, from the heap */
        char fields[64];           /* of a 416 */
};
_Static_assert(sizeof(struct files_exchange) <= EXCHANGE_STATE_BYTES, "fits into an exchange");

struct files_load {
        struct files_key key; /* in cache->loads */
        struct loop_job job;
        struct files_cache *cache;
        struct files_view *view;
        struct files_folder *folder;
        struct files_entry *stale; /* what `lookup.known` is in, or NULL */
        struct files_lookup lookup;
        struct list waiting;        /* of files_exchange; empty: abandoned */
        struct loop_timer deadline; /* set while somebody waits */
        int result;
        bool again;  /* kept files were closed for it, and it began anew */
        char path[]; /* of the request, resolved; NUL-ended */
};

/* A request that found no fresh entry. */
struct miss {
        struct files_view *view;
        struct files_entry *stale; /* or NULL */
        uint64_t hash;
        struct text path;  /* resolved, NUL-ended */
        const char *below; /* the part of it below the prefix */
};

static struct files_exchange *files_exchange_of(struct exchange *x) {
        return (struct files_exchange *)x->state;
}

static struct exchange *exchange_of(struct files_exchange *s) {
        return container_of(s, struct exchange, state);
}

static struct files_root *files_root_of(const struct exchange *x) {
        return handler_route_of(x)->prepared;
}

static struct files_cache *files_cache_of(const struct exchange *x) {
        return handler_worker_of(x)->files;
}

/* ---- answers ---- */

static unsigned files_status(int error) {
        switch (-error) {
        case ENOENT:
        case ENOTDIR:
        case ELOOP:
        case EXDEV:
        case ENAMETOOLONG: return 404;
        case EACCES:
        case EPERM: return 403;
        case EMFILE:
        case ENFILE:
        case ENOMEM:
        case EAGAIN: return 503;
        default: return 500;
        }
}

static void files_refuse(struct exchange *x, unsigned status) {
        exchange_refuse(x, status, (struct text){});
}

static bool files_asks_conditions(const struct http_request *r) {
        return r->first[HTTP_IF_MATCH] | r->first[HTTP_IF_NONE_MATCH] |
               r->first[HTTP_IF_MODIFIED_SINCE] | r->first[HTTP_IF_UNMODIFIED_SINCE] |
               r->first[HTTP_RANGE];
}

static void files_answer_range(struct exchange *x, struct files_entry *e, uint64_t first,
                               uint64_t bytes) {
        struct files_exchange *s = files_exchange_of(x);
        int n;

        s->block = pool_take(&files_cache_of(x)->blocks);
        if (!s->block) {
                files_refuse(x, 503);
                return;
        }
        n = snprintf(s->block, FILES_BLOCK_BYTES,
                     "%.*sContent-Range: bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64 "\r\n",
                     TEXT_ARGS(e->fields), first, first + bytes - 1, e->size);
        assert(n > 0 && n < FILES_BLOCK_BYTES);
        s->offset = first;
        s->left = bytes;
        exchange_answer(x, 206, (struct text){ s->block, (size_t)n }, bytes);
}

/* The request has conditions or a range. */
static void files_answer_if(struct exchange *x, struct files_entry *e) {
        struct files_exchange *s = files_exchange_of(x);
        const struct http_request *r = &x->request;
        struct text range = http_request_field(r, HTTP_RANGE);
        uint64_t now_sec = handler_worker_of(x)->real_usec() / USEC_PER_SEC, first, bytes;
        unsigned status = http_condition_status(r, &e->validators, now_sec);
        int n;

        if (status == 304) {
                exchange_answer(x, 304, e->fields_304, e->size);
                return;
        }
        if (status != 200) {
                files_refuse(x, status);
                return;
        }
        /* Range is defined for GET alone (RFC 9110, 14.2) */
        if (!range.data || r->method != HTTP_GET ||
            !http_range_is_current(r, &e->validators, now_sec)) {
                exchange_answer(x, 200, e->fields, e->size);
                return;
        }
        switch (http_range_parse(range, e->size, &first, &bytes)) {
        case HTTP_RANGE_ONE: files_answer_range(x, e, first, bytes); return;
        case HTTP_RANGE_UNSATISFIABLE:
                n = snprintf(s->fields, sizeof(s->fields), "Content-Range: bytes */%" PRIu64 "\r\n",
                             e->size);
                exchange_refuse(x, 416, (struct text){ s->fields, (size_t)n });
                return;
        default: exchange_answer(x, 200, e->fields, e->size); return;
        }
}

/* Takes over the caller's reference. */
static void files_answer(struct exchange *x, struct files_entry *e) {
        struct files_exchange *s = files_exchange_of(x);

        s->entry = e;
        s->left = e->size;
        if (likely(!files_asks_conditions(&x->request)))
                exchange_answer(x, 200, e->fields, e->size);
        else
                files_answer_if(x, e);
}

/* To the same path with a "/" behind it. It never begins with "//": it is a resolved one. */
static void files_redirect(struct exchange *x, struct text path) {
        static const char before[] = "Location: ", after[] = "\r\n";
        struct text query = http_span_text(&x->request, x->request.query);
        struct files_exchange *s = files_exchange_of(x);
        char *at = malloc(sizeof(before) + 3 * path.size + 2 + query.size + sizeof(after));

        s->location = at;
        if (!at) {
                files_refuse(x, 503);
                return;
        }
        at = stpcpy(at, before);
        at += http_path_encode(path, at);
        *at++ = '/';
        if (query.size) {
                *at++ = '?';
                at = mempcpy(at, query.data, query.size);
        }
        at = stpcpy(at, after);
        exchange_refuse(x, 301, (struct text){ s->location, (size_t)(at - s->location) });
}

/* ---- loads on the pool ---- */

static void load_work(struct loop_job *job) {
        struct files_load *load = container_of(job, struct files_load, job);

        load->result = files_load(&load->lookup);
}

static void load_free(struct files_load *load) {
        if (load->stale)
                files_entry_release(load->cache, load->stale);
        files_folder_release(load->folder);
        files_view_release(load->view);
        free(load);
}

/* What came of it, as an entry with a reference for the caller; NULL for all but files. */
static struct files_entry *load_entry(struct files_cache *cache, struct files_entry *stale,
                                      struct files_lookup *l, uint64_t hash, int result) {
        struct files_entry *e = l->entry;

        if (result == FILES_UNCHANGED)
                e = files_entry_ref(stale);
        else if (stale)
                files_cache_forget(cache, stale);
        if (result == FILES_LOADED) {
                e->key.hash = hash;
                files_cache_keep(cache, files_entry_ref(e));
        }
        if (e)
                e->fresh_until_usec = loop_now_usec(cache->loop) + FRESH_USEC;
        return e;
}

static void load_tell(struct exchange *x, struct files_entry *e, int result, struct text path) {
        if (e)
                files_answer(x, e);
        else if (result == FILES_IS_FOLDER)
                files_redirect(x, path);
        else
                files_refuse(x, files_status(result));
}

/* Without a free descriptor, those that are kept only for speed yield; it begins anew, once. */
static bool load_again(struct files_load *load) {
        struct files_cache *cache = load->cache;
        bool full = load->result == -EMFILE || load->result == -ENFILE;

        if (!full || load->again || cache->orphaned || files_cache_close_files(cache) == 0)
                return false;
        load->again = true;
        return true;
}

static void load_done(struct loop_job *job) {
        struct files_load *load = container_of(job, struct files_load, job);
        struct files_cache *cache = load->cache;
        struct files_entry *e;

        if (load_again(load)) {
                loop_offload(cache->loop, job, load_work, load_done);
                return;
        }
        e = load_entry(cache, load->stale, &load->lookup, load->key.hash, load->result);
        files_table_remove(&cache->loads, &load->key);
        loop_timer_clear(&load->deadline);
        if (list_is_empty(&load->waiting))
                cache->abandoned--;
        while (!list_is_empty(&load->waiting)) {
                struct files_exchange *s =
                        container_of(load->waiting.next, struct files_exchange, waiting);

                list_remove(&s->waiting);
                s->load = NULL;
                /* after this the exchange may be gone, and others that wait with it */
                load_tell(exchange_of(s), e ? files_entry_ref(e) : NULL, load->result,
                          load->key.path);
        }
        if (e)
                files_entry_release(cache, e);
        load_free(load);
        files_cache_job_done(cache);
}

static void load_wait_for(struct files_load *load, struct exchange *x) {
        struct loop *loop = load->cache->loop;
        struct files_exchange *s = files_exchange_of(x);

        s->load = load;
        s->wait_until_usec = loop_now_usec(loop) + LOAD_USEC_MAX;
        if (list_is_empty(&load->waiting))
                loop_timer_set(loop, &load->deadline, s->wait_until_usec);
        list_append(&load->waiting, &s->waiting);
}

static void load_join(struct files_load *load, struct exchange *x) {
        if (list_is_empty(&load->waiting))
                load->cache->abandoned--;
        load_wait_for(load, x);
}

static void load_leave(struct files_exchange *s) {
        struct files_load *load = s->load;

        list_remove(&s->waiting);
        s->load = NULL;
        if (!list_is_empty(&load->waiting))
                return;
        load->cache->abandoned++;
        loop_timer_clear(&load->deadline);
}

/* They stand in the order in which they came. The load itself goes on. */
static void load_is_late(struct loop_timer *timer) {
        struct files_load *load = container_of(timer, struct files_load, deadline);
        struct loop *loop = load->cache->loop;

        while (!list_is_empty(&load->waiting)) {
                struct files_exchange *s =
                        container_of(load->waiting.next, struct files_exchange, waiting);

                if (s->wait_until_usec > loop_now_usec(loop)) {
                        loop_timer_set(loop, timer, s->wait_until_usec);
                        return;
                }
                load_leave(s);
                /* this may bring the next request of its connection, which may join */
                files_refuse(exchange_of(s), 503);
        }
}

static struct files_load *load_new(struct files_cache *cache, const struct miss *m,
                                   const struct files_lookup *lookup) {
        struct files_load *load = malloc(sizeof(*load) + m->path.size + 1);

        if (!load)
                return NULL;
        *load = (struct files_load){
                .cache = cache,
                .key = { .hash = m->hash, .route = lookup->route },
                .lookup = *lookup,
                .deadline.fired = load_is_late,
        };
        list_init(&load->waiting);
        memcpy(load->path, m->path.data, m->path.size + 1);
        load->key.path = (struct text){ load->path, m->path.size };
        if (files_table_insert(&cache->loads, &load->key) < 0) {
                free(load);
                return NULL;
        }
        load->view = m->view;
        load->view->references++;
        load->folder = files_folder_ref(m->view->folder);
        load->stale = m->stale ? files_entry_ref(m->stale) : NULL;
        load->lookup.root = load->folder->fd;
        load->lookup.key = load->key.path;
        load->lookup.path = load->path + (m->below - m->path.data);
        load->lookup.way = FILES_OPEN_WAITING;
        return load;
}

static void load_start(struct exchange *x, const struct miss *m,
                       const struct files_lookup *lookup) {
        struct files_cache *cache = files_cache_of(x);
        struct files_load *load;

        load = cache->abandoned < ABANDONED_MAX ? load_new(cache, m, lookup) : NULL;
        if (!load) {
                files_refuse(x, 503);
                return;
        }
        load_wait_for(load, x);
        files_cache_job_start(cache, &load->job, load_work, load_done);
}

/* ---- requests ---- */

static void files_look_up(struct exchange *x, const struct miss *m) {
        struct files_cache *cache = files_cache_of(x);
        const struct files_folder *folder = m->view->folder;
        struct files_lookup lookup = {
                .root = folder->fd,
                .local_device = folder->local ? folder->device : 0,
                .way = FILES_OPEN_AT_ONCE,
                .path = m->below,
                .index = m->view->root->index,
                .real_usec = handler_worker_of(x)->real_usec,
                .known = m->stale ? &m->stale->identity : NULL,
                .key = m->path,
                .route = m->view->root->id,
        };
        int r = files_load(&lookup);

        if (r == -EMFILE && files_cache_close_files(cache) > 0)
                r = files_load(&lookup);
        if (r == -EAGAIN)
                load_start(x, m, &lookup);
        else
                load_tell(x, load_entry(cache, m->stale, &lookup, m->hash, r), r, m->path);
}

/*
 * The part of the path below the route's prefix, without a "/" at its begin; NULL where the path is
 * not below it. `*ret_is_root`: it names the prefix itself, without its "/".
 */
static const char *files_below(struct text path, struct text prefix, bool *ret_is_root) {
        if (prefix.size && prefix.data[prefix.size - 1] == '/')
                prefix.size--;
        *ret_is_root = text_equal(path, prefix);
        if (!text_starts_with(path, prefix) || (!*ret_is_root && path.data[prefix.size] != '/'))
                return NULL;
        return path.data + prefix.size + !*ret_is_root;
}

static bool files_is_hidden(const char *below) {
        for (const char *at = below; at; at = strchr(at, '/')) {
                at += *at == '/';
                if (*at == '.' && strcmp(at, ".well-known") && strncmp(at, ".well-known/", 12))
                        return true;
        }
        return false;
}

static void files_miss_at(struct exchange *x, struct miss *m) {
        struct files_cache *cache = files_cache_of(x);
        struct files_root *root = files_root_of(x);
        uint64_t now_usec = loop_now_usec(cache->loop);
        struct files_key *key;
        int r;

        m->hash = files_key_hash(root->id, m->path);
        key = files_table_find(&cache->entries, m->hash, root->id, m->path);
        if (key) {
                m->stale = container_of(key, struct files_entry, key);
                if (now_usec < m->stale->fresh_until_usec) {
                        m->stale->used = true;
                        files_answer(x, files_entry_ref(m->stale));
                        return;
                }
        }
        key = files_table_find(&cache->loads, m->hash, root->id, m->path);
        if (key) {
                load_join(container_of(key, struct files_load, key), x);
                return;
        }
        r = files_view_get(cache, root, &m->view);
        if (r < 0) {
                files_refuse(x, files_status(r));
                return;
        }
        if (m->stale)
                files_entry_ref(m->stale); /* making room could free it */
        files_look_up(x, m);
        if (m->stale)
                files_entry_release(cache, m->stale);
        files_view_release(m->view);
}

static void files_miss(struct exchange *x) {
        struct text raw = http_span_text(&x->request, x->request.path);
        char path[PATH_BYTES_MAX + 1];
        struct miss m = { .path = { path, 0 } };
        bool is_root;
        int r;

        if (raw.size > PATH_BYTES_MAX) {
                files_refuse(x, 414);
                return;
        }
        r = http_path_resolve(raw, path, &m.path.size);
        if (r < 0) {
                files_refuse(x, 400);
                return;
        }
        m.below = files_below(m.path, text_of(handler_route_of(x)->settings->prefix), &is_root);
        if (!m.below || files_is_hidden(m.below))
                files_refuse(x, 404);
        else if (is_root)
                files_redirect(x, m.path);
        else
                files_miss_at(x, &m);
}

static void files_start(struct exchange *x) {
        struct files_cache *cache = files_cache_of(x);
        struct files_entry *e;

        if (unlikely(x->request.method != HTTP_GET && x->request.method != HTTP_HEAD)) {
                if (x->request.method == HTTP_OPTIONS)
                        exchange_answer(x, 204, TEXT(ALLOW), 0);
                else if (x->request.method == HTTP_METHOD_OTHER)
                        files_refuse(x, 501); /* RFC 9110, 9.1 */
                else
                        exchange_refuse(x, 405, TEXT(ALLOW));
                return;
        }
        e = files_cache_hit(cache, files_root_of(x)->id,
                            http_span_text(&x->request, x->request.path),
                            loop_now_usec(cache->loop));
        if (likely(e))
                files_answer(x, e);
        else
                files_miss(x);
}

static int files_pull(struct exchange *x, uint64_t room_bytes, struct exchange_piece *ret) {
        struct files_exchange *s = files_exchange_of(x);
        uint64_t bytes = MIN(room_bytes, s->left);

        if (!invariant(s->entry && s->left))
                return -EBADMSG;
        *ret = (struct exchange_piece){
                .data = s->entry->body ? s->entry->body + s->offset : NULL,
                .file = s->entry->file,
                .offset = s->offset,
                .bytes = bytes,
                .last = bytes == s->left,
        };
        s->offset += bytes;
        s->left -= bytes;
        return 0;
}

static void files_finish(struct exchange *x) {
        struct files_exchange *s = files_exchange_of(x);

        if (s->load)
                load_leave(s);
        if (s->entry)
                files_entry_release(files_cache_of(x), s->entry);
        if (unlikely(s->block))
                pool_give(&files_cache_of(x)->blocks, s->block);
        if (unlikely(s->location))
                free(s->location);
}

const struct exchange_handler files_handler = {
        .name = "files",
        .start = files_start,
        .pull = files_pull,
        .finish = files_finish,
};
