/* SPDX-License-Identifier: MIT */
#include "http/conditional.h"

#include "http/date.h"
#include "http/fields.h"

/*
 * Preconditions of GET and HEAD (RFC 9110, 13). What cannot be read is as its absence, but for
 * If-Match: there a list that names no current tag fails, whatever else it says.
 *
 * Entity tags are no quoted strings: a backslash in them stands for itself, so lists of them are
 * not read by http_list_next().
 */

static bool is_weak(struct text tag) {
        return text_starts_with(tag, TEXT("W/"));
}

static struct text opaque_tag(struct text tag) {
        return is_weak(tag) ? (struct text){ tag.data + 2, tag.size - 2 } : tag;
}

/* RFC 9110, 8.8.3.2: strong comparison wants both tags strong. */
static bool tags_match(struct text a, struct text b, bool strong) {
        if (strong && (is_weak(a) || is_weak(b)))
                return false;
        return text_equal(opaque_tag(a), opaque_tag(b));
}

/* Take the next tag off a list; false at its end, and where it is malformed. */
static bool tag_next(struct text *rest, struct text *ret_tag) {
        struct text t = *rest, opaque;
        size_t end, prefix;

        while (t.size && (t.data[0] == ',' || t.data[0] == ' ' || t.data[0] == '\t'))
                t.data++, t.size--;
        opaque = opaque_tag(t);
        prefix = t.size - opaque.size;
        if (!opaque.size || opaque.data[0] != '"')
                return false;
        end = text_find((struct text){ opaque.data + 1, opaque.size - 1 }, '"') + 2;
        if (end > opaque.size)
                return false;
        *ret_tag = (struct text){ t.data, prefix + end };
        *rest = (struct text){ t.data + prefix + end, t.size - prefix - end };
        return true;
}

/* Does a field of tags match the representation, which exists? */
static bool field_matches(const struct http_request *r, enum http_field_id id, struct text etag,
                          bool strong) {
        struct text value, tag;
        unsigned at = 0;

        while (http_request_next(r, id, &at, &value)) {
                if (text_equal(value, TEXT("*")))
                        return true;
                while (tag_next(&value, &tag))
                        if (etag.size && tags_match(tag, etag, strong))
                                return true;
        }
        return false;
}

/* The date in a field; false where there is none that can be read. */
static bool field_date(const struct http_request *r, enum http_field_id id, uint64_t now_sec,
                       uint64_t *ret_sec) {
        return r->first[id] && http_date_parse(http_request_field(r, id), now_sec, ret_sec) == 0;
}

unsigned http_condition_status(const struct http_request *r, const struct http_validators *v,
                               uint64_t now_sec) {
        uint64_t date_sec;

        if (r->first[HTTP_IF_MATCH]) {
                if (!field_matches(r, HTTP_IF_MATCH, v->etag, true))
                        return 412;
        } else if (field_date(r, HTTP_IF_UNMODIFIED_SINCE, now_sec, &date_sec)) {
                if (v->modified_sec > date_sec)
                        return 412;
        }
        if (r->first[HTTP_IF_NONE_MATCH]) {
                if (field_matches(r, HTTP_IF_NONE_MATCH, v->etag, false))
                        return 304;
        } else if (field_date(r, HTTP_IF_MODIFIED_SINCE, now_sec, &date_sec)) {
                if (v->modified_sec <= date_sec)
                        return 304;
        }
        return 200;
}

bool http_range_is_current(const struct http_request *r, const struct http_validators *v,
                           uint64_t now_sec) {
        struct text value = http_request_field(r, HTTP_IF_RANGE), tag;
        uint64_t date_sec;

        if (!r->first[HTTP_IF_RANGE])
                return true;
        if (tag_next(&value, &tag))
                return !value.size && v->etag.size && tags_match(tag, v->etag, true);
        return v->modified_is_strong && field_date(r, HTTP_IF_RANGE, now_sec, &date_sec) &&
               date_sec == v->modified_sec;
}
