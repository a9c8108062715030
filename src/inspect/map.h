/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `map` is made of: a walk over the ranges of a chain, and the view of single entries. */
#ifndef INSPECT_MAP_H
#define INSPECT_MAP_H

#include <stdio.h>

#include <q2s/chain.h>

/**
 * One range of the guest disk, in the words of `qemu-img map`.
 *
 * @depth       the layer that decides how it reads; 0 is the file that was named
 * @present     that layer says itself what is there
 * @zero        it is known to read as zero
 * @data        bytes are stored for it
 * @has_offset  it lies plainly in that layer's file, from @offset on
 */
struct range {
	uint64_t start;
	uint64_t length;
	size_t depth;
	bool present;
	bool zero;
	bool data;
	bool compressed;
	bool has_offset;
	uint64_t offset;
};

struct walk_layer;

/** A walk over a chain, which it borrows. Memory does not depend on the images. */
struct walk {
	struct q2s_chain *chain;
	enum q2s_follow follow;
	struct walk_layer *layers;
};

/** @follow: the chain's; with Q2S_FOLLOW_NONE no data file is looked at for its holes. */
enum q2s_err walk_open(struct q2s_chain *chain, enum q2s_follow follow, struct walk *out,
		       struct q2s_diag *diag);
void walk_close(struct walk *walk); /* a zeroed one is fine */

/** The range at @at, which is below the disk's size, at most @max bytes; not merged with others. */
enum q2s_err walk_next(struct walk *walk, uint64_t at, uint64_t max, struct range *out,
		       struct q2s_diag *diag);

/**
 * Does the image own clusters that its file system holds no space for, as after preallocation of
 * metadata? Then QEMU asks the file system which of them are holes. By the rule of QEMU's
 * qcow2_detect_metadata_preallocation(); false when the refcounts cannot be read.
 */
bool image_is_preallocated(const struct q2s_image *image);

/** What `map` prints, and for which part of the disk. */
struct map_view {
	bool json;
	uint64_t start;
	uint64_t end;
};

/** Print each subcluster of the L2 tables of @image by itself. */
enum q2s_err map_raw_entries(FILE *out, struct q2s_image *image, const struct map_view *view,
			     struct q2s_diag *diag);

#endif
