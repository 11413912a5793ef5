/* SPDX-License-Identifier: MIT */
#include "handlers/handler.h"

#include <errno.h>

#include "handlers/echo.h"
#include "handlers/files.h"
#include "handlers/fixed.h"
#include "handlers/misbehave.h"

/* One row a handler: a new one adds its row here, and its kind in config/settings.h. */
struct handler_row {
        const struct exchange_handler *handler;
        int (*prepare)(struct handler_route *route, char reason[static HANDLER_REASON_BYTES]);
        void (*finish)(struct handler_route *route);
};

/* clang-format off */
static const struct handler_row handler_rows[] = {
        [HANDLER_FILES]    = { &files_handler,    files_route_prepare, files_route_finish },
        [HANDLER_REDIRECT] = { &redirect_handler, fixed_route_prepare, fixed_route_finish },
        [HANDLER_RETURN]   = { &return_handler,   fixed_route_prepare, fixed_route_finish },
#ifdef EMBERD_TEST_BUILD
        [HANDLER_MISBEHAVE] = { &misbehave_handler, misbehave_route_prepare },
        [HANDLER_ECHO] = { &echo_handler, echo_route_prepare },
#endif
};
/* clang-format on */

int handler_route_prepare(struct handler_route *route, const struct settings_route *settings,
                          char reason[static HANDLER_REASON_BYTES]) {
        const struct handler_row *row = &handler_rows[settings->handler];

        *route = (struct handler_route){ .handler = row->handler, .settings = settings };
        reason[0] = '\0';
        return row->prepare(route, reason);
}

void handler_route_finish(struct handler_route *route) {
        if (route->prepared)
                handler_rows[route->settings->handler].finish(route);
}
