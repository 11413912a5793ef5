/* SPDX-License-Identifier: MIT */
#include "base/module.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/*
 * A program that runs from where it was installed takes its modules from EMBERD_MODULE_DIR. One
 * that runs from a build folder takes those that were built beside it. Nothing in the environment
 * can change either.
 */

static bool program_folder(char *folder, size_t size) {
        ssize_t n = readlink("/proc/self/exe", folder, size - 1);
        char *slash;

        if (n <= 0)
                return false;
        folder[n] = '\0';
        slash = strrchr(folder, '/');
        if (!slash)
                return false;
        *slash = '\0';
        return true;
}

static void module_path(const char *name, char *path, size_t size) {
        char folder[512];

        if (program_folder(folder, sizeof(folder)) && strcmp(folder, EMBERD_PROGRAM_DIR) != 0) {
                snprintf(path, size, "%s/src/%s/%s.so", folder, name, name);
                if (access(path, F_OK) == 0)
                        return;
        }
        snprintf(path, size, "%s/%s.so", EMBERD_MODULE_DIR, name);
}

int module_open(const char *name, char reason[static MODULE_REASON_BYTES],
                const struct module **ret) {
        const struct module *module;
        char path[1024];
        void *object;

        module_path(name, path, sizeof(path));
        if (access(path, F_OK) < 0) {
                snprintf(reason, MODULE_REASON_BYTES,
                         "the module %s is not here: %.256s: %s; install it, or build emberd with "
                         "it",
                         name, path, strerror(errno));
                return -ENOENT;
        }
        object = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
        if (!object) {
                snprintf(reason, MODULE_REASON_BYTES, "the module %s cannot be loaded: %.400s",
                         name, dlerror());
                return -ELIBACC;
        }
        module = dlsym(object, MODULE_SYMBOL);
        if (!module || strcmp(module->build, EMBERD_BUILD) != 0) {
                snprintf(reason, MODULE_REASON_BYTES,
                         "%.256s is of another build (%.64s) than emberd (%.64s); install both "
                         "from one "
                         "package",
                         path, module ? module->build : "unknown", EMBERD_BUILD);
                return -EINVAL;
        }
        *ret = module;
        return 0;
}
