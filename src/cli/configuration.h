/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file configuration.h What is wrong with a configuration that only this binary knows, not the file's grammar. */

#include <config/config.h>

/** Each program is in this binary, or says where its object is. @return 0, or an exit code: it has been said why. */
int sonde_configuration_check(const struct sonde_config *config);
