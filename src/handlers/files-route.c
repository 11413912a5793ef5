/* SPDX-License-Identifier: MIT */
#include "handlers/files.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/settings.h"
#include "handlers/files-root.h"

/* As emberd.service has it (ProtectHome=): the folder may well exist, but not for the service. */
static bool is_hidden_home(const char *path) {
        struct text t = text_of(path);

        return getenv("INVOCATION_ID") && /* of systemd.exec(5) */
               (text_starts_with(t, TEXT("/home/")) || text_starts_with(t, TEXT("/root/")) ||
                text_starts_with(t, TEXT("/run/user/")));
}

static const char *files_cure(const char *path, int error) {
        if ((error == -ENOENT || error == -EACCES) && is_hidden_home(path))
                return "the service is kept from it: see content-below-home.conf among the "
                       "examples in /usr/share/doc/emberd";
        switch (-error) {
        case ENOENT: return "create the folder, or name another one";
        case ENOTDIR: return "name the folder that the file is in";
        case EACCES:
        case EPERM:
                return "allow the user that emberd runs as to enter it and all folders on the way "
                       "(chmod o+x)";
        case ELOOP: return "its symbolic links lead in a circle; name the folder itself";
        default: return "see the kernel's log, or name another folder";
        }
}

int files_route_prepare(struct handler_route *route, char reason[static HANDLER_REASON_BYTES]) {
        const struct settings_route *settings = route->settings;
        struct files_root *root;
        int r = files_root_new(settings->root, settings->index, &root);

        if (r < 0) {
                snprintf(reason, HANDLER_REASON_BYTES, "%s=%.*s: %s; %s",
                         settings->is_challenge ? "Challenge" : "Root", 256, settings->root,
                         r == -ENOTDIR ? "is not a folder" : strerror(-r),
                         files_cure(settings->root, r));
                return r;
        }
        route->prepared = root;
        return 0;
}

void files_route_finish(struct handler_route *route) {
        struct files_root *root = route->prepared;

        atomic_store_explicit(&root->finished, true, memory_order_relaxed);
        route->prepared = files_root_unref(root);
}
