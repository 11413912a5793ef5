/* SPDX-License-Identifier: MIT */
#pragma once

#include "loop/loop-backend.h"

/* What the files of this folder share among themselves. */

/* Make `op` pending; `socket` may be NULL. The caller then submits or completes it. */
void loop_op_begin(struct loop *loop, struct loop_socket *socket, struct loop_op *op,
                   enum loop_op_kind kind, loop_done *done);

/*
 * loop-file-send.c: `done` of a send's operation between its quanta; its address tells them apart.
 */
void loop_file_send_turn(struct loop_op *op);

/* loop-file-read.c: tmpfs is its own page cache, and does not know RWF_NOWAIT. */
bool loop_file_is_in_memory(int file);

/* loop-post.c: run what other threads have posted, at most LOOP_MESSAGES_MAX. */
void loop_messages_run(struct loop *loop);
void loop_wake(struct loop *loop);
