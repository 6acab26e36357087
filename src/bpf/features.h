/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file features.h What this kernel and this process have of what sonde needs, and the remedy for what is missing. */

#include <stdbool.h>
#include <stddef.h>

struct sonde_feature {
	char name[32];	  /* "BTF", "tracefs", "CAP_BPF" */
	bool present;
	bool needed;	  /* false: something works less well without it */
	char detail[128]; /* where it is; or what is missing without it */
	char remedy[160]; /* if not present */
};

/** @return number written. */
size_t sonde_features(struct sonde_feature *ret_features, size_t max);
/** ": run as root ..." if `error` is for lack of rights, else "". */
const char *sonde_privilege_hint(int error);
