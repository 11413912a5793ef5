/* SPDX-License-Identifier: MIT */
#include "systemd/unit-names.h"

#include <errno.h>
#include <stdio.h>

#include "systemd/unit-files.h"

/* A valid name in its parts; `instance` without data: not an instance or template. */
struct unit_name {
        struct text prefix, instance, type;
};

static bool is_name_byte(char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || ascii_is_digit(c) ||
               (c && strchr(":-_.\\@", c));
}

bool unit_name_is_valid(const char *name) {
        size_t n = strlen(name);
        const char *dot = strrchr(name, '.');

        if (n == 0 || n > UNIT_NAME_BYTES_MAX || !dot || dot == name || !dot[1] || name[0] == '@')
                return false;
        for (size_t i = 0; i < n; i++)
                if (!is_name_byte(name[i]))
                        return false;
        return !strchr(dot, '@');
}

static struct unit_name parse(const char *name) {
        const char *dot = strrchr(name, '.'), *at = strchr(name, '@');
        struct unit_name parts = { .type = text_of(dot + 1) };

        if (at)
                parts.instance = (struct text){ at + 1, (size_t)(dot - at - 1) };
        parts.prefix = (struct text){ name, (size_t)((at ? at : dot) - name) };
        return parts;
}

bool unit_name_is_template(const char *name) {
        struct unit_name parts = parse(name);

        return parts.instance.data && !parts.instance.size;
}

bool unit_name_template(const char *name, char *out) {
        struct unit_name parts = parse(name);

        if (!parts.instance.size)
                return false;
        memcpy(out, parts.prefix.data, parts.prefix.size);
        out += parts.prefix.size;
        *out++ = '@';
        *out++ = '.';
        strcpy(out, parts.type.data);
        return true;
}

/* "a-b-" and "a-b-c" become "a-b-" and "a-": up to the last dash that is not the end. */
static bool cut_prefix(struct text *prefix) {
        size_t n = prefix->size;

        if (n && prefix->data[n - 1] == '-')
                n--;
        while (n && prefix->data[n - 1] != '-')
                n--;
        prefix->size = n;
        return n > 0;
}

bool unit_name_wider(const char *name, unsigned n, char *out) {
        struct unit_name parts = parse(name);
        bool is_instance = parts.instance.size;
        unsigned cuts = is_instance ? n / 2 : n;
        int instance_bytes = is_instance && n % 2 == 0 ? (int)parts.instance.size : 0;

        while (cuts--)
                if (!cut_prefix(&parts.prefix))
                        return false;
        snprintf(out, UNIT_NAME_BYTES_MAX + 1, "%.*s%s%.*s.%s", TEXT_ARGS(parts.prefix),
                 parts.instance.data ? "@" : "", instance_bytes,
                 parts.instance.data ? parts.instance.data : "", parts.type.data);
        return true;
}

static int hex_digit(char c) {
        return ascii_is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int unit_name_unescape(struct text t, struct buffer *to) {
        for (size_t i = 0; i < t.size; i++) {
                char c = t.data[i] == '-' ? '/' : t.data[i];

                if (c == '\\') {
                        if (i + 3 >= t.size || t.data[i + 1] != 'x' ||
                            hex_digit(t.data[i + 2]) < 0 || hex_digit(t.data[i + 3]) < 0)
                                return -EINVAL;
                        c = (char)(hex_digit(t.data[i + 2]) << 4 | hex_digit(t.data[i + 3]));
                        if ((unsigned char)c < 0x20 || c == 0x7f)
                                return -EINVAL;
                        i += 3;
                }
                if (buffer_append(to, &c, 1) < 0)
                        return -ENOMEM;
        }
        return 0;
}

/* Of a prefix what stands behind its last dash. */
static struct text last_word(struct text prefix) {
        size_t n = prefix.size;

        while (n && prefix.data[n - 1] != '-')
                n--;
        return (struct text){ prefix.data + n, prefix.size - n };
}

int unit_name_specifier(const char *name, char specifier, struct buffer *to) {
        struct unit_name parts = parse(name);

        switch (specifier) {
        case '%': return buffer_append(to, "%", 1);
        case 'n': return buffer_append_text(to, text_of(name));
        case 'N': return buffer_append(to, name, strlen(name) - parts.type.size - 1);
        case 'p': return buffer_append_text(to, parts.prefix);
        case 'P': return unit_name_unescape(parts.prefix, to);
        case 'j': return buffer_append_text(to, last_word(parts.prefix));
        case 'J': return unit_name_unescape(last_word(parts.prefix), to);
        case 'i': return buffer_append_text(to, parts.instance);
        case 'I': return unit_name_unescape(parts.instance, to);
        case 'f':
                if (buffer_append(to, "/", 1) < 0)
                        return -ENOMEM;
                return unit_name_unescape(parts.instance.data ? parts.instance : parts.prefix, to);
        case 't': return buffer_append_text(to, TEXT("/run"));
        case 'S': return buffer_append_text(to, TEXT("/var/lib"));
        case 'C': return buffer_append_text(to, TEXT("/var/cache"));
        case 'L': return buffer_append_text(to, TEXT("/var/log"));
        case 'E': return buffer_append_text(to, TEXT("/etc"));
        default: return -EINVAL;
        }
}
