/* SPDX-License-Identifier: MIT */
#pragma once

#include "config/arena.h"
#include "config/names.h"
#include "config/settings-table.h"

/*
 * Settings while they are read: the sections with what was assigned in them so far; within config/
 * only. Faults are collected, and reading goes on; only a lack of memory ends it.
 */
struct section {
        struct section *next;
        enum setting_section kind;
        char *title; /* as in a file, names normalised: "Route example.org /api/" */
        struct settings_origin origin;
        struct settings_origin
                *assigned; /* by row of the section; file NULL: never, or taken back */
        union {
                void *values; /* what the rows' offsets point into */
                struct settings *server;
                struct settings_listener *listener;
                struct site_values *site;
                struct route_values *route;
        };
        struct settings_site *built; /* of a Site, once its snapshot is being made */
        size_t route_count;          /* of a Site: the Routes that name it */
};

struct draft {
        struct arena scratch; /* sections; freed when the snapshot is made */
        struct arena *keep;   /* the snapshot's: all strings */
        struct section *first, **end;
        struct names by_title;
        size_t section_count;
        struct section *server; /* made first; its values are the snapshot itself */
        struct buffer *faults;
        size_t fault_count, line_count; /* faults proper, and with warnings */
};

/* What a folder's lists are where nothing is in them; never written to. */
extern char *draft_no_names[1];
extern struct settings_file draft_no_files[1];

/* Errors: -ENOMEM. */
int draft_init(struct draft *d, struct arena *keep, struct settings *settings,
               struct buffer *faults);
void draft_finish(struct draft *d);

/* "FILE:LINE: what; what to do\n". A lack of memory shows in faults->failed. */
void draft_fault(struct draft *d, struct settings_origin at, const char *format, ...)
        _printf_(3, 4);
void draft_warning(struct draft *d, struct settings_origin at, const char *format, ...)
        _printf_(3, 4);

/* "FILE:LINE", for a fault that names another place; valid as long as the draft. */
const char *draft_place(struct draft *d, struct settings_origin at);

/*
 * The section of this title, made when it is not there yet; NULL where the title is faulty (the
 * fault is noted). Errors: -ENOMEM.
 */
int draft_section(struct draft *d, struct text title, struct settings_origin at,
                  struct section **ret);

/* `key`=`value` in a section that draft_section() gave. Errors: -ENOMEM. */
int draft_assign(struct draft *d, struct section *s, struct text key, struct text value,
                 struct settings_origin at);

/*
 * settings-assign.c: read a value by its kind to where it belongs; an empty one takes back what was
 * said. Errors: -ENOMEM.
 */
int setting_assign(struct draft *d, struct section *s, const struct setting *setting,
                   struct text value, struct settings_origin at);

/* Where the row was assigned last; file NULL if nowhere. `key` must be one of the section. */
struct settings_origin section_assigned(const struct section *s, const char *key);

/* Was `key` assigned, by a file or otherwise, and not taken back? Any text may be asked for. */
bool section_has_assigned(const struct section *s, struct text key);

/* settings-build.c: check what sections say of each other, and make the snapshot's arrays. */
int draft_build(struct draft *d, struct settings *settings);
