/* SPDX-License-Identifier: MIT */
#include "handlers/files-load.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "handlers/media-types.h"
#include "http/date.h"
#include "loop/loop.h"

/*
 * When may bytes be kept, and called by a strong ETag? A file system stamps a change with a clock
 * that ticks every few milliseconds, so a second change within a tick leaves size and times as they
 * were, and what was read between the two would be kept for ever. So a file counts as settled only
 * if its last change (ctime, which nobody can set) lies 2 s from the moment we look, to either
 * side: a ctime far in the future is from a clock that was wrong, and any change from here on gives
 * it another. And it must look the same before and after its bytes were read, or they may be half
 * of one version and half of another.
 *
 * What is not settled is sent, not kept, with a weak ETag that ends in "-w": it must not match the
 * strong one that the same size and time give two seconds later, or a client that asked in that
 * moment would be told 304 for ever after. For the same reason Last-Modified, which knows whole
 * seconds only, is told a second too early while that second may not be over.
 *
 * The ETag is made of size and modification time alone, not of the inode or the device: several
 * machines behind one balancer then give the same for copies made with their times kept.
 */
#define SETTLED_USEC (2 * USEC_PER_SEC)
#define DATE_SEC_MAX INT64_C(253402300799) /* the end of year 9999, the last that a date can say */

struct found {
        int fd;
        char type[MEDIA_TYPE_BYTES_MAX + 1];
        uint64_t real_usec; /* before the look at it */
        struct files_identity identity;
};

static struct files_identity identity_of(const struct stat *st) {
        return (struct files_identity){
                .device = st->st_dev,
                .inode = st->st_ino,
                .size = (uint64_t)st->st_size,
                .modified = st->st_mtim,
                .changed = st->st_ctim,
        };
}

static int64_t timespec_usec(const struct timespec *t) {
        if (t->tv_sec > DATE_SEC_MAX)
                return DATE_SEC_MAX * (int64_t)USEC_PER_SEC;
        if (t->tv_sec < 0)
                return 0;
        return (int64_t)t->tv_sec * (int64_t)USEC_PER_SEC + t->tv_nsec / 1000;
}

static bool is_near(const struct timespec *t, uint64_t real_usec) {
        int64_t distance = timespec_usec(t) - (int64_t)real_usec;

        return distance > -(int64_t)SETTLED_USEC && distance < (int64_t)SETTLED_USEC;
}

/* ---- the body ---- */

/*
 * Not in the page cache, or the file system cannot tell, or it shrank: the pool finds out.
 */
static int read_at_once(int fd, char *data, size_t bytes) {
        struct loop_file_read read = { .file = fd, .bytes = bytes, .to = data };

        return loop_read_now(&read) == (ssize_t)bytes ? 0 : -EAGAIN;
}

/* Gives how many bytes there were. Errors: -errno. */
static int read_waiting(int fd, char *data, size_t bytes) {
        size_t taken = 0;

        while (taken < bytes) {
                ssize_t n = pread(fd, data + taken, bytes - taken, (off_t)taken);

                if (n < 0 && errno != EINTR)
                        return -errno;
                if (n == 0)
                        break;
                taken += n > 0 ? (size_t)n : 0;
        }
        return (int)taken;
}

static int entry_read(struct files_entry *e, struct files_lookup *l, const struct found *f,
                      char *body) {
        struct files_identity after;
        struct stat st;
        int r;

        if (l->way == FILES_OPEN_AT_ONCE) {
                r = read_at_once(f->fd, body, e->size);
        } else {
                r = read_waiting(f->fd, body, e->size);
                if (r >= 0 && (uint64_t)r < e->size) {
                        e->size = (uint64_t)r;
                        e->settled = false;
                }
        }
        if (r < 0)
                return r;
        if (fstat(f->fd, &st) < 0)
                return -errno;
        after = identity_of(&st);
        if (!files_identity_equal(&after, &e->identity))
                e->settled = false;
        e->body = body;
        return 0;
}

/* ---- the fields ---- */

/* Writes the entry's fields at `at`, at most FILES_FIELDS_BYTES_MAX. */
static void entry_describe(struct files_entry *e, const struct found *f, char *at) {
        const struct timespec *modified = &f->identity.modified;
        int64_t sec = MIN(modified->tv_sec, (int64_t)(f->real_usec / USEC_PER_SEC));
        char date[HTTP_DATE_BYTES + 1], etag[64];
        const char *head = at;
        int n;

        /* not later than the answer itself (RFC 9110, 8.8.2.1) */
        if (is_near(modified, f->real_usec))
                sec--;
        sec = MAX(MIN(sec, DATE_SEC_MAX), INT64_C(0));
        http_date_format((uint64_t)sec, date);
        n = snprintf(etag, sizeof(etag), "%s\"%" PRIx64 "-%" PRIx64 ".%lx%s\"",
                     e->settled ? "" : "W/", f->identity.size, (uint64_t)modified->tv_sec,
                     modified->tv_nsec, e->settled ? "" : "-w");
        assert(n > 0 && (size_t)n < sizeof(etag));
        e->validators = (struct http_validators){
                .etag = { NULL, (size_t)n },
                .modified_sec = (uint64_t)sec,
                .modified_is_strong = e->settled && !is_near(modified, f->real_usec),
        };
        at += sprintf(at, "Content-Type: %s\r\nAccept-Ranges: bytes\r\n", f->type);
        e->fields_304.data = at;
        at += sprintf(at, "Last-Modified: %s\r\nETag: ", date);
        e->validators.etag.data = at;
        at += sprintf(at, "%s\r\n", etag);
        e->fields_304.size = (size_t)(at - e->fields_304.data);
        e->fields = (struct text){ head, (size_t)(at - head) };
        assert(e->fields.size <= FILES_FIELDS_BYTES_MAX);
}

/* ---- the file ---- */

/* Takes over the descriptor. */
static int entry_make(struct files_lookup *l, const char *path, struct found *f) {
        bool small = f->identity.size <= FILES_BODY_BYTES_MAX;
        size_t body_bytes = small ? f->identity.size : 0;
        size_t bytes =
                sizeof(struct files_entry) + l->key.size + FILES_FIELDS_BYTES_MAX + 1 + body_bytes;
        _cleanup_(files_entry_freep)
        struct files_entry *e = NULL;
        int r = media_type_of(text_of(path), l->way == FILES_OPEN_WAITING, f->type);

        if (r < 0)
                return r;
        e = malloc(bytes);
        if (!e)
                return -ENOMEM;
        *e = (struct files_entry){};
        e->file = -1;
        e->bytes = bytes;
        e->key.route = l->route;
        memcpy(e->data, l->key.data, l->key.size);
        e->key.path = (struct text){ e->data, l->key.size };
        e->key.has_percent = text_find(l->key, '%') < l->key.size;
        e->identity = f->identity;
        e->size = f->identity.size;
        e->settled = !is_near(&f->identity.changed, f->real_usec);
        e->local = f->identity.device == l->local_device;
        if (small) {
                r = entry_read(e, l, f, e->data + l->key.size + FILES_FIELDS_BYTES_MAX + 1);
                if (r < 0)
                        return r;
        }
        entry_describe(e, f, e->data + l->key.size);
        if (!small) {
                e->file = f->fd;
                f->fd = -1;
        }
        l->entry = take_ptr(e);
        return FILES_LOADED;
}

/*
 * A folder that may be entered but not read cannot be opened for reading; it is a folder all the
 * same.
 */
static int load_refused(struct files_lookup *l, const char *path) {
        _cleanup_(fd_closep)
        int fd = files_open_beneath(l->root, path, O_PATH | O_DIRECTORY, l->way);

        return fd >= 0 ? FILES_IS_FOLDER : fd == -EAGAIN ? -EAGAIN : -EACCES;
}

static int load_file(struct files_lookup *l, const char *path) {
        struct found f;
        struct stat st;
        int r;

        f.fd = files_open_beneath(l->root, path, O_RDONLY, l->way);
        if (f.fd == -EACCES)
                return load_refused(l, path);
        /* a socket, or a device without a driver */
        if (f.fd == -ENXIO || f.fd == -ENODEV)
                return -ENOENT;
        if (f.fd < 0)
                return f.fd;
        f.real_usec = l->real_usec(); /* before the look: a change after it is then a recent one */
        if (fstat(f.fd, &st) < 0)
                r = -errno;
        else if (S_ISDIR(st.st_mode))
                r = FILES_IS_FOLDER;
        else if (!S_ISREG(st.st_mode))
                r = -ENOENT;
        else {
                f.identity = identity_of(&st);
                r = l->known && files_identity_equal(l->known, &f.identity)
                            ? FILES_UNCHANGED
                            : entry_make(l, path, &f);
        }
        fd_close(f.fd);
        return r;
}

static bool is_absence(int r) {
        return r == -ENOENT || r == -ENOTDIR || r == FILES_IS_FOLDER;
}

static int load_index(struct files_lookup *l) {
        char path[PATH_MAX];
        int r = -ENOENT;

        for (char *const *name = l->index; *name; name++) {
                int n = snprintf(path, sizeof(path), "%s%s", l->path, *name);

                if (n < 0 || (size_t)n >= sizeof(path))
                        return -ENAMETOOLONG;
                r = load_file(l, path);
                if (!is_absence(r))
                        return r;
        }
        return -ENOENT; /* an index that is a folder is none */
}

int files_load(struct files_lookup *l) {
        size_t n = strlen(l->path);

        if (l->way == FILES_OPEN_AT_ONCE && !l->local_device)
                return -EAGAIN;
        return n && l->path[n - 1] != '/' ? load_file(l, l->path) : load_index(l);
}
