/* SPDX-License-Identifier: MIT */
#pragma once

#include "config/settings.h"
#include "systemd/socket-units.h"

/*
 * One source of truth for ports: the listeners of the settings beside the socket units that are
 * enabled for the emberd that reads them. Each listener without a socket, and each socket without a
 * listener, becomes lines in `to`: "FILE:LINE: what; what to do" (with "warning: " behind the
 * place where it keeps nobody from being served), then the drop-in that would mend it, indented.
 *
 * A listener that would not exist at all is a fault, and counted: one without Address=, and any
 * where systemd runs this machine (`booted`), since it then opens the sockets or nobody does. Where
 * no socket is enabled, emberd opens its own, and there is nothing to say.
 */
struct ports_query {
        const struct settings *settings;
        const struct socket_units *units;
        const char *settings_file;
        bool booted;
};

/* Gives the number of faults. A lack of memory shows in to->failed. */
unsigned ports_compare(const struct ports_query *query, struct buffer *to);
