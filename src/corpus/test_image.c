/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From a spec to an image: its lines one after the other, then the file. */
#include "test_image.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/fault.h"
#include "model.h"

#define LINE 4096
#define HEADER_SIZE_AT 24

struct test_image {
	struct model *model;
};

/* ---- lines ------------------------------------------------------------------------------- */

static enum q2s_err
run_one(struct model *model, const struct test_image_spec *spec, const char *from, size_t len,
	unsigned number)
{
	char line[LINE], where[Q2S_DIAG_FILE];
	enum q2s_err err;

	if (len < sizeof(line)) {
		memcpy(line, from, len);
		line[len] = '\0';
		err = run_line(model, line);
	} else {
		err = model_fail(model, "the line is too long");
	}
	if (err == Q2S_OK)
		return Q2S_OK;
	snprintf(where, sizeof(where), "%s:%u", spec->name, number);
	return fault_in(&model->diag, err, where);
}

static enum q2s_err
run_all(struct model *model, const struct test_image_spec *spec)
{
	enum q2s_err err = Q2S_OK;
	unsigned number = 0;

	for (const char *at = spec->text; *at && err == Q2S_OK;) {
		const size_t len = strcspn(at, "\n");

		err = run_one(model, spec, at, len, ++number);
		at += len + (at[len] == '\n');
	}
	if (err == Q2S_OK)
		err = model_finish(model);
	return fault_in(&model->diag, err, spec->name);
}

enum q2s_err
test_image_make(const struct test_image_spec *spec, struct test_image **out, struct q2s_diag *diag)
{
	struct test_image *const test_image = malloc(sizeof(*test_image));
	struct model *const model = model_new();
	enum q2s_err err = Q2S_E_NOMEM;

	*out = NULL;
	if (test_image && model)
		err = run_all(model, spec);
	else
		fault_nomem(diag, "spec");
	if (err == Q2S_OK) {
		test_image->model = model;
		*out = test_image;
		return Q2S_OK;
	}
	if (model && diag && diag->err == Q2S_OK)
		*diag = model->diag;
	model_free(model);
	free(test_image);
	return err;
}

void
test_image_free(struct test_image *test_image)
{
	if (!test_image)
		return;
	model_free(test_image->model);
	free(test_image);
}

/* As the header has it, damaged or not, in whole sectors. */
static uint64_t
stored_size(const struct model *model)
{
	uint64_t size = 0;

	for (unsigned i = 0; i < 8; i++)
		size = size << 8 | model->bytes[HEADER_SIZE_AT + i];
	return size & ~(uint64_t)511;
}

struct test_image_facts
test_image_facts(const struct test_image *test_image)
{
	const struct model *const model = test_image->model;

	return (struct test_image_facts){
		.title = model->title,
		.size = stored_size(model),
		.rule = model->rule[0] ? model->rule : NULL,
		.broken_at = model->broken_at,
		.snapshots = model->snapshot_count,
		.backing = model->backing[0] ? model->backing : NULL,
		.data_file = model->data_file[0] ? model->data_file : NULL,
	};
}

/* Compare with words of which each may be followed by more than one blank; the rest, or NULL. */
static const char *
behind(const char *line, const char *words)
{
	while (*words) {
		if (*words == ' ') {
			if (*line != ' ' && *line != '\t')
				return NULL;
			line += strspn(line, " \t");
			words++;
		} else if (*line++ != *words++) {
			return NULL;
		}
	}
	return *line == '\0' || strchr(" \t\n", *line) ? line + strspn(line, " \t") : NULL;
}

bool
test_image_line(const char **text, const char *words, const char **rest, size_t *len)
{
	while (**text) {
		const char *const line = *text;
		const size_t all = strcspn(line, "\n");

		*text += all + (line[all] == '\n');
		*rest = behind(line, words);
		if (*rest) {
			*len = (size_t)(line + all - *rest);
			return true;
		}
	}
	return false;
}

/* ---- files ------------------------------------------------------------------------------- */

/* Zeros become holes: a spec may ask for a large file. */
static bool
put_bytes(FILE *file, const uint8_t *data, uint64_t len)
{
	static const uint8_t zeros[4096];

	for (uint64_t at = 0; at < len; at += sizeof(zeros)) {
		const size_t part = len - at < sizeof(zeros) ? (size_t)(len - at) : sizeof(zeros);

		if (memcmp(data + at, zeros, part) != 0 &&
		    (fseeko(file, (off_t)at, SEEK_SET) != 0 ||
		     fwrite(data + at, 1, part, file) != part))
			return false;
	}
	return true;
}

static enum q2s_err
write_file(const char *name, const uint8_t *data, uint64_t len, uint64_t size,
	   struct q2s_diag *diag)
{
	FILE *const file = fopen(name, "wbe");
	enum q2s_err err = Q2S_OK;

	if (!file)
		return fault_in(diag, fault_errno(diag, "image", "cannot be created"), name);
	if (!put_bytes(file, data, len) || fflush(file) != 0 ||
	    ftruncate(fileno(file), (off_t)size) != 0)
		err = fault_errno(diag, "image", "cannot be written");
	if (fclose(file) != 0 && err == Q2S_OK)
		err = fault_errno(diag, "image", "cannot be written");
	return fault_in(diag, err, name);
}

/* An empty disk where the image expects a file: no place outside its folder. */
static enum q2s_err
write_beside(const struct model *model, const char *image, const char *name,
	     struct q2s_diag *diag)
{
	const char *const slash = strrchr(image, '/');
	enum q2s_err err = Q2S_OK;
	char *path;

	if (!*name || strchr(name, '/') || strchr(name, ':'))
		return Q2S_OK;
	if (asprintf(&path, "%.*s%s", slash ? (int)(slash + 1 - image) : 0, image, name) < 0)
		return fault_nomem(diag, "spec");
	if (access(path, F_OK) != 0)
		err = write_file(path, NULL, 0, model->geom.size, diag);
	free(path);
	return err;
}

enum q2s_err
test_image_write(const struct test_image *test_image, const char *path, struct q2s_diag *diag)
{
	const struct model *const model = test_image->model;
	const uint64_t have = model->clusters << model->geom.cluster_bits;
	enum q2s_err err = write_file(path, model->bytes,
				      have < model->file_size ? have : model->file_size,
				      model->file_size, diag);

	if (err == Q2S_OK)
		err = write_beside(model, path, model->backing, diag);
	if (err == Q2S_OK)
		err = write_beside(model, path, model->data_file, diag);
	return err;
}
