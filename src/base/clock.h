/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/macros.h"

uint64_t clock_monotonic_usec(void); /* CLOCK_MONOTONIC */
uint64_t clock_real_usec(void);      /* CLOCK_REALTIME, since 1970 */
