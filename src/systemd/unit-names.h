/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/buffer.h"

/* The grammar of names of units: PREFIX.TYPE, PREFIX@.TYPE, PREFIX@INSTANCE.TYPE. */

bool unit_name_is_valid(const char *name);
bool unit_name_is_template(const char *name);

/* The template of an instance, to `out` of UNIT_NAME_BYTES_MAX + 1 bytes. False: it is none. */
bool unit_name_template(const char *name, char *out);

/*
 * The names by which drop-ins of a unit may go, from the narrowest, which is its own, to `out` of
 * UNIT_NAME_BYTES_MAX + 1 bytes: of "a-b@i.socket" also "a-b@.socket", "a-@i.socket" and
 * "a-@.socket". False: there are no more than `n`.
 */
bool unit_name_wider(const char *name, unsigned n, char *out);

/*
 * systemd-escape(1) backwards, as "%I" is made of "%i": "-" is "/", "\x2d" is "-". Errors: -EINVAL:
 * not escaped like that; -ENOMEM.
 */
int unit_name_unescape(struct text escaped, struct buffer *to);

/*
 * What "%x" stands for in the unit of this name. Errors: -EINVAL: not known here; -ENOMEM. What
 * only a running system can tell (boots, users) is not known.
 */
int unit_name_specifier(const char *name, char specifier, struct buffer *to);
