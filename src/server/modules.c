/* SPDX-License-Identifier: MIT */
#include "server/modules.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "http2/http2.h"
#include "server/certificates.h"

/* The library was loaded; now each worker gets a context of its own. */
static int tls_workers_make(struct modules *m, const struct tls_module *tls,
                            struct buffer *faults) {
        struct snapshot_modules *to = &m->for_snapshots;

        to->tls_workers = calloc(m->workers, sizeof(*to->tls_workers));
        if (!to->tls_workers)
                return -ENOMEM;
        to->tls = tls;
        modules_renew_keys(m);
        for (unsigned i = 0; i < m->workers; i++) {
                int r = tls->worker_new(&to->tls_workers[i]);

                if (r == 0) {
                        tls->worker_take_keys(to->tls_workers[i], &m->keys);
                        continue;
                }
                modules_close(m);
                if (r == -ENOMEM)
                        return r;
                buffer_printf(faults,
                              "TLS cannot be had: %s refuses to work; see its settings "
                              "in openssl.cnf(5)\n",
                              tls->module.library);
                return -EINVAL;
        }
        return 0;
}

/* Without a word where it may be missing, and is. */
static int open_one(const char *name, const struct settings_origin *wanted, bool may_be_missing,
                    struct buffer *faults, const struct module **ret) {
        char reason[MODULE_REASON_BYTES], place[SETTINGS_PLACE_BYTES];
        int r = module_open(name, reason, ret);

        if (r == -ENOENT && may_be_missing)
                return r;
        if (r < 0) {
                settings_place(wanted, place);
                buffer_printf(faults, "%s: %s\n", place, reason);
        }
        return r < 0 ? -EINVAL : 0;
}

static int open_tls(struct modules *m, const struct settings_origin *wanted,
                    struct buffer *faults) {
        const struct module *found;
        int r = open_one("tls", wanted, false, faults, &found);

        if (r < 0)
                return r;
        return tls_workers_make(m, container_of(found, struct tls_module, module), faults);
}

/* "auto" is content without. */
static int open_http2(struct modules *m, const struct settings *settings, struct buffer *faults) {
        const struct module *found;
        int r = open_one("http2", &settings->http2_origin, settings->http2 == HTTP2_AUTO, faults,
                         &found);

        if (r == 0)
                m->for_snapshots.http2 = container_of(found, struct http2_module, module);
        return r == -ENOENT ? 0 : r;
}

int modules_open(struct modules *m, unsigned workers, const struct settings *settings,
                 struct buffer *faults) {
        const struct settings_origin *wants_tls = certificates_wanted(settings);
        int r = 0;

        if (!m->for_snapshots.tls)
                m->workers = workers; /* fewer may run in the end */
        if (wants_tls && !m->for_snapshots.tls)
                r = open_tls(m, wants_tls, faults);
        if (r == 0 && !m->for_snapshots.http2 &&
            (settings->http2 == HTTP2_YES || (wants_tls && settings->http2 == HTTP2_AUTO)))
                r = open_http2(m, settings, faults);
        return r;
}

void modules_renew_keys(struct modules *m) {
        struct tls_ticket_keys *k = &m->keys;

        memmove(k->keys[1], k->keys[0], sizeof(k->keys) - sizeof(k->keys[0]));
        if (getrandom(k->keys[0], sizeof(k->keys[0]), 0) != (ssize_t)sizeof(k->keys[0]))
                abort(); /* no key is better than one that can be guessed */
        k->count = MIN(k->count + 1, (unsigned)TLS_TICKET_KEYS);
}

void modules_close(struct modules *m) {
        struct snapshot_modules *of = &m->for_snapshots;

        for (unsigned i = 0; of->tls_workers && i < m->workers; i++)
                if (of->tls_workers[i])
                        of->tls->worker_free(of->tls_workers[i]);
        free(of->tls_workers);
        explicit_bzero(m, sizeof(*m));
}
