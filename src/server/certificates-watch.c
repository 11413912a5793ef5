/* SPDX-License-Identifier: MIT */
#include "server/supervisor.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "server/certificates.h"

/*
 * What time does to TLS. Session tickets get a new key every few hours, so that one that was stolen
 * opens little; the two before it are still taken. Once a day, and after a reload, certificates
 * that end soon are told of; after a reload also what wants certificates and has none.
 */
#define KEYS_USEC  (8 * 3600 * USEC_PER_SEC)
#define DATES_USEC (24 * 3600 * USEC_PER_SEC)

/* Under systemd the socket named "https" comes without a word of the settings. */
static void tell_of_listeners(struct supervisor *s) {
        char bound[LISTENER_ADDRESS_BYTES];
        _cleanup_(buffer_finish)
        struct buffer warnings = {};

        for (size_t i = 0; s->listeners && i < s->listeners->count; i++) {
                const struct listener *l = s->listeners->listeners[i];

                if (s->snapshot->tls || listener_has_section(l, s->settings) ||
                    !listener_is_tls(l, s->settings))
                        continue;
                listener_bound_name(l->fd, bound);
                buffer_printf(&warnings,
                              "warning: no Site has a Certificate=: connections to %s (%s), which "
                              "come by TLS, are closed\n",
                              bound, l->name);
        }
        supervisor_tell_warnings(s, &warnings);
}

/* The first time after a reload whoever asked for it is told, too. */
static void tell_of_dates(struct supervisor *s, bool first_time) {
        _cleanup_(buffer_finish)
        struct buffer warnings = {};
        char date[CERTIFICATE_DATE_BYTES];
        int64_t now_sec = (int64_t)(clock_real_usec() / USEC_PER_SEC), end;
        struct text rest, line;

        end = certificates_warn(s->snapshot->certificates, s->snapshot->tls, now_sec, &warnings);
        if (end != INT64_MAX) {
                certificates_date(end, date);
                snprintf(s->certificates_note, sizeof(s->certificates_note),
                         "a certificate %s %s; ", end < now_sec ? "ended at" : "ends at", date);
        }
        if (first_time)
                buffer_append_text(&s->faults, buffer_text(&warnings));
        rest = buffer_text(&warnings);
        while (text_next_word(&rest, "\n", &line))
                log_event(LOG_EVENT_CERTIFICATE_ENDS, LOG_LEVEL_WARNING, "%.*s", TEXT_ARGS(line));
}

static void look_at_dates(struct supervisor *s, uint64_t now_usec) {
        bool first_time = !s->dates_next_usec;

        s->dates_next_usec = now_usec + DATES_USEC;
        s->certificates_note[0] = '\0';
        s->status_requests = UINT64_MAX; /* says the status anew */
        if (first_time && !s->settings_are_faulty)
                tell_of_listeners(s);
        if (s->snapshot->tls)
                tell_of_dates(s, first_time);
}

uint64_t supervisor_certificates_step(struct supervisor *s, uint64_t now_usec) {
        bool has_tls = s->modules.for_snapshots.tls && s->snapshot->tls;

        if (!s->dates_next_usec || (has_tls && now_usec >= s->dates_next_usec))
                look_at_dates(s, now_usec);
        if (!has_tls)
                return USEC_INFINITY;
        if (now_usec >= s->keys_next_usec) {
                if (s->keys_next_usec) /* else they were made a moment ago */
                        modules_renew_keys(&s->modules);
                s->keys_next_usec = now_usec + KEYS_USEC;
                s->keys_wanted = true;
        }
        if (s->keys_wanted) {
                s->keys_wanted = false;
                (void)supervisor_tell_all(s, &(struct worker_command){
                                                     .kind = WORKER_TAKE_KEYS,
                                                     .keys = s->modules.keys,
                                             });
        }
        return MIN(s->keys_next_usec, s->dates_next_usec);
}
