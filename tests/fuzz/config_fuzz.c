/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a configuration: no crash, and either a whole configuration or a message. Build and run:
 *	clang -g -O1 -std=gnu17 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -Iinclude -Isrc tests/fuzz/config_fuzz.c \
 *		$(ls src/{config,schema,base}/*.c | grep -v _test) src/bpf/{embedded,object_file,interface,clsact,netlink}.c \
 *		build/libsonde_table.a build/libsonde_parts.a -lyaml -lbpf -lelf -o /tmp/config_fuzz
 *	/tmp/config_fuzz -max_total_time=60 CORPUS
 */
#include <config/config.h>

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct sonde_config config, before;
	char error[512] = "";
	int r;

	sonde_config_default(&config);
	before = config;
	r = sonde_config_parse(&config, "fuzz", (const char *)data, size, error, sizeof(error));
	if (r < 0 && (!error[0] || memcmp(&config, &before, sizeof(config)) != 0))
		abort();
	return 0;
}
