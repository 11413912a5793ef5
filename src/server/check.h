/* SPDX-License-Identifier: MIT */
#pragma once

#include "config/settings.h"

/*
 * What --check asks of the machine, beyond what the settings say of themselves: does User= exist,
 * can Backend= be had, could AccessLog= be opened, is there a socket for each listener. Nothing is
 * changed by it. Faults go to `faults`, as from settings_load(); `*ret_count` is how many of them
 * are no warnings. Errors: -ENOMEM.
 */
struct check_query {
        const char *root; /* where units are looked for: "" but in tests */
        const struct settings *settings;
        const char *settings_file; /* NULL: no units are looked at, as no service is meant */
};

int check_machine(const struct check_query *query, struct buffer *faults, unsigned *ret_count);
