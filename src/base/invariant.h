/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/macros.h"

/*
 * invariant(condition): true where the condition holds. Where it does not, a bug of ours concerns
 * one connection alone: a test build aborts here; a release notes the place for
 * invariant_broken_at() and gives false, and the caller ends that connection. assert() is for what
 * makes the loop or the heap untrustworthy, and always ends the process.
 *
 *         if (!invariant(x->answered))
 *                 return -EBADMSG;
 */
#define invariant(condition) (likely(condition) || invariant_failed(#condition, __FILE__, __LINE__))

/* Always false (or the process ends, in a test build unless a test asked for it not to). */
bool invariant_failed(const char *condition, const char *file, int line);

/* The place and text of the last one broken on this thread, for the log line; never NULL. */
const char *invariant_broken_at(void);

/* For tests: whether a broken invariant aborts. Process-wide; true in test builds at first. */
void invariant_set_fatal(bool fatal);
