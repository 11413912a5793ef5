/* SPDX-License-Identifier: MIT */
#pragma once

#include "server/snapshot.h"
#include "tls/tls.h"

/*
 * What settings ask for that a module brings (base/module.h): opened when they are put in force for
 * the first time, and kept.
 */
struct modules {
        struct snapshot_modules for_snapshots;
        unsigned workers;
        struct tls_ticket_keys keys; /* of all workers */
};

/*
 * Open what `settings` need and is not open yet. Errors: -EINVAL, with a line in `faults`; -ENOMEM.
 */
int modules_open(struct modules *m, unsigned workers, const struct settings *settings,
                 struct buffer *faults);

/* A new key for session tickets before the others, of which the oldest goes. */
void modules_renew_keys(struct modules *m);

/* No snapshot, no worker is left. */
void modules_close(struct modules *m);
