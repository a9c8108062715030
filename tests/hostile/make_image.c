/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * make_image SPEC IMAGE: makes the image that a spec describes; README has the language. Files that
 * the image refers to (backing file, external data file) are made beside it.
 */
#include "model.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *spec_name;
static unsigned line_number;

void
die(const char *fmt, ...)
{
	va_list args;

	fprintf(stderr, "%s:%u: ", spec_name, line_number);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

/* ---- the file ---------------------------------------------------------------------------- */

static void
run_spec(struct model *model, const char *name)
{
	FILE *file = fopen(name, "r");
	char line[4096];

	if (!file)
		die("%s", strerror(errno));
	while (fgets(line, sizeof(line), file)) {
		line_number++;
		run_line(model, line);
	}
	if (ferror(file))
		die("%s", strerror(errno));
	fclose(file);
	model_finish(model);
}

/* Zeros become holes: a spec may ask for a large file. */
static void
write_file(const char *name, const uint8_t *data, uint64_t len, uint64_t size)
{
	static const uint8_t zeros[4096];
	FILE *file = fopen(name, "wb");
	bool good = file != NULL;

	for (uint64_t at = 0; good && at < len; at += sizeof(zeros)) {
		const size_t part = len - at < sizeof(zeros) ? (size_t)(len - at) : sizeof(zeros);

		if (memcmp(data + at, zeros, part) != 0)
			good = fseeko(file, (off_t)at, SEEK_SET) == 0 &&
			       fwrite(data + at, 1, part, file) == part;
	}
	if (!good || fflush(file) || ftruncate(fileno(file), (off_t)size) || fclose(file))
		die("%s: %s", name, strerror(errno));
}

/* An empty file of the disk's size where the image expects one. */
static void
write_beside(const struct model *model, const char *image, const char *name)
{
	const char *slash = strrchr(image, '/');
	char path[4096];

	if (!*name || *name == '/' || strchr(name, ':'))
		return;
	snprintf(path, sizeof(path), "%.*s%s", slash ? (int)(slash + 1 - image) : 0, image, name);
	if (access(path, F_OK) != 0)
		write_file(path, NULL, 0, model->geom.size);
}

int
main(int argc, char **argv)
{
	static struct model model = {
		.params = { .version = 3,
			    .cluster_bits = 16,
			    .refcount_order = 4,
			    .size = 1 << 20 },
		.header_length = Q2S_HEADER_V3_SIZE,
	};
	uint64_t have;

	if (argc != 3) {
		fprintf(stderr, "usage: make_image SPEC IMAGE\n");
		return 1;
	}
	spec_name = argv[1];
	run_spec(&model, argv[1]);
	have = model.clusters << model.geom.cluster_bits;
	write_file(argv[2], model.bytes, have < model.file_size ? have : model.file_size,
		   model.file_size);
	write_beside(&model, argv[2], model.backing);
	write_beside(&model, argv[2], model.data_file);
	free(model.bytes);
	free(model.counts);
	return 0;
}
