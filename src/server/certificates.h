/* SPDX-License-Identifier: MIT */
#pragma once

#include "config/settings.h"
#include "tls/tls.h"

/*
 * The certificates and keys that the settings name, read once and kept in memory while the workers'
 * contexts are made of them; keys are wiped when they are let go.
 */
struct certificates {
        struct tls_settings settings;
        struct tls_site *sites;
        struct tls_certificate *all;
        size_t count;
        struct buffer *files; /* what the texts point into */
        size_t file_count;
        bool only_checked;
};

/* The line of the first certificate, for which the module is needed; NULL: there is none. */
const struct settings_origin *certificates_wanted(const struct settings *settings);

/*
 * They point into `settings`, which must live as long. Where they are `only_checked`, those that
 * systemd would hand over are left out with a warning.
 * Errors: -EBADMSG: a line "FILE:LINE: what" for each fault stands in `faults`; warnings too, with
 * 0 as well; -ENOMEM.
 */
int certificates_read(const struct settings *settings, bool only_checked, struct buffer *faults,
                      struct certificates **ret);
struct certificates *certificates_free(struct certificates *c); /* accepts NULL */
DEFINE_FREEP(struct certificates, certificates)

/* What a person wants to know: a line for each, behind `prefix`: what it is for, when it ends. */
void certificates_describe(const struct certificates *c, const struct tls_module *tls,
                           const char *prefix, struct buffer *to);

/*
 * A line "FILE:LINE: warning: what" for each that ends within CERTIFICATE_WARNING_SEC of `now_sec`.
 * Gives when the first of them ends (Unix time), INT64_MAX where none does so soon.
 */
#define CERTIFICATE_WARNING_SEC INT64_C(1209600) /* 14 days */
int64_t certificates_warn(const struct certificates *c, const struct tls_module *tls,
                          int64_t now_sec, struct buffer *warnings);

enum { CERTIFICATE_DATE_BYTES = 32 };
/* "2026-01-31 12:00 UTC" */
void certificates_date(int64_t sec, char out[static CERTIFICATE_DATE_BYTES]);

/* Of a Site that asks clients for certificates: what stands for its rules. 0: it does not ask. */
uint64_t certificates_client_rules(const struct settings_site *site);
