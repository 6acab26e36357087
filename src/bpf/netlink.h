/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file netlink.h
 * The kernel's traffic control, asked by routing netlink: one request and its answer at a time.
 *
 * Threads: a socket belongs to one thread.
 */

#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sonde_tc_request {
	struct nlmsghdr header;
	struct tcmsg tc;
	char attributes[256];
};

/** @return A descriptor, or a negative errno. */
int sonde_netlink_open(void);

/**
 * Readable when a network interface of this namespace, a qdisc or a filter came, changed or went.
 * @return A descriptor that does not block, or a negative errno.
 */
int sonde_netlink_watch_open(void);
/** Take what there is to read. @return Whether there was something; also if the kernel had to leave some out. */
bool sonde_netlink_watch_take(int fd);

/** @param type RTM_NEWQDISC, RTM_DELTFILTER ... @param flags NLM_F_CREATE ... */
void sonde_tc_request_init(struct sonde_tc_request *request, uint16_t type, uint16_t flags, uint32_t interface, uint32_t parent);
/** Append an attribute; what has no room is a mistake of the caller's. @return It, to be given to sonde_tc_request_nest(). */
struct rtattr *sonde_tc_request_put(struct sonde_tc_request *request, uint16_t type, const void *data, size_t size);
/** All attributes since `outer` are inside of it. */
void sonde_tc_request_nest(struct sonde_tc_request *request, struct rtattr *outer);
/** @return 0, or the kernel's answer: a negative errno. */
int sonde_tc_request_send(int fd, struct sonde_tc_request *request);

/** @param attributes Of the message: by type, NULL what it has not. */
typedef void (*sonde_tc_found_fn)(const struct tcmsg *tc, struct rtattr *const attributes[TCA_MAX + 1], void *userdata);
/**
 * @brief Everything of one kind.
 * @param type RTM_GETQDISC: of all interfaces; RTM_GETTFILTER: of this interface and parent.
 */
int sonde_tc_list(int fd, uint16_t type, uint32_t interface, uint32_t parent, sonde_tc_found_fn found, void *userdata);

/** Attributes by type, up to `max`; what is cut off is left out. */
void sonde_netlink_attributes(struct rtattr *first, size_t length, struct rtattr **ret_attributes, unsigned short max);
