/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/buffer.h"

/*
 * The forms that values in settings have. What gives a `const char *` gives NULL where the value is
 * good, else what is wrong and what to do, to be put behind the key and the value.
 */
enum {
        HOST_BYTES_MAX = 253,       /* RFC 1035, 2.3.4, as text */
        UNIX_PATH_BYTES_MAX = 107,  /* sun_path with its NUL: unix(7) */
        FILE_PATH_BYTES_MAX = 4095, /* PATH_MAX with its NUL */
        STATUS_LEAST = 200,
        STATUS_MOST = 599,
};

/*
 * "90" (seconds), "1.5s", "500ms", "5min", "1h 30s", as systemd.time(7), with units from "us" to
 * "weeks". Errors: -EINVAL: no time; -ERANGE: past 2^64 microseconds.
 */
int value_time(struct text t, uint64_t *ret_usec);
int value_time_print(uint64_t usec, struct buffer *to);

/* "4096", "16K", "1M", "2G", in powers of 1024. Errors: -EINVAL; -ERANGE: past 2^64 bytes. */
int value_bytes(struct text t, uint64_t *ret);
int value_bytes_print(uint64_t bytes, struct buffer *to);

/* "yes", "no" and what else systemd takes. Errors: -EINVAL. */
int value_switch(struct text t, bool *ret);

/* PORT, IPV4:PORT, [IPV6]:PORT, unix:PATH, vsock:PORT. */
const char *value_address_fault(struct text t);

/*
 * A host name, in lower case and without a dot at its end, to `out` of HOST_BYTES_MAX + 1 bytes;
 * also an address as in a Host field ("192.0.2.1", "[2001:db8::1]", the latter in RFC 5952's form),
 * and with `wildcard` allowed "*.example.org".
 */
const char *value_host(struct text t, bool wildcard, char *out);

/* An absolute path, without "." segments and needless slashes, to `out` of `t.size + 1` bytes. */
const char *value_path(struct text t, char *out);

/* A path as above, or "credential:NAME" as it stands, to `out` of FILE_PATH_BYTES_MAX + 1 bytes. */
const char *value_file(struct text t, char *out);

/*
 * "TIME [includeSubDomains] [preload]" as the value of Strict-Transport-Security (RFC 6797, 6.1),
 * and back.
 */
enum { HSTS_BYTES_MAX = 80 };
const char *value_hsts(struct text t, char out[static HSTS_BYTES_MAX]);
int value_hsts_print(const char *hsts, struct buffer *to);

const char *value_ciphers_fault(struct text t);
const char *value_prefix_fault(struct text t); /* of a Route: "/" or "/api/" */
const char *value_index_fault(struct text t);  /* the name of a file, without a slash */
const char *value_user_fault(struct text t);
const char *value_location_fault(struct text t); /* "https://…" or "/…" */

/* "301 rest": the status code and what follows it. False: no number of three digits. */
bool value_status(struct text t, unsigned *ret_status, struct text *ret_rest);
