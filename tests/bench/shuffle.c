/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Put records of a file into a random order, the same one each time:
 *
 *	shuffle FILE OFFSET COUNT SIZE
 *
 * With the L2 tables of an image as the records' place, their entries map a permuted disk. SIZE is
 * 8 or 16, OFFSET a multiple of a page.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SIZE_MAX_RECORD 16u

/* xorshift64*: the same numbers on every machine. */
static uint64_t
chance(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dull;
}

static void
swap(uint8_t *a, uint8_t *b, size_t size)
{
	uint8_t held[SIZE_MAX_RECORD];

	memcpy(held, a, size);
	memcpy(a, b, size);
	memcpy(b, held, size);
}

int
main(int argc, char **argv)
{
	uint64_t state = 1;

	if (argc != 5) {
		(void)fputs("usage: shuffle FILE OFFSET COUNT SIZE\n", stderr);
		return 2;
	}
	const int fd = open(argv[1], O_RDWR);
	const off_t offset = (off_t)strtoull(argv[2], NULL, 10);
	const size_t count = strtoull(argv[3], NULL, 10), size = strtoull(argv[4], NULL, 10);

	if (size == 0 || size > SIZE_MAX_RECORD || count == 0)
		return 2;
	uint8_t *const at = mmap(NULL, count * size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);

	if (at == MAP_FAILED) {
		perror(argv[1]);
		return 1;
	}
	for (size_t left = count; left > 1; left--)
		swap(at + (left - 1) * size, at + (size_t)(chance(&state) % left) * size, size);
	return munmap(at, count * size) == 0 && close(fd) == 0 ? 0 : 1;
}
