/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <agent/protocol.h>

static void pair(int sockets[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
}

static void test_message_with_descriptors(void **state)
{
	struct sonde_message sent = {.kind = SONDE_MESSAGE_PROGRAM, .id = 7, .ring_id = 99}, got = {};
	int sockets[2], fds[3], received[SONDE_MESSAGE_FDS_MAX];
	unsigned n = 0;

	pair(sockets);
	strcpy(sent.status.name, "connection");
	for (int i = 0; i < 3; i++) {
		fds[i] = memfd_create("test", MFD_CLOEXEC);
		assert_int_equal(pwrite(fds[i], &i, sizeof(i), 0), sizeof(i));
	}
	assert_int_equal(sonde_message_send(sockets[0], &sent, fds, 3), 0);
	assert_int_equal(sonde_message_receive(sockets[1], &got, received, &n), 1);
	assert_int_equal(n, 3);
	assert_memory_equal(&got, &sent, sizeof(sent));
	for (int i = 0; i < 3; i++) {
		int number = -1;

		assert_int_equal(pread(received[i], &number, sizeof(number), 0), sizeof(number));
		assert_int_equal(number, i);
		close(received[i]);
		close(fds[i]);
	}
	assert_int_equal(sonde_message_receive(sockets[1], &got, received, &n), -EAGAIN);
	close(sockets[0]);
	assert_int_equal(sonde_message_receive(sockets[1], &got, received, &n), 0);
	assert_int_equal(sonde_message_send(sockets[1], &sent, NULL, 0), -EPIPE);
	close(sockets[1]);
}

static unsigned open_descriptors(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += lseek(fd, 0, SEEK_CUR) >= 0 || errno != EBADF;
	return n;
}

/* The other side may be taken over: wrong sizes and too many descriptors give an error and leak nothing. */
static void test_hostile_messages(void **state)
{
	int sockets[2], received[SONDE_MESSAGE_FDS_MAX], many[SONDE_MESSAGE_FDS_MAX + 1];
	struct sonde_message message = {.kind = SONDE_MESSAGE_ALIVE}, got;
	char large[sizeof(message) + 1] = {};
	unsigned n = 0, before;

	pair(sockets);
	before = open_descriptors();
	assert_int_equal(send(sockets[0], "x", 1, 0), 1);
	assert_int_equal(sonde_message_receive(sockets[1], &got, received, &n), -EBADMSG);
	assert_int_equal(send(sockets[0], large, sizeof(large), 0), sizeof(large));
	assert_int_equal(sonde_message_receive(sockets[1], &got, received, &n), -EBADMSG);
	for (size_t i = 0; i < SONDE_MESSAGE_FDS_MAX + 1; i++)
		many[i] = STDERR_FILENO;
	assert_int_equal(sonde_message_send(sockets[0], &message, many, SONDE_MESSAGE_FDS_MAX + 1), -E2BIG);
	/* Texts that nobody ended. */
	memset(message.text, 'a', sizeof(message.text));
	memset(message.status.name, 'b', sizeof(message.status.name));
	assert_int_equal(send(sockets[0], &message, sizeof(message), 0), sizeof(message));
	assert_int_equal(sonde_message_receive(sockets[1], &got, received, &n), 1);
	assert_int_equal(strlen(got.text), sizeof(got.text) - 1);
	assert_int_equal(strlen(got.status.name), sizeof(got.status.name) - 1);
	assert_int_equal(open_descriptors(), before);
	close(sockets[0]);
	close(sockets[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_message_with_descriptors),
		cmocka_unit_test(test_hostile_messages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
