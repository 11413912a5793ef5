/* SPDX-License-Identifier: MIT */
#include "loop/loop.h"

#include "loop/loop-internal.h"

/*
 * Messages from any thread: pushed on a stack by compare and exchange, taken whole by the loop, and
 * turned round. The first to post since the loop last looked wakes it; the others need not. The
 * loop clears `wake_sent` before it takes the stack, so that whoever pushes afterwards wakes it
 * again.
 *
 * `posting` keeps the loop alive for a thread whose message has been run already but which has not
 * yet left this file: loop_free() waits for it.
 */

void loop_wake(struct loop *loop) {
        if (!atomic_exchange(&loop->wake_sent, true))
                loop->backend->wake(loop);
}

void loop_post(struct loop *loop, struct loop_message *message) {
        atomic_fetch_add(&loop->posting, 1);
        message->next = atomic_load_explicit(&loop->posted, memory_order_relaxed);
        while (!atomic_compare_exchange_weak(&loop->posted, &message->next, message))
                ;
        loop_wake(loop);
        atomic_fetch_sub(&loop->posting, 1);
}

void loop_stop(struct loop *loop) {
        atomic_fetch_add(&loop->posting, 1);
        atomic_store(&loop->stop, true);
        loop_wake(loop);
        atomic_fetch_sub(&loop->posting, 1);
}

static struct loop_message *messages_take(struct loop *loop) {
        struct loop_message *newest, *oldest = NULL;

        atomic_store(&loop->wake_sent, false);
        newest = atomic_exchange(&loop->posted, NULL);
        while (newest) {
                struct loop_message *next = newest->next;

                newest->next = oldest;
                oldest = newest;
                newest = next;
        }
        return oldest;
}

void loop_messages_run(struct loop *loop) {
        if (!loop->messages) {
                /* a plain load first: without messages a turn pays for no locked instruction */
                if (!atomic_load_explicit(&loop->wake_sent, memory_order_acquire))
                        return;
                loop->messages = messages_take(loop);
        }
        for (unsigned n = 0; loop->messages && n < LOOP_MESSAGES_MAX; n++) {
                struct loop_message *message = loop->messages;

                loop->messages = message->next;
                message->run(message);
        }
}
