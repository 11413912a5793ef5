/* SPDX-License-Identifier: MIT */
/*
 * One function a kind of setting: it reads the text and stores the value at the row's offset. A
 * faulty value changes nothing. An empty assignment puts the default back, which for lists means
 * none; the first assignment to a list replaces its default, and further ones add to it.
 */
#include "config/settings-draft.h"

#include <errno.h>

#include "config/values.h"

enum { LIST_ITEMS_MAX = 4096, FILES_MAX = 64, SHOWN_BYTES_MAX = 80 };

struct assignment {
        struct draft *d;
        struct section *section;
        const struct setting *setting;
        struct text value;
        struct settings_origin at;
        struct settings_origin *assigned;
};

static void *place_of(const struct assignment *a) {
        return (char *)a->section->values + a->setting->offset;
}

static void fault(struct assignment *a, struct text value, const char *what) {
        value.size = MIN(value.size, (size_t)SHOWN_BYTES_MAX);
        draft_fault(a->d, a->at, "%s=%.*s %s", a->setting->key, TEXT_ARGS(value), what);
}

static int store_text(struct assignment *a, char **place, struct text t) {
        char *copy = arena_text(a->d->keep, t);

        if (!copy)
                return -ENOMEM;
        *place = copy;
        return 0;
}

/* The place of `word` among "a | b | c", or -EINVAL. */
static int word_index(const char *form, struct text word) {
        struct text rest = text_of(form), one;

        for (int i = 0; text_next_word(&rest, " |", &one); i++)
                if (text_equal(one, word))
                        return i;
        return -EINVAL;
}

static void fault_of_word(struct assignment *a) {
        struct text value = a->value;

        value.size = MIN(value.size, (size_t)SHOWN_BYTES_MAX);
        draft_fault(a->d, a->at, "%s=%.*s is unknown; write %s", a->setting->key, TEXT_ARGS(value),
                    a->setting->form);
}

static int assign_word(struct assignment *a) {
        if (word_index(a->setting->form, a->value) >= 0)
                return store_text(a, place_of(a), a->value);
        fault_of_word(a);
        return 0;
}

static int assign_choice(struct assignment *a) {
        int index = word_index(a->setting->form, a->value);

        if (index < 0)
                fault_of_word(a);
        else
                *(unsigned *)place_of(a) = index;
        return 0;
}

/* `least` and `most` as they would be written, in a fault. */
static void fault_of_range(struct assignment *a, int (*print)(uint64_t n, struct buffer *to)) {
        _cleanup_(buffer_finish)
        struct buffer b = {};

        (void)buffer_append(&b, "is out of range; write ", 23);
        (void)print(a->setting->least, &b);
        (void)buffer_append(&b, " to ", 4);
        (void)print(a->setting->most, &b);
        if (buffer_append(&b, "", 1) < 0)
                a->d->faults->failed = true;
        fault(a, a->value, b.failed ? "is out of range" : b.data);
}

static int print_count(uint64_t n, struct buffer *to) {
        return buffer_printf(to, "%llu", (unsigned long long)n);
}

static bool in_range(const struct assignment *a, uint64_t n) {
        return n >= a->setting->least && n <= a->setting->most;
}

static int assign_count(struct assignment *a) {
        uint64_t n = 0;
        int r = text_to_u64(a->value, &n);

        if (text_equal(a->value, TEXT("auto")))
                *(unsigned *)place_of(a) = 0;
        else if (r == -EINVAL)
                fault(a, a->value, "is no number; write auto or a number");
        else if (r < 0 || !in_range(a, n))
                fault_of_range(a, print_count);
        else
                *(unsigned *)place_of(a) = n;
        return 0;
}

static int assign_time(struct assignment *a) {
        uint64_t usec = 0;
        int r = value_time(a->value, &usec);

        if (r == -EINVAL)
                fault(a, a->value, "is no time; write seconds, or such as 500ms, 5min, 1h 30s");
        else if (r < 0 || !in_range(a, usec))
                fault_of_range(a, value_time_print);
        else
                *(uint64_t *)place_of(a) = usec;
        return 0;
}

static int assign_bytes(struct assignment *a) {
        uint64_t bytes = 0;
        int r = value_bytes(a->value, &bytes);

        if (r == -EINVAL)
                fault(a, a->value, "is no size; write bytes, or such as 16K, 1M, 2G");
        else if (r < 0 || !in_range(a, bytes))
                fault_of_range(a, value_bytes_print);
        else
                *(uint64_t *)place_of(a) = bytes;
        return 0;
}

static int assign_switch(struct assignment *a) {
        if (value_switch(a->value, place_of(a)) < 0)
                fault(a, a->value, "is neither yes nor no; write one of them");
        return 0;
}

static int assign_user(struct assignment *a) {
        const char *wrong = value_user_fault(a->value);

        if (!wrong)
                return store_text(a, place_of(a), a->value);
        fault(a, a->value, wrong);
        return 0;
}

static int assign_path(struct assignment *a) {
        char path[FILE_PATH_BYTES_MAX + 1];
        const char *wrong = value_path(a->value, path);

        if (!wrong)
                return store_text(a, place_of(a), text_of(path));
        fault(a, a->value, wrong);
        return 0;
}

static int assign_access_log(struct assignment *a) {
        static const struct {
                const char *word;
                enum settings_access_log log;
        } words[] = {
                { "auto", ACCESS_LOG_AUTO },
                { "off", ACCESS_LOG_OFF },
                { "stdout", ACCESS_LOG_STDOUT },
                { "journal", ACCESS_LOG_JOURNAL },
        };
        struct settings *s = a->section->server;
        char path[FILE_PATH_BYTES_MAX + 1];
        int r;

        for (size_t i = 0; i < ELEMENTS(words); i++)
                if (text_equal(a->value, text_of(words[i].word))) {
                        *(enum settings_access_log *)place_of(a) = words[i].log;
                        s->access_log_path = NULL;
                        return 0;
                }
        if (value_path(a->value, path)) {
                fault_of_word(a);
                return 0;
        }
        r = store_text(a, &s->access_log_path, text_of(path));
        if (r == 0)
                *(enum settings_access_log *)place_of(a) = ACCESS_LOG_FILE;
        return r;
}

static int assign_address(struct assignment *a) {
        const char *wrong = value_address_fault(a->value);

        if (!wrong)
                return store_text(a, place_of(a), a->value);
        fault(a, a->value, wrong);
        return 0;
}

/* Room for one more in an array that doubles whenever its count is a power of two. */
static void *grown(struct arena *arena, void *array, size_t count, size_t item_bytes) {
        void *bigger;

        if (count & (count - 1))
                return array;
        bigger = arena_take(arena, (count ? count * 2 : 1) * item_bytes);
        if (bigger && count)
                memcpy(bigger, array, count * item_bytes);
        return bigger;
}

static int add_listener(struct assignment *a, struct text address) {
        struct settings *s = a->section->server;
        struct settings_listener *all;
        char *copy = NULL;

        for (size_t i = 0; i < s->listener_count; i++)
                if (text_equal(address, text_of(s->listeners[i].address))) {
                        draft_warning(a->d, a->at, "Listen=%.*s is given twice; remove one",
                                      TEXT_ARGS(address));
                        return 0;
                }
        if (s->listener_count >= LIST_ITEMS_MAX) {
                fault(a, address, "is one address too many");
                return 0;
        }
        all = grown(a->d->keep, s->listeners, s->listener_count, sizeof(*all));
        if (!all || store_text(a, &copy, address) < 0)
                return -ENOMEM;
        s->listeners = all;
        all[s->listener_count++] =
                (struct settings_listener){ .name = copy, .address = copy, .origin = a->at };
        return 0;
}

static int assign_listen(struct assignment *a) {
        struct text rest = a->value, word;

        while (text_next_word(&rest, " \t", &word)) {
                const char *wrong = value_address_fault(word);
                int r = 0;

                if (wrong)
                        fault(a, word, wrong);
                else
                        r = add_listener(a, word);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int add_name(struct assignment *a, struct text name) {
        char ***place = place_of(a), **list = *place, *copy = NULL;
        size_t count = 0;

        while (list[count]) {
                if (text_equal(name, text_of(list[count])))
                        return 0;
                count++;
        }
        if (count >= LIST_ITEMS_MAX) {
                fault(a, name, "is one too many; a list may have 4096 names");
                return 0;
        }
        /* with the NULL at its end the list has count + 1 items */
        list = grown(a->d->keep, list, count + 1, sizeof(*list));
        if (!list || store_text(a, &copy, name) < 0)
                return -ENOMEM;
        list[count] = copy;
        list[count + 1] = NULL;
        *place = list;
        return 0;
}

static int assign_names(struct assignment *a) {
        struct text rest = a->value, word;
        char host[HOST_BYTES_MAX + 1];

        if (!a->assigned->file)
                *(char ***)place_of(a) = draft_no_names; /* the default gives way */
        while (text_next_word(&rest, " \t", &word)) {
                bool is_host = a->setting->kind == SETTING_HOSTS;
                const char *wrong =
                        is_host ? value_host(word, true, host) : value_index_fault(word);
                int r = 0;

                if (wrong)
                        fault(a, word, wrong);
                else
                        r = add_name(a, is_host ? text_of(host) : word);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int assign_file(struct assignment *a) {
        struct settings_file *file = place_of(a);
        char path[FILE_PATH_BYTES_MAX + 1];
        const char *wrong = value_file(a->value, path);

        file->origin = a->at;
        if (!wrong)
                return store_text(a, &file->path, text_of(path));
        fault(a, a->value, wrong);
        return 0;
}

static int assign_files(struct assignment *a) {
        struct settings_file **place = place_of(a), *list = *place;
        char path[FILE_PATH_BYTES_MAX + 1], *copy = NULL;
        const char *wrong = value_file(a->value, path);
        size_t count = 0;

        while (list[count].path)
                count++;
        if (!wrong && count >= FILES_MAX)
                wrong = "is one too many; a Site may have 64";
        if (wrong) {
                fault(a, a->value, wrong);
                return 0;
        }
        list = grown(a->d->keep, list, count + 1, sizeof(*list));
        if (!list || store_text(a, &copy, text_of(path)) < 0)
                return -ENOMEM;
        list[count] = (struct settings_file){ copy, a->at };
        list[count + 1] = (struct settings_file){};
        *place = list;
        return 0;
}

static int assign_ciphers(struct assignment *a) {
        const char *wrong = value_ciphers_fault(a->value);

        if (!wrong)
                return store_text(a, place_of(a), a->value);
        fault(a, a->value, wrong);
        return 0;
}

static int assign_hsts(struct assignment *a) {
        char hsts[HSTS_BYTES_MAX];
        const char *wrong = value_hsts(a->value, hsts);

        if (!wrong)
                return store_text(a, place_of(a), text_of(hsts));
        fault(a, a->value, wrong);
        return 0;
}

static int assign_redirect(struct assignment *a) {
        struct fixed_answer *to = place_of(a);
        const char *wrong = NULL;
        struct text url = {};
        unsigned status = 0;

        if (!value_status(a->value, &status, &url) ||
            !(status == 301 || status == 302 || status == 303 || status == 307 || status == 308))
                wrong = "has no status code of a redirect; write 301, 302, 303, 307 or 308 and a "
                        "URL";
        else
                wrong = value_location_fault(url);
        if (wrong) {
                fault(a, a->value, wrong);
                return 0;
        }
        if (store_text(a, &to->text, url) < 0)
                return -ENOMEM;
        to->status = status;
        return 0;
}

static int assign_return(struct assignment *a) {
        struct fixed_answer *to = place_of(a);
        struct text body = {};
        unsigned status = 0;
        char *copy = NULL;

        if (!value_status(a->value, &status, &body) || status < STATUS_LEAST ||
            status > STATUS_MOST)
                fault(a, a->value, "has no status code; write 200 to 599, and a text if you like");
        else if (status >= 300 && status < 400)
                fault(a, a->value, "sends the client nowhere; use Redirect=STATUS URL");
        else if ((status == 204 || status == 205) && body.size)
                fault(a, a->value,
                      "has a text, which an answer with this status cannot; remove it");
        else if (body.size && store_text(a, &copy, body) < 0)
                return -ENOMEM;
        else
                *to = (struct fixed_answer){ status, copy };
        return 0;
}

static const struct {
        int (*assign)(struct assignment *a);
        size_t bytes; /* of the value in memory */
} kinds[SETTING_KIND_COUNT] = {
        /* clang-format off */
        [SETTING_WORD]       = { assign_word, sizeof(char *) },
        [SETTING_CHOICE]     = { assign_choice, sizeof(unsigned) },
        [SETTING_COUNT]      = { assign_count, sizeof(unsigned) },
        [SETTING_TIME]       = { assign_time, sizeof(uint64_t) },
        [SETTING_BYTES]      = { assign_bytes, sizeof(uint64_t) },
        [SETTING_SWITCH]     = { assign_switch, sizeof(bool) },
        [SETTING_USER]       = { assign_user, sizeof(char *) },
        [SETTING_ACCESS_LOG] = { assign_access_log, sizeof(enum settings_access_log) },
        [SETTING_LISTEN]     = { assign_listen, sizeof(struct settings_listener *) },
        [SETTING_ADDRESS]    = { assign_address, sizeof(char *) },
        [SETTING_PATH]       = { assign_path, sizeof(char *) },
        [SETTING_HOSTS]      = { assign_names, sizeof(char **) },
        [SETTING_NAMES]      = { assign_names, sizeof(char **) },
        [SETTING_FILE]       = { assign_file, sizeof(struct settings_file) },
        [SETTING_FILES]      = { assign_files, sizeof(struct settings_file *) },
        [SETTING_CIPHERS]    = { assign_ciphers, sizeof(char *) },
        [SETTING_HSTS]       = { assign_hsts, sizeof(char *) },
        [SETTING_REDIRECT]   = { assign_redirect, sizeof(struct fixed_answer) },
        [SETTING_RETURN]     = { assign_return, sizeof(struct fixed_answer) },
        /* clang-format on */
};

/* Put the default back; for lists, nothing at all. */
static int reset(struct assignment *a) {
        enum setting_kind kind = a->setting->kind;
        bool is_list = kind == SETTING_LISTEN || kind == SETTING_HOSTS || kind == SETTING_NAMES ||
                       kind == SETTING_FILES;

        memset(place_of(a), 0, kinds[kind].bytes);
        if (kind == SETTING_HOSTS || kind == SETTING_NAMES)
                *(char ***)place_of(a) = draft_no_names;
        if (kind == SETTING_FILES)
                *(struct settings_file **)place_of(a) = draft_no_files;
        if (kind == SETTING_LISTEN)
                a->section->server->listener_count = 0;
        a->value = text_of(a->setting->initial);
        return !is_list && a->value.size ? kinds[kind].assign(a) : 0;
}

int setting_assign(struct draft *d, struct section *s, const struct setting *setting,
                   struct text value, struct settings_origin at) {
        size_t count;
        const struct setting *rows = setting_section_rows(s->kind, &count);
        struct assignment a = { d, s, setting, value, at, &s->assigned[setting - rows] };
        int r = value.size ? kinds[setting->kind].assign(&a) : reset(&a);

        if (r < 0)
                return r;
        *a.assigned = at;
        /* an emptied list of names was said to be empty; else it is as if nothing had been said */
        if (!value.size && setting->kind != SETTING_NAMES)
                a.assigned->file = NULL;
        return 0;
}
