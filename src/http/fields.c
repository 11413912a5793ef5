/* SPDX-License-Identifier: MIT */
#include "http/fields.h"

#include "http/scan.h"

/*
 * Which bytes may stand where, and the few things that are common to all fields: lists, and the
 * ids of the names that somebody here looks at. A name is recognised by its length and one or two
 * letters, then compared whole, eight bytes at a time; names that nobody looks at are never hashed.
 */

enum {
        TCHAR = HTTP_CHAR_TOKEN | HTTP_CHAR_VALUE | HTTP_CHAR_TARGET,
        SUB_DELIM = HTTP_CHAR_VALUE | HTTP_CHAR_TARGET | HTTP_CHAR_HOST | HTTP_CHAR_PATH,
        UNRESERVED = TCHAR | SUB_DELIM,
        PCHAR = HTTP_CHAR_VALUE | HTTP_CHAR_TARGET | HTTP_CHAR_PATH,
        VISIBLE = HTTP_CHAR_VALUE | HTTP_CHAR_TARGET,
};

/* clang-format off */
const unsigned char http_char_classes[256] = {
        ['\t'] = HTTP_CHAR_VALUE, [' '] = HTTP_CHAR_VALUE, [0x80 ... 0xff] = HTTP_CHAR_VALUE,
        ['0' ... '9'] = UNRESERVED | HTTP_CHAR_HEX,
        ['A' ... 'F'] = UNRESERVED | HTTP_CHAR_HEX, ['a' ... 'f'] = UNRESERVED | HTTP_CHAR_HEX,
        ['G' ... 'Z'] = UNRESERVED, ['g' ... 'z'] = UNRESERVED,
        ['-'] = UNRESERVED, ['.'] = UNRESERVED, ['_'] = UNRESERVED, ['~'] = UNRESERVED,
        ['!'] = TCHAR | SUB_DELIM, ['$'] = TCHAR | SUB_DELIM, ['&'] = TCHAR | SUB_DELIM,
        ['\''] = TCHAR | SUB_DELIM, ['*'] = TCHAR | SUB_DELIM, ['+'] = TCHAR | SUB_DELIM,
        ['('] = SUB_DELIM, [')'] = SUB_DELIM, [','] = SUB_DELIM, [';'] = SUB_DELIM,
        ['='] = SUB_DELIM,
        [':'] = PCHAR, ['@'] = PCHAR, ['/'] = PCHAR,
        ['#'] = HTTP_CHAR_TOKEN | HTTP_CHAR_VALUE,
        ['%'] = TCHAR, ['^'] = TCHAR, ['`'] = TCHAR, ['|'] = TCHAR,
        ['"'] = VISIBLE, ['<'] = VISIBLE, ['>'] = VISIBLE, ['?'] = VISIBLE, ['['] = VISIBLE,
        ['\\'] = VISIBLE, [']'] = VISIBLE, ['{'] = VISIBLE, ['}'] = VISIBLE,
};
/* clang-format on */

bool http_is_token_char(unsigned char c) {
        return http_char_is(c, HTTP_CHAR_TOKEN);
}

bool http_is_token(struct text t) {
        if (!t.size)
                return false;
        return http_scan_class(t.data, t.data + t.size, HTTP_CHAR_TOKEN) == t.data + t.size;
}

/* The length of the element that `t` begins with: up to a comma outside of quotes. */
static size_t element_size(struct text t) {
        bool quoted = false;

        for (size_t i = 0; i < t.size; i++) {
                if (quoted && t.data[i] == '\\')
                        i++; /* a quoted-pair (RFC 9110, 5.6.4) */
                else if (t.data[i] == '"')
                        quoted = !quoted;
                else if (t.data[i] == ',' && !quoted)
                        return i;
        }
        return t.size;
}

bool http_list_next(struct text *rest, struct text *ret_element) {
        while (rest->size) {
                size_t n = element_size(*rest);
                struct text element = text_trim((struct text){ rest->data, n });

                n += n < rest->size; /* the comma */
                rest->data += n;
                rest->size -= n;
                if (element.size) {
                        *ret_element = element;
                        return true;
                }
        }
        return false;
}

bool http_request_next(const struct http_request *r, enum http_field_id id, unsigned *at,
                       struct text *ret_value) {
        unsigned i = *at ? *at : (unsigned)r->first[id] - 1;

        if (!r->first[id] || (*at && !(r->repeated & 1u << id)))
                return false;
        for (; i < r->field_count; i++)
                if (r->fields[i].id == id) {
                        *ret_value = http_span_text(r, r->fields[i].value);
                        *at = i + 1;
                        return true;
                }
        return false;
}

bool http_request_lists(const struct http_request *r, enum http_field_id id, struct text token) {
        struct text value, element;
        unsigned at = 0;

        while (http_request_next(r, id, &at, &value))
                while (http_list_next(&value, &element))
                        if (text_equal_nocase(element, token))
                                return true;
        return false;
}

/* How eight, or four, bytes of a token differ from the small letters at `lower`. */
static inline uint64_t differ_8(const char *name, const char *lower) {
        uint64_t a, b;

        memcpy(&a, name, sizeof(a));
        memcpy(&b, lower, sizeof(b));
        /* Bit 5 makes letters small, and of no other byte in a token a letter or "-". */
        return (a | UINT64_C(0x2020202020202020)) ^ b;
}

static inline uint32_t differ_4(const char *name, const char *lower) {
        uint32_t a, b;

        memcpy(&a, name, sizeof(a));
        memcpy(&b, lower, sizeof(b));
        return (a | 0x20202020) ^ b;
}

/* Does the token at `name` spell `lower`, both of `size` bytes, 4 to 24? The loads overlap. */
__attribute__((always_inline)) static inline bool spells(const char *name, const char *lower,
                                                         size_t size) {
        if (size < 8)
                return !(differ_4(name, lower) | differ_4(name + size - 4, lower + size - 4));
        if (differ_8(name, lower) | differ_8(name + size - 8, lower + size - 8))
                return false;
        return size <= 16 || !differ_8(name + 8, lower + 8);
}

#define IS(literal, id) (spells(name.data, literal, sizeof(literal) - 1) ? (id) : HTTP_FIELD_OTHER)

enum http_field_id http_field_id_of(struct text name) {
        switch (name.size) {
        case 4: return IS("host", HTTP_HOST);
        case 5: return IS("range", HTTP_RANGE);
        case 6:
                if (ascii_lower(name.data[0]) == 'a')
                        return IS("accept", HTTP_ACCEPT);
                return IS("expect", HTTP_EXPECT);
        case 7:
                if (ascii_lower(name.data[0]) == 'r')
                        return IS("referer", HTTP_REFERER);
                return IS("upgrade", HTTP_UPGRADE);
        case 8:
                if (ascii_lower(name.data[3]) == 'm')
                        return IS("if-match", HTTP_IF_MATCH);
                return IS("if-range", HTTP_IF_RANGE);
        case 10:
                if (ascii_lower(name.data[0]) == 'u')
                        return IS("user-agent", HTTP_USER_AGENT);
                return IS("connection", HTTP_CONNECTION);
        case 13: return IS("if-none-match", HTTP_IF_NONE_MATCH);
        case 14: return IS("content-length", HTTP_CONTENT_LENGTH);
        case 15: return IS("accept-encoding", HTTP_ACCEPT_ENCODING);
        case 17:
                if (ascii_lower(name.data[0]) == 't')
                        return IS("transfer-encoding", HTTP_TRANSFER_ENCODING);
                return IS("if-modified-since", HTTP_IF_MODIFIED_SINCE);
        case 19: return IS("if-unmodified-since", HTTP_IF_UNMODIFIED_SINCE);
        default: return HTTP_FIELD_OTHER;
        }
}
