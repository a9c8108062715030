/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * make_image SPEC IMAGE: makes the image that a spec describes (doc/corpus has the language).
 * make_image --all FOLDER: makes each image of the collection, as FOLDER/NAME/image.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "corpus/test_image.h"

static int
complain(const struct q2s_diag *diag)
{
	char text[512];

	q2s_diag_format(diag, text, sizeof(text));
	fprintf(stderr, "make_image: %s: %s\n", diag->file, text);
	return 1;
}

static int
make(const struct test_image_spec *spec, const char *image)
{
	struct test_image *test_image = NULL;
	struct q2s_diag diag = { 0 };
	enum q2s_err err = test_image_make(spec, &test_image, &diag);

	if (err == Q2S_OK)
		err = test_image_write(test_image, image, &diag);
	test_image_free(test_image);
	return err == Q2S_OK ? 0 : complain(&diag);
}

static int
make_one(const char *name, const char *image)
{
	FILE *const file = fopen(name, "r");
	struct test_image_spec spec = { .name = name };
	char *text = NULL;
	size_t room = 0;
	int status = 1;

	/* No spec has a NUL in it. */
	if (file && getdelim(&text, &room, '\0', file) >= 0) {
		spec.text = text;
		status = make(&spec, image);
	} else {
		fprintf(stderr, "make_image: %s: %s\n", name, strerror(errno));
	}
	free(text);
	if (file)
		fclose(file);
	return status;
}

static int
make_all(const char *folder)
{
	char path[4096];
	int status = 0;

	for (const struct test_image_spec *spec = test_image_specs; spec->name && !status; spec++) {
		snprintf(path, sizeof(path), "%s/%s", folder, spec->name);
		if (mkdir(path, 0777) != 0)
			perror(path);
		snprintf(path, sizeof(path), "%s/%s/image", folder, spec->name);
		status = make(spec, path);
	}
	return status;
}

int
main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "--all") == 0)
		return make_all(argv[2]);
	if (argc == 3)
		return make_one(argv[1], argv[2]);
	fprintf(stderr, "usage: make_image SPEC IMAGE | --all FOLDER\n");
	return 1;
}
