/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Make a sparse raw disk from a readable list of what is on it:
 *
 *	make_disk FILE SIZE [data@OFFSET+LENGTH | zero@OFFSET+LENGTH]...
 *
 * All numbers are decimal bytes. Data has no zero byte and depends on its offset; zeros are stored,
 * not left out. What lies past SIZE is cut off. Everything else is a hole.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int
fail(const char *what)
{
	perror(what);
	return 1;
}

static int
put(int fd, uint64_t at, uint64_t end, int data)
{
	static uint8_t buf[1 << 16];

	while (at < end) {
		const size_t n = end - at < sizeof(buf) ? (size_t)(end - at) : sizeof(buf);
		ssize_t done;

		for (size_t i = 0; i < n; i++)
			buf[i] = data ? (uint8_t)(1 + (at + i) * 2654435761u % 255) : 0;
		done = pwrite(fd, buf, n, (off_t)at);
		if (done < 0)
			return -1;
		at += (uint64_t)done;
	}
	return 0;
}

int
main(int argc, char **argv)
{
	uint64_t size;
	int fd;

	if (argc < 3 || sscanf(argv[2], "%" SCNu64, &size) != 1) {
		fprintf(stderr, "usage: make_disk FILE SIZE [KIND@OFFSET+LENGTH]...\n");
		return 1;
	}
	fd = open(argv[1], O_RDWR | O_CREAT | O_TRUNC, 0666);
	if (fd < 0 || ftruncate(fd, (off_t)size) != 0)
		return fail(argv[1]);
	for (int i = 3; i < argc; i++) {
		const int data = strncmp(argv[i], "data@", 5) == 0;
		uint64_t at, len;

		if ((!data && strncmp(argv[i], "zero@", 5) != 0) ||
		    sscanf(argv[i] + 5, "%" SCNu64 "+%" SCNu64, &at, &len) != 2) {
			fprintf(stderr, "make_disk: what is '%s'?\n", argv[i]);
			return 1;
		}
		len = at < size && len > size - at ? size - at : len;
		if (at < size && put(fd, at, at + len, data) != 0)
			return fail(argv[1]);
	}
	return close(fd) == 0 ? 0 : fail(argv[1]);
}
