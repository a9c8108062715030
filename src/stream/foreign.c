/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Images of formats that q2s does not read itself. */
#include "stream/foreign.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/escape.h"
#include "common/fault.h"
#include "stream/foreign_refs.h"

/* Each connection is a thread of work for the daemon; more than this gain nothing. */
#define CONNECTIONS_MAX 8

/*
 * @look     NULL: QEMU's driver opens no other file, whatever is in the image
 * @backing  the driver knows backing files, and can be told that there is none
 */
struct format {
	const char *name;
	foreign_look *look;
	bool backing;
};

static const struct format formats[] = {
	{ "bochs", NULL, false },
	{ "cloop", NULL, false },
	{ "dmg", NULL, false },
	{ "luks", NULL, false },
	{ "parallels", NULL, false },
	{ "qcow", foreign_look_qcow, true },
	{ "qed", foreign_look_qed, true },
	{ "vdi", NULL, false },
	{ "vhdx", NULL, false },
	{ "vmdk", foreign_look_vmdk, true },
	{ "vpc", foreign_look_vpc, false },
};

static const struct format *
find(const char *name)
{
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		if (strcmp(formats[i].name, name) == 0)
			return &formats[i];
	}
	return NULL;
}

bool
foreign_knows(const char *format)
{
	return find(format) != NULL;
}

static bool
takes_key(const struct foreign_image *image)
{
	return strcmp(image->format, "luks") == 0;
}

/* ---- which files ----------------------------------------------------------------------------- */

/* The real path of the image, to free; NULL when the name does not lead to the open file. */
static char *
real_path(const struct foreign_image *image)
{
	char *const path = image->path ? realpath(image->path, NULL) : NULL;
	struct stat named, open;

	if (path && stat(path, &named) == 0 && fstat(q2s_store_fd(image->file), &open) == 0 &&
	    named.st_dev == open.st_dev && named.st_ino == open.st_ino)
		return path;
	free(path);
	return NULL;
}

/* A name that is not one of a plain file beside the image is said. */
static enum q2s_err
judge_name(const struct foreign_image *image, const struct foreign_refs *refs,
	   struct q2s_diag *diag)
{
	char *const name = refs->name[0] ? escape_text(refs->name) : NULL;
	enum q2s_err err = Q2S_OK;

	if (refs->lost)
		err = fault(diag, Q2S_E_MISSING, refs->what, "the image consists of several files, "
			    "and '%.200s' %s", name ? name : "?", refs->why);
	else if (refs->name[0] && image->follow != Q2S_FOLLOW_ANY)
		err = fault(diag, Q2S_E_POLICY, refs->what,
			    "the image consists of several files, and '%.200s' %s; "
			    "--follow any would let QEMU open whatever it names",
			    name ? name : "?", refs->why);
	free(name);
	return err;
}

static enum q2s_err
judge(const struct foreign_image *image, const struct foreign_refs *refs, const char *path,
      struct q2s_diag *diag)
{
	const bool beside = refs->reach == FOREIGN_BESIDE;
	const enum q2s_err err = judge_name(image, refs, diag);

	if (err != Q2S_OK || refs->reach == FOREIGN_ALONE)
		return err;
	if (image->follow == Q2S_FOLLOW_NONE ||
	    (image->follow == Q2S_FOLLOW_BESIDE && !beside))
		return fault(diag, Q2S_E_POLICY, refs->what,
			     "the image names other files%s, which are not opened; "
			     "--follow %s would let QEMU open them",
			     beside ? " of its folder" : "",
			     beside ? "beside or --follow any" : "any");
	if (!path)
		return fault(diag, Q2S_E_POLICY, refs->what,
			     "the image names other files, and has no folder to look for them");
	return Q2S_OK;
}

/* ---- the block device ------------------------------------------------------------------------ */

/*
 * An image that stands alone is given as a descriptor that is open already: no name is parsed,
 * and nothing is opened but what we looked at.
 */
static json_t *
protocol_node(const struct foreign_image *image, const char *path)
{
	const char *const driver = q2s_store_is_block_device(image->file) ? "host_device" : "file";

	return json_pack("{s:s, s:s, s:b, s:b}", "driver", driver, "filename",
			 path ? path : DAEMON_IMAGE, "read-only", 1, "force-share",
			 image->force_share);
}

/* The text of --blockdev, to free; NULL when memory is short or @path is not UTF-8. */
static char *
blockdev(const struct foreign_image *image, const char *path)
{
	json_t *const node = json_pack("{s:s, s:s, s:b, s:b, s:o}", "driver", image->format,
				       "node-name", DAEMON_NODE, "read-only", 1, "force-share",
				       image->force_share, "file", protocol_node(image, path));
	char *text;

	if (node && takes_key(image))
		(void)json_object_set_new(node, "key-secret", json_string(DAEMON_SECRET));
	if (node && !path && find(image->format)->backing)
		(void)json_object_set_new(node, "backing", json_null());
	text = node ? json_dumps(node, JSON_COMPACT) : NULL;
	json_decref(node);
	return text;
}

/* ---- opening ----------------------------------------------------------------------------------- */

static size_t
connections(const struct foreign_image *image)
{
	const long online = sysconf(_SC_NPROCESSORS_ONLN);
	const size_t wanted = image->threads ? image->threads : online > 0 ? (size_t)online : 1;

	return wanted < CONNECTIONS_MAX ? wanted : CONNECTIONS_MAX;
}

/* The daemon's own words are worth more than what a broken connection shows. */
static enum q2s_err
explain(const struct foreign_image *image, struct daemon *daemon, const struct q2s_diag *broken,
	struct q2s_diag *diag)
{
	char *reason;
	enum q2s_err err;

	daemon_end(daemon);
	reason = daemon_reason(daemon);
	if (reason) {
		err = fault(diag,
			    takes_key(image) && strstr(reason, "password") ? Q2S_E_KEY :
									     Q2S_E_UNSUPPORTED,
			    DAEMON_PROGRAM, "cannot read it as %s: %s", image->format, reason);
	} else {
		err = broken->err;
		if (diag && diag->err == Q2S_OK)
			*diag = *broken;
	}
	free(reason);
	return err;
}

/* The key goes to the daemon in memory: a command line, or a file, might be seen by others. */
static enum q2s_err
keep_key(const struct foreign_image *image, int *out, struct q2s_diag *diag)
{
	size_t done = 0;

	if (!takes_key(image))
		return Q2S_OK;
	*out = memfd_create("q2s-key", MFD_CLOEXEC);
	while (*out >= 0 && done < image->key_len) {
		const ssize_t n = write(*out, image->key + done, image->key_len - done);

		if (n < 0)
			break;
		done += (size_t)n;
	}
	return *out >= 0 && done == image->key_len ?
		       Q2S_OK :
		       fault_errno(diag, DAEMON_PROGRAM, "the key cannot be handed over");
}

static enum q2s_err
open_on(const struct foreign_image *image, const char *text, struct q2s_disk **disk,
	struct daemon **out, struct q2s_diag *diag)
{
	int sockets[CONNECTIONS_MAX];
	const struct q2s_disk_nbd_options options = {
		.size = sizeof(options),
		.sockets = sockets,
		.socket_count = connections(image),
		.name = q2s_store_name(image->file),
		.watched = image->file,
	};
	struct q2s_diag broken = { 0 };
	struct daemon *daemon = NULL;
	int key = -1;
	enum q2s_err err = keep_key(image, &key, diag);

	if (err == Q2S_OK)
		err = daemon_start(text, q2s_store_fd(image->file), key, options.socket_count,
				   sockets, &daemon, diag);
	if (key >= 0)
		close(key);
	if (err != Q2S_OK)
		return err;
	if (q2s_disk_nbd(&options, disk, &broken) == Q2S_OK) {
		*out = daemon;
		return Q2S_OK;
	}
	err = explain(image, daemon, &broken, diag);
	daemon_free(daemon);
	return err;
}

enum q2s_err
foreign_open(const struct foreign_image *image, struct q2s_disk **disk, struct daemon **daemon,
	     struct q2s_diag *diag)
{
	const struct format *const format = find(image->format);
	struct foreign_refs refs = { .reach = FOREIGN_ALONE };
	char *const path = real_path(image);
	enum q2s_err err = Q2S_OK;
	char *text = NULL;

	if (takes_key(image) && !image->key)
		err = fault(diag, Q2S_E_KEY, "LUKS", "the disk is encrypted: give --key-file");
	if (err == Q2S_OK && format->look)
		err = format->look(image->file, path, &refs, diag);
	if (err == Q2S_OK)
		err = judge(image, &refs, path, diag);
	if (err == Q2S_OK) {
		text = blockdev(image, refs.reach == FOREIGN_ALONE ? NULL : path);
		if (!text)
			err = fault(diag, Q2S_E_UNSUPPORTED, DAEMON_PROGRAM,
				    "cannot be told a name that is not UTF-8");
	}
	if (err == Q2S_OK)
		err = open_on(image, text, disk, daemon, diag);
	free(text);
	free(path);
	return err;
}
