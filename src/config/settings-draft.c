/* SPDX-License-Identifier: MIT */
/*
 * Sections are found by their normalised title, so that those of the same name merge wherever they
 * stand. What is unknown gets the nearest known name as a hint. Each fault is one line.
 */
#include "config/settings-draft.h"

#include <errno.h>
#include <stdio.h>

#include "config/values.h"

enum {
        SECTIONS_MAX = 32768,  /* bounds the memory that a hostile file can take; no other origin */
        FAULT_LINES_MAX = 100, /* a file that is no settings file at all is told soon enough */
        SHOWN_BYTES_MAX = 80,  /* of a name or value in a fault */
        LISTENER_BYTES_MAX = 255, /* FileDescriptorName=, systemd.socket(5) */
        TITLE_BYTES_MAX = HOST_BYTES_MAX + FILE_PATH_BYTES_MAX + 16,
};

char *draft_no_names[1] = { NULL };
struct settings_file draft_no_files[1];

static const size_t values_bytes[SECTION_COUNT] = {
        [SECTION_SERVER] = sizeof(struct settings),
        [SECTION_LISTENER] = sizeof(struct settings_listener),
        [SECTION_SITE] = sizeof(struct site_values),
        [SECTION_ROUTE] = sizeof(struct route_values),
};

static void note(struct draft *d, struct settings_origin at, const char *mark, const char *format,
                 va_list args) {
        if (++d->line_count > FAULT_LINES_MAX) {
                if (d->line_count == FAULT_LINES_MAX + 1)
                        (void)buffer_printf(d->faults, "%s: there is more; correct this first\n",
                                            at.file);
                return;
        }
        if (at.line)
                (void)buffer_printf(d->faults, "%s:%u: %s", at.file, at.line, mark);
        else
                (void)buffer_printf(d->faults, "%s: %s", at.file, mark);
        (void)buffer_vprintf(d->faults, format, args);
        (void)buffer_append(d->faults, "\n", 1);
}

void draft_fault(struct draft *d, struct settings_origin at, const char *format, ...) {
        va_list args;

        d->fault_count++;
        va_start(args, format);
        note(d, at, "", format, args);
        va_end(args);
}

void draft_warning(struct draft *d, struct settings_origin at, const char *format, ...) {
        va_list args;

        va_start(args, format);
        note(d, at, "warning: ", format, args);
        va_end(args);
}

const char *draft_place(struct draft *d, struct settings_origin at) {
        size_t size = strlen(at.file) + sizeof(":4294967295");
        char *place = arena_take(&d->scratch, size);

        if (!place)
                return at.file;
        if (at.line)
                snprintf(place, size, "%s:%u", at.file, at.line);
        else
                snprintf(place, size, "%s", at.file);
        return place;
}

static struct text shown(struct text t) {
        return (struct text){ t.data, MIN(t.size, (size_t)SHOWN_BYTES_MAX) };
}

/* How far a typo may be from what it meant: "Rot" is one from "Root", and near nothing is "X". */
static bool is_near(struct text meant, unsigned distance) {
        return distance <= 1 + meant.size / 4;
}

static void fault_unknown_section(struct draft *d, struct settings_origin at, struct text word) {
        unsigned best = UINT32_MAX, nearest = 0;

        for (unsigned i = 0; i < SECTION_COUNT; i++) {
                unsigned distance = text_distance(word, text_of(setting_section_names[i]));

                if (distance < best)
                        best = distance, nearest = i;
        }
        if (is_near(text_of(setting_section_names[nearest]), best))
                draft_fault(d, at, "unknown section [%.*s]; did you mean [%s]?",
                            TEXT_ARGS(shown(word)), setting_section_names[nearest]);
        else
                draft_fault(d, at,
                            "unknown section [%.*s]; there are [Server], [Listener NAME], "
                            "[Site HOST] and [Route SITE PREFIX]",
                            TEXT_ARGS(shown(word)));
}

/* "[Site] or [Route]": where else this key is known. Empty: nowhere. */
static void other_sections(struct text key, struct buffer *to) {
        for (size_t i = 0; i < settings_table_size; i++)
                if (text_equal_nocase(key, text_of(settings_table[i].key)))
                        (void)buffer_printf(to, "%s[%s]", to->used ? " or " : "",
                                            setting_section_names[settings_table[i].section]);
}

static void fault_unknown_key(struct draft *d, struct section *s, struct text key,
                              struct settings_origin at) {
        _cleanup_(buffer_finish)
        struct buffer others = {};
        unsigned best = UINT32_MAX;
        const char *nearest = "", *section = setting_section_names[s->kind];
        size_t count;
        const struct setting *rows = setting_section_rows(s->kind, &count);

        for (size_t i = 0; i < count; i++) {
                unsigned distance = text_distance(key, text_of(rows[i].key));

                if (distance < best)
                        best = distance, nearest = rows[i].key;
        }
        if (best)
                other_sections(key, &others);
        if (others.used)
                draft_fault(d, at, "key '%.*s' is not for [%s]; it belongs in %.*s",
                            TEXT_ARGS(shown(key)), section, TEXT_ARGS(buffer_text(&others)));
        else if (is_near(text_of(nearest), best))
                draft_fault(d, at, "unknown key '%.*s' in [%s]; did you mean '%s'?",
                            TEXT_ARGS(shown(key)), section, nearest);
        else
                draft_fault(d, at, "unknown key '%.*s' in [%s]; see emberd.conf(5)",
                            TEXT_ARGS(shown(key)), section);
}

struct title {
        enum setting_section kind;
        struct text name, prefix;
        char host[HOST_BYTES_MAX +
                  1]; /* what `name` of a Site or Route points to when normalised */
};

/* The words of a title. False: a fault was noted. */
static bool split_title(struct draft *d, struct text t, struct settings_origin at,
                        struct title *title) {
        static const struct {
                const char *form;
                bool has_name, has_prefix;
        } forms[SECTION_COUNT] = {
                [SECTION_SERVER] = { "Server", false, false },
                [SECTION_LISTENER] = { "Listener NAME", true, false },
                [SECTION_SITE] = { "Site HOST", true, false },
                [SECTION_ROUTE] = { "Route SITE PREFIX", true, true },
        };
        struct text word = {}, rest = t;
        unsigned kind = 0;

        (void)text_next_word(&rest, " \t", &word);
        while (kind < SECTION_COUNT && !text_equal(word, text_of(setting_section_names[kind])))
                kind++;
        if (kind == SECTION_COUNT) {
                fault_unknown_section(d, at, word);
                return false;
        }
        title->kind = kind;
        if (forms[kind].has_name)
                (void)text_next_word(&rest, " \t", &title->name);
        title->prefix = text_trim(rest);
        if (forms[kind].has_name == !!title->name.size &&
            forms[kind].has_prefix == !!title->prefix.size)
                return true;
        draft_fault(d, at, "section [%.*s] has too %s words; write [%s]", TEXT_ARGS(shown(t)),
                    title->prefix.size && !forms[kind].has_prefix ? "many" : "few",
                    forms[kind].form);
        return false;
}

/* False: a fault was noted. */
static bool normalise_title(struct draft *d, struct settings_origin at, struct title *title) {
        const char *fault = NULL;
        struct text what = title->name;

        if (title->kind == SECTION_LISTENER && what.size > LISTENER_BYTES_MAX)
                fault = "is too long; a name may have 255 bytes";
        if (title->kind == SECTION_SITE || title->kind == SECTION_ROUTE)
                fault = value_host(title->name, false, title->host);
        if (!fault && title->host[0])
                title->name = text_of(title->host);
        if (!fault && title->kind == SECTION_ROUTE) {
                what = title->prefix;
                fault = value_prefix_fault(what);
        }
        if (fault)
                draft_fault(d, at, "'%.*s' in [%s] %s", TEXT_ARGS(shown(what)),
                            setting_section_names[title->kind], fault);
        return !fault;
}

static int add_section(struct draft *d, const struct title *title, struct text text,
                       struct settings_origin at, void *values, struct section **ret) {
        struct section *s = arena_take(&d->scratch, sizeof(*s));
        char *name = arena_text(d->keep, title->name);
        char *prefix = arena_text(d->keep, title->prefix);
        size_t row_count;
        int r;

        (void)setting_section_rows(title->kind, &row_count);
        if (!values)
                values = arena_take(&d->scratch, values_bytes[title->kind]);
        if (!s || !name || !prefix || !values)
                return -ENOMEM;
        *s = (struct section){ .kind = title->kind, .origin = at, .values = values };
        s->title = arena_text(&d->scratch, text);
        s->assigned = arena_take(&d->scratch, row_count * sizeof(*s->assigned));
        if (!s->title || !s->assigned)
                return -ENOMEM;
        if (s->kind == SECTION_LISTENER)
                *s->listener = (struct settings_listener){ .name = name, .origin = at };
        else if (s->kind == SECTION_SITE)
                *s->site = (struct site_values){ .name = name,
                                                 .aliases = draft_no_names,
                                                 .index = draft_no_names,
                                                 .tls = { .certificates = draft_no_files,
                                                          .keys = draft_no_files,
                                                          .ocsp = draft_no_files } };
        else if (s->kind == SECTION_ROUTE)
                *s->route = (struct route_values){ .site = name,
                                                   .prefix = prefix,
                                                   .index = draft_no_names };
        r = names_add(&d->by_title, text_of(s->title), s);
        if (r < 0)
                return r;
        *d->end = s;
        d->end = &s->next;
        d->section_count++;
        *ret = s;
        return 0;
}

/* Defaults are read as if a file said them, so that they go through the same code. */
static int assign_defaults(struct draft *d, struct section *s) {
        static const struct settings_origin nowhere = { .file = NULL };
        size_t count;
        const struct setting *rows = setting_section_rows(s->kind, &count);

        for (size_t i = 0; i < count; i++) {
                int r = 0;

                if (rows[i].initial[0])
                        r = setting_assign(d, s, &rows[i], text_of(rows[i].initial), nowhere);
                if (r < 0)
                        return r;
        }
        return 0;
}

int draft_section(struct draft *d, struct text title, struct settings_origin at,
                  struct section **ret) {
        struct title words = {};
        char text[TITLE_BYTES_MAX];
        int n, r;

        *ret = NULL;
        if (!split_title(d, title, at, &words) || !normalise_title(d, at, &words))
                return 0;
        n = snprintf(text, sizeof(text), "%s%s%.*s%s%.*s", setting_section_names[words.kind],
                     words.name.size ? " " : "", TEXT_ARGS(words.name),
                     words.prefix.size ? " " : "", TEXT_ARGS(words.prefix));
        assert(n > 0 && (size_t)n < sizeof(text));
        *ret = names_find(&d->by_title, text_of(text));
        if (*ret)
                return 0;
        if (d->section_count >= SECTIONS_MAX) {
                draft_fault(d, at, "more than %d sections; remove some", SECTIONS_MAX);
                return 0;
        }
        r = add_section(d, &words, text_of(text), at, NULL, ret);
        return r < 0 ? r : assign_defaults(d, *ret);
}

int draft_assign(struct draft *d, struct section *s, struct text key, struct text value,
                 struct settings_origin at) {
        size_t count;
        const struct setting *rows = setting_section_rows(s->kind, &count);

        for (size_t i = 0; i < count; i++)
                if (text_equal(key, text_of(rows[i].key)))
                        return setting_assign(d, s, &rows[i], value, at);
        fault_unknown_key(d, s, key, at);
        return 0;
}

struct settings_origin section_assigned(const struct section *s, const char *key) {
        size_t count, i = 0;
        const struct setting *rows = setting_section_rows(s->kind, &count);

        while (i < count && strcmp(rows[i].key, key) != 0)
                i++;
        assert(i < count);
        return s->assigned[i];
}

bool section_has_assigned(const struct section *s, struct text key) {
        size_t count;
        const struct setting *rows = setting_section_rows(s->kind, &count);

        for (size_t i = 0; i < count; i++)
                if (text_equal(key, text_of(rows[i].key)))
                        return s->assigned[i].file;
        return false;
}

int draft_init(struct draft *d, struct arena *keep, struct settings *settings,
               struct buffer *faults) {
        static const struct title title = { .kind = SECTION_SERVER };
        int r;

        *d = (struct draft){ .keep = keep, .faults = faults, .end = &d->first };
        r = add_section(d, &title, TEXT("Server"), (struct settings_origin){ "default", 0 },
                        settings, &d->server);
        return r < 0 ? r : assign_defaults(d, d->server);
}

void draft_finish(struct draft *d) {
        names_finish(&d->by_title);
        arena_finish(&d->scratch);
}
