/* SPDX-License-Identifier: MIT */
#include "hostile.h"

#include <unistd.h>

/* What a bug does rather than an attacker: a crash, and a loop that stops turning. */

TRY(crash) {
        __builtin_trap();
}

TRY(stall) {
        for (;;)
                pause();
        return 0;
}

TRY(spin) {
        for (volatile unsigned turns = 0;; turns++)
                ;
        return 0;
}

const struct misbehaviour hostile_faults[] = {
        { "crash", crash },
        { "stall", stall },
        { "spin", spin },
        {},
};
