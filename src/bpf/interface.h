/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file interface.h
 * Hooks on network interfaces: SEC("tcx/ingress") and SEC("tcx/egress"). A program says which by settings called interface_1 to
 * interface_4, the numbers of interfaces in this process's network namespace (the configuration takes their names, and an interface of
 * that name has the hook also when it comes later or gets another number).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <bpf/clsact.h>

#define SONDE_INTERFACES_MAX 4
#define SONDE_INTERFACE_SETTING "interface_"
/** Whether a setting of this name takes a network interface. */
bool sonde_is_interface_setting(const char *name);

/** How: auto is tcx where the kernel has it, else clsact. */
enum sonde_attach { SONDE_ATTACH_AUTO, SONDE_ATTACH_TCX, SONDE_ATTACH_CLSACT };
/** "auto", "tcx" or "clsact". @return 0, -EINVAL */
int sonde_attach_parse(const char *text, enum sonde_attach *ret_attach);

/** A hook on one interface. All zero: none. */
struct sonde_interface_link {
	uint32_t interface; /* its number */
	int fd; /* of tcx */
	struct sonde_clsact_filter filter;
};

/** Whether the section is one of these. */
bool sonde_interface_is_hook(const char *section);
/**
 * @brief Attach before all others, so that it sees what they do not let through.
 * @return 0; -ENODEV no such interface; -EINVAL the kernel has no tcx (Linux 6.6); or as sonde_clsact_attach().
 */
int sonde_interface_attach(int program_fd, const char *section, uint32_t interface, enum sonde_attach how,
			   struct sonde_interface_link *ret_link);
/** Whether packets still pass it: the interface is the same, and nobody has removed the hook. Also of none. */
bool sonde_interface_is_attached(const struct sonde_interface_link *link);
/** Also of none. */
void sonde_interface_detach(struct sonde_interface_link *link);
