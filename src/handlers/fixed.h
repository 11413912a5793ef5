/* SPDX-License-Identifier: MIT */
#pragma once

#include "handlers/handler.h"

/* The parts of handler_route_prepare() and handler_route_finish() for Redirect= and Return=. */
int fixed_route_prepare(struct handler_route *route, char reason[static HANDLER_REASON_BYTES]);
void fixed_route_finish(struct handler_route *route);
