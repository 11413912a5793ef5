/* SPDX-License-Identifier: MIT */
#include "base/invariant.h"

#include <stdio.h>
#include <stdlib.h>

#ifdef EMBERD_TEST_BUILD
static bool invariant_is_fatal = true;
#else
static bool invariant_is_fatal;
#endif
static _Thread_local char invariant_place[256] = "no invariant was broken";

bool invariant_failed(const char *condition, const char *file, int line) {
        snprintf(invariant_place, sizeof(invariant_place), "%s:%d: %s", file, line, condition);
        if (invariant_is_fatal) {
                fprintf(stderr, "broken invariant at %s\n", invariant_place);
                abort();
        }
        return false;
}

const char *invariant_broken_at(void) {
        return invariant_place;
}

void invariant_set_fatal(bool fatal) {
        invariant_is_fatal = fatal;
}
