/* SPDX-License-Identifier: MIT */
#pragma once

#include "config/settings.h"

/* The rows of all settings, and where each value stands in memory; within config/ only. */
enum setting_section {
        SECTION_SERVER,
        SECTION_LISTENER,
        SECTION_SITE,
        SECTION_ROUTE,
        SECTION_COUNT,
};

/* How a value is written, and by that its type at `offset`. */
enum setting_kind {
        SETTING_WORD,       /* char *: one of the words in `form` */
        SETTING_CHOICE,     /* enum: the place of the word in `form` */
        SETTING_COUNT,      /* unsigned; 0: auto */
        SETTING_TIME,       /* uint64_t: microseconds */
        SETTING_BYTES,      /* uint64_t */
        SETTING_SWITCH,     /* bool */
        SETTING_USER,       /* char *; NULL: none */
        SETTING_ACCESS_LOG, /* enum settings_access_log, and settings.access_log_path */
        SETTING_LISTEN,     /* settings.listeners: each address adds one */
        SETTING_ADDRESS,    /* char * */
        SETTING_PATH,       /* char *: absolute */
        SETTING_HOSTS,      /* char **: NULL-ended, never NULL */
        SETTING_NAMES,      /* char **: NULL-ended, never NULL */
        SETTING_FILE,       /* struct settings_file */
        SETTING_FILES,      /* struct settings_file *: each assignment adds one; never NULL */
        SETTING_CIPHERS,    /* char *; NULL: none */
        SETTING_HSTS,       /* char *: as it is sent; NULL: none */
        SETTING_REDIRECT,   /* struct fixed_answer */
        SETTING_RETURN,     /* struct fixed_answer */
        SETTING_KIND_COUNT,
};

struct setting {
        enum setting_section section;
        const char *key;
        enum setting_kind kind;
        const char *form;    /* as the manual shows the value */
        uint64_t least;      /* COUNT, TIME, BYTES: bounds in the unit of the type */
        const char *initial; /* as written in a file; "" for none */
        uint64_t most;
        size_t offset; /* in the section's struct, below */
        const char *meaning;
};

/*
 * What the offsets point into: struct settings for Server, struct settings_listener for Listener,
 * and these two for Site and Route, whose public form says less (a Site's own root is a route).
 */
struct site_values {
        char *name;
        char **aliases;
        bool is_default;
        char *root;
        char **index;
        char *challenge;
        struct settings_tls tls;
};

struct fixed_answer {
        unsigned status; /* 0: not said */
        char *text;
};

struct route_values {
        char *site, *prefix;
        char *root;
        char **index;
        struct fixed_answer redirect, answer;
        bool misbehave, echo; /* test builds only */
};

extern const struct setting settings_table[];
extern const size_t settings_table_size;
extern const char *const setting_section_names[SECTION_COUNT];

/* The rows of a section stand together: its first one, and how many. */
const struct setting *setting_section_rows(enum setting_section section, size_t *ret_count);
