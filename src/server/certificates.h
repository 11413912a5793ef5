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
};

/* Does any Site have a certificate, so that the module is needed? */
bool certificates_are_wanted(const struct settings *settings);

/*
 * Errors: -EBADMSG: a line "FILE:LINE: what" for each fault stands in `faults`; warnings too, with
 * 0 as well; -ENOMEM.
 */
int certificates_read(const struct settings *settings, struct buffer *faults,
                      struct certificates **ret);
struct certificates *certificates_free(struct certificates *c); /* accepts NULL */
DEFINE_FREEP(struct certificates, certificates)

/*
 * When the first of them ends (Unix time, INT64_MAX: there is none), and which: what a person
 * reads. `remarks` gets a line for each that ends within CERTIFICATE_WARNING_SEC of `now_sec`; or
 * NULL.
 */
#define CERTIFICATE_WARNING_SEC INT64_C(1209600) /* 14 days */
int64_t certificates_look(const struct certificates *c, const struct tls_module *tls,
                          int64_t now_sec, struct buffer *remarks);

/* Of a Site that asks clients for certificates: what stands for its rules. 0: it does not ask. */
uint64_t certificates_client_rules(const struct settings_site *site);
