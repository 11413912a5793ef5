/* SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/*
 * mutate SEEDS COUNT: gives a target each file of the folder SEEDS, then COUNT mutations of them,
 * the same at every run, so that a failure comes again. Ends with 0, or by abort(), and then the
 * input is on standard error. $EMBERD_TEST_TIMES: as many times COUNT.
 */

enum { SEEDS_MAX = 64, INPUT_BYTES_MAX = 24576, EDITS_MAX = 6, LONG_RUN_BYTES = 9000 };

struct seed {
        uint8_t *data;
        size_t size;
};

static struct seed seeds[SEEDS_MAX];
static size_t seed_count;
static uint64_t random_state = UINT64_C(0x9e3779b97f4a7c15);

/* xorshift64* */
static uint64_t random_below(uint64_t limit) {
        random_state ^= random_state >> 12;
        random_state ^= random_state << 25;
        random_state ^= random_state >> 27;
        return (random_state * UINT64_C(0x2545f4914f6cdd1d) >> 16) % limit;
}

/* What parsers trip over, put in whole: random bytes find these too seldom. */
static const char *const words[] = {
        "\r\n",
        "\r\n\r\n",
        "\n",
        "\r",
        " ",
        "\t",
        ":",
        ",",
        ";",
        "\"",
        "\\",
        "0",
        "ffffffffffffffff",
        "18446744073709551616",
        "chunked",
        "Transfer-Encoding: chunked\r\n",
        "Content-Length: 5\r\n",
        "Host: a\r\n",
        "Connection: close\r\n",
        "Expect: 100-continue\r\n",
        "HTTP/1.1",
        "HTTP/1.0",
        "http://",
        "*",
        "/",
        "..",
        "/../",
        "/./",
        "//",
        "%2e",
        "%2f",
        "%00",
        "%",
        "?",
        "#",
        "@",
        "[::1]",
        "GET ",
        "CONNECT ",
        "OPTIONS ",
        "\x16\x03\x01",
        "\xff",
        "0\r\n\r\n",
        "1\r\nx\r\n",
};

static size_t insert(uint8_t *data, size_t size, size_t at, const void *more, size_t bytes) {
        if (size + bytes > INPUT_BYTES_MAX)
                return size;
        memmove(data + at + bytes, data + at, size - at);
        memcpy(data + at, more, bytes);
        return size + bytes;
}

static size_t edit(uint8_t *data, size_t size) {
        static uint8_t run[LONG_RUN_BYTES];
        size_t at = random_below(size + 1), n;
        const char *word = words[random_below(sizeof(words) / sizeof(words[0]))];
        const struct seed *other = &seeds[random_below(seed_count)];

        switch (random_below(random_below(16) ? 6 : 7)) {
        case 0: /* change a byte */
                if (at < size)
                        data[at] = (uint8_t)random_below(256);
                return size;
        case 1: /* drop some bytes */
                n = random_below(8);
                n = n < size - at ? n : size - at;
                memmove(data + at, data + at + n, size - at - n);
                return size - n;
        case 2: /* cut the end off */ return at;
        case 3:
        case 4: return insert(data, size, at, word, strlen(word));
        case 5: /* a piece of another seed */
                n = random_below(other->size + 1);
                return insert(data, size, at, other->data + n, random_below(other->size - n + 1));
        default: /* a long run of one byte, for the limits */
                memset(run, "a \t0/,"[random_below(6)], sizeof(run));
                return insert(data, size, at, run, random_below(sizeof(run)));
        }
}

static void read_seed(const char *folder, const char *name) {
        char path[4096];
        FILE *file;
        struct seed *s = &seeds[seed_count];

        snprintf(path, sizeof(path), "%s/%s", folder, name);
        file = fopen(path, "rb");
        s->data = malloc(INPUT_BYTES_MAX);
        if (!file || !s->data) {
                perror(path);
                exit(1);
        }
        s->size = fread(s->data, 1, INPUT_BYTES_MAX, file);
        fclose(file);
        seed_count++;
}

static int read_seeds(const char *folder) {
        struct dirent **entries;
        int count = scandir(folder, &entries, NULL, alphasort);

        for (int i = 0; i < count; i++) {
                if (entries[i]->d_name[0] != '.' && seed_count < SEEDS_MAX)
                        read_seed(folder, entries[i]->d_name);
                free(entries[i]);
        }
        if (count >= 0)
                free(entries);
        return seed_count ? 0 : -1;
}

/* The input under way; what is printed of one that fails makes a seed: printf '…' > seeds/… */
static const uint8_t *volatile current;
static volatile size_t current_size;

static void print_current(int signal_number) {
        (void)signal_number;
        for (size_t i = 0; i < current_size; i++)
                fprintf(stderr, "\\%03o",
                        current[i]); /* the process ends: no lock is needed after */
        fputc('\n', stderr);
}

/* From memory of just its size, so that ASan sees a read past the end. */
static void run_once(const uint8_t *data, size_t size) {
        uint8_t *copy = malloc(size ? size : 1);

        must(copy);
        current = data;
        current_size = size;
        memcpy(copy, data, size);
        LLVMFuzzerTestOneInput(copy, size);
        free(copy);
}

int main(int argc, char **argv) {
        static uint8_t data[INPUT_BYTES_MAX];
        const char *times = getenv("EMBERD_TEST_TIMES");
        unsigned long count = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;

        if (!count || read_seeds(argv[1]) < 0) {
                fprintf(stderr, "usage: %s SEEDS COUNT\n", argv[0]);
                return 64;
        }
        if (times)
                count *= strtoul(times, NULL, 10);
        signal(SIGABRT, print_current); /* abort() goes on to end the process when it returns */
        for (size_t i = 0; i < seed_count; i++)
                run_once(seeds[i].data, seeds[i].size);
        for (unsigned long i = 0; i < count; i++) {
                const struct seed *s = &seeds[random_below(seed_count)];
                size_t size = s->size;

                memcpy(data, s->data, size);
                for (uint64_t edits = 1 + random_below(EDITS_MAX); edits; edits--)
                        size = edit(data, size);
                run_once(data, size);
        }
        printf("%zu seeds, %lu mutations\n", seed_count, count);
        for (size_t i = 0; i < seed_count; i++)
                free(seeds[i].data);
        return 0;
}
