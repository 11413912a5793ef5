/* SPDX-License-Identifier: MIT */
#pragma once

#include "http/request.h"

/*
 * The ids of the names that somebody here looks at; for the parser and fields.c, inline because it
 * runs for each line. A name is recognised by its length and one or two letters, then compared
 * whole, eight bytes at a time; names that nobody looks at are never hashed.
 */

/* How eight, or four, bytes of a token differ from the small letters at `lower`. */
static inline uint64_t http_differ_8(const char *name, const char *lower) {
        uint64_t a, b;

        memcpy(&a, name, sizeof(a));
        memcpy(&b, lower, sizeof(b));
        /* Bit 5 makes letters small, and of no other byte in a token a letter or "-". */
        return (a | UINT64_C(0x2020202020202020)) ^ b;
}

static inline uint32_t http_differ_4(const char *name, const char *lower) {
        uint32_t a, b;

        memcpy(&a, name, sizeof(a));
        memcpy(&b, lower, sizeof(b));
        return (a | 0x20202020) ^ b;
}

/* Does the token at `name` spell `lower`, both of `size` bytes, 4 to 24? The loads overlap. */
__attribute__((always_inline)) static inline bool http_name_spells(const char *name,
                                                                   const char *lower, size_t size) {
        if (size < 8)
                return !(http_differ_4(name, lower) |
                         http_differ_4(name + size - 4, lower + size - 4));
        if (http_differ_8(name, lower) | http_differ_8(name + size - 8, lower + size - 8))
                return false;
        return size <= 16 || !http_differ_8(name + 8, lower + 8);
}

#define HTTP_NAME_IS(literal, id) \
        (http_name_spells(name, literal, sizeof(literal) - 1) ? (id) : HTTP_FIELD_OTHER)

/* As http_field_id_of(). */
static inline enum http_field_id http_field_id_find(const char *name, size_t size) {
        switch (size) {
        case 4: return HTTP_NAME_IS("host", HTTP_HOST);
        case 5: return HTTP_NAME_IS("range", HTTP_RANGE);
        case 6:
                if (ascii_lower(name[0]) == 'a')
                        return HTTP_NAME_IS("accept", HTTP_ACCEPT);
                return HTTP_NAME_IS("expect", HTTP_EXPECT);
        case 7:
                if (ascii_lower(name[0]) == 'r')
                        return HTTP_NAME_IS("referer", HTTP_REFERER);
                return HTTP_NAME_IS("upgrade", HTTP_UPGRADE);
        case 8:
                if (ascii_lower(name[3]) == 'm')
                        return HTTP_NAME_IS("if-match", HTTP_IF_MATCH);
                return HTTP_NAME_IS("if-range", HTTP_IF_RANGE);
        case 10:
                if (ascii_lower(name[0]) == 'u')
                        return HTTP_NAME_IS("user-agent", HTTP_USER_AGENT);
                return HTTP_NAME_IS("connection", HTTP_CONNECTION);
        case 13: return HTTP_NAME_IS("if-none-match", HTTP_IF_NONE_MATCH);
        case 14: return HTTP_NAME_IS("content-length", HTTP_CONTENT_LENGTH);
        case 15: return HTTP_NAME_IS("accept-encoding", HTTP_ACCEPT_ENCODING);
        case 17:
                if (ascii_lower(name[0]) == 't')
                        return HTTP_NAME_IS("transfer-encoding", HTTP_TRANSFER_ENCODING);
                return HTTP_NAME_IS("if-modified-since", HTTP_IF_MODIFIED_SINCE);
        case 19: return HTTP_NAME_IS("if-unmodified-since", HTTP_IF_UNMODIFIED_SINCE);
        default: return HTTP_FIELD_OTHER;
        }
}

#undef HTTP_NAME_IS
