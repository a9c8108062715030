/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is told of the header: the numbers with which all other steps calculate. */
#include <inttypes.h>

#include "inspect/explain.h"
#include "inspect/show.h"

enum q2s_err
explain_field(struct story *story, const struct explained_layer *layer, const char *name,
	      struct q2s_diag *diag)
{
	const struct q2s_field *const field = q2s_field_find(Q2S_RECORD_HEADER, name);
	uint8_t raw[8];

	return explain_read(story, layer->file, name, (q2s_host){ field->at }, raw, field->size,
			    diag);
}

enum q2s_err
explain_cluster_size(struct story *story, const struct explained_layer *layer,
		     struct q2s_diag *diag)
{
	const enum q2s_err err = explain_field(story, layer, "cluster_bits", diag);

	if (err == Q2S_OK)
		story_formula(story,
			      "cluster size = 1 << cluster_bits = 1 << %" PRIu32 " = %" PRIu32,
			      layer->geom->cluster_bits, layer->geom->cluster_size);
	return err;
}

/* How long an L2 entry is. */
static enum q2s_err
tell_entry_size(struct story *story, const struct explained_layer *layer, struct q2s_diag *diag)
{
	const bool extended = layer->geom->extended;
	enum q2s_err err;

	if (layer->header->version < 3) {
		story_rule(story, "version 2 has no feature bits: an L2 entry has 8 bytes");
		return Q2S_OK;
	}
	err = explain_field(story, layer, "incompatible_features", diag);
	if (err == Q2S_OK)
		story_bits(story, "bit 4", extended,
			   extended ? "extended L2: an L2 entry has 16 bytes"
				    : "no extended L2: an L2 entry has 8 bytes");
	return err;
}

enum q2s_err
explain_geometry(struct story *story, struct explained_layer *layer, struct q2s_diag *diag)
{
	const struct q2s_geom *const geom = layer->geom;
	enum q2s_err err;

	story_step(story, "geometry", "How this image cuts the disk");
	layer->geometry_step = story->count;
	story_rule(story, "numbers are big-endian: the first byte counts most, bit 0 is the last "
			  "byte's lowest");
	err = explain_cluster_size(story, layer, diag);
	if (err == Q2S_OK)
		err = tell_entry_size(story, layer, diag);
	if (err != Q2S_OK)
		return err;
	story_rule(story, "an L2 table is one cluster");
	story_formula(story,
		      "L2 entries in a table = cluster size / %" PRIu32 " = %" PRIu32 " / %" PRIu32
		      " = %" PRIu32,
		      geom->l2_entry_size, geom->cluster_size, geom->l2_entry_size,
		      geom->l2_entries);
	if (geom->extended)
		story_formula(story,
			      "subcluster size = cluster size / 32 = %" PRIu32 " / 32 = %" PRIu32,
			      geom->cluster_size, geom->sub_size);
	story_result(story, "cluster-size", geom->cluster_size);
	return Q2S_OK;
}

void
explain_split(struct story *story, struct explained_layer *layer, q2s_guest guest)
{
	const struct q2s_geom *const geom = layer->geom;
	const uint64_t cluster = guest.v >> geom->cluster_bits;
	const uint32_t in_cluster = q2s_in_cluster(geom, guest);

	story_step(story, "split", "The guest offset, taken apart");
	layer->split_step = story->count;
	story_rule(story,
		   "the divisors are from step %u; / drops the remainder, %% is the remainder",
		   layer->geometry_step);
	story_formula(story, "guest cluster = 0x%" PRIx64 " / %" PRIu32 " = %" PRIu64, guest.v,
		      geom->cluster_size, cluster);
	story_formula(story, "L1 index = %" PRIu64 " / %" PRIu32 " = %" PRIu64, cluster,
		      geom->l2_entries, q2s_l1_index(geom, guest));
	story_formula(story, "L2 index = %" PRIu64 " %% %" PRIu32 " = %" PRIu32, cluster,
		      geom->l2_entries, q2s_l2_index(geom, guest));
	story_formula(story, "in cluster = 0x%" PRIx64 " %% %" PRIu32 " = %" PRIu32, guest.v,
		      geom->cluster_size, in_cluster);
	if (geom->extended)
		story_formula(story, "subcluster = %" PRIu32 " / %" PRIu32 " = %" PRIu32,
			      in_cluster, geom->sub_size, q2s_sub_index(geom, guest));
	story_result(story, "l1-index", q2s_l1_index(geom, guest));
	story_result(story, "l2-index", q2s_l2_index(geom, guest));
	story_result(story, "in-cluster", in_cluster);
	story_result(story, "subcluster", q2s_sub_index(geom, guest));
}
