/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An image that is changed together with the layers below it: for commit and rebase. */
#ifndef EDIT_LAYERS_H
#define EDIT_LAYERS_H

#include <q2s/chain.h>

#include "common/opened.h"
#include "edit/options.h"
#include "edit/rehearsal.h"

/**
 * The image and its chain. Zero-initialise; layers_close() in the end.
 *
 * @top      the image, locked as what is changed; with --dry-run a rehearsal
 * @chain    the image and what is below it, locked as what is read
 * @sum      of a rehearsal of @top
 */
struct layers {
	const struct options *options;
	const char *path;
	struct q2s_store *top;
	struct q2s_chain *chain;
	struct rehearsal_sum sum;
};

/**
 * Open @path for change. The files of all layers are registered with the guard as read, but for the
 * image itself, which is an output: "FILE".
 *
 * @below  open what is below, too; else the chain is the image alone
 */
enum q2s_err layers_open(const struct options *options, const char *path, bool below,
			 struct layers *out, struct q2s_diag *diag);
void layers_close(struct layers *layers);

/** Layers [@first, @first + @count) as a disk. */
enum q2s_err layers_disk(const struct layers *layers, size_t first, size_t count,
			 struct q2s_disk **out, struct q2s_diag *diag);

/**
 * Open layer @depth for change, locked so; it must be an image. Its external data file comes along.
 *
 * @store  of the layer, for writing
 * @base   below it, or NULL
 * @flags  Q2S_EDIT_*
 */
enum q2s_err layers_edit(const struct layers *layers, size_t depth, struct q2s_store *store,
			 struct q2s_disk *base, unsigned flags, struct opened *out,
			 struct q2s_diag *diag);

/** Register the files of @chain from layer @first on as read, but for layer @but. */
enum q2s_err layers_guard(struct q2s_chain *chain, size_t first, size_t but,
			  struct q2s_diag *diag);

#endif
