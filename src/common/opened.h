/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An image that is opened for change by its name, with all that belongs to it. */
#ifndef COMMON_OPENED_H
#define COMMON_OPENED_H

#include <q2s/edit.h>

#include "common/key_files.h"

/**
 * What is to be opened, and how. Zero-initialise.
 *
 * @path     the image
 * @store    where it is changed instead, or NULL: then @path is opened for reading and writing
 * @origin   with @store: the file that is at @path, by whose place other files are found; or NULL
 * @wrap     with @store: makes of the external data file, open for reading, what is changed instead
 * @base     what lies below, instead of what the image names; stays the caller's. Or NULL
 * @follow   which other files it may refer to: a backing file, an external data file
 * @keys     the passphrases of encrypted layers, which were read; or NULL
 * @cache    bytes of metadata cache, half of it for what lies below if there is anything; 0: the
 *           default
 * @direct   all files past the host's page cache: q2s_store_set_direct()
 * @flags    Q2S_EDIT_*
 */
struct open_request {
	const char *path;
	struct q2s_store *store, *origin;
	enum q2s_err (*wrap)(struct q2s_store *file, struct q2s_store **out,
			     struct q2s_diag *diag);
	struct q2s_disk *base;
	enum q2s_follow follow;
	const struct key_files *keys;
	size_t cache;
	bool direct;
	unsigned flags;
};

/** The image and what lies below it. Zero-initialise. */
struct opened {
	struct q2s_edit *edit;
	struct q2s_disk *base;
};

/**
 * Open it. Unless Q2S_EDIT_READ_ONLY is set the image is locked as QEMU locks what it changes: an
 * image that another program has open is refused.
 *
 * @out  to be closed with opened_close() on success
 * Fails as q2s_store_open_writable(), q2s_image_open(), q2s_reference_open(), q2s_disk_qcow2() and
 * q2s_edit_open() do.
 */
enum q2s_err opened_open(const struct open_request *request, struct opened *out,
			 struct q2s_diag *diag);

/**
 * Open @path for reading and writing, and lock it as QEMU locks what it changes. Fails as
 * q2s_store_open_writable() and q2s_store_lock() do.
 */
enum q2s_err opened_writable(const char *path, struct q2s_store **out, struct q2s_diag *diag);
/** The same for a file that is open for reading: the one that @found is, whatever its name is now. */
enum q2s_err opened_writable_again(struct q2s_store *found, struct q2s_store **out,
				   struct q2s_diag *diag);

/** Have all files of @disk read past the host's page cache, as q2s_store_set_direct() does. */
enum q2s_err opened_set_direct(struct q2s_disk *disk, struct q2s_diag *diag);
/**
 * Only the file of the image, with the same lock, for who does not need it to be sound. The
 * reference is the caller's.
 */
enum q2s_err opened_store(const struct open_request *request, struct q2s_store **out,
			  struct q2s_diag *diag);

/** Flush and close; all is closed also if that fails. Nothing happens to one that is not open. */
enum q2s_err opened_close(struct opened *opened, struct q2s_diag *diag);

#endif
