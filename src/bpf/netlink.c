/* SPDX-License-Identifier: Apache-2.0 */
/* Routing netlink, as far as traffic control needs it. Invariant: nothing is read behind the end of what the kernel sent. */
#include <bpf/netlink.h>

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <base/cleanup.h>

#define ANSWER_BYTES_MAX 32768 /* what the kernel puts into one part of a list at most */
#define ANSWER_SECONDS_MAX 5
#define WATCH_MESSAGES_MAX 1000 /* at a time; more wait for the next */

int sonde_netlink_open(void)
{
	struct timeval limit = {.tv_sec = ANSWER_SECONDS_MAX};
	CLEANUP_CLOSE int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)))
		return -errno;
	return TAKE_FD(fd);
}

/* ---- what changes ---- */

int sonde_netlink_watch_open(void)
{
	const struct sockaddr_nl groups = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK | 1u << (RTNLGRP_TC - 1)};
	CLEANUP_CLOSE int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

	if (fd < 0 || bind(fd, (const struct sockaddr *)&groups, sizeof(groups)))
		return -errno;
	return TAKE_FD(fd);
}

/* What a message says does not matter, and one that found no room (ENOBUFS) is a change as well. */
bool sonde_netlink_watch_take(int fd)
{
	bool changed = false;
	char start[1];

	for (unsigned i = 0; i < WATCH_MESSAGES_MAX; i++) {
		if (recv(fd, start, sizeof(start), 0) < 0 && errno != ENOBUFS)
			break;
		changed = true;
	}
	return changed;
}

/* ---- requests ---- */

void sonde_tc_request_init(struct sonde_tc_request *request, uint16_t type, uint16_t flags, uint32_t interface, uint32_t parent)
{
	*request = (struct sonde_tc_request){
		.header = {
			.nlmsg_len = offsetof(struct sonde_tc_request, attributes), .nlmsg_type = type,
			.nlmsg_flags = NLM_F_REQUEST | flags,
		},
		.tc = {.tcm_ifindex = (int)interface, .tcm_parent = parent},
	};
}

struct rtattr *sonde_tc_request_put(struct sonde_tc_request *request, uint16_t type, const void *data, size_t size)
{
	struct rtattr *attribute = (struct rtattr *)((char *)request + NLMSG_ALIGN(request->header.nlmsg_len));

	assert((char *)attribute + RTA_SPACE(size) <= (char *)(request + 1));
	attribute->rta_type = type;
	attribute->rta_len = (unsigned short)RTA_LENGTH(size);
	if (size)
		memcpy(RTA_DATA(attribute), data, size);
	request->header.nlmsg_len = (uint32_t)((char *)attribute - (char *)request + RTA_SPACE(size));
	return attribute;
}

void sonde_tc_request_nest(struct sonde_tc_request *request, struct rtattr *outer)
{
	outer->rta_len = (unsigned short)((char *)request + request->header.nlmsg_len - (char *)outer);
}

/* ---- answers ---- */

struct listing {
	uint16_t answer; /* type of the messages that are wanted */
	sonde_tc_found_fn found;
	void *userdata;
};

void sonde_netlink_attributes(struct rtattr *first, size_t length, struct rtattr **ret_attributes, unsigned short max)
{
	memset(ret_attributes, 0, (max + 1u) * sizeof(*ret_attributes));
	for (struct rtattr *a = first; RTA_OK(a, length); a = RTA_NEXT(a, length))
		if ((a->rta_type & NLA_TYPE_MASK) <= max)
			ret_attributes[a->rta_type & NLA_TYPE_MASK] = a;
}

static void message_found(struct nlmsghdr *message, const struct listing *listing)
{
	struct rtattr *attributes[TCA_MAX + 1];
	struct tcmsg *tc = NLMSG_DATA(message);

	if (message->nlmsg_type != listing->answer || message->nlmsg_len < NLMSG_LENGTH(sizeof(*tc)))
		return;
	sonde_netlink_attributes(TCA_RTA(tc), message->nlmsg_len - NLMSG_LENGTH(sizeof(*tc)), attributes, TCA_MAX);
	listing->found(tc, attributes, listing->userdata);
}

/* One part of the answer. @return 1: it was the last, 0: more comes, or the error that the kernel answers. */
static int answer_part(int fd, char *buffer, const struct listing *listing)
{
	ssize_t n = recv(fd, buffer, ANSWER_BYTES_MAX, 0);
	size_t left = (size_t)n;

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	for (struct nlmsghdr *message = (struct nlmsghdr *)buffer; NLMSG_OK(message, left); message = NLMSG_NEXT(message, left)) {
		if (message->nlmsg_type == NLMSG_DONE)
			return 1;
		if (message->nlmsg_type == NLMSG_ERROR) {
			int error = ((struct nlmsgerr *)NLMSG_DATA(message))->error;

			return error ?: 1;
		}
		if (listing)
			message_found(message, listing);
	}
	return 0;
}

static int request_ask(int fd, const struct sonde_tc_request *request, const struct listing *listing)
{
	_Alignas(struct nlmsghdr) char buffer[ANSWER_BYTES_MAX];
	int r = 0;

	if (send(fd, request, request->header.nlmsg_len, 0) < 0)
		return -errno;
	while (!r)
		r = answer_part(fd, buffer, listing);
	return r < 0 ? r : 0;
}

int sonde_tc_request_send(int fd, struct sonde_tc_request *request)
{
	request->header.nlmsg_flags |= NLM_F_ACK;
	return request_ask(fd, request, NULL);
}

int sonde_tc_list(int fd, uint16_t type, uint32_t interface, uint32_t parent, sonde_tc_found_fn found, void *userdata)
{
	struct listing listing = {.answer = (uint16_t)(type - 2), .found = found, .userdata = userdata}; /* GET follows NEW, DEL */
	struct sonde_tc_request request;

	sonde_tc_request_init(&request, type, NLM_F_DUMP, interface, parent);
	return request_ask(fd, &request, &listing);
}
