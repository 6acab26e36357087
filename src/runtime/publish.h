/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file publish.h The writing side of the bus; only readers publish. */

#include <runtime/bus.h>

/** Hand a batch to all listeners. Never waits. The caller keeps its reference. */
void sonde_bus_publish(struct sonde_bus *bus, const struct sonde_batch *batch);
bool sonde_bus_has_listeners(struct sonde_bus *bus);
