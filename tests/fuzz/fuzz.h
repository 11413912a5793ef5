/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/*
 * A target takes any bytes and aborts when what it tests breaks its promise. The same source is a
 * target of libFuzzer (-Dfuzz=true, clang) and of mutate.c, which any compiler builds.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An assertion that no build leaves out. */
#define must(condition)           \
        do {                      \
                if (!(condition)) \
                        abort();  \
        } while (0)
