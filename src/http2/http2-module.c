/* SPDX-License-Identifier: MIT */
#include "http2/http2-internal.h"

/* clang-format off */
DEFINE_MODULE(struct http2_module,
        .module = {
                .name = "http2",
                .build = EMBERD_BUILD,
                .library = "nghttp2 " NGHTTP2_VERSION,
        },
        .session_new = http2_session_new,
        .session_free = http2_session_free
);
/* clang-format on */
