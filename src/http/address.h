/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file address.h Addresses to listen on, from text to a bound socket. Threads: any. */

#include <stdbool.h>
#include <sys/socket.h>

/** "HOST:PORT", ":PORT" (every address), "[V6]:PORT"; HOST is an address or "localhost". @return 0 or -EINVAL. */
int sonde_address_parse(const char *text, struct sockaddr_storage *ret_address, socklen_t *ret_length);
bool sonde_address_is_loopback(const struct sockaddr_storage *address);
/** A listening TCP socket. @return descriptor or negative errno. */
int sonde_address_listen(const struct sockaddr_storage *address, socklen_t length);
/**
 * @brief A listening unix socket at `path`, mode 0660.
 * A socket file that nobody listens on any more is replaced.
 * @return descriptor; -EADDRINUSE: somebody listens; -EEXIST: there is something that is no socket; -ENAMETOOLONG ...
 */
int sonde_address_listen_unix(const char *path);
