/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Making a corpus: legal images by the same road as if their commands had been typed; from specs,
 * those that we do not write otherwise, and illegal ones. They are made in a folder beside the final
 * one, which is renamed when all of it is there.
 */
#include "create/corpus.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fault.h"
#include "create/create.h"
#include "create/digest.h"
#include "create/expand.h"
#include "create/manifest.h"
#include "specimen/specimen.h"

#define MANIFEST "manifest.jsonl"
#define ILLEGAL "illegal"

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

/* ---- images by commands --------------------------------------------------------------------------- */

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

static enum q2s_err
make_image(const struct corpus *corpus, struct create_options *options, const char *kind,
	   char *const *argv, struct q2s_diag *diag)
{
	struct q2s_spec spec;
	enum q2s_err err = register_file(corpus, options->file, diag);

	if (err == Q2S_OK && options->image.data_file)
		err = register_file(corpus, options->image.data_file, diag);
	if (err == Q2S_OK)
		err = create_image(options, &spec, diag);
	if (err == Q2S_OK)
		err = manifest_command(corpus->manifest, options->file, kind, argv, spec.geom.size,
				       diag);
	return fault_in(diag, err, options->file);
}

/* @words: the name without suffix, then arguments. */
static enum q2s_err
one_image(void *opaque, const char *kind, char **words, size_t count, struct q2s_diag *diag)
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
			err = make_image(corpus, &options, kind, shown, diag);
		options_free(&options);
		corpus->count++;
	}
	free(name);
	free(shown);
	free(argv);
	return err;
}

/* ---- images by specs --------------------------------------------------------------------- */

/* What the image refers to is made beside it. */
static enum q2s_err
register_files(const struct corpus *corpus, const char *folder, const char *file,
	       const struct specimen_facts *facts, struct q2s_diag *diag)
{
	const char *const beside[] = { facts->backing, facts->data_file };
	enum q2s_err err = register_file(corpus, file, diag);
	char path[512];

	for (size_t i = 0; i < sizeof(beside) / sizeof(beside[0]) && err == Q2S_OK; i++) {
		if (!beside[i])
			continue;
		snprintf(path, sizeof(path), "%s%s", folder, beside[i]);
		err = register_file(corpus, path, diag);
	}
	return err;
}

static enum q2s_err
make_specimen(const struct corpus *corpus, const struct specimen_spec *spec, struct q2s_diag *diag)
{
	struct specimen *specimen = NULL;
	struct specimen_facts facts;
	const char *folder;
	char file[256];
	enum q2s_err err = specimen_make(spec, &specimen, diag);

	if (err != Q2S_OK)
		return err;
	facts = specimen_facts(specimen);
	folder = facts.rule ? ILLEGAL "/" : "";
	snprintf(file, sizeof(file), "%s%s.qcow2", folder, spec->name);
	err = register_files(corpus, folder, file, &facts, diag);
	if (err == Q2S_OK)
		err = specimen_write(specimen, file, diag);
	if (err == Q2S_OK)
		err = manifest_specimen(corpus->manifest, file, spec, &facts, diag);
	specimen_free(specimen);
	return fault_in(diag, err, file);
}

/* Those that say `corpus: no` are for our own tests. */
static enum q2s_err
make_specimens(struct corpus *corpus, struct q2s_diag *diag)
{
	enum q2s_err err = register_file(corpus, ILLEGAL, diag);

	if (err == Q2S_OK && mkdir(ILLEGAL, 0777) != 0)
		err = fault_errno(diag, ILLEGAL, "cannot be created");
	for (const struct specimen_spec *spec = specimen_specs; spec->name && err == Q2S_OK; spec++) {
		const char *text = spec->text, *why;
		size_t len;

		if (specimen_line(&text, "corpus: no", &why, &len))
			continue;
		err = make_specimen(corpus, spec, diag);
		corpus->count++;
	}
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
	if (err == Q2S_OK)
		err = make_specimens(corpus, diag);
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
