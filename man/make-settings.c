/* SPDX-License-Identifier: MIT */
/*
 * Fills the templates of emberd.conf(5) and of the commented emberd.conf from the table of
 * settings, so that neither can lag behind the program. Runs while building. Usage: make-settings
 * TEMPLATE
 *
 * A line "@mdoc SECTION@" becomes the items of a list in mdoc(7); "@file SECTION [KEY=VALUE]@"
 * becomes the settings as comments, KEY alone in force. All other lines are copied.
 */
#include <stdio.h>
#include <stdlib.h>

#include "config/settings-table.h"
#include "config/values.h"

enum { COLUMNS = 78 };

static void fail(const char *what) {
        fprintf(stderr, "make-settings: %s\n", what);
        exit(1);
}

/* The next sentence: up to a full stop or semicolon's sentence end with a space behind it. */
static struct text take_sentence(struct text *rest) {
        struct text sentence = *rest;

        for (size_t i = 0; i + 1 < rest->size; i++)
                if (rest->data[i] == '.' && rest->data[i + 1] == ' ') {
                        sentence.size = i + 1;
                        break;
                }
        rest->data += sentence.size, rest->size -= sentence.size;
        *rest = text_trim(*rest);
        return sentence;
}

/* Words on lines of at most COLUMNS, each line behind `prefix`. */
static void wrap(struct text t, const char *prefix) {
        struct text word;
        size_t column = 0;

        while (text_next_word(&t, " ", &word)) {
                if (column && column + 1 + word.size > COLUMNS) {
                        putchar('\n');
                        column = 0;
                }
                column += printf("%s%.*s", column ? " " : prefix, TEXT_ARGS(word));
        }
        if (column)
                putchar('\n');
}

/* "From 1K to 1M", where the table says so. */
static bool bounds(const struct setting *row, struct buffer *to) {
        int (*print)(uint64_t n, struct buffer * b) =
                row->kind == SETTING_TIME ? value_time_print : value_bytes_print;

        if (row->kind == SETTING_COUNT)
                (void)buffer_printf(to, "From %llu to %llu.", (unsigned long long)row->least,
                                    (unsigned long long)row->most);
        else if (row->kind == SETTING_TIME || row->kind == SETTING_BYTES) {
                (void)buffer_append(to, "From ", 5);
                (void)print(row->least, to);
                (void)buffer_append(to, " to ", 4);
                (void)print(row->most, to);
                (void)buffer_append(to, ".", 1);
        }
        if (to->failed)
                fail("out of memory");
        return to->used;
}

static void print_mdoc(const struct setting *row) {
        _cleanup_(buffer_finish)
        struct buffer range = {};
        struct text rest = text_of(row->meaning);

        printf(".It Ic %s Ns = Ns Ar \"%s\"\n", row->key, row->form);
        while (rest.size)
                wrap(take_sentence(&rest), "");
        if (bounds(row, &range))
                printf("%.*s\n", TEXT_ARGS(buffer_text(&range)));
        if (row->initial[0])
                printf("Default:\n.Ql %s .\n", row->initial);
}

static void print_comment(const struct setting *row, struct text in_force) {
        _cleanup_(buffer_finish)
        struct buffer range = {};
        size_t equals = text_find(in_force, '=');
        bool chosen = equals < in_force.size &&
                      text_equal(text_of(row->key), (struct text){ in_force.data, equals });

        wrap(text_of(row->meaning), "# ");
        printf("# %s", row->form);
        if (bounds(row, &range))
                printf(". %.*s", TEXT_ARGS(buffer_text(&range)));
        printf("\n#%s=%s\n", row->key, row->initial);
        if (chosen)
                printf("%.*s\n", TEXT_ARGS(in_force));
        putchar('\n');
}

static void print_section(struct text name, struct text in_force, bool is_mdoc) {
        bool found = false;

        for (size_t i = 0; i < settings_table_size; i++) {
                const struct setting *row = &settings_table[i];

                if (!text_equal(name, text_of(setting_section_names[row->section])))
                        continue;
                found = true;
                if (is_mdoc)
                        print_mdoc(row);
                else
                        print_comment(row, in_force);
        }
        if (!found)
                fail("the template names a section without settings");
}

static void print_line(struct text line) {
        struct text verb, section, in_force = {}, rest = line;

        if (line.size < 2 || line.data[0] != '@' || line.data[line.size - 1] != '@') {
                printf("%.*s\n", TEXT_ARGS(line));
                return;
        }
        rest = (struct text){ line.data + 1, line.size - 2 };
        if (!text_next_word(&rest, " ", &verb) || !text_next_word(&rest, " ", &section))
                fail("the template has a faulty '@' line");
        (void)text_next_word(&rest, " ", &in_force);
        print_section(section, in_force, text_equal(verb, TEXT("mdoc")));
}

int main(int argc, char **argv) {
        FILE *template = argc == 2 ? fopen(argv[1], "re") : NULL;
        char *line = NULL;
        size_t size = 0;
        ssize_t n;

        if (!template)
                fail("usage: make-settings TEMPLATE");
        while ((n = getline(&line, &size, template)) >= 0)
                print_line((struct text){ line, (size_t)n - (n && line[n - 1] == '\n') });
        if (ferror(template) || fclose(template) != 0)
                fail("cannot read the template");
        free(line);
        if (fflush(stdout) != 0 || ferror(stdout))
                fail("cannot write");
        return 0;
}
