/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spec.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/arith.h"
#include "corpus/test_image.h"
#include "sim.h"

void
spec_die(const char *what, const struct q2s_diag *diag)
{
	char text[400];

	q2s_diag_format(diag, text, sizeof(text));
	fprintf(stderr, "laboratory: %s: %s\n", what, text);
	exit(2);
}

/* By way of a file, as that is what an image is written to. */
static uint8_t *
image_read(struct test_image *image, uint64_t *len)
{
	const char *const folder = getenv("TMPDIR");
	struct q2s_diag diag = { 0 };
	struct q2s_store *file;
	uint8_t *bytes;
	char path[400];
	int fd;

	snprintf(path, sizeof(path), "%s/q2s-lab.XXXXXX", folder ? folder : "/tmp");
	fd = mkstemp(path);
	if (fd < 0 || close(fd) != 0) {
		perror(path);
		exit(2);
	}
	if (test_image_write(image, path, &diag) != Q2S_OK ||
	    q2s_store_open(path, &file, &diag) != Q2S_OK)
		spec_die(path, &diag);
	unlink(path);
	*len = q2s_store_size(file);
	bytes = calloc(1, q2si_round_up(*len, SIM_SECTOR));
	if (!bytes || q2s_store_read(file, 0, bytes, *len, &diag) != Q2S_OK)
		spec_die(path, &diag);
	q2s_store_unref(file);
	return bytes;
}

uint8_t *
spec_image(const char *text, uint64_t *len)
{
	const struct test_image_spec spec = { .name = "laboratory", .text = text };
	struct test_image *image;
	uint8_t *bytes;

	if (test_image_make(&spec, &image, NULL) != Q2S_OK)
		return NULL;
	bytes = image_read(image, len);
	test_image_free(image);
	return bytes;
}
