/* SPDX-License-Identifier: MIT */
#pragma once

#include "config/settings.h"
#include "server/held.h"

struct activation_socket;

/*
 * The listening sockets, made by the supervisor and shared by the workers. Those that systemd
 * passed stay for the whole life; those opened here come and go with the settings.
 */
struct listener {
        int fd;
        char *name;    /* FileDescriptorName, or the address */
        char *address; /* as it was asked for; NULL for a passed socket */
        char *path;    /* of a unix socket made here, removed when it is closed; else NULL */
        unsigned references;
};

struct listener_set {
        struct held held;
        struct listener **listeners;
        size_t count;
};

enum { LISTENER_REASON_BYTES = 512 };

/* Take over the sockets that systemd passed; their names are copied. Errors: -ENOMEM. */
int listener_set_new_passed(const struct activation_socket *sockets, size_t count,
                            struct listener_set **ret);

/*
 * Open what the settings ask for, 127.0.0.1:8080 if they name no address; a listener of `old` (may
 * be NULL) with the same address is used again. Errors: -errno, with which address, why and what to
 * do in `reason`.
 */
int listener_set_open(const struct settings *settings, const struct listener_set *old,
                      char reason[static LISTENER_REASON_BYTES], struct listener_set **ret);

/* Whether clients come by TLS: as its [Listener] says, if it has one, else by its name. */
bool listener_has_section(const struct listener *l, const struct settings *settings);
bool listener_is_tls(const struct listener *l, const struct settings *settings);

/* Lets go of its listeners; the last to let go closes them. Accepts NULL. */
struct listener_set *listener_set_free(struct listener_set *set);
DEFINE_FREEP(struct listener_set, listener_set)

/* "[::]:8080", "127.0.0.1:8080", "unix:/run/x.sock": where a descriptor really listens. */
enum { LISTENER_ADDRESS_BYTES = 128 };
void listener_bound_name(int fd, char out[static LISTENER_ADDRESS_BYTES]);

/*
 * Accept one connection that waits, for the last look before leaving. Gives the descriptor, and
 * which of them it came to; or -EAGAIN when none waits on any, or -errno.
 */
int listener_set_accept(const struct listener_set *set, const struct listener **ret_listener,
                        struct sockaddr_storage *ret_address, socklen_t *ret_size);
