/* SPDX-License-Identifier: MIT */
/* Values of settings about TLS. */
#include "config/values.h"

#include <stdio.h>

#define CREDENTIAL       "credential:"
#define INCLUDE_SUBS     "includeSubDomains"
#define PRELOAD          "preload"
#define HSTS_SECONDS_MAX (UINT64_C(10) * 366 * 86400)

const char *value_file(struct text t, char *out) {
        struct text name = { t.data + sizeof(CREDENTIAL) - 1, t.size - sizeof(CREDENTIAL) + 1 };

        if (!text_starts_with(t, TEXT(CREDENTIAL)))
                return value_path(t, out);
        /* systemd.exec(5): a credential's name is a file name */
        if (!name.size || name.size > 255 || name.data[0] == '.' ||
            text_find(name, '/') < name.size)
                return "names no credential; write credential:NAME, as in LoadCredential=NAME:…";
        memcpy(out, t.data, t.size);
        out[t.size] = '\0';
        return NULL;
}

const char *value_hsts(struct text t, char out[static HSTS_BYTES_MAX]) {
        struct text rest = t, word, time = { t.data, 0 };
        bool subs = false, preload = false;
        uint64_t usec = 0;

        while (text_next_word(&rest, " \t", &word)) {
                if (text_equal_nocase(word, TEXT(INCLUDE_SUBS)))
                        subs = true;
                else if (text_equal_nocase(word, TEXT(PRELOAD)))
                        preload = true;
                else if (subs || preload)
                        return "has a word too many; write TIME includeSubDomains preload";
                else
                        time.size = (size_t)(word.data + word.size - t.data);
        }
        if (!time.size || value_time(time, &usec) < 0)
                return "has no time; write such as 365d, then includeSubDomains if you like";
        if (usec / USEC_PER_SEC > HSTS_SECONDS_MAX)
                return "is longer than ten years; write such as 365d";
        snprintf(out, HSTS_BYTES_MAX, "max-age=%llu%s%s", (unsigned long long)(usec / USEC_PER_SEC),
                 subs ? "; " INCLUDE_SUBS : "", preload ? "; " PRELOAD : "");
        return NULL;
}

int value_hsts_print(const char *hsts, struct buffer *to) {
        struct text t = text_of(hsts), rest = t, word;
        uint64_t sec = 0;
        int r = 0;

        for (bool first = true; r == 0 && text_next_word(&rest, "; =", &word); first = false) {
                if (first) /* max-age */
                        continue;
                if (text_to_u64(word, &sec) == 0)
                        r = value_time_print(sec * USEC_PER_SEC, to);
                else
                        r = buffer_printf(to, " %.*s", TEXT_ARGS(word));
        }
        return r;
}

/* What OpenSSL thinks of the list is known when the settings are put in force. */
const char *value_ciphers_fault(struct text t) {
        for (size_t i = 0; i < t.size; i++) {
                char c = ascii_lower(t.data[i]);

                if (!((c >= 'a' && c <= 'z') || ascii_is_digit(c) || strchr("-_+!:@=", c)))
                        return "is no list of ciphers; write names with ':' between, see "
                               "ciphers(1)";
        }
        return NULL;
}
