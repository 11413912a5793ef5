/* SPDX-License-Identifier: MIT */
#include "systemd/socket-units.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * Which sockets are meant is told by what they start: a service whose ExecStart= is emberd with the
 * settings in question. So instances, and services that somebody wrote himself, need no rule of
 * their own about where their settings are.
 *
 * A socket counts as enabled by a link, and also where the service of an enabled one asks for it
 * (Sockets=, Requires= …), as it is opened with it.
 */
enum { STREAMS_MAX = 1024 /* of one unit */, WORDS_MAX = 256 /* of a command line */ };

struct reading {
        const struct socket_query *query;
        struct socket_units *units;
};

static void socket_unit_finish(struct socket_unit *s) {
        for (size_t i = 0; i < s->stream_count; i++)
                free(s->streams[i].address);
        free(s->streams);
        free(s->service);
        free(s->fd_name);
        unit_free(s->unit);
}

void socket_units_finish(struct socket_units *units) {
        for (size_t i = 0; i < units->count; i++)
                socket_unit_finish(&units->all[i]);
        for (size_t i = 0; i < units->service_count; i++)
                unit_free(units->services[i]);
        free(units->all);
        free(units->services);
        *units = (struct socket_units){};
}

/* ---- what a service runs ---- */

/* The next word of a command line, without its quotes. False: there is none. */
static bool next_word(struct text *rest, char out[static PATH_MAX]) {
        size_t n = 0;
        char quote = 0;

        *rest = text_trim(*rest);
        if (!rest->size)
                return false;
        while (rest->size) {
                char c = *rest->data++;

                rest->size--;
                if (!quote && (c == ' ' || c == '\t'))
                        break;
                if (!quote && (c == '"' || c == '\'')) {
                        quote = c;
                        continue;
                }
                if (quote && c == quote) {
                        quote = 0;
                        continue;
                }
                if (c == '\\' && rest->size) {
                        c = *rest->data++;
                        rest->size--;
                }
                if (n + 1 < PATH_MAX)
                        out[n++] = c;
        }
        out[n] = '\0';
        return true;
}

static bool is_emberd(const char *word) {
        const char *base = strrchr(word, '/');

        word += strspn(word, "@-:+!|"); /* systemd.service(5), special executable prefixes */
        return strcmp(base ? base + 1 : word, "emberd") == 0;
}

/*
 * As systemd does it: what a specifier stands for is no longer looked at, so the backslashes of an
 * escaped instance stay. Errors: -EINVAL: not to be expanded; -ENOMEM.
 */
static int next_expanded(const struct unit *service, struct text *rest, char out[static PATH_MAX],
                         bool *ret_found) {
        _cleanup_(buffer_finish)
        struct buffer word = {};
        int r;

        *ret_found = false;
        if (!next_word(rest, out))
                return 0;
        r = unit_expand(service, text_of(out), &word);
        if (r == 0 && word.used >= PATH_MAX)
                r = -EINVAL;
        if (r < 0)
                return r;
        snprintf(out, PATH_MAX, "%.*s", TEXT_ARGS(buffer_text(&word)));
        *ret_found = true;
        return 0;
}

/*
 * Does this command line run emberd, and with which settings? An empty `file`: the default.
 * Errors: as of next_expanded().
 */
static int parse_command(const struct unit *service, struct text rest, char file[static PATH_MAX],
                         bool *ret_runs) {
        char word[PATH_MAX];
        bool found = false, more = true;

        file[0] = '\0';
        for (int i = 0; i < WORDS_MAX; i++) {
                int r = next_expanded(service, &rest, word, &more);

                if (r < 0)
                        return r;
                if (!more)
                        break;
                if (!found)
                        found = is_emberd(word);
                else if (strcmp(word, "-c") == 0 || strcmp(word, "--config") == 0)
                        r = next_expanded(service, &rest, file, &more);
                else if (strncmp(word, "--config=", 9) == 0)
                        memmove(file, word + 9, strlen(word + 9) + 1);
                else if (strncmp(word, "-c", 2) == 0)
                        memmove(file, word + 2, strlen(word + 2) + 1);
                if (r < 0)
                        return r;
        }
        *ret_runs = found;
        return 0;
}

/* The same file, be it by another path. */
static bool is_same_file(const char *a, const char *b) {
        char *real_a, *real_b;
        bool same = strcmp(a, b) == 0;

        if (same)
                return true;
        real_a = realpath(a, NULL);
        real_b = realpath(b, NULL);
        same = real_a && real_b && strcmp(real_a, real_b) == 0;
        free(real_a);
        free(real_b);
        return same;
}

static int service_reads(const struct unit *service, const struct socket_query *query,
                         bool *ret_reads) {
        bool reads = false;

        for (size_t i = 0; i < service->count; i++) {
                const struct unit_line *line = &service->lines[i];
                char file[PATH_MAX];
                bool runs_emberd;
                int r;

                if (strcmp(line->section, "Service") != 0 || strcmp(line->key, "ExecStart") != 0)
                        continue;
                if (!line->value[0])
                        reads = false; /* takes back those before it */
                r = parse_command(service, text_of(line->value), file, &runs_emberd);
                if (r == -ENOMEM)
                        return r;
                if (r == 0 && runs_emberd)
                        reads = is_same_file(file[0] ? file : query->default_file,
                                             query->settings_file);
        }
        *ret_reads = reads;
        return 0;
}

/* ---- a socket ---- */

static int add_stream(struct socket_unit *s, const struct unit_line *line) {
        struct buffer address = {};
        int r = unit_expand(s->unit, text_of(line->value), &address);

        if (r == 0 && s->stream_count < STREAMS_MAX)
                r = buffer_append(&address, "", 1);
        else if (r == 0)
                r = -EINVAL;
        if (r == 0 && (s->stream_count & (s->stream_count - 1)) == 0) {
                size_t room = s->stream_count ? s->stream_count * 2 : 1;
                struct socket_stream *more = reallocarray(s->streams, room, sizeof(*more));

                if (more)
                        s->streams = more;
                else
                        r = -ENOMEM;
        }
        if (r < 0) {
                buffer_finish(&address);
                return r == -ENOMEM ? r : 0; /* what systemd cannot read either is left out */
        }
        s->streams[s->stream_count++] =
                (struct socket_stream){ address.data, line->file, line->line };
        return 0;
}

/* An empty assignment of any kind of address takes back all of them. */
static bool is_listening_key(const char *key) {
        return strncmp(key, "Listen", 6) == 0;
}

static int read_streams(struct socket_unit *s) {
        for (size_t i = 0; i < s->unit->count; i++) {
                const struct unit_line *line = &s->unit->lines[i];
                int r = 0;

                if (strcmp(line->section, "Socket") != 0 || !is_listening_key(line->key))
                        continue;
                if (line->value[0] && strcmp(line->key, "ListenStream") == 0)
                        r = add_stream(s, line);
                while (!line->value[0] && s->stream_count)
                        free(s->streams[--s->stream_count].address);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* What the key says, else `initial`, on the heap. Errors: -ENOMEM; -EINVAL: not to be read. */
static int read_name(const struct unit *unit, const char *key, const char *initial, char **ret) {
        const struct unit_line *line = unit_find(unit, "Socket", key);
        struct buffer b = {};
        int r = line ? unit_expand(unit, text_of(line->value), &b)
                     : buffer_append_text(&b, text_of(initial));

        if (r == 0)
                r = buffer_append(&b, "", 1);
        if (r < 0) {
                buffer_finish(&b);
                return r;
        }
        *ret = b.data;
        return 0;
}

static bool accepts_itself(const struct unit *unit) {
        const struct unit_line *line = unit_find(unit, "Socket", "Accept");

        return line && strchr("1yYtT", line->value[0]);
}

static int socket_unit_init(struct socket_unit *s) {
        const char *name = s->unit->name;
        char service[UNIT_NAME_BYTES_MAX + 16];
        int r;

        snprintf(service, sizeof(service), "%.*s.service", (int)(strlen(name) - strlen(".socket")),
                 name);
        r = read_name(s->unit, "Service", service, &s->service);
        if (r == 0)
                r = read_name(s->unit, "FileDescriptorName", name, &s->fd_name);
        return r < 0 ? r : read_streams(s);
}

/* ---- all of them ---- */

static struct unit *find_service(const struct socket_units *units, const char *name) {
        for (size_t i = 0; i < units->service_count; i++)
                if (strcmp(units->services[i]->name, name) == 0)
                        return units->services[i];
        return NULL;
}

/* Whether the socket's service is one that is meant; it is kept in `units`. */
static int check_service(struct reading *reading, struct socket_unit *s, bool *ret_meant) {
        struct socket_units *units = reading->units;
        _cleanup_(unit_freep)
        struct unit *service = NULL;
        struct unit **more;
        char *name;
        int r;

        *ret_meant = find_service(units, s->service);
        if (*ret_meant)
                return 0;
        r = unit_load(reading->query->root, s->service, &service);
        if (r == 0)
                r = service_reads(service, reading->query, ret_meant);
        if (r < 0 || !*ret_meant)
                return r;
        name = strdup(service->name); /* not an alias of it */
        more = reallocarray(units->services, units->service_count + 1, sizeof(struct unit *));
        if (more)
                units->services = more;
        if (!name || !more) {
                free(name);
                return -ENOMEM;
        }
        free(s->service);
        s->service = name;
        if (!find_service(units, name))
                units->services[units->service_count++] = take_ptr(service);
        return 0;
}

static struct socket_unit *find_socket(const struct socket_units *units, const char *name) {
        for (size_t i = 0; i < units->count; i++)
                if (strcmp(units->all[i].unit->name, name) == 0)
                        return &units->all[i];
        return NULL;
}

static int take_socket(const char *name, bool enabled, void *data) {
        struct reading *reading = data;
        struct socket_units *units = reading->units;
        struct socket_unit s = { .enabled = enabled }, *known, *more;
        bool meant = false;
        int r = unit_load(reading->query->root, name, &s.unit);

        if (r < 0)
                return r == -ENOMEM ? r : 0;
        known = find_socket(units, s.unit->name);
        if (known) /* it has a second name */
                known->enabled |= enabled;
        else if (!accepts_itself(s.unit))
                r = socket_unit_init(&s);
        if (!known && r == 0 && s.service)
                r = check_service(reading, &s, &meant);
        if (meant && r == 0) {
                more = reallocarray(units->all, units->count + 1, sizeof(*more));
                if (more) {
                        units->all = more;
                        units->all[units->count++] = s;
                        return 0;
                }
                r = -ENOMEM;
        }
        socket_unit_finish(&s);
        return r == -ENOMEM ? r : 0;
}

/* The sockets that a service asks for are opened with it. */
static int enable_wanted(struct socket_units *units, const struct unit *service) {
        static const char *const keys[][2] = {
                { "Service", "Sockets" },
                { "Unit", "Requires" },
                { "Unit", "Wants" },
                { "Unit", "BindsTo" },
        };

        for (size_t i = 0; i < service->count; i++) {
                const struct unit_line *line = &service->lines[i];
                _cleanup_(buffer_finish)
                struct buffer names = {};
                struct text rest, word;
                bool asks = false;

                for (size_t k = 0; k < ELEMENTS(keys); k++)
                        asks |= strcmp(line->section, keys[k][0]) == 0 &&
                                strcmp(line->key, keys[k][1]) == 0;
                if (!asks)
                        continue;
                if (unit_expand(service, text_of(line->value), &names) == -ENOMEM)
                        return -ENOMEM;
                rest = buffer_text(&names);
                while (text_next_word(&rest, " \t", &word))
                        for (size_t s = 0; s < units->count; s++)
                                if (text_equal(word, text_of(units->all[s].unit->name)))
                                        units->all[s].enabled = true;
        }
        return 0;
}

int socket_units_read(const struct socket_query *query, struct socket_units *units) {
        struct reading reading = { query, units };
        int r;

        *units = (struct socket_units){};
        r = unit_names(query->root, TEXT(".socket"), take_socket, &reading);
        for (size_t i = 0; i < units->service_count && r == 0; i++) {
                const struct unit *service = units->services[i];
                bool starts = false;

                for (size_t s = 0; s < units->count; s++)
                        starts |= units->all[s].enabled &&
                                  strcmp(units->all[s].service, service->name) == 0;
                if (starts)
                        r = enable_wanted(units, service);
        }
        for (size_t i = 0; i < units->count; i++)
                units->enabled_count += units->all[i].enabled;
        return r;
}
