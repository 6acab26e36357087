/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file access.h
 * Who may ask over TCP: a web page in a browser on this machine must not, whatever name it gave this address
 * (DNS rebinding) and wherever it posts from. Threads: any.
 */

#include <stdbool.h>

struct MHD_Connection;

/**
 * @brief Check Host, Origin and Sec-Fetch-Site of a request on a TCP listener.
 * @return 0; else the status to refuse with (400, 403), and ret_reason says why (static text).
 */
unsigned sonde_access_check(struct MHD_Connection *connection, const char **ret_reason);
/** Is the body's length told in one way only? Where two readers could see two requests (smuggling), nobody shall. */
bool sonde_access_length(struct MHD_Connection *connection);
/** Does `host` ("name", "name:port", "[v6]:port") name the machine's end of a connection that came in on `local`? */
int sonde_access_host(const char *host, const char *local, const char *hostname);
