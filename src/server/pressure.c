/* SPDX-License-Identifier: MIT */
#include "server/supervisor.h"

#include <malloc.h>
#include <string.h>

#include "base/log.h"

/*
 * When memory becomes scarce, every worker lets go of what it only keeps for the sake of speed;
 * when all have done so, what they freed goes back to the kernel. Once a second is often enough:
 * in between the descriptor is not looked at, so that whoever holds its other end cannot keep
 * this thread busy.
 */
#define PAUSE_USEC      USEC_PER_SEC
#define TOLD_EVERY_USEC (60 * USEC_PER_SEC)

void supervisor_open_pressure(struct supervisor *s) {
        int r = pressure_open(&s->pressure);

        if (r < 0)
                log_info("memory pressure is not watched: %s", strerror(-r));
}

struct pollfd supervisor_pressure_poll(const struct supervisor *s, uint64_t now_usec) {
        return (struct pollfd){
                .fd = now_usec < s->pressure_pause_until_usec ? -1 : s->pressure.fd,
                .events = s->pressure.events,
        };
}

void supervisor_take_pressure(struct supervisor *s, short revents, uint64_t now_usec) {
        if (!revents || !pressure_take(&s->pressure, revents))
                return;
        s->pressure_pause_until_usec = now_usec + PAUSE_USEC;
        (void)supervisor_tell_all(s, &(struct worker_command){ .kind = WORKER_DROP_CACHES });
        s->pressure_is_on = true;
        s->pressure_sequence = s->sequence;
}

uint64_t supervisor_pressure_step(struct supervisor *s, uint64_t now_usec) {
        if (s->pressure_is_on && supervisor_all_did(s, s->pressure_sequence)) {
                s->pressure_is_on = false;
                malloc_trim(0);
                if (now_usec >= s->pressure_told_usec + TOLD_EVERY_USEC || !s->pressure_told_usec) {
                        s->pressure_told_usec = now_usec;
                        log_info("memory is scarce: caches were dropped");
                }
        }
        if (s->pressure.fd < 0 || now_usec >= s->pressure_pause_until_usec)
                return USEC_INFINITY;
        return s->pressure_pause_until_usec;
}
