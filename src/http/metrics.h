/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file metrics.h GET /metrics of the metrics listener. Threads: that of the listener. */

#include <microhttpd.h>
#include <http/server.h>

enum MHD_Result sonde_metrics_handle(void *userdata, struct MHD_Connection *connection, const char *url, const char *method,
				     const char *version, const char *upload, size_t *upload_size, void **context);
void sonde_metrics_free(struct sonde_http *http);
/** Which text the Accept header asks for: true for OpenMetrics. NULL: no header. */
bool sonde_metrics_accept(const char *accept);
