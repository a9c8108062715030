/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Making a corpus: legal images by q2s-create, as if their commands had been typed; from specs,
 * those that it does not write, and illegal ones. They are made in a folder beside the final one,
 * which is renamed when all of it is there.
 */
#include "corpus/corpus.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fault.h"
#include "corpus/command.h"
#include "corpus/digest.h"
#include "corpus/expand.h"
#include "corpus/manifest.h"
#include "corpus/test_image.h"

#define MANIFEST "manifest.jsonl"
#define ILLEGAL "illegal"

/* @folder: the one that is filled; removed with all that is in it, whatever ends the tool. */
struct corpus {
	char *folder;
	FILE *manifest;
	size_t count;
};

bool
corpus_has_digests(void)
{
	return digest_is_there();
}

/* The path of @name in the folder; to be freed. NULL when memory is short. */
static char *
path_in(const struct corpus *corpus, const char *name)
{
	char *path;

	return asprintf(&path, "%s/%s", corpus->folder, name) < 0 ? NULL : path;
}

/* ---- images by commands ------------------------------------------------------------------ */

static enum q2s_err
make_image(struct corpus *corpus, const char *kind, char *const *argv, const char *file,
	   struct q2s_diag *diag)
{
	enum q2s_err err = command_run(argv, corpus->folder, diag);

	if (err == Q2S_OK)
		err = manifest_command(corpus->manifest, corpus->folder, file, kind, argv, diag);
	corpus->count++;
	return fault_in(diag, err, file);
}

/* @words: the name without suffix, then arguments. */
static enum q2s_err
one_image(void *opaque, const char *kind, char **words, size_t count, struct q2s_diag *diag)
{
	char **const argv = calloc(count + 3, sizeof(*argv));
	char *name = NULL;
	enum q2s_err err;

	if (!argv || asprintf(&name, "%s.qcow2", words[0]) < 0) {
		name = NULL;
		err = fault_nomem(diag, "corpus");
	} else {
		argv[0] = (char[]){ "q2s-create" };
		argv[1] = (char[]){ "-q" };
		argv[2] = name;
		memcpy(argv + 3, words + 1, (count - 1) * sizeof(*argv));
		err = make_image(opaque, kind, argv, name, diag);
	}
	free(name);
	free(argv);
	return err;
}

/* ---- images by specs --------------------------------------------------------------------- */

static enum q2s_err
make_test_image(const struct corpus *corpus, const struct test_image_spec *spec,
		struct q2s_diag *diag)
{
	struct test_image *image = NULL;
	struct test_image_facts facts;
	char file[256], *path;
	enum q2s_err err = test_image_make(spec, &image, diag);

	if (err != Q2S_OK)
		return err;
	facts = test_image_facts(image);
	snprintf(file, sizeof(file), "%s%s.qcow2", facts.rule ? ILLEGAL "/" : "", spec->name);
	path = path_in(corpus, file);
	cleanup_hold(); /* nothing may appear in a folder that is being removed */
	err = path ? test_image_write(image, path, diag) : fault_nomem(diag, "corpus");
	cleanup_release();
	if (err == Q2S_OK)
		err = manifest_test_image(corpus->manifest, corpus->folder, file, spec, &facts,
					  diag);
	free(path);
	test_image_free(image);
	return fault_in(diag, err, file);
}

/* Those that say `corpus: no` are for our own tests. */
static enum q2s_err
make_test_images(struct corpus *corpus, struct q2s_diag *diag)
{
	char *const illegal = path_in(corpus, ILLEGAL);
	enum q2s_err err = illegal ? Q2S_OK : fault_nomem(diag, "corpus");

	cleanup_hold();
	if (err == Q2S_OK && mkdir(illegal, 0777) != 0)
		err = fault_errno(diag, ILLEGAL, "cannot be created");
	cleanup_release();
	free(illegal);
	for (const struct test_image_spec *spec = test_image_specs; spec->name && err == Q2S_OK;
	     spec++) {
		const char *text = spec->text, *why;
		size_t len;

		if (test_image_line(&text, "corpus: no", &why, &len))
			continue;
		err = make_test_image(corpus, spec, diag);
		corpus->count++;
	}
	return err;
}

/* ---- the folder -------------------------------------------------------------------------- */

static enum q2s_err
fill_folder(struct corpus *corpus, struct q2s_diag *diag)
{
	char *const path = path_in(corpus, MANIFEST);
	enum q2s_err err;

	if (!path)
		return fault_nomem(diag, "corpus");
	corpus->manifest = fopen(path, "wxe");
	free(path);
	if (!corpus->manifest)
		return fault_errno(diag, "manifest", "cannot be created");
	err = expand(corpus_text, one_image, corpus, diag);
	if (err == Q2S_OK)
		err = make_test_images(corpus, diag);
	if (fclose(corpus->manifest) != 0 && err == Q2S_OK)
		err = fault_errno(diag, "manifest", "cannot be written");
	return err;
}

/* A new folder beside @path. */
static enum q2s_err
make_folder(struct corpus *corpus, const char *path, struct q2s_diag *diag)
{
	const mode_t mask = umask(0);
	char *folder;

	umask(mask);
	if (asprintf(&folder, "%s.XXXXXX", path) < 0)
		return fault_nomem(diag, "corpus");
	if (!mkdtemp(folder)) {
		free(folder);
		return fault_errno(diag, "corpus", "cannot make a folder beside it");
	}
	corpus->folder = folder;
	if (!cleanup_add_folder(folder)) {
		rmdir(folder);
		return fault_nomem(diag, "corpus");
	}
	if (chmod(folder, 0777 & ~mask) != 0)
		return fault_errno(diag, "corpus", "cannot set the mode of the new folder");
	return Q2S_OK;
}

/* Nothing but an empty folder may be there: it is the one thing that rename() replaces. */
static enum q2s_err
check_target(const char *path, struct q2s_diag *diag)
{
	struct stat st;

	if (lstat(path, &st) != 0 && errno == ENOENT)
		return Q2S_OK;
	if (rmdir(path) == 0 && mkdir(path, st.st_mode & 07777) == 0)
		return Q2S_OK;
	return fault_errno(diag, "corpus", "needs a new folder, or an empty one");
}

/* Give the folder its name. */
static enum q2s_err
name_folder(const struct corpus *corpus, const char *path, struct q2s_diag *diag)
{
	if (rename(corpus->folder, path) != 0)
		return fault_errno(diag, "corpus", "cannot be named");
	cleanup_drop_path(corpus->folder);
	return Q2S_OK;
}

enum q2s_err
corpus_create(const char *path, size_t *count, struct q2s_diag *diag)
{
	struct corpus corpus = { 0 };
	char *const target = strdup(path);
	enum q2s_err err = target ? Q2S_OK : fault_nomem(diag, "corpus");

	for (size_t len = target ? strlen(target) : 0; len > 1 && target[len - 1] == '/'; len--)
		target[len - 1] = '\0';
	if (err == Q2S_OK)
		err = check_target(target, diag);
	if (err == Q2S_OK)
		err = make_folder(&corpus, target, diag);
	if (err == Q2S_OK)
		err = fill_folder(&corpus, diag);
	if (err == Q2S_OK)
		err = name_folder(&corpus, target, diag);
	if (err != Q2S_OK)
		cleanup_run(); /* removes the folder, and what is in it */
	free(corpus.folder);
	free(target);
	*count = corpus.count;
	return fault_in(diag, err, path);
}
