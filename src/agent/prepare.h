/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file prepare.h What needs rights before the worker starts: the directories of store and socket. */

#include <config/config.h>
#include <security/privileges.h>

/** @return 0 or the error of the step that failed, logged. */
int sonde_prepare_paths(const struct sonde_config *config, const struct sonde_user *user);
