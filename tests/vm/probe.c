/* SPDX-License-Identifier: MIT */
/*
 * What a process can do where it is: run by tests/vm/checks in the place of emberd, with its unit,
 * and outside. Each argument is a question; it ends with 1 when an answer is not the expected one.
 * Linked statically, so that it runs on any root.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* openat2(2) is there, and keeps a lookup beneath a folder. */
static int openat2_works(void) {
        struct open_how how = { .flags = O_RDONLY, .resolve = RESOLVE_BENEATH };
        int root = open("/usr", O_PATH | O_DIRECTORY | O_CLOEXEC);
        long beneath = syscall(SYS_openat2, root, "sbin", &how, sizeof(how));
        long above = syscall(SYS_openat2, root, "../etc", &how, sizeof(how));

        printf("openat2: %ld, and %ld for what is outside: %s\n", beneath, above, strerror(errno));
        return beneath < 0 || above >= 0 || errno != EXDEV;
}

/* A datagram: a filter refuses it at once, while a connection would be waited for in vain. */
static int network_is(int wanted) {
        struct sockaddr_in to = { .sin_family = AF_INET,
                                  .sin_port = htons(9),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        int sent = fd >= 0 && sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)) == 1;

        printf("a datagram: %s\n", sent ? "sent" : strerror(errno));
        return sent != wanted;
}

static int landlock_version(void) {
        long version = syscall(SYS_landlock_create_ruleset, NULL, 0, 1 /* its version */);

        if (version < 0)
                printf("Landlock: %s\n", strerror(errno));
        else
                printf("Landlock ABI %ld\n", version);
        return 0;
}

static uint64_t now_nsec(void) {
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/*
 * How fast the counter of the processor runs. Its emulation hands it on, and a guest that finds out
 * by itself at boot, on a busy machine, has a clock that runs several times too fast.
 */
static int counter_khz(void) {
        uint64_t began = now_nsec(), ticks = __builtin_ia32_rdtsc();

        usleep(300000);
        ticks = __builtin_ia32_rdtsc() - ticks;
        printf("%llu\n", (unsigned long long)(ticks * 1000000 / (now_nsec() - began)));
        return 0;
}

int main(int argc, char *argv[]) {
        int wrong = 0;

        for (int i = 1; i < argc; i++) {
                if (!strcmp(argv[i], "openat2"))
                        wrong |= openat2_works();
                else if (!strcmp(argv[i], "no-network"))
                        wrong |= network_is(0);
                else if (!strcmp(argv[i], "network"))
                        wrong |= network_is(1);
                else if (!strcmp(argv[i], "counter-khz"))
                        wrong |= counter_khz();
                else if (!strcmp(argv[i], "landlock"))
                        wrong |= landlock_version();
                else
                        wrong = 64;
        }
        return wrong;
}
