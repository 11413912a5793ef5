/* SPDX-License-Identifier: MIT */
/*
 * Loading: the settings file, its drop-ins, DIRECTORY, then the options, all into one draft, from
 * which the snapshot is built. The snapshot and all its strings live in one arena and die together.
 */
#include "config/settings.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "config/ini.h"
#include "config/settings-draft.h"
#include "config/values.h"

enum { DROP_INS_MAX = 1024 };

struct snapshot {
        struct settings settings;
        struct arena arena;
};

void settings_place(const struct settings_origin *origin, char out[static SETTINGS_PLACE_BYTES]) {
        if (origin->line)
                snprintf(out, SETTINGS_PLACE_BYTES, "%s:%u", origin->file, origin->line);
        else
                snprintf(out, SETTINGS_PLACE_BYTES, "%s", origin->file);
}

struct settings *settings_ref(struct settings *s) {
        assert(s->references > 0);
        s->references++;
        return s;
}

struct settings *settings_unref(struct settings *s) {
        struct snapshot *snapshot;

        if (!s)
                return NULL;
        assert(s->references > 0);
        if (--s->references > 0)
                return NULL;
        snapshot = container_of(s, struct snapshot, settings);
        arena_finish(&snapshot->arena);
        free(snapshot);
        return NULL;
}

static int read_items(struct draft *d, struct ini *ini, const char *file) {
        struct section *section = NULL;
        bool in_section = false; /* false before the first; in a faulty one `section` is NULL */

        for (;;) {
                struct settings_origin at = { file, 0 };
                struct ini_item item;
                int r = ini_next(ini, &item);

                if (r < 0 || item.kind == INI_END)
                        return r;
                at.line = item.line;
                if (item.kind == INI_FAULT) {
                        draft_fault(d, at, "%s", item.fault);
                } else if (item.kind == INI_SECTION) {
                        in_section = true;
                        r = draft_section(d, item.name, at, &section);
                } else if (!in_section) {
                        draft_fault(d, at, "a key before any section; write [Server] above it");
                } else if (section) {
                        r = draft_assign(d, section, item.name, item.value, at);
                }
                if (r < 0)
                        return r;
        }
}

static int read_file(struct draft *d, const char *path, bool is_optional) {
        char *file = arena_text(d->keep, text_of(path));
        struct settings_origin at = { file, 0 };
        char *data = NULL;
        size_t bytes = 0;
        struct ini ini;
        int r;

        if (!file)
                return -ENOMEM;
        r = fd_read_file(path, INI_FILE_BYTES_MAX, &data, &bytes);
        if (r == -ENOMEM || (r == -ENOENT && is_optional))
                return r == -ENOMEM ? r : 0;
        if (r == -EFBIG)
                draft_fault(d, at, "is larger than 4 MiB; this is no settings file");
        else if (r < 0)
                draft_fault(d, at, "cannot be read: %s; name a file that can", strerror(-r));
        if (r < 0)
                return 0;
        ini_init(&ini, (struct text){ data, bytes });
        r = read_items(d, &ini, file);
        ini_finish(&ini);
        free(data);
        return r;
}

static int is_drop_in(const struct dirent *entry) {
        return entry->d_name[0] != '.' && text_ends_with(text_of(entry->d_name), TEXT(".conf"));
}

static int compare_names(const struct dirent **a, const struct dirent **b) {
        return strcmp((*a)->d_name, (*b)->d_name); /* not alphasort(), which asks the locale */
}

static int read_drop_ins(struct draft *d, const char *file) {
        size_t bytes = strlen(file) + sizeof(".d/") + 255;
        char *folder = arena_take(d->keep, bytes), *path = arena_take(&d->scratch, bytes);
        struct dirent **entries = NULL;
        int count, r = 0;

        if (!folder || !path)
                return -ENOMEM;
        snprintf(folder, bytes, "%s.d", file);
        count = scandir(folder, &entries, is_drop_in, compare_names);
        if (count < 0) {
                if (errno == ENOMEM)
                        return -ENOMEM;
                if (errno != ENOENT)
                        draft_fault(d, (struct settings_origin){ folder, 0 },
                                    "cannot be read: %s; make it a folder that can",
                                    strerror(errno));
                return 0;
        }
        if (count > DROP_INS_MAX)
                draft_fault(d, (struct settings_origin){ folder, 0 },
                            "has more than %d drop-ins; remove some", DROP_INS_MAX);
        for (int i = 0; i < count; i++) {
                snprintf(path, bytes, "%s/%s", folder, entries[i]->d_name);
                if (r == 0 && i < DROP_INS_MAX)
                        r = read_file(d, path, false);
                free(entries[i]);
        }
        free(entries);
        return r;
}

/* What cannot stand in a file must not come in by another way: --print-config makes a file. */
static bool check_argument(struct draft *d, struct settings_origin at, const char *what,
                           struct text value) {
        const char *fault =
                value.size > INI_LINE_BYTES_MAX / 2 ? "is too long" : ini_fault_of_text(value);

        if (!fault && text_ends_with(value, TEXT("\\")))
                fault = "a backslash at its end; leave it out";
        if (fault)
                draft_fault(d, at, "%s: %s", what, fault);
        return !fault;
}

/* Made absolute, as the working folder is not kept. */
static int read_directory(struct draft *d, const char *directory) {
        struct settings_origin at = { "command line", 0 };
        _cleanup_(buffer_finish)
        struct buffer path = {};
        struct section *site;
        int r = 0;

        if (directory[0] != '/') {
                char *cwd = getcwd(NULL, 0);

                if (!cwd && errno == ENOMEM)
                        return -ENOMEM;
                if (!cwd) {
                        draft_fault(d, at,
                                    "the working folder cannot be told: %s; name an absolute "
                                    "path",
                                    strerror(errno));
                        return 0;
                }
                r = buffer_printf(&path, "%s/", cwd);
                free(cwd);
        }
        if (r == 0)
                r = buffer_append_text(&path, text_of(directory));
        if (r < 0)
                return r;
        if (!check_argument(d, at, "DIRECTORY", buffer_text(&path)))
                return 0;
        r = draft_section(d, TEXT("Site localhost"), at, &site);
        if (r < 0 || !site)
                return r;
        for (struct section *s = d->first; s; s = s->next) /* it is the default, whoever said so */
                if (s->kind == SECTION_SITE)
                        s->site->is_default = false;
        r = draft_assign(d, site, TEXT("Root"), buffer_text(&path), at);
        return r < 0 ? r : draft_assign(d, site, TEXT("Default"), TEXT("yes"), at);
}

/*
 * "Site example.org.Root=/srv": the key stands behind the last dot before the first "=". With a "?"
 * behind it the option is a default of whoever wrote the command line, as in a unit: it counts only
 * where nothing before it has assigned the key.
 */
static int read_option(struct draft *d, const char *option) {
        struct settings_origin at = { "command line", 0 };
        struct text all = text_of(option), value, title, key;
        size_t equals = text_find(all, '='), dot = equals;
        struct section *section;
        bool is_default;
        int r;

        if (!check_argument(d, at, "-o", all))
                return 0;
        while (dot > 0 && all.data[dot - 1] != '.')
                dot--;
        if (equals == all.size || dot < 2) {
                draft_fault(d, at,
                            "-o %s: not of the form SECTION.KEY=VALUE; write -o "
                            "Server.Workers=2",
                            option);
                return 0;
        }
        value = text_trim((struct text){ all.data + equals + 1, all.size - equals - 1 });
        title = text_trim((struct text){ all.data, dot - 1 });
        key = text_trim((struct text){ all.data + dot, equals - dot });
        is_default = text_ends_with(key, TEXT("?"));
        if (is_default)
                key = text_trim((struct text){ key.data, key.size - 1 });
        r = draft_section(d, title, at, &section);
        if (r < 0 || !section || (is_default && section_has_assigned(section, key)))
                return r;
        return draft_assign(d, section, key, value, at);
}

static int read_sources(struct draft *d, const struct settings_sources *sources) {
        int r = 0;

        if (sources->file)
                r = read_file(d, sources->file, sources->file_is_optional);
        if (r == 0 && sources->file)
                r = read_drop_ins(d, sources->file);
        if (r == 0 && sources->directory)
                r = read_directory(d, sources->directory);
        for (char **o = sources->options; r == 0 && o && *o; o++)
                r = read_option(d, *o);
        return r;
}

int settings_load(const struct settings_sources *sources, struct buffer *faults,
                  struct settings **ret) {
        struct snapshot *snapshot = calloc(1, sizeof(*snapshot));
        _cleanup_(settings_unrefp)
        struct settings *settings = NULL;
        struct draft d;
        int r;

        if (!snapshot)
                return -ENOMEM;
        settings = &snapshot->settings;
        settings->references = 1;
        r = draft_init(&d, &snapshot->arena, settings, faults);
        if (r == 0)
                r = read_sources(&d, sources);
        if (r == 0)
                r = draft_build(&d, settings);
        if (r == 0 && d.fault_count)
                r = -EBADMSG;
        if (faults->failed)
                r = -ENOMEM;
        draft_finish(&d);
        if (r < 0)
                return r;
        *ret = take_ptr(settings);
        return 0;
}
