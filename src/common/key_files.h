/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The passphrases of --key-file [LAYER=]FILE: one for all images, and others for single layers. */
#ifndef COMMON_KEY_FILES_H
#define COMMON_KEY_FILES_H

#include <q2s/disk.h>

#include "common/key_file.h"

/** One of them. @layer: the file of the image that it is for, as it was named; NULL: all others. */
struct key_files_item {
	char *layer;
	const char *path;
	uint64_t dev, ino; /* of @layer */
	struct key_file key;
	bool read;
};

/** Zero-initialise. @layers holds what was read for single layers, for the library. */
struct key_files {
	struct key_files_item *items;
	size_t count;
	struct q2s_layer_key *layers;
	size_t layer_count;
};

/**
 * Note one more [LAYER=]FILE, which has to live as long as @files. Nothing is read yet. All of it
 * is FILE if there is a file of this name, or it has no "="; else what stands before the first "="
 * that makes it the name of a file is LAYER.
 *
 * Q2S_E_USAGE (given twice for the same, or there is no such layer), Q2S_E_NOMEM.
 */
enum q2s_err key_files_add(struct key_files *files, const char *arg, struct q2s_diag *diag);

/** Read those that were not read yet. Fails as key_file_read() does. */
enum q2s_err key_files_read(struct key_files *files, struct q2s_diag *diag);

/** The one for all images that no other is for; its @key is empty if there is none. */
const struct key_files_item *key_files_any(const struct key_files *files);

/** The key of the image in the file @path; empty if there is none. */
const struct key_file *key_files_of(const struct key_files *files, const char *path);

/** Set the keys of @options, which borrows them. */
void key_files_give(const struct key_files *files, struct q2s_disk_qcow2_options *options);

/**
 * After Q2S_E_KEY: a line end behind the passphrase is the most frequent reason why a key is wrong,
 * so @diag says it if there is one.
 *
 * @path  of the image, if @diag names none
 * Returns @err.
 */
enum q2s_err key_files_explain(const struct key_files *files, const char *path, enum q2s_err err,
			       struct q2s_diag *diag);

/** Wipe and free. */
void key_files_free(struct key_files *files);

#endif
