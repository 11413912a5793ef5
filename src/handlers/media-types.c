/* SPDX-License-Identifier: MIT */
#include "handlers/media-types.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/fd.h"

/*
 * The system's file has some 1,500 extensions, of which a site uses ten. To make a table of it
 * takes a millisecond, which a server that was started for this very request does not have, and
 * 60 KiB that stay. So the file is read and searched once for each extension that is met (about
 * 0.1 ms), and the outcome is remembered, also that there is none. The first few are searched on
 * the loop if the file is in memory, because the first visitor would wait longer for a thread; the
 * others on the pool, because whoever may upload files may make up extensions.
 *
 * What is remembered stays for the life of the process in a table of fixed size: pointers that are
 * set once, so any thread may look without a lock. Where it is full an extension is searched for
 * again each time a file of it is loaded, which is right, only slower.
 *
 * Charset: a browser takes text without a charset for windows-1252, and what people write is UTF-8,
 * so text says so. The cost is that a page in another encoding, declared inside it, is shown wrong.
 * text/xml declares its own, and RFC 8259 gives JSON none.
 */
#define MEDIA_TYPES_FILE "/etc/mime.types"
#define CHARSET          "; charset=utf-8"

enum {
        FILE_BYTES_MAX = 1 << 20,
        EXTENSION_BYTES_MAX = 31,
        SLOTS = 256,     /* a guess: few sites have a hundred extensions */
        PROBES_MAX = 8,  /* slots looked at for one extension */
        AT_ONCE_MAX = 8, /* searches on a loop: a page, its style, scripts, images and fonts */
};

struct media_type {
        const char *extension, *type;
};

/* Sorted by extension. */
/* clang-format off */
static const struct media_type media_types_built_in[] = {
        { "7z", "application/x-7z-compressed" },
        { "aac", "audio/aac" },
        { "apk", "application/vnd.android.package-archive" },
        { "apng", "image/apng" },
        { "avi", "video/x-msvideo" },
        { "avif", "image/avif" },
        { "bin", "application/octet-stream" },
        { "bmp", "image/bmp" },
        { "bz2", "application/x-bzip" },
        { "css", "text/css" CHARSET },
        { "csv", "text/csv" CHARSET },
        { "deb", "application/vnd.debian.binary-package" },
        { "doc", "application/msword" },
        { "docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document" },
        { "eot", "application/vnd.ms-fontobject" },
        { "epub", "application/epub+zip" },
        { "flac", "audio/flac" },
        { "gif", "image/gif" },
        { "gz", "application/gzip" },
        { "htm", "text/html" CHARSET },
        { "html", "text/html" CHARSET },
        { "ico", "image/vnd.microsoft.icon" },
        { "ics", "text/calendar" CHARSET },
        { "iso", "application/x-iso9660-image" },
        { "jar", "application/java-archive" },
        { "jpeg", "image/jpeg" },
        { "jpg", "image/jpeg" },
        { "js", "text/javascript" CHARSET },
        { "json", "application/json" },
        { "jsonld", "application/ld+json" },
        { "jxl", "image/jxl" },
        { "log", "text/plain" CHARSET },
        { "m3u8", "application/vnd.apple.mpegurl" },
        { "m4a", "audio/mp4" },
        { "map", "application/json" },
        { "md", "text/markdown" CHARSET },
        { "mjs", "text/javascript" CHARSET },
        { "mkv", "video/matroska" },
        { "mov", "video/quicktime" },
        { "mp3", "audio/mpeg" },
        { "mp4", "video/mp4" },
        { "mpeg", "video/mpeg" },
        { "odp", "application/vnd.oasis.opendocument.presentation" },
        { "ods", "application/vnd.oasis.opendocument.spreadsheet" },
        { "odt", "application/vnd.oasis.opendocument.text" },
        { "oga", "audio/ogg" },
        { "ogg", "audio/ogg" },
        { "ogv", "video/ogg" },
        { "opus", "audio/ogg" },
        { "otf", "font/otf" },
        { "pdf", "application/pdf" },
        { "png", "image/png" },
        { "ppt", "application/vnd.ms-powerpoint" },
        { "pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation" },
        { "rar", "application/vnd.rar" },
        { "rss", "application/rss+xml" },
        { "rtf", "application/rtf" },
        { "svg", "image/svg+xml" },
        { "tar", "application/x-tar" },
        { "tgz", "application/gzip" },
        { "tif", "image/tiff" },
        { "tiff", "image/tiff" },
        { "ts", "video/mp2t" },
        { "ttf", "font/ttf" },
        { "txt", "text/plain" CHARSET },
        { "vtt", "text/vtt" CHARSET },
        { "wasm", "application/wasm" },
        { "wav", "audio/x-wav" },
        { "weba", "audio/webm" },
        { "webm", "video/webm" },
        { "webmanifest", "application/manifest+json" },
        { "webp", "image/webp" },
        { "woff", "font/woff" },
        { "woff2", "font/woff2" },
        { "xhtml", "application/xhtml+xml" },
        { "xls", "application/vnd.ms-excel" },
        { "xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" },
        { "xml", "application/xml" },
        { "xz", "application/x-xz" },
        { "zip", "application/zip" },
        { "zst", "application/zstd" },
};
/* clang-format on */

struct remembered {
        char type[MEDIA_TYPE_BYTES_MAX + 1];
        char extension[];
};

static _Atomic(struct remembered *) remembered[SLOTS];
static atomic_uint searched_at_once;
static struct text lines_for_tests;

/* ---- the name ---- */

/* The extension in lower case; empty where there is none that can be in a table. */
static void extension_of(struct text name, char out[static EXTENSION_BYTES_MAX + 1]) {
        size_t dot = name.size, n;

        while (dot > 0 && name.data[dot - 1] != '.' && name.data[dot - 1] != '/')
                dot--;
        n = name.size - dot;
        /* no dot, or one that begins the name (".profile") */
        if (dot < 2 || name.data[dot - 1] != '.' || name.data[dot - 2] == '/' ||
            n > EXTENSION_BYTES_MAX)
                n = 0;
        for (size_t i = 0; i < n; i++)
                out[i] = ascii_lower(name.data[dot + i]);
        out[n] = '\0';
}

/* ---- what is remembered ---- */

static unsigned slot_of(const char *extension) {
        uint32_t hash = 2166136261; /* FNV-1a; colliding names cost their owner a search a load */

        while (*extension)
                hash = (hash ^ (unsigned char)*extension++) * 16777619;
        return hash % SLOTS;
}

static const struct remembered *recall(const char *extension) {
        for (unsigned i = 0, slot = slot_of(extension); i < PROBES_MAX; i++) {
                struct remembered *at =
                        atomic_load_explicit(&remembered[(slot + i) % SLOTS], memory_order_acquire);

                if (!at)
                        return NULL;
                if (!strcmp(at->extension, extension))
                        return at;
        }
        return NULL;
}

/* It may find no memory or no room: then it is searched for again. */
static void remember(const char *extension, const char *type) {
        size_t bytes = strlen(extension) + 1;
        struct remembered *own = malloc(sizeof(*own) + bytes);

        if (!own)
                return;
        memcpy(own->extension, extension, bytes);
        strcpy(own->type, type);
        for (unsigned i = 0, slot = slot_of(extension); i < PROBES_MAX; i++) {
                struct remembered *at = NULL;

                if (atomic_compare_exchange_strong(&remembered[(slot + i) % SLOTS], &at, own))
                        return;
                if (!strcmp(at->extension, extension))
                        break; /* another thread was faster */
        }
        free(own);
}

/* ---- the tables ---- */

/* Take the next word off a line of mime.types(5): "type/subtype  extension extension …". */
static bool line_word(struct text *line, struct text *ret_word) {
        const char *at = line->data, *end = at + line->size, *start;

        while (at < end && (*at == ' ' || *at == '\t' || *at == '\r'))
                at++;
        start = at;
        while (at < end && *at != ' ' && *at != '\t' && *at != '\r')
                at++;
        *ret_word = (struct text){ start, (size_t)(at - start) };
        *line = (struct text){ at, (size_t)(end - at) };
        return at > start && *start != '#';
}

static bool type_is_valid(struct text type) {
        for (size_t i = 0; i < type.size;
             i++) /* it goes into a field: nothing that could end one */
                if (type.data[i] <= ' ' || type.data[i] >= 0x7f)
                        return false;
        return type.size <= MEDIA_TYPE_BYTES_MAX - sizeof(CHARSET) &&
               text_find(type, '/') < type.size;
}

static bool type_takes_charset(struct text type) {
        return text_starts_with(type, TEXT("text/")) && !text_equal(type, TEXT("text/xml")) &&
               text_find(type, ';') == type.size;
}

/* The first line that names the extension decides. */
static bool find_in_lines(struct text lines, const char *extension,
                          char out[static MEDIA_TYPE_BYTES_MAX + 1]) {
        struct text wanted = text_of(extension), line, type, word;

        while (lines.size) {
                size_t n = text_find(lines, '\n');

                line = (struct text){ lines.data, n };
                n = MIN(n + 1, lines.size);
                lines = (struct text){ lines.data + n, lines.size - n };
                /* most types have no extension, and are passed over without looking at each byte */
                if (!memchr(line.data, '\t', line.size) && !memchr(line.data, ' ', line.size))
                        continue;
                if (!line_word(&line, &type))
                        continue;
                while (line_word(&line, &word)) {
                        if (!text_equal_nocase(word, wanted) || !type_is_valid(type))
                                continue;
                        memcpy(out, type.data, type.size);
                        strcpy(out + type.size, type_takes_charset(type) ? CHARSET : "");
                        return true;
                }
        }
        return false;
}

/* Errors: -ENOENT; -EAGAIN: it is not in memory, or the kernel cannot tell. */
static int read_at_once(struct buffer *file) {
        struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NOCTTY,
                                .resolve = RESOLVE_CACHED };
        _cleanup_(fd_closep)
        int fd = (int)syscall(SYS_openat2, AT_FDCWD, MEDIA_TYPES_FILE, &how, sizeof(how));
        struct iovec iov;
        struct stat st;

        if (fd < 0)
                return errno == ENOENT ? -ENOENT : -EAGAIN;
        if (fstat(fd, &st) < 0 || st.st_size <= 0 || st.st_size > FILE_BYTES_MAX ||
            buffer_reserve(file, (size_t)st.st_size) < 0)
                return -EAGAIN;
        iov = (struct iovec){ file->data, (size_t)st.st_size };
        if (preadv2(fd, &iov, 1, 0, RWF_NOWAIT) != st.st_size)
                return -EAGAIN;
        file->used = (size_t)st.st_size;
        return 0;
}

/* 1 found, 0 not there, -errno: the file could not be read this time, or not without waiting. */
static int find_in_system(const char *extension, bool may_wait,
                          char out[static MEDIA_TYPE_BYTES_MAX + 1]) {
        _cleanup_(buffer_finish)
        struct buffer file = {};
        int r;

        if (!may_wait && atomic_fetch_add(&searched_at_once, 1) >= AT_ONCE_MAX)
                return -EAGAIN;
        if (lines_for_tests.data)
                return find_in_lines(lines_for_tests, extension, out);
        r = may_wait ? fd_read_file(MEDIA_TYPES_FILE, FILE_BYTES_MAX, &file.data, &file.used)
                     : read_at_once(&file);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        return find_in_lines(buffer_text(&file), extension, out);
}

static int compare_built_in(const void *key, const void *row) {
        return strcmp(key, ((const struct media_type *)row)->extension);
}

static void find_built_in(const char *extension, char out[static MEDIA_TYPE_BYTES_MAX + 1]) {
        const struct media_type *found =
                bsearch(extension, media_types_built_in, ELEMENTS(media_types_built_in),
                        sizeof(*media_types_built_in), compare_built_in);

        strcpy(out, found ? found->type : MEDIA_TYPE_UNKNOWN);
}

/* ---- for others ---- */

int media_type_of(struct text name, bool may_wait, char out[static MEDIA_TYPE_BYTES_MAX + 1]) {
        char extension[EXTENSION_BYTES_MAX + 1];
        const struct remembered *known;
        int r;

        extension_of(name, extension);
        known = recall(extension);
        if (known || !*extension) {
                strcpy(out, known ? known->type : MEDIA_TYPE_UNKNOWN);
                return 0;
        }
        r = find_in_system(extension, may_wait, out);
        if (r == -EAGAIN && !may_wait)
                return r;
        if (r <= 0)
                find_built_in(extension, out);
        if (r >= 0) /* out of memory or descriptors: the next one may have more luck */
                remember(extension, out);
        return 0;
}

void media_types_use(struct text lines) {
        for (unsigned i = 0; i < SLOTS; i++) {
                free(remembered[i]);
                remembered[i] = NULL;
        }
        searched_at_once = 0;
        lines_for_tests = lines;
}
