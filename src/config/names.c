/* SPDX-License-Identifier: MIT */
/*
 * Open addressing with linear probing, at most half full. Settings with thousands of Sites are read
 * in linear time, whoever chose the names (base/hash.h is keyed).
 */
#include "config/names.h"

#include <errno.h>
#include <stdlib.h>

#include "base/hash.h"

enum { SLOTS_MIN = 64 }; /* a power of two */

struct names_slot {
        struct text name;
        void *value; /* NULL: free */
};

void names_finish(struct names *n) {
        free(n->slots);
        *n = (struct names){};
}

static struct names_slot *slot_of(const struct names *n, struct text name) {
        size_t i = hash_text(name) & (n->size - 1);

        while (n->slots[i].value && !text_equal(n->slots[i].name, name))
                i = (i + 1) & (n->size - 1);
        return &n->slots[i];
}

void *names_find(const struct names *n, struct text name) {
        return n->size ? slot_of(n, name)->value : NULL;
}

static int grow(struct names *n) {
        struct names bigger = { .used = n->used, .size = n->size ? n->size * 2 : SLOTS_MIN };

        bigger.slots = calloc(bigger.size, sizeof(*bigger.slots));
        if (!bigger.slots)
                return -ENOMEM;
        for (size_t i = 0; i < n->size; i++)
                if (n->slots[i].value)
                        *slot_of(&bigger, n->slots[i].name) = n->slots[i];
        free(n->slots);
        *n = bigger;
        return 0;
}

int names_add(struct names *n, struct text name, void *value) {
        struct names_slot *slot;

        assert(value);
        if (n->used * 2 >= n->size) {
                int r = grow(n);

                if (r < 0)
                        return r;
        }
        slot = slot_of(n, name);
        assert(!slot->value);
        *slot = (struct names_slot){ name, value };
        n->used++;
        return 0;
}
