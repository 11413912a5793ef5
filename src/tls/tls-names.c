/* SPDX-License-Identifier: MIT */
/*
 * Hosts to sites, as the routes of requests have them: one keyed hash of the name in lower case; a
 * wildcard "*.example.org" stands in the table as ".example.org" and is asked for by cutting labels
 * off the front, so that the longest wins.
 */
#include "tls/tls-internal.h"

#include "base/hash.h"

#include <errno.h>
#include <stdlib.h>

struct tls_name {
        char *name; /* NULL: free */
        size_t size;
        const void *value;
};

int names_init(struct tls_names *n, size_t count) {
        size_t slots = 8;

        while (slots < count * 2)
                slots *= 2;
        n->slots = calloc(slots, sizeof(*n->slots));
        n->mask = slots - 1;
        return n->slots ? 0 : -ENOMEM;
}

void names_finish(struct tls_names *n) {
        for (size_t i = 0; n->slots && i <= n->mask; i++)
                free(n->slots[i].name);
        free(n->slots);
        *n = (struct tls_names){};
}

static struct tls_name *name_slot(const struct tls_names *n, struct text name) {
        for (size_t i = hash_text(name);; i++) {
                struct tls_name *slot = &n->slots[i & n->mask];

                if (!slot->name || text_equal((struct text){ slot->name, slot->size }, name))
                        return slot;
        }
}

int names_add(struct tls_names *n, const char *name, const void *value) {
        struct text t = text_of(name[0] == '*' ? name + 1 : name);
        struct tls_name *slot = name_slot(n, t);

        if (slot->name)
                return 0;
        slot->name = text_dup(t);
        slot->size = t.size;
        slot->value = value;
        return slot->name ? 0 : -ENOMEM;
}

const void *names_find(const struct tls_names *n, struct text host) {
        const struct tls_name *slot;

        if (!host.size)
                return NULL;
        slot = name_slot(n, host);
        while (!slot->name) {
                size_t dot = text_find((struct text){ host.data + 1, host.size - 1 }, '.') + 1;

                if (dot >= host.size)
                        return NULL;
                host.data += dot;
                host.size -= dot;
                slot = name_slot(n, host);
        }
        return slot->value;
}

/* Letters, digits, hyphens and underscores, in labels none of which is empty. */
static bool host_fold(const unsigned char *from, size_t size, char *to) {
        char last = '.';

        for (size_t i = 0; i < size; i++) {
                char c = ascii_lower((char)from[i]);

                if (c == '.' ? last == '.'
                             : !((c >= 'a' && c <= 'z') || ascii_is_digit(c) || c == '-' ||
                                 c == '_'))
                        return false;
                to[i] = last = c;
        }
        return size > 0;
}

struct text names_from_extension(const unsigned char *data, size_t size,
                                 char to[static TLS_HOST_BYTES_MAX]) {
        const struct text none = {};
        size_t bytes;

        /* a list: its length 2, then one entry: type 1 (0: a host), length 2, the name */
        if (size < 5 || (size_t)(data[0] << 8 | data[1]) != size - 2 || data[2] != 0)
                return none;
        bytes = (size_t)(data[3] << 8 | data[4]);
        data += 5;
        if (bytes > size - 5 || bytes > TLS_HOST_BYTES_MAX)
                return none;
        if (bytes && data[bytes - 1] == '.')
                bytes--;
        return host_fold(data, bytes, to) ? (struct text){ to, bytes } : none;
}
