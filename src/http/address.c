/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets to listen on. Only literal addresses: a listener must not depend on a name service, nor on what it answers today. */
#include <http/address.h>

#include <base/cleanup.h>
#include <errno.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

#define BACKLOG 128

int sonde_address_parse(const char *text, struct sockaddr_storage *ret_address, socklen_t *ret_length)
{
	const char *colon = strrchr(text, ':');
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	char host[INET6_ADDRSTRLEN + 2];
	unsigned long port;
	size_t length;

	if (!colon || colon - text >= (ptrdiff_t)sizeof(host) || !colon[1] || strlen(colon + 1) > 5 ||
	    strspn(colon + 1, "0123456789") != strlen(colon + 1))
		return -EINVAL;
	port = strtoul(colon + 1, NULL, 10);
	if (port > 65535)
		return -EINVAL;
	length = (size_t)(colon - text);
	memcpy(host, text, length);
	host[length] = '\0';
	if (!strcmp(host, "localhost"))
		strcpy(host, "127.0.0.1");
	*ret_address = (struct sockaddr_storage){0};
	if (!*host || *host == '[') {
		if (*host && (host[length - 1] != ']' || length < 3))
			return -EINVAL;
		if (*host)
			host[length - 1] = '\0';
		v6.sin6_addr = in6addr_any;
		v6.sin6_port = htons((uint16_t)port);
		if (*host && inet_pton(AF_INET6, host + 1, &v6.sin6_addr) != 1)
			return -EINVAL;
		memcpy(ret_address, &v6, sizeof(v6));
		*ret_length = sizeof(v6);
		return 0;
	}
	v4.sin_port = htons((uint16_t)port);
	if (inet_pton(AF_INET, host, &v4.sin_addr) != 1)
		return -EINVAL;
	memcpy(ret_address, &v4, sizeof(v4));
	*ret_length = sizeof(v4);
	return 0;
}

bool sonde_address_is_loopback(const struct sockaddr_storage *address)
{
	if (address->ss_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24 == 127;
	return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)address)->sin6_addr);
}

/* A host without IPv6 can still take ":9090". */
static int address_any_v4(const struct sockaddr_storage *address, struct sockaddr_storage *ret_v4)
{
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = v6->sin6_port};

	if (address->ss_family != AF_INET6 || !IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr))
		return -EAFNOSUPPORT;
	*ret_v4 = (struct sockaddr_storage){0};
	memcpy(ret_v4, &v4, sizeof(v4));
	return 0;
}

int sonde_address_listen(const struct sockaddr_storage *address, socklen_t length)
{
	CLEANUP_CLOSE int fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_storage v4;
	int yes = 1, no = 0;

	if (fd < 0 && errno == EAFNOSUPPORT && !address_any_v4(address, &v4))
		return sonde_address_listen(&v4, sizeof(struct sockaddr_in));
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) ||
	    (address->ss_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof(no))) ||
	    bind(fd, (const struct sockaddr *)address, length) || listen(fd, BACKLOG))
		return -errno;
	return TAKE_FD(fd);
}

/* A file that a dead agent left refuses connections; anything else is not ours to remove. */
static int address_remove_stale(const struct sockaddr_un *address)
{
	CLEANUP_CLOSE int fd = -1;
	struct stat st;

	if (lstat(address->sun_path, &st))
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (!connect(fd, (const struct sockaddr *)address, sizeof(*address)) || errno == EAGAIN)
		return -EADDRINUSE;
	if (errno != ECONNREFUSED)
		return -errno;
	return unlink(address->sun_path) ? -errno : 0;
}

int sonde_address_listen_unix(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	CLEANUP_CLOSE int fd = -1;
	int r;

	if (!*path || strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	r = address_remove_stale(&address);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* The file gets the mode of the socket (unix_bind()), so it is never open to others, not even before the chmod()
	 * that undoes the umask. */
	if (fd < 0 || fchmod(fd, 0660) || bind(fd, (struct sockaddr *)&address, sizeof(address)))
		return -errno;
	if (chmod(path, 0660) || listen(fd, BACKLOG)) {
		r = -errno;
		unlink(path);
		return r;
	}
	return TAKE_FD(fd);
}
