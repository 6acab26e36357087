/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file symbols.h
 * Address -> kernel function, modules included, from a descriptor of /proc/kallsyms. Read at the first look-up, and again,
 * at most every SONDE_SYMBOLS_RELOAD_NS, when an address lies in no known function (a module came).
 *
 * Threads: any. The look-up that reads kallsyms takes some 50 ms; all others are short.
 */

#include <enrich/intern.h>

#define SONDE_SYMBOLS_RELOAD_NS 60000000000ll

struct sonde_symbols;

/** @param kallsyms_fd Opened with the right to see addresses; -1: nothing is known. Not owned. @param names Borrowed. */
int sonde_symbols_new(int kallsyms_fd, struct sonde_intern *names, struct sonde_symbols **ret_symbols);
void sonde_symbols_free(struct sonde_symbols **symbols);
/** Interned, or NULL: in no known function. */
const char *sonde_symbols_name(struct sonde_symbols *symbols, uint64_t address);
/** Functions known now. */
uint64_t sonde_symbols_count(struct sonde_symbols *symbols);
