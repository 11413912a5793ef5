/* SPDX-License-Identifier: MIT */
#pragma once

#include "systemd/unit-files.h"

/*
 * The socket units of this machine whose service is an emberd that reads given settings, as their
 * files say (systemd.socket(5)); whether they listen at this moment is another question.
 */
struct socket_stream {
        char *address;    /* as in ListenStream=, specifiers replaced */
        const char *file; /* where it says so */
        unsigned line;
};

struct socket_unit {
        struct unit *unit;
        char *service; /* its Service= */
        char *fd_name; /* its FileDescriptorName= */
        bool enabled;  /* by a link, or because its enabled service asks for it */
        struct socket_stream *streams;
        size_t stream_count;
};

struct socket_units {
        struct socket_unit *all;
        size_t count, enabled_count;
        struct unit **services; /* those that they name */
        size_t service_count;
};

struct socket_query {
        const char *root;          /* "" but in tests */
        const char *settings_file; /* the emberd that reads this one is meant */
        const char *default_file;  /* which is read where ExecStart= names none */
};

/* `*units` needs socket_units_finish() in any case. Errors: -ENOMEM, -E2BIG. */
int socket_units_read(const struct socket_query *query, struct socket_units *units);
void socket_units_finish(struct socket_units *units);
