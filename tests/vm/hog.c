/* SPDX-License-Identifier: Apache-2.0 */
/* Takes memory, so many MiB a second, until it is killed. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MIB (1 << 20)

int main(int argc, char *argv[])
{
	long ns = 1000000000 / (argc > 1 ? atol(argv[1]) : 1);
	const struct timespec pause = {ns / 1000000000, ns % 1000000000};

	for (;;) {
		char *more = malloc(MIB);

		if (!more)
			return 1;
		memset(more, 1, MIB);
		nanosleep(&pause, NULL);
	}
}
