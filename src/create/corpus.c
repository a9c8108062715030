/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Making a corpus: each image by the same road as if its command had been typed, in a folder beside
 * the final one, which is renamed when all of it is there.
 */
#include "create/corpus.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "common/cleanup.h"
#include "common/fault.h"
#include "common/json.h"
#include "create/create.h"
#include "create/digest.h"
#include "create/expand.h"

#define MANIFEST "manifest.jsonl"

/*
 * @here    the folder that we came from
 * @folder  the absolute path of the folder that is filled; the current one meanwhile
 */
struct corpus {
	int here;
	char *folder;
	FILE *manifest;
	size_t count;
};

bool
corpus_has_digests(void)
{
	return digest_is_there();
}

/* ---- one image --------------------------------------------------------------------------- */

/* Whatever ends the tool, this file goes with the folder. */
static enum q2s_err
register_file(const struct corpus *corpus, const char *name, struct q2s_diag *diag)
{
	char *path;
	bool done;

	if (asprintf(&path, "%s/%s", corpus->folder, name) < 0)
		return fault_nomem(diag, "corpus");
	done = cleanup_add_path(path);
	free(path);
	return done ? Q2S_OK : fault_nomem(diag, "corpus");
}

/* What a reader must find, as a check of our own reading: the disk through the finished image. */
static enum q2s_err
digest_image(const char *name, char out[DIGEST_TEXT], struct q2s_diag *diag)
{
	const struct q2s_disk_qcow2_options options = { .follow = Q2S_FOLLOW_BESIDE };
	struct q2s_file *file = NULL;
	struct q2s_disk *disk = NULL;
	enum q2s_err err = q2s_file_open(name, &file, diag);

	if (err == Q2S_OK)
		err = q2s_disk_qcow2(file, &options, &disk, diag);
	if (err == Q2S_OK)
		err = digest_disk(disk, out, diag);
	q2s_disk_close(disk);
	q2s_file_close(file);
	return err;
}

/* The command as a person would type it; no word of a corpus needs quotes. */
static json_t *
command_of(char *const *argv)
{
	size_t len = 0;
	char *text = NULL;
	FILE *const out = open_memstream(&text, &len);
	json_t *value;

	if (!out)
		return NULL;
	for (size_t i = 0; argv[i]; i++)
		fprintf(out, "%s%s", i ? " " : "", argv[i]);
	value = fclose(out) == 0 ? json_text(text) : NULL;
	free(text);
	return value;
}

static enum q2s_err
describe(const struct corpus *corpus, const struct create_options *options, char *const *argv,
	 uint64_t size, struct q2s_diag *diag)
{
	json_t *const object = json_object(), *const check = json_object();
	char digest[DIGEST_TEXT];
	enum q2s_err err = Q2S_OK;
	int failed = json_object_set_new(object, "file", json_text(options->file));

	failed |= json_object_set_new(object, "command", command_of(argv));
	failed |= json_object_set_new(object, "virtual-size", json_u64(size));
	if (digest_is_there()) {
		err = digest_image(options->file, digest, diag);
		if (err == Q2S_OK)
			failed |= json_object_set_new(object, "sha256", json_text(digest));
	}
	failed |= json_object_set_new(check, "exit", json_u64(0));
	failed |= json_object_set_new(check, "corruptions", json_u64(0));
	failed |= json_object_set_new(check, "leaks", json_u64(0));
	failed |= json_object_set_new(object, "check", check);
	if (err == Q2S_OK && (failed || json_dumpf(object, corpus->manifest, 0) != 0 ||
			      fputc('\n', corpus->manifest) == EOF))
		err = fault_errno(diag, "manifest", "cannot be written");
	json_decref(object);
	return err;
}

static enum q2s_err
make_image(const struct corpus *corpus, struct create_options *options, char *const *argv,
	   struct q2s_diag *diag)
{
	struct q2s_spec spec;
	enum q2s_err err = register_file(corpus, options->file, diag);

	if (err == Q2S_OK && options->image.data_file)
		err = register_file(corpus, options->image.data_file, diag);
	if (err == Q2S_OK)
		err = create_image(options, &spec, diag);
	if (err == Q2S_OK)
		err = describe(corpus, options, argv, spec.geom.size, diag);
	return fault_in(diag, err, options->file);
}

/* @words: the name without suffix, then arguments. */
static enum q2s_err
one_image(void *opaque, char **words, size_t count, struct q2s_diag *diag)
{
	struct corpus *const corpus = opaque;
	char **const argv = calloc(count + 3, sizeof(*argv)), **const shown =
		calloc(count + 3, sizeof(*argv));
	struct create_options options = { 0 };
	char *name = NULL;
	enum q2s_err err;

	if (!argv || !shown || asprintf(&name, "%s.qcow2", words[0]) < 0) {
		name = NULL;
		err = fault_nomem(diag, "corpus");
	} else {
		argv[0] = (char[]){ "q2s-create" };
		argv[1] = (char[]){ "-q" };
		argv[2] = name;
		memcpy(argv + 3, words + 1, (count - 1) * sizeof(*argv));
		memcpy(shown, argv, (count + 2) * sizeof(*argv)); /* getopt changes the order */
		if (options_parse(&options, (int)count + 2, argv) != OPTIONS_GO)
			err = fault(diag, Q2S_E_USAGE, "corpus", "image '%.64s' is wrong", words[0]);
		else
			err = make_image(corpus, &options, shown, diag);
		options_free(&options);
		corpus->count++;
	}
	free(name);
	free(shown);
	free(argv);
	return err;
}

/* ---- the folder -------------------------------------------------------------------------- */

/* Fill the current folder. */
static enum q2s_err
fill_folder(struct corpus *corpus, struct q2s_diag *diag)
{
	enum q2s_err err = register_file(corpus, MANIFEST, diag);

	if (err != Q2S_OK)
		return err;
	corpus->manifest = fopen(MANIFEST, "wxe");
	if (!corpus->manifest)
		return fault_errno(diag, "manifest", "cannot be created");
	err = expand(corpus_text, one_image, corpus, diag);
	if (fclose(corpus->manifest) != 0 && err == Q2S_OK)
		err = fault_errno(diag, "manifest", "cannot be written");
	return err;
}

/* A fresh folder beside @path, entered. */
static enum q2s_err
enter_folder(struct corpus *corpus, const char *path, struct q2s_diag *diag)
{
	const mode_t mask = umask(0);
	char *fresh;

	umask(mask);
	if (asprintf(&fresh, "%s.XXXXXX", path) < 0)
		return fault_nomem(diag, "corpus");
	if (!mkdtemp(fresh)) {
		free(fresh);
		return fault_errno(diag, "corpus", "cannot make a folder beside it");
	}
	corpus->folder = realpath(fresh, NULL);
	if (!corpus->folder || !cleanup_add_path(corpus->folder)) {
		rmdir(fresh);
		free(fresh);
		return fault_nomem(diag, "corpus");
	}
	free(fresh);
	corpus->here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (corpus->here < 0 || chmod(corpus->folder, 0777 & ~mask) != 0 ||
	    chdir(corpus->folder) != 0)
		return fault_errno(diag, "corpus", "cannot enter the new folder");
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

/* Back to where we came from, and give the folder its name. */
static enum q2s_err
name_folder(const struct corpus *corpus, const char *path, struct q2s_diag *diag)
{
	if (fchdir(corpus->here) != 0)
		return fault_errno(diag, "corpus", "cannot go back to the current folder");
	if (rename(corpus->folder, path) != 0)
		return fault_errno(diag, "corpus", "cannot be named");
	return Q2S_OK;
}

enum q2s_err
corpus_create(const char *path, size_t *count, struct q2s_diag *diag)
{
	struct corpus corpus = { .here = -1 };
	char *const target = strdup(path);
	enum q2s_err err = target ? Q2S_OK : fault_nomem(diag, "corpus");

	for (size_t len = target ? strlen(target) : 0; len > 1 && target[len - 1] == '/'; len--)
		target[len - 1] = '\0';
	if (err == Q2S_OK)
		err = check_target(target, diag);
	if (err == Q2S_OK)
		err = enter_folder(&corpus, target, diag);
	if (err == Q2S_OK)
		err = fill_folder(&corpus, diag);
	if (err == Q2S_OK)
		err = name_folder(&corpus, target, diag);
	if (err != Q2S_OK)
		cleanup_run(); /* removes the folder, and what was in it */
	if (corpus.here >= 0)
		close(corpus.here);
	free(corpus.folder);
	free(target);
	*count = corpus.count;
	return fault_in(diag, err, path);
}
