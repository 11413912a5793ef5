/* SPDX-License-Identifier: MIT */
#include "server/supervisor.h"

#include "base/clock.h"
#include "base/log.h"
#include "server/certificates.h"

/*
 * What time does to TLS. Session tickets get a new key every few hours, so that one that was stolen
 * opens little; the two before it are still taken. Once a day, and after a reload, certificates
 * that end soon are told of.
 */
#define KEYS_USEC  (8 * 3600 * USEC_PER_SEC)
#define DATES_USEC (24 * 3600 * USEC_PER_SEC)

static void tell_of_dates(struct supervisor *s) {
        _cleanup_(buffer_finish)
        struct buffer remarks = {};
        struct text rest, line;

        (void)certificates_look(s->snapshot->certificates, s->snapshot->tls,
                                (int64_t)(clock_real_usec() / USEC_PER_SEC), &remarks);
        rest = buffer_text(&remarks);
        while (text_next_word(&rest, "\n", &line))
                log_warning("%.*s", TEXT_ARGS(line));
}

uint64_t supervisor_certificates_step(struct supervisor *s, uint64_t now_usec) {
        if (!s->modules.for_snapshots.tls || !s->snapshot->tls)
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
        if (now_usec >= s->dates_next_usec) {
                s->dates_next_usec = now_usec + DATES_USEC;
                tell_of_dates(s);
        }
        return MIN(s->keys_next_usec, s->dates_next_usec);
}
