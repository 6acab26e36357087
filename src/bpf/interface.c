/* SPDX-License-Identifier: Apache-2.0 */
/* Hooks on network interfaces. By the bare system call: not every libbpf that we build with knows tcx. */
#include <bpf/interface.h>

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

/* include/uapi/linux/bpf.h of Linux 6.6 */
#define TCX_INGRESS 46
#define TCX_EGRESS 47
#define LINK_BEFORE (1u << 3)

bool sonde_interface_is_hook(const char *section)
{
	return !strcmp(section, "tcx/ingress") || !strcmp(section, "tcx/egress");
}

int sonde_interface_attach(int program_fd, const char *section, uint32_t interface, int *ret_link)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = LINK_BEFORE);
	int type = strcmp(section, "tcx/ingress") ? TCX_EGRESS : TCX_INGRESS, fd;

	fd = bpf_link_create(program_fd, (int)interface, (enum bpf_attach_type)type, &opts);
	if (fd < 0)
		return -errno;
	*ret_link = fd;
	return 0;
}
