/* SPDX-License-Identifier: MIT */
#pragma once

#include "handlers/handler.h"

/*
 * Test builds only: Echo=yes makes a route that accepts any other protocol (request.protocol) and
 * gives back what comes, so that tunnels can be tested with both ends in hand.
 */
extern const struct exchange_handler echo_handler;
int echo_route_prepare(struct handler_route *route, char reason[static HANDLER_REASON_BYTES]);
