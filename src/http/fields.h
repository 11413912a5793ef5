/* SPDX-License-Identifier: MIT */
#pragma once

#include "http/request.h"

/* Is `c` allowed in a token (RFC 9110, 5.6.2)? */
bool http_is_token_char(unsigned char c);
bool http_is_token(struct text t);

/*
 * Take the next element off a comma-separated list (RFC 9110, 5.6.1): empty elements are skipped,
 * white space around is dropped, commas within quoted strings do not part. False at the end.
 */
bool http_list_next(struct text *rest, struct text *ret_element);

/* Does any field line with this id hold `token`, in either case, as a list element? */
bool http_request_lists(const struct http_request *r, enum http_field_id id, struct text token);

/*
 * Go through the values of all field lines with this id: `*at` is 0 at first, and then kept by the
 * caller. False behind the last.
 */
bool http_request_next(const struct http_request *r, enum http_field_id id, unsigned *at,
                       struct text *ret_value);

/* Is it protocol-name ["/" protocol-version] (RFC 9110, 7.8), and short? */
bool http_is_protocol(struct text t);

/*
 * The id of a field name, in either case; HTTP_FIELD_OTHER if we do not look at it. `name` must be
 * a token.
 */
enum http_field_id http_field_id_of(struct text name);
