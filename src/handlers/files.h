/* SPDX-License-Identifier: MIT */
#pragma once

#include "handlers/handler.h"

/* The parts of handler_route_prepare() and handler_route_finish() that are about files. */
int files_route_prepare(struct handler_route *route, char reason[static HANDLER_REASON_BYTES]);
void files_route_finish(struct handler_route *route);
