/* SPDX-License-Identifier: MIT */
/*
 * The snapshot is put back into the form that the rows point into, section by section, and each row
 * is written by its kind. Everything is said, defaults too: the file stands for itself.
 */
#include "config/settings.h"

#include "config/settings-table.h"
#include "config/values.h"

enum { LIST_COLUMNS = 100 }; /* a longer list goes on with the same key on the next line */

static int print_line(struct buffer *to, const char *key, const char *value) {
        return buffer_printf(to, "%s=%s\n", key, value ? value : "");
}

static int print_list(struct buffer *to, const char *key, char *const *names) {
        size_t start = to->used;
        int r = buffer_printf(to, "%s=", key);

        for (size_t i = 0; r == 0 && names[i]; i++) {
                bool fits = to->used - start + strlen(names[i]) < LIST_COLUMNS;

                if (i && !fits) {
                        start = to->used + 1;
                        r = buffer_printf(to, "\n%s=%s", key, names[i]);
                } else {
                        r = buffer_printf(to, "%s%s", i ? " " : "", names[i]);
                }
        }
        return r < 0 ? r : buffer_append(to, "\n", 1);
}

static int print_choice(struct buffer *to, const struct setting *row, unsigned index) {
        struct text rest = text_of(row->form), word = {};

        for (unsigned i = 0; i <= index; i++)
                (void)text_next_word(&rest, " |", &word);
        return buffer_printf(to, "%s=%.*s\n", row->key, TEXT_ARGS(word));
}

static int print_access_log(struct buffer *to, const struct setting *row,
                            const struct settings *s) {
        static const char *const words[] = {
                [ACCESS_LOG_AUTO] = "auto",
                [ACCESS_LOG_OFF] = "off",
                [ACCESS_LOG_STDOUT] = "stdout",
                [ACCESS_LOG_JOURNAL] = "journal",
        };

        return print_line(to, row->key,
                          s->access_log == ACCESS_LOG_FILE ? s->access_log_path
                                                           : words[s->access_log]);
}

/* A listener that is named by its address came from Listen=, all others have a section. */
static bool is_from_listen(const struct settings_listener *l) {
        return l->address && strcmp(l->name, l->address) == 0;
}

static int print_listen(struct buffer *to, const struct setting *row, const struct settings *s) {
        bool any = false;
        int r = 0;

        for (size_t i = 0; r == 0 && i < s->listener_count; i++)
                if (is_from_listen(&s->listeners[i])) {
                        any = true;
                        r = print_line(to, row->key, s->listeners[i].address);
                }
        return r < 0 || any ? r : print_line(to, row->key, NULL);
}

static int print_answer(struct buffer *to, const char *key, const struct fixed_answer *answer) {
        if (!answer->status)
                return 0;
        return buffer_printf(to, "%s=%u%s%s\n", key, answer->status, answer->text ? " " : "",
                             answer->text ? answer->text : "");
}

static int print_count(struct buffer *to, const char *key, unsigned n) {
        return n ? buffer_printf(to, "%s=%u\n", key, n) : print_line(to, key, "auto");
}

static int print_number(struct buffer *to, const char *key, uint64_t n,
                        int (*print)(uint64_t n, struct buffer *to)) {
        int r = buffer_printf(to, "%s=", key);

        if (r == 0)
                r = print(n, to);
        return r < 0 ? r : buffer_append(to, "\n", 1);
}

static int print_files(struct buffer *to, const char *key, const struct settings_file *files) {
        int r = 0;

        for (; r == 0 && files->path; files++)
                r = print_line(to, key, files->path);
        return r;
}

static int print_hsts(struct buffer *to, const char *key, const char *hsts) {
        int r = hsts ? buffer_printf(to, "%s=", key) : 0;

        if (r < 0 || !hsts)
                return r;
        r = value_hsts_print(hsts, to);
        return r < 0 ? r : buffer_append(to, "\n", 1);
}

static int print_row(struct buffer *to, const struct setting *row, const void *values) {
        const void *place = (const char *)values + row->offset;

        switch (row->kind) {
        case SETTING_WORD:
        case SETTING_USER:
        case SETTING_CIPHERS:
        case SETTING_ADDRESS: return print_line(to, row->key, *(char *const *)place);
        case SETTING_PATH:
                return *(char *const *)place ? print_line(to, row->key, *(char *const *)place) : 0;
        case SETTING_CHOICE: return print_choice(to, row, *(const unsigned *)place);
        case SETTING_COUNT: return print_count(to, row->key, *(const unsigned *)place);
        case SETTING_TIME:
                return print_number(to, row->key, *(const uint64_t *)place, value_time_print);
        case SETTING_BYTES:
                return print_number(to, row->key, *(const uint64_t *)place, value_bytes_print);
        case SETTING_SWITCH: return print_line(to, row->key, *(const bool *)place ? "yes" : "no");
        case SETTING_ACCESS_LOG: return print_access_log(to, row, values);
        case SETTING_LISTEN: return print_listen(to, row, values);
        case SETTING_HOSTS:
        case SETTING_NAMES:
                return *(char **const *)place ? print_list(to, row->key, *(char **const *)place)
                                              : 0;
        case SETTING_FILE: {
                const struct settings_file *file = place;

                return file->path ? print_line(to, row->key, file->path) : 0;
        }
        case SETTING_FILES: return print_files(to, row->key, *(struct settings_file *const *)place);
        case SETTING_HSTS: return print_hsts(to, row->key, *(char *const *)place);
        case SETTING_REDIRECT:
        case SETTING_RETURN: return print_answer(to, row->key, place);
        case SETTING_KIND_COUNT: break;
        }
        assert(false);
}

static int print_section(struct buffer *to, enum setting_section section, const void *values) {
        size_t count;
        const struct setting *rows = setting_section_rows(section, &count);

        for (size_t i = 0; i < count; i++) {
                int r = print_row(to, &rows[i], values);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* The files route "/" is what a Site's own Root= and Index= say; it is written there. */
static bool is_own(const struct settings_route *route) {
        return route->handler == HANDLER_FILES && strcmp(route->prefix, "/") == 0;
}

/* What Challenge= made. */
static bool is_challenge(const struct settings_route *route) {
        return route->handler == HANDLER_FILES && route->is_challenge;
}

static int print_route(struct buffer *to, const struct settings_site *site,
                       const struct settings_route *route) {
        struct route_values values = { .site = site->name, .prefix = route->prefix };
        int r = buffer_printf(to, "\n[Route %s %s]\n", site->name, route->prefix);

        if (route->handler == HANDLER_FILES) {
                values.root = route->root;
                values.index = route->index;
        } else if (route->handler == HANDLER_REDIRECT) {
                values.redirect = (struct fixed_answer){ route->status, route->target };
        } else if (route->handler == HANDLER_MISBEHAVE) {
                values.misbehave = true;
        } else if (route->handler == HANDLER_ECHO) {
                values.echo = true;
        } else {
                values.answer = (struct fixed_answer){ route->status, route->target };
        }
        return r < 0 ? r : print_section(to, SECTION_ROUTE, &values);
}

static int print_site(struct buffer *to, const struct settings_site *site) {
        struct site_values values = { .name = site->name,
                                      .aliases = site->aliases,
                                      .is_default = site->is_default,
                                      .tls = site->tls };
        int r = buffer_printf(to, "\n[Site %s]\n", site->name);

        for (size_t i = 0; i < site->route_count; i++)
                if (is_challenge(&site->routes[i])) {
                        values.challenge = site->routes[i].root;
                } else if (is_own(&site->routes[i])) {
                        values.root = site->routes[i].root;
                        values.index = site->routes[i].index;
                }
        if (r == 0)
                r = print_section(to, SECTION_SITE, &values);
        for (size_t i = 0; r == 0 && i < site->route_count; i++)
                if (!is_own(&site->routes[i]) && !is_challenge(&site->routes[i]))
                        r = print_route(to, site, &site->routes[i]);
        return r;
}

int settings_print(const struct settings *s, struct buffer *to) {
        int r = buffer_printf(to, "[Server]\n");

        if (r == 0)
                r = print_section(to, SECTION_SERVER, s);
        for (size_t i = 0; r == 0 && i < s->listener_count; i++) {
                if (is_from_listen(&s->listeners[i]))
                        continue;
                r = buffer_printf(to, "\n[Listener %s]\n", s->listeners[i].name);
                if (r == 0)
                        r = print_section(to, SECTION_LISTENER, &s->listeners[i]);
        }
        for (size_t i = 0; r == 0 && i < s->site_count; i++)
                r = print_site(to, &s->sites[i]);
        return r;
}
