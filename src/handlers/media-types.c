/* SPDX-License-Identifier: MIT */
#include "handlers/media-types.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "base/fd.h"

/*
 * The system's table has some 1,500 extensions, of which a site uses ten: it is kept as one block
 * of text and a sorted array of offsets into it (about 60 KiB), not read before the first file is
 * served, and looked at once a file, since the answer's fields are cached.
 *
 * Charset: a browser takes text without a charset for windows-1252, and what people write is UTF-8,
 * so text says so. The cost is that a page in another encoding, declared inside it, is shown wrong.
 * text/xml declares its own, and RFC 8259 gives JSON none.
 */
#define MEDIA_TYPES_FILE "/etc/mime.types"
#define CHARSET          "; charset=utf-8"

enum { FILE_BYTES_MAX = 1 << 20, EXTENSION_BYTES_MAX = 31 };

struct media_type {
        const char *extension, *type;
};

struct media_offsets {
        uint32_t extension, type, order;
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

static struct media_offsets *media_table; /* sorted; NULL: the built-in one */
static size_t media_table_count;
static char *media_text; /* what its offsets are into */
static _Atomic bool media_is_read;
static pthread_once_t media_once = PTHREAD_ONCE_INIT;

/* ---- reading mime.types(5): "type/subtype  extension …", "#" begins a comment ---- */

static bool media_word_is_valid(struct text word, size_t bytes_max) {
        if (word.size > bytes_max)
                return false;
        for (size_t i = 0; i < word.size;
             i++) /* it goes into a field: nothing that could end one */
                if (word.data[i] <= ' ' || word.data[i] >= 0x7f)
                        return false;
        return true;
}

static bool media_type_is_text(struct text type) {
        return text_starts_with(type, TEXT("text/")) && !text_equal(type, TEXT("text/xml")) &&
               text_find(type, ';') == type.size;
}

static void media_add_extension(struct buffer *strings, struct buffer *table, struct text word,
                                size_t type) {
        struct media_offsets o = {
                .extension = strings->used,
                .type = type,
                .order = table->used / sizeof(o),
        };

        for (size_t i = 0; i < word.size; i++)
                buffer_append(strings, &(char){ ascii_lower(word.data[i]) }, 1);
        buffer_append(strings, "", 1);
        buffer_append(table, &o, sizeof(o));
}

static void media_add_line(struct buffer *strings, struct buffer *table, struct text line) {
        size_t type_at = strings->used;
        struct text type, extension;
        bool used = false;

        if (!text_next_word(&line, " \t\r", &type) || type.data[0] == '#' ||
            !media_word_is_valid(type, MEDIA_TYPE_BYTES_MAX - sizeof(CHARSET)) ||
            text_find(type, '/') == type.size)
                return;
        while (text_next_word(&line, " \t\r", &extension) && extension.data[0] != '#') {
                if (!media_word_is_valid(extension, EXTENSION_BYTES_MAX))
                        continue;
                if (!used) { /* most types have no extension and need no room */
                        buffer_append_text(strings, type);
                        if (media_type_is_text(type))
                                buffer_append_text(strings, TEXT(CHARSET));
                        buffer_append(strings, "", 1);
                        used = true;
                }
                media_add_extension(strings, table, extension, type_at);
        }
}

static int media_compare_rows(const void *a, const void *b, void *strings) {
        const struct media_offsets *x = a, *y = b;
        int r = strcmp((char *)strings + x->extension, (char *)strings + y->extension);

        return r ? r : (x->order > y->order) - (x->order < y->order);
}

int media_types_use(const char *lines, size_t bytes) {
        _cleanup_(buffer_finish)
        struct buffer strings = {}, table = {};
        struct text rest = { lines, bytes }, line;

        while (lines && text_next_word(&rest, "\n", &line))
                media_add_line(&strings, &table, line);
        free(media_table);
        free(media_text);
        media_table = NULL;
        media_text = NULL;
        media_table_count = 0;
        if (strings.failed || table.failed)
                return -ENOMEM;
        if (!table.used)
                return 0;
        /* give back what doubling took too much; a failure to shrink loses nothing */
        media_text = realloc(strings.data, strings.used) ?: strings.data;
        media_table = realloc(table.data, table.used) ?: (void *)table.data;
        media_table_count = table.used / sizeof(*media_table);
        strings.data = table.data = NULL;
        qsort_r(media_table, media_table_count, sizeof(*media_table), media_compare_rows,
                media_text);
        return 0;
}

static void media_read(void) {
        _cleanup_(buffer_finish)
        struct buffer file = {};

        /* whatever goes wrong, the built-in table is there */
        if (!fd_read_file(MEDIA_TYPES_FILE, FILE_BYTES_MAX, &file.data, &file.used))
                media_types_use(file.data, file.used);
        atomic_store_explicit(&media_is_read, true, memory_order_release);
}

bool media_types_are_read(void) {
        return atomic_load_explicit(&media_is_read, memory_order_acquire);
}

/* ---- looking up ---- */

static int media_compare_built_in(const void *key, const void *row) {
        return strcmp(key, ((const struct media_type *)row)->extension);
}

static const char *media_find(const char *extension) {
        const struct media_type *found;
        size_t low = 0, high = media_table_count;

        while (low <
               high) { /* the first of equal ones: mime.types gives the preferred type first */
                size_t middle = (low + high) / 2;

                if (strcmp(media_text + media_table[middle].extension, extension) < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        if (low < media_table_count && !strcmp(media_text + media_table[low].extension, extension))
                return media_text + media_table[low].type;
        found = bsearch(extension, media_types_built_in, ELEMENTS(media_types_built_in),
                        sizeof(*media_types_built_in), media_compare_built_in);
        return found ? found->type : NULL;
}

struct text media_type_of(struct text name) {
        char extension[EXTENSION_BYTES_MAX + 1];
        const char *type = NULL;
        size_t dot = name.size, n;

        pthread_once(&media_once, media_read);
        while (dot > 0 && name.data[dot - 1] != '.' && name.data[dot - 1] != '/')
                dot--;
        n = name.size - dot;
        /* no dot, or one that begins the name (".profile") */
        if (dot > 1 && name.data[dot - 1] == '.' && name.data[dot - 2] != '/' &&
            n <= EXTENSION_BYTES_MAX) {
                for (size_t i = 0; i < n; i++)
                        extension[i] = ascii_lower(name.data[dot + i]);
                extension[n] = '\0';
                type = media_find(extension);
        }
        return type ? text_of(type) : TEXT("application/octet-stream");
}
