/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/macros.h"

/*
 * What brings a heavy library is a shared object of its own, opened when the settings ask for it,
 * never while a request waits. Each lies in a folder named by version and build, so that no emberd
 * ever opens a module of another build. It finds what base and http export in the program.
 */
struct module {
        const char *name;    /* "tls" */
        const char *build;   /* the same as the program's, or it is not used */
        const char *library; /* what it brings, with its version: "OpenSSL 3.0.15" */
};

/* The table that a module's code defines: its first member is a struct module. */
#define MODULE_SYMBOL "emberd_module"
#define DEFINE_MODULE(type, ...) \
        __attribute__((visibility("default"))) const type emberd_module = { __VA_ARGS__ }

enum { MODULE_REASON_BYTES = 512 };

/*
 * Open module `name`, once for the life of the process; calling it again gives the same table. Any
 * one thread at a time. Errors: -ENOENT (was not built, or its package is not installed), -EINVAL
 * (of another build), -ELIBACC (its library cannot be loaded); `reason` says what, where and what
 * to do.
 */
int module_open(const char *name, char reason[static MODULE_REASON_BYTES],
                const struct module **ret);
