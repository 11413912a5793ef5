/* SPDX-License-Identifier: MIT */
#include "server/check.h"

#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loop/loop.h"
#include "server/ports.h"

/*
 * Who checks is often root, and emberd is not: so what is asked is whether things are there, not
 * whether this process may use them.
 */

static void fault(struct buffer *to, const struct settings_origin *at, const char *what,
                  const char *value, const char *why) {
        char place[SETTINGS_PLACE_BYTES];

        settings_place(at, place);
        (void)buffer_printf(to, "%s: %s=%s %s\n", place, what, value, why);
}

static unsigned check_user(const struct settings *s, struct buffer *faults) {
        if (!s->user)
                return 0;
        errno = 0;
        if (getpwnam(s->user) || (errno && errno != ENOENT && errno != ESRCH))
                return 0; /* a directory service that is down says nothing about the user */
        fault(faults, &s->user_origin, "User", s->user,
              "is no user of this machine; create it or name another");
        return 1;
}

/* What root may have, and emberd may not, is found at its start. */
static unsigned check_backend(const struct settings *s, struct buffer *faults) {
        const struct loop_backend *backend = loop_backend_find(s->backend);
        char place[SETTINGS_PLACE_BYTES], reason[LOOP_REASON_BYTES] = "it was not built in";

        if (strcmp(s->backend, "auto") == 0 ||
            (backend && loop_backend_check(backend, reason) == 0))
                return 0;
        settings_place(&s->backend_origin, place);
        (void)buffer_printf(faults, "%s: Backend=%s cannot be had: %s; set Backend=auto\n", place,
                            s->backend, reason);
        return 1;
}

/* Does systemd make the folder when it starts one of the services (LogsDirectory= …)? */
static bool folder_will_be_made(const struct socket_units *units, const char *folder) {
        static const char *const keys[][2] = {
                { "LogsDirectory", "/var/log/" },
                { "StateDirectory", "/var/lib/" },
                { "CacheDirectory", "/var/cache/" },
                { "RuntimeDirectory", "/run/" },
        };

        for (size_t k = 0; k < ELEMENTS(keys); k++) {
                struct text below = text_of(folder), prefix = text_of(keys[k][1]), rest, word;

                if (!text_starts_with(below, prefix))
                        continue;
                below.data += prefix.size, below.size -= prefix.size;
                for (size_t i = 0; i < units->service_count; i++) {
                        const struct unit_line *line =
                                unit_find(units->services[i], "Service", keys[k][0]);

                        rest = text_of(line ? line->value : NULL);
                        while (text_next_word(&rest, " \t", &word))
                                if (text_equal((struct text){ word.data, text_find(word, ':') },
                                               below))
                                        return true;
                }
        }
        return false;
}

static unsigned check_access_log(const struct settings *s, const struct socket_units *units,
                                 struct buffer *faults) {
        const char *path = s->access_log_path, *slash, *why = NULL;
        char folder[PATH_MAX];
        struct stat st;

        if (s->access_log != ACCESS_LOG_FILE || !path || strlen(path) >= sizeof(folder))
                return 0;
        slash = strrchr(path, '/');
        snprintf(folder, sizeof(folder), "%.*s", slash > path ? (int)(slash - path) : 1, path);
        if (stat(path, &st) == 0)
                why = S_ISDIR(st.st_mode) ? "is a folder; name a file" : NULL;
        else if (stat(folder, &st) == 0)
                why = S_ISDIR(st.st_mode) ? NULL : "is below something that is no folder";
        else if (errno == ENOTDIR)
                why = "is below something that is no folder";
        else if (errno == ENOENT && !folder_will_be_made(units, folder))
                why = "is in a folder that does not exist; create the folder, or name another file";
        if (!why)
                return 0;
        fault(faults, &s->access_log_origin, "AccessLog", path, why);
        return 1;
}

int check_machine(const struct check_query *query, struct buffer *faults, unsigned *ret_count) {
        struct socket_query sockets = {
                .root = query->root,
                .settings_file = query->settings_file,
                .default_file = EMBERD_SETTINGS_FILE,
        };
        _cleanup_(socket_units_finish)
        struct socket_units units = {};
        struct ports_query ports = {
                .settings = query->settings,
                .units = &units,
                .settings_file = query->settings_file,
        };
        char booted[PATH_MAX];
        int r = 0;

        if (query->settings_file)
                r = socket_units_read(&sockets, &units);
        if (r < 0)
                return r;
        /* sd_booted(3) */
        snprintf(booted, sizeof(booted), "%s/run/systemd/system", query->root);
        ports.booted = access(booted, F_OK) == 0;
        *ret_count = check_user(query->settings, faults);
        *ret_count += check_backend(query->settings, faults);
        *ret_count += check_access_log(query->settings, &units, faults);
        *ret_count += ports_compare(&ports, faults);
        return faults->failed ? -ENOMEM : 0;
}
