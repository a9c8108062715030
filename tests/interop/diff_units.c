/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * diff_units SOURCE BASE UNIT: what an image of SOURCE over BASE has to hold at least. Compares two
 * raw files, both followed by zeros, unit by unit up to SOURCE's size (rounded up to 512), and
 * prints "DATA ZERO": bytes of units that differ and are not zero in SOURCE, and that are.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static FILE *
open_file(const char *name)
{
	FILE *file = fopen(name, "rb");

	if (!file) {
		perror(name);
		exit(1);
	}
	return file;
}

/* Reads up to @len bytes; what is missing is zero. */
static size_t
read_unit(FILE *file, unsigned char *buf, size_t len)
{
	const size_t got = fread(buf, 1, len, file);

	memset(buf + got, 0, len - got);
	return got;
}

static int
is_zero(const unsigned char *buf, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (buf[i])
			return 0;
	return 1;
}

int
main(int argc, char **argv)
{
	const size_t unit = argc == 4 ? strtoull(argv[3], NULL, 10) : 0;
	uint64_t data = 0, zero = 0;
	unsigned char *mine, *other;
	FILE *source, *base;
	size_t got;

	if (unit == 0 || !(mine = malloc(unit)) || !(other = malloc(unit)))
		return 1;
	source = open_file(argv[1]);
	base = open_file(argv[2]);
	while ((got = read_unit(source, mine, unit)) > 0) {
		const size_t len = (got + 511) / 512 * 512;

		(void)read_unit(base, other, unit);
		if (memcmp(mine, other, len) != 0)
			*(is_zero(mine, len) ? &zero : &data) += len;
	}
	printf("%" PRIu64 " %" PRIu64 "\n", data, zero);
	fclose(source);
	fclose(base);
	free(mine);
	free(other);
	return 0;
}
