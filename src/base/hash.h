/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/text.h"

/*
 * A 64-bit hash of bytes that a stranger may have chosen: keyed (SipHash-1-3), so that nobody
 * outside can make a table's chains long. The key is drawn once a process.
 */
uint64_t hash_text(struct text t);
