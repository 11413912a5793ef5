/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/macros.h"

#include <stdatomic.h>

/*
 * Counters that one thread writes and others may read at any time, without a lock and without a
 * locked instruction: the writer loads and stores with relaxed order.
 */
typedef _Atomic uint64_t counter;

static inline void counter_add(counter *c, uint64_t n) {
        atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n,
                              memory_order_relaxed);
}

static inline void counter_set(counter *c, uint64_t n) {
        atomic_store_explicit(c, n, memory_order_relaxed);
}

static inline uint64_t counter_read(const counter *c) {
        return atomic_load_explicit(c, memory_order_relaxed);
}
