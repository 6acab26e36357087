/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host and Origin. A rebinding page reaches us under its own name, so a name that is not ours is refused; an address
 * literal cannot be rebound, but only the one that the connection came in on is ours for certain.
 */
#include <http/access.h>

#include <arpa/inet.h>
#include <microhttpd.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

int sonde_access_host(const char *host, const char *local, const char *hostname)
{
	size_t length;
	char name[256];

	length = host[0] == '[' ? strcspn(host, "]") + (strchr(host, ']') ? 1 : 0) : strcspn(host, ":");
	if (!length || length >= sizeof(name))
		return 0;
	memcpy(name, host, length);
	name[length] = '\0';
	host += length;
	if (*host == ':') {
		host++;
		if (!*host || strspn(host, "0123456789") != strlen(host))
			return 0;
	} else if (*host) {
		return 0;
	}
	return !strcasecmp(name, "localhost") || !strcmp(name, "127.0.0.1") || !strcmp(name, "[::1]") ||
	       !strcasecmp(name, local) || (*hostname && !strcasecmp(name, hostname));
}

static void access_local(struct MHD_Connection *connection, char *ret_text, size_t size)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);
	char text[INET6_ADDRSTRLEN];

	ret_text[0] = '\0';
	if (!info || getsockname(info->connect_fd, (struct sockaddr *)&address, &length))
		return;
	if (address.ss_family == AF_INET) {
		inet_ntop(AF_INET, &((struct sockaddr_in *)&address)->sin_addr, ret_text, (socklen_t)size);
	} else if (address.ss_family == AF_INET6) {
		const struct in6_addr *v6 = &((struct sockaddr_in6 *)&address)->sin6_addr;

		if (IN6_IS_ADDR_V4MAPPED(v6)) {
			inet_ntop(AF_INET, &v6->s6_addr[12], ret_text, (socklen_t)size);
		} else if (inet_ntop(AF_INET6, v6, text, sizeof(text))) {
			snprintf(ret_text, size, "[%s]", text);
		}
	}
}

struct header_count {
	const char *name, *value;
	unsigned n;
};

static enum MHD_Result header_count(void *userdata, enum MHD_ValueKind kind, const char *name, const char *value)
{
	struct header_count *count = userdata;

	if (!strcasecmp(name, count->name)) {
		count->value = value;
		count->n++;
	}
	return MHD_YES;
}

static struct header_count header_find(struct MHD_Connection *connection, const char *name)
{
	struct header_count count = {.name = name};

	MHD_get_connection_values(connection, MHD_HEADER_KIND, header_count, &count);
	return count;
}

bool sonde_access_length(struct MHD_Connection *connection)
{
	return header_find(connection, MHD_HTTP_HEADER_CONTENT_LENGTH).n +
		       header_find(connection, MHD_HTTP_HEADER_TRANSFER_ENCODING).n <= 1;
}

unsigned sonde_access_check(struct MHD_Connection *connection, const char **ret_reason)
{
	struct header_count host = header_find(connection, MHD_HTTP_HEADER_HOST),
			    origin = header_find(connection, MHD_HTTP_HEADER_ORIGIN),
			    site = header_find(connection, "Sec-Fetch-Site");
	char local[64], hostname[256] = "";
	const char *authority;

	if (host.n > 1 || origin.n > 1) {
		*ret_reason = "more than one Host or Origin header";
		return MHD_HTTP_BAD_REQUEST;
	}
	gethostname(hostname, sizeof(hostname) - 1);
	access_local(connection, local, sizeof(local));
	if (!host.n || !host.value || !sonde_access_host(host.value, local, hostname)) {
		*ret_reason = "the Host header must name this machine: localhost, its host name or the address connected to";
		return MHD_HTTP_FORBIDDEN;
	}
	if (origin.n) {
		authority = origin.value ? strstr(origin.value, "://") : NULL;
		/* The port too: a page of another server on this host is another site. */
		if (!authority || strcasecmp(authority + 3, host.value)) {
			*ret_reason = "requests of other sites' pages are refused (Origin)";
			return MHD_HTTP_FORBIDDEN;
		}
	}
	if (site.n && (!site.value || (strcmp(site.value, "same-origin") && strcmp(site.value, "none")))) {
		*ret_reason = "requests of other sites' pages are refused (Sec-Fetch-Site)";
		return MHD_HTTP_FORBIDDEN;
	}
	return 0;
}
