/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file help.h The overview, the help of a command and the manual page, all made from the table of commands. */

#include <stdio.h>

struct sonde_command;

void sonde_help_overview(FILE *out);
void sonde_help_command(const struct sonde_command *command, FILE *out);
/** docs/sonde.1 */
void sonde_help_man(FILE *out);
