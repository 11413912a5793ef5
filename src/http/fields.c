/* SPDX-License-Identifier: MIT */
#include "http/fields.h"

#include "http/field-names.h"
#include "http/scan.h"

/*
 * Which bytes may stand where, and what is common to all fields: lists, which may go over several
 * lines, and names.
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

bool http_is_protocol(struct text t) {
        size_t slash = text_find(t, '/');

        if (t.size > HTTP_PROTOCOL_BYTES_MAX || !http_is_token((struct text){ t.data, slash }))
                return false;
        return slash == t.size ||
               http_is_token((struct text){ t.data + slash + 1, t.size - slash - 1 });
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

enum http_field_id http_field_id_of(struct text name) {
        return http_field_id_find(name.data, name.size);
}
