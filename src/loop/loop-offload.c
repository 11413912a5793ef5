/* SPDX-License-Identifier: MIT */
#include "loop/loop.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "loop/loop-internal.h"

/*
 * A queue under a mutex and threads that take from it. A thread is started when a job comes and no
 * thread is idle, and ends when it has been idle for IDLE_SEC. Threads are joined, never detached,
 * so that freeing the pool cannot pull it from under a thread's last instructions: a thread that
 * ended leaves its place ENDED, and whoever uses the place again joins it first.
 *
 * The result comes back as a posted message. Where no thread can be started, or there is no pool,
 * the loop runs the work itself: late and blocking, but never lost.
 */

enum { IDLE_SEC = 10 };

enum place_state { PLACE_FREE, PLACE_RUNNING, PLACE_ENDED };

struct place {
        pthread_t thread;
        struct offload_pool *pool;
        enum place_state state;
};

struct offload_pool {
        pthread_mutex_t mutex;
        pthread_cond_t more;
        struct loop_message *first, **last; /* jobs, by their `message` */
        unsigned queued, idle, running;
        bool ending;
        unsigned places_count;
        struct place places[];
};

static struct loop_job *job_of(struct loop_message *message) {
        return container_of(message, struct loop_job, message);
}

static void job_done(struct loop_message *message) {
        struct loop_job *job = job_of(message);

        job->loop->jobs--;
        job->done(job);
}

static void job_run_here(struct loop_message *message) {
        struct loop_job *job = job_of(message);

        job->work(job);
        job_done(message);
}

/* With the mutex held. NULL: nothing to do for long, or the pool is ending. */
static struct loop_message *pool_next(struct offload_pool *pool) {
        struct loop_message *message;

        while (!pool->first) {
                struct timespec until;
                int r;

                if (pool->ending)
                        return NULL;
                clock_gettime(CLOCK_MONOTONIC, &until);
                until.tv_sec += IDLE_SEC;
                pool->idle++;
                r = pthread_cond_timedwait(&pool->more, &pool->mutex, &until);
                pool->idle--;
                if (r == ETIMEDOUT && !pool->first)
                        return NULL;
        }
        message = pool->first;
        pool->first = message->next;
        if (!pool->first)
                pool->last = &pool->first;
        pool->queued--;
        return message;
}

static void *pool_thread(void *data) {
        struct place *place = data;
        struct offload_pool *pool = place->pool;
        struct loop_message *message;

        pthread_mutex_lock(&pool->mutex);
        while ((message = pool_next(pool))) {
                struct loop_job *job = job_of(message);

                pthread_mutex_unlock(&pool->mutex);
                job->work(job);
                message->run = job_done;
                loop_post(job->loop, message);
                pthread_mutex_lock(&pool->mutex);
        }
        place->state = PLACE_ENDED;
        pool->running--;
        pthread_mutex_unlock(&pool->mutex);
        return NULL;
}

/* With the mutex held. */
static void pool_start_thread(struct offload_pool *pool) {
        struct place *place = NULL;
        sigset_t all, before;

        for (unsigned i = 0; i < pool->places_count && !place; i++)
                if (pool->places[i].state != PLACE_RUNNING)
                        place = &pool->places[i];
        if (!place)
                return;
        if (place->state == PLACE_ENDED)
                pthread_join(place->thread, NULL); /* it has left the mutex, and only returns */
        place->state = PLACE_FREE;
        place->pool = pool;
        /* signals are for the main thread's signalfd */
        sigfillset(&all);
        pthread_sigmask(SIG_BLOCK, &all, &before);
        if (pthread_create(&place->thread, NULL, pool_thread, place) == 0) {
                place->state = PLACE_RUNNING;
                pool->running++;
        }
        pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* False: there is no thread to do it. */
static bool pool_push(struct offload_pool *pool, struct loop_message *message) {
        bool taken;

        pthread_mutex_lock(&pool->mutex);
        assert(!pool->ending);
        if (pool->idle <= pool->queued)
                pool_start_thread(pool);
        taken = pool->running > 0;
        if (taken) {
                message->next = NULL;
                *pool->last = message;
                pool->last = &message->next;
                pool->queued++;
                pthread_cond_signal(&pool->more);
        }
        pthread_mutex_unlock(&pool->mutex);
        return taken;
}

void loop_offload(struct loop *loop, struct loop_job *job, void (*work)(struct loop_job *job),
                  void (*done)(struct loop_job *job)) {
        assert(pthread_equal(loop->thread, pthread_self()));
        job->loop = loop;
        job->work = work;
        job->done = done;
        loop->jobs++;
        counter_add(&loop->counters.offloaded, 1);
        if (loop->pool && pool_push(loop->pool, &job->message))
                return;
        job->message.run = job_run_here;
        loop_post(loop, &job->message);
}

int offload_pool_new(unsigned threads_max, struct offload_pool **ret) {
        struct offload_pool *pool;
        pthread_condattr_t attributes;

        assert(threads_max > 0);
        pool = calloc(1, sizeof(*pool) + threads_max * sizeof(pool->places[0]));
        if (!pool)
                return -ENOMEM;
        pool->last = &pool->first;
        pool->places_count = threads_max;
        pthread_mutex_init(&pool->mutex, NULL);
        pthread_condattr_init(&attributes);
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
        pthread_cond_init(&pool->more, &attributes);
        pthread_condattr_destroy(&attributes);
        *ret = pool;
        return 0;
}

struct offload_pool *offload_pool_free(struct offload_pool *pool) {
        if (!pool)
                return NULL;
        pthread_mutex_lock(&pool->mutex);
        assert(!pool->first);
        pool->ending = true;
        pthread_cond_broadcast(&pool->more);
        pthread_mutex_unlock(&pool->mutex);
        /* the states were last written under the mutex by others; joining is what makes it safe */
        for (unsigned i = 0; i < pool->places_count; i++) {
                enum place_state state;

                pthread_mutex_lock(&pool->mutex);
                state = pool->places[i].state;
                pthread_mutex_unlock(&pool->mutex);
                if (state != PLACE_FREE)
                        pthread_join(pool->places[i].thread, NULL);
        }
        pthread_cond_destroy(&pool->more);
        pthread_mutex_destroy(&pool->mutex);
        free(pool);
        return NULL;
}
