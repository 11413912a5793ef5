/* SPDX-License-Identifier: MIT */
#include "tls/tls-internal.h"

#include <openssl/opensslv.h>

/* clang-format off */
DEFINE_MODULE(struct tls_module,
        .module = {
                .name = "tls",
                .build = EMBERD_BUILD,
                .library = "OpenSSL " OPENSSL_VERSION_STR,
        },
        .worker_new = worker_new,
        .worker_free = worker_free,
        .worker_take_keys = worker_take_keys,
        .server_new = server_new,
        .server_free = server_free,
        .inspect = certificate_inspect,
        .stream_new = stream_new,
        .stream_free = stream_free,
        .feed = stream_feed,
        .read = stream_read,
        .write = stream_write,
        .end = stream_end,
        .output = stream_output,
        .sent = stream_sent,
        .kernel_keys = stream_kernel_keys,
        .kernel_writes = stream_kernel_writes,
        .why = stream_why
);
/* clang-format on */
