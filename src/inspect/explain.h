/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parts of `explain`: the way of a guest offset through one layer, and the way back. */
#ifndef INSPECT_EXPLAIN_H
#define INSPECT_EXPLAIN_H

#include "inspect/story.h"
#include "inspect/subject.h"

/** How many bytes of the guest are shown. */
#define EXPLAIN_BYTES 16u

/**
 * One qcow2 layer that is explained.
 *
 * @image  NULL when the library refuses it: then nothing is decompressed
 * @geometry_step, @split_step, @l1_step, @l2_step  the numbers of the steps whose results later
 *         ones use; 0: not told yet
 */
struct explained_layer {
	struct q2s_store *file;
	struct q2s_image *image;
	const struct q2s_header *header;
	const struct q2s_geom *geom;
	struct q2s_bytes data_file_name;
	unsigned geometry_step, split_step, l1_step, l2_step;
};

/**
 * Where the way ends.
 *
 * @word      "data", "compressed", "zero", "unallocated" or "invalid"
 * @has_host  the guest's byte lies plainly at @host of this layer's file (or data file)
 */
struct explained {
	const char *word;
	bool has_host;
	q2s_host host;
};

/**
 * Tell the way of @guest through the tables of one layer. What is wrong is told; only what keeps
 * the tool from working is returned.
 */
enum q2s_err explain_layer(struct story *story, struct explained_layer *layer, q2s_guest guest,
			   struct explained *out, struct q2s_diag *diag);

/** Show the bytes of the header field @name, one of Q2S_RECORD_HEADER. */
enum q2s_err explain_field(struct story *story, const struct explained_layer *layer,
			   const char *name, struct q2s_diag *diag);

/** Tell, within a step, where the cluster size comes from. */
enum q2s_err explain_cluster_size(struct story *story, const struct explained_layer *layer,
				  struct q2s_diag *diag);

/** The first step: byte order, cluster size, and how many entries a table has. */
enum q2s_err explain_geometry(struct story *story, struct explained_layer *layer,
			      struct q2s_diag *diag);

/** The second step: @guest as indexes of the tables. */
void explain_split(struct story *story, struct explained_layer *layer, q2s_guest guest);

/** The entry that was found in the L2 table. */
struct explained_entry {
	q2s_host at;
	uint8_t raw[Q2S_L2X_ENTRY_SIZE];
	struct q2s_l2_entry entry;
};

/** Tell what a compressed descriptor says, bit by bit, and what it decompresses to. */
enum q2s_err explain_compressed(struct story *story, const struct explained_layer *layer,
				q2s_guest guest, const struct explained_entry *it,
				struct q2s_diag *diag);

/** Tell the reference count of the cluster at @host; @copied: what the entry claims. */
enum q2s_err explain_refcount(struct story *story, const struct explained_layer *layer,
			      q2s_host host, bool copied, struct q2s_diag *diag);

/**
 * Tell who owns the byte at @host of the file: structure and entry, or guest data.
 *
 * @owners  receives how many were found
 */
enum q2s_err explain_host(struct story *story, const struct subject *subject, q2s_host host,
			  uint64_t *owners, struct q2s_diag *diag);

/** Read for the story: zeros past the end of the file. */
enum q2s_err explain_read(struct story *story, struct q2s_store *file, const char *what,
			  q2s_host at, uint8_t *raw, size_t len, struct q2s_diag *diag);

#endif
