/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file health.h GET /liveness, /readiness and /health of the health listener. Threads: that of the listener. */

#include <microhttpd.h>
#include <base/buffer.h>
#include <runtime/view.h>

enum MHD_Result sonde_health_handle(void *userdata, struct MHD_Connection *connection, const char *url, const char *method,
				    const char *version, const char *upload, size_t *upload_size, void **context);
/** Also that of the metrics listener. */
void sonde_health_completed(void *userdata, struct MHD_Connection *connection, void **context,
			    enum MHD_RequestTerminationCode code);

/** "healthy", "degraded", "unhealthy" */
const char *sonde_health_status(const struct sonde_health *health);

struct sonde_listener;
/**
 * @brief The common way of the two listeners that only know GET: method and path are checked, a body is thrown away.
 * @return 0: the caller answers; 1: not yet, or answered; *ret_result is what to return to libmicrohttpd.
 */
int sonde_simple_request(struct sonde_listener *listener, struct MHD_Connection *connection, const char *method,
			 size_t *upload_size, void **context, enum MHD_Result *ret_result);
enum MHD_Result sonde_simple_answer(struct sonde_listener *listener, struct MHD_Connection *connection, unsigned status,
				    const char *content_type, const char *text, size_t length);
