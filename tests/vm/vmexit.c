/* SPDX-License-Identifier: Apache-2.0 */
/* Ends the virtual machine with an exit code (qemu's isa-debug-exit at port 0xf4: qemu exits with 2 * code + 1). */
#include <stdlib.h>
#include <sys/io.h>

int main(int argc, char *argv[])
{
	if (ioperm(0xf4, 1, 1))
		return 1;
	outb(argc > 1 ? (unsigned char)atoi(argv[1]) : 0, 0xf4);
	return 1;
}
