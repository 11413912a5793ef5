/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/module.h"
#include "http/session.h"

/*
 * HTTP/2 (RFC 9113) as a session beside HTTP/1's: the same table, the same exchanges, many at once.
 * All that the core knows of it is this header; the code is the module "http2", on nghttp2.
 */
#define HTTP2_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

enum { HTTP2_PREFACE_BYTES = sizeof(HTTP2_PREFACE) - 1 };

struct http2_module {
        struct module module;

        /* Ready for the first byte of the client's preface. Errors: -ENOMEM. */
        int (*session_new)(struct http_context *context, void (*changed)(struct http_session *s),
                           struct http_session **ret);
        /* After its protocol's finish(). */
        void (*session_free)(struct http_session *s);
};
