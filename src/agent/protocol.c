/* SPDX-License-Identifier: Apache-2.0 */
#include <agent/protocol.h>

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define SEND_TIMEOUT_MS 1000

int sonde_message_send(int socket, const struct sonde_message *message, const int *fds, unsigned n_fds)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int) * SONDE_MESSAGE_FDS_MAX)];
	} control = {};
	struct iovec data = {.iov_base = (void *)(uintptr_t)message, .iov_len = sizeof(*message)};
	struct msghdr header = {.msg_iov = &data, .msg_iovlen = 1};
	struct pollfd room = {.fd = socket, .events = POLLOUT};
	struct cmsghdr *rights;

	if (n_fds > SONDE_MESSAGE_FDS_MAX)
		return -E2BIG;
	if (n_fds) {
		header.msg_control = control.space;
		header.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		rights = CMSG_FIRSTHDR(&header);
		rights->cmsg_level = SOL_SOCKET;
		rights->cmsg_type = SCM_RIGHTS;
		rights->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(rights), fds, sizeof(int) * n_fds);
	}
	while (sendmsg(socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		if (errno == EAGAIN && poll(&room, 1, SEND_TIMEOUT_MS) == 0)
			return -EAGAIN;
	}
	return 0;
}

int sonde_message_receive(int socket, struct sonde_message *ret_message, int *ret_fds, unsigned *ret_n_fds)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int) * SONDE_MESSAGE_FDS_MAX)];
	} control;
	struct sonde_message message;
	struct iovec data = {.iov_base = &message, .iov_len = sizeof(message)};
	struct msghdr header = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control.space,
				.msg_controllen = sizeof(control.space)};
	unsigned n_fds = 0;
	ssize_t n;

	do {
		n = recvmsg(socket, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? 0 : -errno;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&header); n > 0 && c; c = CMSG_NXTHDR(&header, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n_fds = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(ret_fds, CMSG_DATA(c), n_fds * sizeof(int));
	}
	*ret_n_fds = n_fds;
	if (n == 0)
		return 0;
	if (n != sizeof(message) || header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
		for (unsigned i = 0; i < n_fds; i++)
			close(ret_fds[i]);
		*ret_n_fds = 0;
		return -EBADMSG;
	}
	/* The other side's text ends where we say. */
	message.text[sizeof(message.text) - 1] = '\0';
	message.status.name[sizeof(message.status.name) - 1] = '\0';
	*ret_message = message;
	return 1;
}
