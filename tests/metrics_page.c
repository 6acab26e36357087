/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prints the metrics page of an agent that has seen nothing: every metric once, with its labels and its help. From it
 * tools/update-docs.sh makes the table in docs/metrics.md. Needs no rights: the programs are described, not run.
 */
#include <agent/worker_private.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <bpf/embedded.h>
#include <schema/schema.h>

static struct worker worker;

static size_t one_program(void *userdata, struct sonde_program_status *ret, size_t max)
{
	ret[0] = (struct sonde_program_status){.name = "NAME", .state = SONDE_PROGRAM_RUNNING};
	return 1;
}

static size_t one_ledger(void *userdata, struct sonde_ledger *ret, size_t max)
{
	ret[0] = (struct sonde_ledger){.program = "NAME", .settled = true};
	return 1;
}

static void healthy(void *userdata, struct sonde_health *ret_health)
{
	*ret_health = (struct sonde_health){.ready = true, .alive = true};
}

/* Each metric of the built-in programs, with a key of zeros. */
static void all_metrics(void *userdata, sonde_metric_fn fn, void *to)
{
	static const char key[4096];

	for (const struct sonde_embedded *e = sonde_embedded; e->name; e++) {
		struct sonde_schema *schema = NULL;
		const char *error;

		if (sonde_embedded_schema(e, NULL, &error, &schema) < 0)
			exit(1);
		for (uint32_t i = 0; i < schema->n_metrics; i++)
			if (schema->metrics[i].key_size <= sizeof(key))
				fn(&schema->metrics[i], key, 0, to);
		sonde_schema_free(&schema);
	}
}

static int page_print(int port)
{
	static const char request[] = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	CLEANUP_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CLEANUP_FREE char *page = calloc(1, 1 << 20);
	size_t length = 0;
	char *body;
	ssize_t n;

	if (!page || fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) ||
	    write(fd, request, sizeof(request) - 1) != sizeof(request) - 1)
		return 1;
	while (length < (1 << 20) - 1 && (n = read(fd, page + length, (1 << 20) - 1 - length)) > 0)
		length += (size_t)n;
	body = strstr(page, "\r\n\r\n");
	if (!body)
		return 1;
	fputs(body + 4, stdout);
	return 0;
}

int main(void)
{
	const struct sonde_http_opts listen = {.metrics = "127.0.0.1:0", .health = "127.0.0.1:0", .api = "127.0.0.1:0"};
	const struct sonde_store_opts store = {.path = "memory"};
	const struct sonde_enrich_opts enrich = {.kallsyms_fd = -1};
	int r;

	pthread_rwlock_init(&worker.lock, NULL);
	if (sonde_bus_new(&worker.bus) || sonde_store_open(&store, &worker.store) || sonde_enrich_new(&enrich, &worker.enrich))
		return 1;
	worker_view_init(&worker);
	worker.view.programs = one_program;
	worker.view.ledger = one_ledger;
	worker.view.health = healthy;
	worker.view.metrics = all_metrics;
	if (sonde_http_new(&worker.view, &listen, &worker.http))
		return 1;
	r = page_print(sonde_http_port(worker.http, "metrics"));
	sonde_http_free(&worker.http, 0);
	sonde_store_close(&worker.store);
	sonde_enrich_free(&worker.enrich);
	sonde_bus_free(&worker.bus);
	return r;
}
