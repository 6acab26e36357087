/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file interface.h
 * Hooks on network interfaces: SEC("tcx/ingress") and SEC("tcx/egress"). A program says which by settings called interface_1 to
 * interface_4, the numbers of interfaces in this process's network namespace (the configuration takes their names).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SONDE_INTERFACES_MAX 4
#define SONDE_INTERFACE_SETTING "interface_"

/** Whether the section is one of these. */
bool sonde_interface_is_hook(const char *section);
/**
 * @brief Attach before all others, so that it sees what they do not let through. It ends with its descriptor.
 * @return 0 (*ret_link: a descriptor); -ENODEV no such interface; -EINVAL the kernel has no tcx (Linux 6.6).
 */
int sonde_interface_attach(int program_fd, const char *section, uint32_t interface, int *ret_link);
