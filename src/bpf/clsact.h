/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file clsact.h
 * Hooks on interfaces as filters of the qdisc clsact, for kernels without tcx. A filter is no descriptor: it stays when its
 * process is killed. So each says whose it is, and what a dead one left is found and removed.
 *
 * Others' qdisc and filters stay as they are: the qdisc is made only where there is none, and removed only by those who
 * made it, when no filter is left in it.
 *
 * Needs CAP_NET_ADMIN.
 */

#include <stdbool.h>
#include <stdint.h>

struct sonde_clsact_filter {
	int life; /* as long as it is open, others see that we live; 0: there is no filter */
	uint32_t interface, parent, handle, priority;
	bool made_qdisc;
};

/**
 * @brief Attach before all others, so that it sees what they do not let through.
 * @return 0; -ENODEV no such interface; -EBUSY a qdisc of another kind is in the place; -ENOENT the kernel has no clsact or
 * no filters of this kind; -EOPNOTSUPP the filters there are shared with other interfaces; -ENOSPC no priority is free.
 */
int sonde_clsact_attach(int program_fd, uint32_t interface, bool egress, struct sonde_clsact_filter *ret_filter);
/** Also if the interface or the filter is gone. When it returns, the program runs no more. */
void sonde_clsact_detach(struct sonde_clsact_filter *filter);
/** Whether it is still there: any other tool can remove it. */
bool sonde_clsact_is_there(const struct sonde_clsact_filter *filter);
/** Remove what those left that were killed, on all interfaces. @return How many filters. */
unsigned sonde_clsact_sweep(void);
