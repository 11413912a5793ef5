/* SPDX-License-Identifier: MIT */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What every file uses: the compiler's attributes and three idioms. */

#define _cleanup_(f)   __attribute__((cleanup(f)))
#define _printf_(a, b) __attribute__((format(printf, a, b)))
#define _public_       __attribute__((visibility("default")))
#define _noreturn_     __attribute__((noreturn))
#define likely(x)      __builtin_expect(!!(x), 1)
#define unlikely(x)    __builtin_expect(!!(x), 0)
#define ELEMENTS(a)    (sizeof(a) / sizeof((a)[0]))
#define USEC_PER_SEC   UINT64_C(1000000)
#define USEC_PER_MSEC  UINT64_C(1000)
#define USEC_INFINITY  UINT64_MAX

/* The object of type `type` whose member `member` is at `ptr`. */
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* Hand over what an owning local holds: gives the pointer and leaves NULL behind. */
#define take_ptr(p)                          \
        ({                                   \
                __typeof__(&(p)) _at = &(p); \
                __typeof__(p) _value = *_at; \
                *_at = NULL;                 \
                _value;                      \
        })

/* The counter makes the names differ where one stands within another. */
#define MIN(a, b)         _LESSER(__COUNTER__, a, b)
#define MAX(a, b)         _GREATER(__COUNTER__, a, b)
#define _LESSER(n, a, b)  _CHOOSE(n, a, b, <)
#define _GREATER(n, a, b) _CHOOSE(n, a, b, >)
#define _CHOOSE(n, a, b, o)                    \
        ({                                     \
                __typeof__(a) _a##n = (a);     \
                __typeof__(b) _b##n = (b);     \
                _a##n o _b##n ? _a##n : _b##n; \
        })

/* Defines `name_freep()` for `_cleanup_()`, from a `name_free()` that accepts NULL. */
#define DEFINE_FREEP(type, name)                    \
        static inline void name##_freep(type **p) { \
                if (*p)                             \
                        name##_free(*p);            \
        }
