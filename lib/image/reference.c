/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The one place where a name in an image becomes an open file. An image is somebody else's input:
 * without this gate it could show the user's own files to whoever gets the output.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <q2s/http.h>

#include "base/cleanup.h"
#include "base/diag.h"
#include "image.h"
#include "io/store.h"
#include "name.h"
#include "walk.h"

/* A reference on its way to a file; what the messages need. */
struct reference {
	const struct q2s_image *image;
	const char *what;
	q2s_host at; /* of the name, in the image */
	struct q2s_diag *diag;
};

/* @least: the policy that would allow it. */
static enum q2s_err
forbid(const struct reference *ref, const char *path, enum q2s_follow least, const char *why)
{
	return q2si_fail_policy(ref->diag, least, ref->what, ref->at, "'%.180s' %s", path, why);
}

static enum q2s_err
cannot_open(const struct reference *ref, const char *path)
{
	if (errno == ENXIO)
		return q2si_fail_at(ref->diag, Q2S_E_UNSUPPORTED, ref->what, ref->at,
				    "'%.180s' is neither a regular file nor a block device", path);
	if (errno == ENODEV)
		return forbid(ref, path, Q2S_FOLLOW_ANY, "is a device");
	return q2si_fail_errno(ref->diag, errno, ref->what, ref->at, "'%.180s' cannot be opened",
			       path);
}

/* ---- paths ------------------------------------------------------------------------------- */

/* A relative path starts from the image's folder as the user named it, also through a link. */
static char *
path_from_image(const struct q2s_image *image, const char *path)
{
	const char *name = q2s_store_name(image->file);
	const char *slash = strrchr(name, '/');
	const size_t folder = slash ? (size_t)(slash - name) + 1 : 0;
	const size_t len = strlen(path);
	char *full;

	if (path[0] == '/')
		return strdup(path);
	full = malloc(folder + len + 1);
	if (full) {
		memcpy(full, name, folder);
		memcpy(full + folder, path, len + 1);
	}
	return full;
}

/*
 * The folder in which the image really lies, with its last slash; NULL when that cannot be said:
 * the name of a file that came as a descriptor may be no path, or that of another file.
 */
static char *
own_folder(const struct q2s_image *image)
{
	char *path = realpath(q2s_store_name(image->file), NULL);
	struct stat named, open;

	if (!path || stat(path, &named) != 0 || fstat(q2s_store_fd(image->file), &open) != 0 ||
	    named.st_dev != open.st_dev || named.st_ino != open.st_ino) {
		free(path);
		return NULL;
	}
	strrchr(path, '/')[1] = '\0';
	return path;
}

/* ---- policies ---------------------------------------------------------------------------- */

static bool
is_in_folder(const char *real, const char *folder)
{
	return strncmp(real, folder, strlen(folder)) == 0;
}

static enum q2s_err
open_beside(const struct reference *ref, const char *path, int *fd)
{
	Q2SI_AUTO_FREE char *folder = own_folder(ref->image);
	Q2SI_AUTO_FREE char *real = NULL;

	if (!folder)
		return forbid(ref, path, Q2S_FOLLOW_ANY,
			      "is not opened, as the image's own folder is not known");
	real = realpath(path, NULL);
	if (!real)
		return cannot_open(ref, path);
	if (!is_in_folder(real, folder))
		return forbid(ref, path, Q2S_FOLLOW_ANY, "lies outside the image's folder");
	*fd = q2si_walk_open(real, true, false);
	return *fd >= 0 ? Q2S_OK : cannot_open(ref, path);
}

/* Which policy would let @path be opened? Only its name is looked up. */
static enum q2s_follow
least_policy(const struct q2s_image *image, const char *path)
{
	Q2SI_AUTO_FREE char *folder = own_folder(image);
	Q2SI_AUTO_FREE char *real = realpath(path, NULL);
	struct stat st;

	if (!folder)
		return Q2S_FOLLOW_ANY;
	/* Of a file that is not there it is said so, once the policy lets it be looked for. */
	if (!real)
		return path[0] == '/' ? Q2S_FOLLOW_ANY : Q2S_FOLLOW_BESIDE;
	if (!is_in_folder(real, folder) || stat(real, &st) != 0 || S_ISBLK(st.st_mode))
		return Q2S_FOLLOW_ANY;
	return Q2S_FOLLOW_BESIDE;
}

static enum q2s_err
open_any(const struct reference *ref, const char *path, int *fd)
{
	*fd = q2si_walk_open(path, false, true);
	return *fd >= 0 ? Q2S_OK : cannot_open(ref, path);
}

static enum q2s_err
open_by_policy(const struct reference *ref, enum q2s_follow follow, const char *path, int *fd)
{
	switch (follow) {
	case Q2S_FOLLOW_BESIDE:
		return open_beside(ref, path, fd);
	case Q2S_FOLLOW_ANY:
		return open_any(ref, path, fd);
	case Q2S_FOLLOW_NONE:
	default:
		return forbid(ref, path, least_policy(ref->image, path), "is not opened");
	}
}

/* ---- servers ----------------------------------------------------------------------------- */

/* Does @path leave the folder where it starts? */
static bool
goes_up(const char *path)
{
	for (const char *at = path; at; at = strchr(at, '/')) {
		at += *at == '/';
		if (at[0] == '.' && at[1] == '.' && (at[2] == '/' || at[2] == '\0'))
			return true;
	}
	return false;
}

/*
 * An image on a server has its files there too. What it says of this machine's files counts for
 * nothing: it was not made here.
 */
static enum q2s_err
remote_open(const struct reference *ref, enum q2s_follow follow, const char *name,
	    struct q2s_store **out)
{
	struct q2s_store *file = ref->image->file;
	const bool up = goes_up(name);

	if (name[0] == '/')
		return q2si_fail_at(ref->diag, Q2S_E_UNSUPPORTED, ref->what, ref->at,
				    "'%.180s' would be a file of this machine, and the image lies on "
				    "a server", name);
	if (up && follow != Q2S_FOLLOW_ANY)
		return forbid(ref, name, Q2S_FOLLOW_ANY, "lies outside the image's folder");
	if (follow == Q2S_FOLLOW_NONE)
		return forbid(ref, name, Q2S_FOLLOW_BESIDE, "is not opened");
	return file->beside(file->self, name, out, ref->diag);
}

/* ---- the gate ---------------------------------------------------------------------------- */

/*
 * The name of a data file is never parsed (QEMU's CVE-2024-4467 was a json: name there); that of
 * a backing file as far as it can denote a local file.
 */
static enum q2s_err
name_read(const struct reference *ref, enum q2s_reference reference, struct q2s_bytes name,
	  struct q2si_local_name *out)
{
	if (reference == Q2S_DATA_FILE)
		return q2si_name_literal(name, ref->what, ref->at, out, ref->diag);
	return q2si_name_parse(name, ref->what, ref->at, out, ref->diag);
}

static enum q2s_err
reference_open(const struct reference *ref, enum q2s_follow follow, const char *name,
	       struct q2s_store **out)
{
	Q2SI_AUTO_FREE char *path = path_from_image(ref->image, name);
	Q2SI_AUTO_CLOSE int fd = -1;

	if (q2s_store_is_remote(ref->image->file))
		return remote_open(ref, follow, name, out);
	if (!path)
		return q2si_fail_nomem(ref->diag, ref->what);
	Q2SI_TRY(open_by_policy(ref, follow, path, &fd));
	Q2SI_TRY(q2s_store_from_fd(fd, path, out, ref->diag));
	fd = -1; /* the file's now */
	return Q2S_OK;
}

enum q2s_err
q2s_reference_open(const struct q2s_image *image, enum q2s_reference reference,
		   enum q2s_follow follow, struct q2s_store **out, char format[16],
		   struct q2s_diag *diag)
{
	const bool data = reference == Q2S_DATA_FILE;
	const struct q2s_bytes name = data ? image->data_file_name : image->backing_name;
	struct reference ref = { .image = image,
				 .what = data ? "external data file" : "backing file",
				 .at = Q2S_NOWHERE,
				 .diag = diag };
	struct q2si_local_name local = { 0 };
	enum q2s_err err;

	if (name.data)
		ref.at.v = (uint64_t)(name.data - image->cluster0);
	err = name_read(&ref, reference, name, &local);
	if (err == Q2S_OK)
		err = reference_open(&ref, follow, local.path, out);
	if (err == Q2S_OK && format)
		memcpy(format, local.format, sizeof(local.format));
	free(local.path);
	return q2si_in_file(diag, err, q2s_store_name(image->file));
}
