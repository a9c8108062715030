/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Drives a fuzz target without libFuzzer, so that every build runs every target: first each file
 * named on the command line, then a fixed number of pseudo-random inputs, the same on each machine.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

enum { ROUNDS = 20000, CAPACITY = 65536, NOISE_MAX = 1024 };

static uint8_t input[CAPACITY];

/* xorshift64*: enough to scatter damage, and equal everywhere. */
static uint64_t
next_random(void)
{
	static uint64_t state = 0x71326673656564ull;

	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * 0x2545f4914f6cdd1dull;
}

static size_t
below(size_t bound)
{
	return (size_t)(next_random() % bound);
}

/* The target must see the end of its input where it is: a copy of exactly `size` bytes. */
static void
run_one(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);

	if (!copy) {
		fprintf(stderr, "replay: out of memory\n");
		exit(EXIT_FAILURE);
	}
	if (size)
		memcpy(copy, data, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

static int
run_file(const char *name)
{
	FILE *file = fopen(name, "rb");
	size_t size;

	if (!file) {
		perror(name);
		return -1;
	}
	size = fread(input, 1, sizeof(input), file);
	if (ferror(file) || fgetc(file) != EOF) {
		fprintf(stderr, "%s: cannot be read, or longer than %d bytes\n", name, CAPACITY);
		fclose(file);
		return -1;
	}
	fclose(file);
	run_one(input, size);
	return 0;
}

static size_t
noise(void)
{
	const size_t size = below(NOISE_MAX + 1);

	for (size_t i = 0; i < size; i++)
		input[i] = (uint8_t)next_random();
	return size;
}

/* Values at which parsers trip, as often as random ones. */
static uint8_t
bad_byte(void)
{
	static const uint8_t edges[] = { 0x00, 0x01, 0x7f, 0x80, 0xff };
	const size_t pick = below(2 * sizeof(edges));

	return pick < sizeof(edges) ? edges[pick] : (uint8_t)next_random();
}

static size_t
damage(size_t size)
{
	for (size_t n = below(8); n > 0; n--)
		input[below(size)] = bad_byte();
	return below(4) ? size : below(size + 1);
}

static unsigned int
count_seeds(void)
{
	unsigned int count = 0;

	if (fuzz_seed)
		while (fuzz_seed(count, input, sizeof(input)) > 0)
			count++;
	return count;
}

int
main(int argc, char **argv)
{
	const unsigned int seeds = count_seeds();

	for (int i = 1; i < argc; i++)
		if (run_file(argv[i]) < 0)
			return EXIT_FAILURE;
	for (unsigned int i = 0; i < seeds; i++)
		run_one(input, fuzz_seed(i, input, sizeof(input)));
	for (unsigned int round = 0; round < ROUNDS; round++) {
		if (seeds > 0)
			run_one(input, damage(fuzz_seed(round % seeds, input, sizeof(input))));
		else
			run_one(input, noise());
	}
	printf("%d files, %u seeds, %d random inputs\n", argc - 1, seeds, ROUNDS);
	return EXIT_SUCCESS;
}
