/* SPDX-License-Identifier: Apache-2.0 */
/* Hooks on network interfaces. By the bare system call: not every libbpf that we build with knows tcx. */
#include <bpf/interface.h>

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <base/cleanup.h>

/* include/uapi/linux/bpf.h of Linux 6.6 */
#define TCX_INGRESS 46
#define TCX_EGRESS 47
#define LINK_BEFORE (1u << 3)

int sonde_attach_parse(const char *text, enum sonde_attach *ret_attach)
{
	static const char *const names[] = {"auto", "tcx", "clsact"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(text, names[i])) {
			*ret_attach = (enum sonde_attach)i;
			return 0;
		}
	return -EINVAL;
}

bool sonde_is_interface_setting(const char *name)
{
	return !strncmp(name, SONDE_INTERFACE_SETTING, strlen(SONDE_INTERFACE_SETTING));
}

bool sonde_interface_is_hook(const char *section)
{
	return !strcmp(section, "tcx/ingress") || !strcmp(section, "tcx/egress");
}

static int tcx_attach(int program_fd, bool egress, uint32_t interface)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = LINK_BEFORE);
	int fd = bpf_link_create(program_fd, (int)interface, (enum bpf_attach_type)(egress ? TCX_EGRESS : TCX_INGRESS), &opts);

	return fd < 0 ? -errno : fd;
}

int sonde_interface_attach(int program_fd, const char *section, uint32_t interface, enum sonde_attach how,
			   struct sonde_interface_link *ret_link)
{
	struct sonde_interface_link link = {.interface = interface};
	bool egress = strcmp(section, "tcx/ingress");
	int fd = how == SONDE_ATTACH_CLSACT ? -EINVAL : tcx_attach(program_fd, egress, interface), r = 0;

	if (fd == -EINVAL && how != SONDE_ATTACH_TCX)
		r = sonde_clsact_attach(program_fd, interface, egress, &link.filter);
	else if (fd < 0)
		r = fd;
	else
		link.fd = fd;
	if (!r)
		*ret_link = link;
	return r;
}

/* A link of tcx outlives its interface, and then has none: its number is 0. */
static bool tcx_is_attached(int fd)
{
	struct bpf_link_info info = {};
	__u32 size = sizeof(info);

	/* Where older headers do not know tcx, they know xdp, which says the interface in the same place. */
	return bpf_obj_get_info_by_fd(fd, &info, &size) || info.xdp.ifindex;
}

bool sonde_interface_is_attached(const struct sonde_interface_link *link)
{
	return link->fd > 0 ? tcx_is_attached(link->fd) : link->filter.life > 0 && sonde_clsact_is_there(&link->filter);
}

void sonde_interface_detach(struct sonde_interface_link *link)
{
	if (link->fd > 0)
		close(link->fd);
	if (link->filter.life > 0)
		sonde_clsact_detach(&link->filter);
	*link = (struct sonde_interface_link){};
}
