/* SPDX-License-Identifier: MIT */
/*
 * Each form is read by one function that looks at the whole text; nothing here allocates or knows
 * of sections. Times and sizes are added up with checks of overflow, as their bounds are checked
 * later.
 */
#include "config/values.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>

enum { PORT_DIGITS_MAX = 5, PORT_MOST = 65535, LABEL_BYTES_MAX = 63, USER_BYTES_MAX = 31 };

static const struct unit {
        const char *name;
        uint64_t size;
} time_units[] = {
        /* clang-format off */
        { "us", 1 }, { "usec", 1 }, { "µs", 1 },
        { "ms", USEC_PER_MSEC }, { "msec", USEC_PER_MSEC },
        { "", USEC_PER_SEC }, { "s", USEC_PER_SEC }, { "sec", USEC_PER_SEC },
        { "second", USEC_PER_SEC }, { "seconds", USEC_PER_SEC },
        { "m", 60 * USEC_PER_SEC }, { "min", 60 * USEC_PER_SEC },
        { "minute", 60 * USEC_PER_SEC }, { "minutes", 60 * USEC_PER_SEC },
        { "h", 3600 * USEC_PER_SEC }, { "hr", 3600 * USEC_PER_SEC },
        { "hour", 3600 * USEC_PER_SEC }, { "hours", 3600 * USEC_PER_SEC },
        { "d", 86400 * USEC_PER_SEC }, { "day", 86400 * USEC_PER_SEC },
        { "days", 86400 * USEC_PER_SEC },
        { "w", 604800 * USEC_PER_SEC }, { "week", 604800 * USEC_PER_SEC },
        { "weeks", 604800 * USEC_PER_SEC },
        /* clang-format on */
};

static const struct unit size_units[] = {
        { "", 1 },
        { "K", 1 << 10 },
        { "M", 1 << 20 },
        { "G", 1 << 30 },
};

static uint64_t unit_size(const struct unit *units, size_t count, struct text name) {
        for (size_t i = 0; i < count; i++)
                if (text_equal(name, text_of(units[i].name)))
                        return units[i].size;
        return 0;
}

static struct text take_digits(struct text *rest) {
        struct text digits = { rest->data, 0 };

        while (digits.size < rest->size && ascii_is_digit(rest->data[digits.size]))
                digits.size++;
        rest->data += digits.size, rest->size -= digits.size;
        return digits;
}

static void skip_spaces(struct text *rest) {
        while (rest->size && (rest->data[0] == ' ' || rest->data[0] == '\t'))
                rest->data++, rest->size--;
}

/* ".5" of a unit; digits past the microsecond are dropped. */
static uint64_t fraction_of(struct text digits, uint64_t unit) {
        uint64_t sum = 0;

        for (size_t i = 0; i < digits.size && unit; i++) {
                sum += unit * (digits.data[i] - '0') / 10;
                unit /= 10;
        }
        return sum;
}

static int add_time(struct text *rest, uint64_t *sum) {
        struct text digits = take_digits(rest), fraction = {}, name;
        uint64_t n = 0, unit, part;
        int r;

        if (rest->size && rest->data[0] == '.') {
                rest->data++, rest->size--;
                fraction = take_digits(rest);
                if (!fraction.size)
                        return -EINVAL;
        }
        r = text_to_u64(digits, &n);
        if (r < 0)
                return r;
        skip_spaces(rest);
        name = (struct text){ rest->data, 0 };
        while (name.size < rest->size && !ascii_is_digit(rest->data[name.size]) &&
               rest->data[name.size] != ' ' && rest->data[name.size] != '\t')
                name.size++;
        rest->data += name.size, rest->size -= name.size;
        unit = unit_size(time_units, ELEMENTS(time_units), name);
        if (!unit)
                return -EINVAL;
        if (__builtin_mul_overflow(n, unit, &part) ||
            __builtin_add_overflow(part, fraction_of(fraction, unit), &part) ||
            __builtin_add_overflow(*sum, part, sum))
                return -ERANGE;
        return 0;
}

int value_time(struct text t, uint64_t *ret_usec) {
        uint64_t sum = 0;
        int r;

        t = text_trim(t);
        do {
                r = add_time(&t, &sum);
                if (r < 0)
                        return r;
                skip_spaces(&t);
        } while (t.size);
        *ret_usec = sum;
        return 0;
}

int value_time_print(uint64_t usec, struct buffer *to) {
        if (usec % USEC_PER_SEC == 0)
                return buffer_printf(to, "%llu", (unsigned long long)(usec / USEC_PER_SEC));
        if (usec % USEC_PER_MSEC == 0)
                return buffer_printf(to, "%llums", (unsigned long long)(usec / USEC_PER_MSEC));
        return buffer_printf(to, "%lluus", (unsigned long long)usec);
}

int value_bytes(struct text t, uint64_t *ret) {
        struct text rest = t, digits = take_digits(&rest);
        uint64_t n = 0, unit = unit_size(size_units, ELEMENTS(size_units), rest);
        int r = text_to_u64(digits, &n);

        if (r < 0 || !unit)
                return r < 0 ? r : -EINVAL;
        if (__builtin_mul_overflow(n, unit, &n))
                return -ERANGE;
        *ret = n;
        return 0;
}

int value_bytes_print(uint64_t bytes, struct buffer *to) {
        size_t i = ELEMENTS(size_units) - 1;

        while (i && (bytes == 0 || bytes % size_units[i].size))
                i--;
        return buffer_printf(to, "%llu%s", (unsigned long long)(bytes / size_units[i].size),
                             size_units[i].name);
}

int value_switch(struct text t, bool *ret) {
        static const char *const words[] = { "no", "yes", "off", "on", "false", "true", "0", "1" };

        for (size_t i = 0; i < ELEMENTS(words); i++)
                if (text_equal_nocase(t, text_of(words[i]))) {
                        *ret = i % 2;
                        return 0;
                }
        return -EINVAL;
}

bool value_status(struct text t, unsigned *ret_status, struct text *ret_rest) {
        struct text rest = t, digits = take_digits(&rest);
        uint64_t n;

        if (digits.size != 3 || (rest.size && rest.data[0] != ' ' && rest.data[0] != '\t'))
                return false;
        (void)text_to_u64(digits, &n);
        *ret_status = n;
        *ret_rest = text_trim(rest);
        return true;
}

static bool is_port(struct text t, uint64_t most) {
        uint64_t n;

        return text_to_u64(t, &n) == 0 && n >= 1 && n <= most;
}

/* inet_pton() of a text that is no string. */
static bool is_ip(int family, struct text t, void *ret) {
        char string[INET6_ADDRSTRLEN];

        if (t.size >= sizeof(string))
                return false;
        memcpy(string, t.data, t.size);
        string[t.size] = '\0';
        return inet_pton(family, string, ret) == 1;
}

const char *value_address_fault(struct text t) {
        static const char form[] = "is no address; write PORT, IPV4:PORT, [IPV6]:PORT, unix:PATH "
                                   "or vsock:PORT";
        static const char port_form[] = "has no usable port; ports are 1 to 65535";
        struct text host = t, port = t;
        struct in6_addr ip;

        if (text_starts_with(t, TEXT("unix:"))) {
                if (t.size < 7 || t.data[5] != '/')
                        return "names no absolute path; write unix:/run/…";
                if (t.size - 5 > UNIX_PATH_BYTES_MAX)
                        return "is too long for a socket; its path may have 107 bytes";
                return NULL;
        }
        if (text_starts_with(t, TEXT("vsock:")))
                return is_port((struct text){ t.data + 6, t.size - 6 }, UINT32_MAX - 1)
                               ? NULL
                               : "has no usable port; write vsock:PORT";
        for (size_t i = 0; i < t.size; i++) /* the last colon: an IPv6 address has more */
                if (t.data[i] == ':') {
                        host.size = i;
                        port = (struct text){ t.data + i + 1, t.size - i - 1 };
                }
        if (port.data == t.data)
                return !take_digits(&host).size || host.size ? form
                       : is_port(port, PORT_MOST)            ? NULL
                                                             : port_form;
        if (host.size > 2 && host.data[0] == '[' && host.data[host.size - 1] == ']') {
                if (!is_ip(AF_INET6, (struct text){ host.data + 1, host.size - 2 }, &ip))
                        return form;
        } else if (!is_ip(AF_INET, host, &ip))
                return form;
        return is_port(port, PORT_MOST) ? NULL : port_form;
}

static const char *host_labels_fault(struct text t) {
        size_t label = 0;

        for (size_t i = 0; i < t.size; i++) {
                char c = ascii_lower(t.data[i]);

                if ((unsigned char)c >= 0x80)
                        return "is not in ASCII; write the form that begins with xn--";
                if (c == ':')
                        return "is no host name; write it without a port";
                if (c == '/')
                        return "is no host name; write it without a scheme or path";
                if (c == '*')
                        return "has '*' where it cannot be; write *.example.org";
                if (c == '.'
                            ? !label
                            : !(c >= 'a' && c <= 'z') && !ascii_is_digit(c) && c != '-' && c != '_')
                        return "is no host name; write one such as www.example.org";
                label = c == '.' ? 0 : label + 1;
                if (label > LABEL_BYTES_MAX)
                        return "is no host name; a part between dots may have 63 bytes";
        }
        return NULL;
}

const char *value_host(struct text t, bool wildcard, char *out) {
        struct text labels;
        const char *fault;
        struct in6_addr ip;

        if (t.size > 2 && t.data[0] == '[' && t.data[t.size - 1] == ']') {
                if (!is_ip(AF_INET6, (struct text){ t.data + 1, t.size - 2 }, &ip))
                        return "is no IPv6 address; write one such as [2001:db8::1]";
                out[0] = '[';
                (void)inet_ntop(AF_INET6, &ip, out + 1, INET6_ADDRSTRLEN);
                strcat(out, "]");
                return NULL;
        }
        if (t.size > 1 && t.data[t.size - 1] == '.')
                t.size--;
        labels = t;
        if (text_starts_with(t, TEXT("*."))) {
                if (!wildcard)
                        return "names a Site by a wildcard; name it by a host, and put the "
                               "wildcard "
                               "into its Aliases=";
                labels = (struct text){ t.data + 2, t.size - 2 };
        }
        if (!labels.size || t.size > HOST_BYTES_MAX)
                return "is no host name; it may have 1 to 253 bytes";
        fault = host_labels_fault(labels);
        if (fault)
                return fault;
        for (size_t i = 0; i < t.size; i++)
                out[i] = ascii_lower(t.data[i]);
        out[t.size] = '\0';
        return NULL;
}

const char *value_path(struct text t, char *out) {
        struct text segment;
        char *at = out;

        if (!t.size || t.data[0] != '/')
                return "is no absolute path; begin it with '/'";
        if (t.size > FILE_PATH_BYTES_MAX)
                return "is too long for a path";
        while (text_next_word(&t, "/", &segment)) {
                if (text_equal(segment, TEXT(".")))
                        continue;
                *at++ = '/';
                at = mempcpy(at, segment.data, segment.size);
        }
        if (at == out)
                *at++ = '/';
        *at = '\0';
        return NULL;
}

static bool is_hex(char c) {
        return ascii_is_digit(c) || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'f');
}

const char *value_prefix_fault(struct text t) {
        struct text rest = t, segment;

        if (!t.size || t.data[0] != '/')
                return "is no path of a Route; begin it with '/'";
        if (t.size > FILE_PATH_BYTES_MAX)
                return "is too long; a Route may have 4095 bytes";
        while (text_next_word(&rest, "/", &segment))
                if (text_equal(segment, TEXT(".")) || text_equal(segment, TEXT("..")))
                        return "has '.' or '..' in it, which no request has; leave them out";
        for (size_t i = 0; i < t.size; i++) {
                if (i && t.data[i] == '/' && t.data[i - 1] == '/')
                        return "has '//' in it, which no request has; write '/'";
                if (t.data[i] == '?' || t.data[i] == '#')
                        return "has '?' or '#' in it; only the path of a request is compared";
                if (t.data[i] == '%' && i + 2 < t.size && is_hex(t.data[i + 1]) &&
                    is_hex(t.data[i + 2]))
                        return "is percent-encoded; write it as it is when decoded";
        }
        return NULL;
}

const char *value_index_fault(struct text t) {
        if (text_find(t, '/') < t.size)
                return "is not the name of a file; write it without a slash";
        if (text_equal(t, TEXT(".")) || text_equal(t, TEXT("..")))
                return "is not the name of a file; write one such as index.html";
        return t.size > 255 ? "is too long for the name of a file" : NULL;
}

const char *value_user_fault(struct text t) {
        bool good = t.size <= USER_BYTES_MAX && t.data[0] != '-';

        for (size_t i = 0; i < t.size; i++) {
                char c = ascii_lower(t.data[i]);

                good = good && ((c >= 'a' && c <= 'z') || ascii_is_digit(c) || c == '_' ||
                                c == '-' || c == '.');
        }
        return good ? NULL : "is no name of a user; write one such as www-data";
}

const char *value_location_fault(struct text t) {
        for (size_t i = 0; i < t.size; i++)
                if ((unsigned char)t.data[i] <= 0x20 || (unsigned char)t.data[i] >= 0x7f)
                        return "has a byte in its URL that none may have; percent-encode it";
        if (!text_starts_with(t, TEXT("/")) && !text_starts_with(t, TEXT("http://")) &&
            !text_starts_with(t, TEXT("https://")))
                return "has no URL to go to; write STATUS https://… or STATUS /path";
        return NULL;
}
