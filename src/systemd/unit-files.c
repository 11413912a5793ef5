/* SPDX-License-Identifier: MIT */
#include "systemd/unit-files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "config/arena.h"
#include "config/ini.h"
#include "systemd/unit-names.h"

/*
 * A unit is looked for in all folders by its own name, then by that of its template. The first file
 * found is its text; a link to a unit of another name makes that one its name, a link to /dev/null
 * or an empty file makes it masked. Then come its drop-ins in order of name, of which one hides
 * those of the same name in later folders.
 */
enum {
        ALIASES_MAX = 8,     /* links from name to name */
        DROP_INS_MAX = 1024, /* of one unit */
        LINES_MAX = 16384,   /* of one unit */
        ENTRIES_MAX = 65536, /* looked at in one folder */
        NAMES_MAX = 16384,   /* of units on a machine */
        PATH_BYTES_MAX = 4096,
};

/* As in systemd.unit(5); what a generator wrote may list units as well as a person may. */
static const char *const folders[] = {
        "/etc/systemd/system.control", "/run/systemd/system.control",
        "/run/systemd/transient",      "/run/systemd/generator.early",
        "/etc/systemd/system",         "/etc/systemd/system.attached",
        "/run/systemd/system",         "/run/systemd/system.attached",
        "/run/systemd/generator",      "/usr/local/lib/systemd/system",
        "/usr/lib/systemd/system",     "/lib/systemd/system",
        "/run/systemd/generator.late",
};

struct drop_in {
        const char *name, *path;
};

struct unit_draft {
        struct unit unit;
        struct arena arena;
        const char *root;
        struct unit_line *lines;
        struct drop_in *drop_ins;
        size_t drop_in_count;
};

struct unit *unit_free(struct unit *unit) {
        struct unit_draft *d;

        if (!unit)
                return NULL;
        d = container_of(unit, struct unit_draft, unit);
        arena_finish(&d->arena);
        free(d->lines);
        free(d->drop_ins);
        free(d);
        return NULL;
}

/* ---- reading a file ---- */

/* -ERFKILL: empty, which masks as a link to /dev/null does. A FIFO must not make us wait. */
static int read_regular(const char *path, char **ret, size_t *ret_bytes) {
        _cleanup_(fd_closep)
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        struct stat st, null;
        char *data;
        size_t used = 0;

        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (S_ISCHR(st.st_mode) && stat("/dev/null", &null) == 0 && null.st_rdev == st.st_rdev)
                return -ERFKILL;
        if (!S_ISREG(st.st_mode))
                return -EINVAL;
        if (st.st_size > UNIT_FILE_BYTES_MAX)
                return -EFBIG;
        data = malloc((size_t)st.st_size + 1);
        if (!data)
                return -ENOMEM;
        while (used < (size_t)st.st_size) {
                ssize_t n = read(fd, data + used, (size_t)st.st_size - used);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        break;
                used += (size_t)n;
        }
        *ret = data;
        *ret_bytes = used;
        return 0;
}

static int add_line(struct unit_draft *d, const struct unit_line *line) {
        size_t count = d->unit.count;

        if (count >= LINES_MAX)
                return 0;
        if ((count & (count - 1)) == 0) {
                size_t room = count ? count * 2 : 1;
                struct unit_line *more = reallocarray(d->lines, room, sizeof(*more));

                if (!more)
                        return -ENOMEM;
                d->unit.lines = d->lines = more;
        }
        d->lines[d->unit.count++] = *line;
        return 0;
}

static int read_lines(struct unit_draft *d, struct ini *ini, const char *file) {
        const char *section = NULL;

        for (;;) {
                struct unit_line line = { .file = file };
                struct ini_item item;
                int r = ini_next(ini, &item);

                if (r < 0 || item.kind == INI_END)
                        return r;
                if (item.kind == INI_SECTION) {
                        section = arena_text(&d->arena, item.name);
                        if (!section)
                                return -ENOMEM;
                }
                if (item.kind != INI_ASSIGNMENT || !section)
                        continue;
                line.section = section;
                line.line = item.line;
                line.key = arena_text(&d->arena, item.name);
                line.value = arena_text(&d->arena, item.value);
                if (!line.key || !line.value)
                        return -ENOMEM;
                r = add_line(d, &line);
                if (r < 0)
                        return r;
        }
}

static int read_file(struct unit_draft *d, const char *path) {
        char *file, *data = NULL;
        size_t bytes = 0;
        struct ini ini;
        int r = read_regular(path, &data, &bytes);

        if (r < 0)
                return r;
        file = arena_text(&d->arena, text_of(path));
        if (file) {
                ini_init(&ini, (struct text){ data, bytes });
                r = read_lines(d, &ini, file);
                ini_finish(&ini);
        }
        free(data);
        if (!file || r < 0)
                return -ENOMEM;
        if (!d->unit.file)
                d->unit.file = file;
        return bytes ? 0 : -ERFKILL;
}

/* ---- the unit's own file ---- */

/* The name that a link in place of `name`'s file makes it; empty: it is that file. */
static void alias_of(const char *path, const char *name, char out[static UNIT_NAME_BYTES_MAX + 1]) {
        char target[PATH_BYTES_MAX], template[UNIT_NAME_BYTES_MAX + 1];
        ssize_t n = readlink(path, target, sizeof(target) - 1);
        const char *base;

        out[0] = '\0';
        if (n <= 0)
                return;
        target[n] = '\0';
        base = strrchr(target, '/');
        base = base ? base + 1 : target;
        if (strcmp(target, "/dev/null") == 0 || strcmp(base, name) == 0 ||
            !unit_name_is_valid(base) || strcmp(strrchr(base, '.'), strrchr(name, '.')) != 0 ||
            (unit_name_template(name, template) && strcmp(base, template) == 0))
                return;
        strcpy(out, base);
}

/* Looks for a file of this name: 0, -ENOENT, -EAGAIN with the name to look for instead, … */
static int read_named(struct unit_draft *d, const char *name,
                      char alias[static UNIT_NAME_BYTES_MAX + 1]) {
        char path[PATH_BYTES_MAX];

        for (size_t i = 0; i < ELEMENTS(folders); i++) {
                struct stat st;

                if (snprintf(path, sizeof(path), "%s%s/%s", d->root, folders[i], name) >=
                            (int)sizeof(path) ||
                    lstat(path, &st) < 0)
                        continue;
                if (S_ISLNK(st.st_mode)) {
                        alias_of(path, name, alias);
                        if (alias[0])
                                return -EAGAIN;
                }
                return read_file(d, path);
        }
        return -ENOENT;
}

static int read_main(struct unit_draft *d, const char *name) {
        char alias[UNIT_NAME_BYTES_MAX + 1], template[UNIT_NAME_BYTES_MAX + 1];

        for (int i = 0; i < ALIASES_MAX; i++) {
                int r = read_named(d, name, alias);

                if (r == -ENOENT && unit_name_template(name, template))
                        r = read_named(d, template, alias);
                if (r != -EAGAIN) {
                        if (r == 0)
                                d->unit.name = arena_text(&d->arena, text_of(name));
                        return r < 0 ? r : d->unit.name ? 0 : -ENOMEM;
                }
                name = arena_text(&d->arena, text_of(alias));
                if (!name)
                        return -ENOMEM;
        }
        return -ELOOP;
}

/* ---- drop-ins ---- */

static int add_drop_in(struct unit_draft *d, const char *folder, const char *name) {
        size_t count = d->drop_in_count, bytes = strlen(folder) + strlen(name) + 2;
        char *path;

        for (size_t i = 0; i < count; i++)
                if (strcmp(d->drop_ins[i].name, name) == 0)
                        return 0; /* hidden by that one */
        if (count >= DROP_INS_MAX)
                return 0;
        if ((count & (count - 1)) == 0) {
                size_t room = count ? count * 2 : 1;
                struct drop_in *more = reallocarray(d->drop_ins, room, sizeof(*more));

                if (!more)
                        return -ENOMEM;
                d->drop_ins = more;
        }
        path = arena_take(&d->arena, bytes);
        if (!path)
                return -ENOMEM;
        snprintf(path, bytes, "%s/%s", folder, name);
        d->drop_ins[d->drop_in_count++] = (struct drop_in){ path + strlen(folder) + 1, path };
        return 0;
}

static int list_drop_ins(struct unit_draft *d, const char *folder, const char *name) {
        char path[PATH_BYTES_MAX];
        const struct dirent *entry;
        DIR *dir = NULL;
        int r = 0;

        if (snprintf(path, sizeof(path), "%s%s/%s.d", d->root, folder, name) < (int)sizeof(path))
                dir = opendir(path);
        if (!dir)
                return 0;
        for (unsigned i = 0; i < ENTRIES_MAX && r == 0 && (entry = readdir(dir)); i++)
                if (entry->d_name[0] != '.' &&
                    text_ends_with(text_of(entry->d_name), TEXT(".conf")))
                        r = add_drop_in(d, path, entry->d_name);
        closedir(dir);
        return r;
}

static int compare_drop_ins(const void *a, const void *b) {
        return strcmp(((const struct drop_in *)a)->name, ((const struct drop_in *)b)->name);
}

static int read_drop_ins(struct unit_draft *d) {
        const char *type = strrchr(d->unit.name, '.') + 1;
        char name[UNIT_NAME_BYTES_MAX + 1];
        int r = 0;

        for (size_t i = 0; i < ELEMENTS(folders) && r == 0; i++) {
                for (unsigned n = 0; r == 0 && unit_name_wider(d->unit.name, n, name); n++)
                        r = list_drop_ins(d, folders[i], name);
        }
        for (size_t i = 0; i < ELEMENTS(folders) && r == 0; i++)
                r = list_drop_ins(d, folders[i], type);
        if (d->drop_in_count)
                qsort(d->drop_ins, d->drop_in_count, sizeof(*d->drop_ins), compare_drop_ins);
        for (size_t i = 0; i < d->drop_in_count && r == 0; i++)
                if (read_file(d, d->drop_ins[i].path) == -ENOMEM)
                        r = -ENOMEM;
        return r;
}

int unit_load(const char *root, const char *name, struct unit **ret) {
        struct unit_draft *d;
        _cleanup_(unit_freep)
        struct unit *unit = NULL;
        int r;

        if (!unit_name_is_valid(name))
                return -EINVAL;
        d = calloc(1, sizeof(*d));
        if (!d)
                return -ENOMEM;
        unit = &d->unit;
        d->root = root;
        r = read_main(d, name);
        if (r == 0)
                r = read_drop_ins(d);
        if (r < 0)
                return r;
        *ret = take_ptr(unit);
        return 0;
}

const struct unit_line *unit_find(const struct unit *unit, const char *section, const char *key) {
        for (size_t i = unit->count; i > 0; i--) {
                const struct unit_line *line = &unit->lines[i - 1];

                if (strcmp(line->section, section) == 0 && strcmp(line->key, key) == 0)
                        return line->value[0] ? line : NULL;
        }
        return NULL;
}

int unit_expand(const struct unit *unit, struct text value, struct buffer *to) {
        for (size_t i = 0; i < value.size; i++) {
                int r;

                if (value.data[i] != '%')
                        r = buffer_append(to, value.data + i, 1);
                else if (i + 1 == value.size)
                        return -EINVAL;
                else
                        r = unit_name_specifier(unit->name, value.data[++i], to);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- all units ---- */

struct seen_name {
        struct seen_name *next;
        bool enabled;
        char name[];
};

struct seen_names {
        struct text suffix;
        struct names by_name;
        struct seen_name *first, **end;
        size_t count;
};

static int note_name(struct seen_names *all, const char *name, bool enabled) {
        struct seen_name *one;
        size_t bytes = strlen(name) + 1;

        if (!text_ends_with(text_of(name), all->suffix) || !unit_name_is_valid(name) ||
            unit_name_is_template(name))
                return 0;
        one = names_find(&all->by_name, text_of(name));
        if (one) {
                one->enabled |= enabled;
                return 0;
        }
        if (++all->count > NAMES_MAX)
                return -E2BIG;
        one = malloc(sizeof(*one) + bytes);
        if (!one)
                return -ENOMEM;
        *one = (struct seen_name){ .enabled = enabled };
        memcpy(one->name, name, bytes);
        *all->end = one;
        all->end = &one->next;
        return names_add(&all->by_name, text_of(one->name), one);
}

static int note_folder(struct seen_names *all, const char *path, bool enabling) {
        DIR *dir = opendir(path);
        const struct dirent *entry;
        int r = 0;

        if (!dir)
                return 0;
        for (unsigned i = 0; i < ENTRIES_MAX && r == 0 && (entry = readdir(dir)); i++) {
                struct text name = text_of(entry->d_name);
                char inner[PATH_BYTES_MAX];

                if (enabling || text_ends_with(name, all->suffix)) {
                        r = note_name(all, entry->d_name, enabling);
                        continue;
                }
                if (!text_ends_with(name, TEXT(".wants")) &&
                    !text_ends_with(name, TEXT(".requires")))
                        continue;
                if (snprintf(inner, sizeof(inner), "%s/%s", path, entry->d_name) <
                    (int)sizeof(inner))
                        r = note_folder(all, inner, true);
        }
        closedir(dir);
        return r;
}

int unit_names(const char *root, struct text suffix,
               int (*seen)(const char *name, bool enabled, void *data), void *data) {
        struct seen_names all = { .suffix = suffix };
        char path[PATH_BYTES_MAX];
        int r = 0;

        all.end = &all.first;
        for (size_t i = 0; i < ELEMENTS(folders) && r == 0; i++)
                if (snprintf(path, sizeof(path), "%s%s", root, folders[i]) < (int)sizeof(path))
                        r = note_folder(&all, path, false);
        for (struct seen_name *one = all.first, *next; one; one = next) {
                next = one->next;
                if (r == 0)
                        r = seen(one->name, one->enabled, data);
                free(one);
        }
        names_finish(&all.by_name);
        return r;
}
