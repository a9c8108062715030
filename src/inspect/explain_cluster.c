/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is told of one host cluster: compressed bytes, and its reference count. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "common/fault.h"
#include "inspect/explain.h"
#include "inspect/show.h"

/* ---- compressed -------------------------------------------------------------------------- */

static void
tell_descriptor(struct story *story, const struct explained_layer *layer, uint64_t raw,
		const struct q2s_l2_entry *entry)
{
	const struct q2s_geom *const geom = layer->geom;
	const uint32_t x = q2s_comp_offset_bits(geom);
	const uint64_t sectors = (raw & (Q2S_ENTRY_COMPRESSED - 1)) >> x;
	const uint32_t in_sector = (uint32_t)(entry->comp_at.v % Q2S_SECTOR);
	char low[24], high[24];

	snprintf(low, sizeof(low), "bits 0..%" PRIu32, x - 1);
	snprintf(high, sizeof(high), "bits %" PRIu32 "..61", x);
	story_step(story, "compressed", "The compressed descriptor, bit by bit");
	story_rule(story, "the descriptor is from step %u, cluster_bits from step %u",
		   layer->l2_step, layer->geometry_step);
	story_formula(story, "x = 62 - (cluster_bits - 8) = 62 - (%" PRIu32 " - 8) = %" PRIu32,
		      geom->cluster_bits, x);
	story_bits(story, low, raw & ((1ull << x) - 1),
		   "host offset of the stream, in bytes, not shifted");
	story_bits(story, high, sectors, "512-byte sectors after the first");
	story_formula(story,
		      "bytes = (sectors + 1) * 512 - offset %% 512 = (%" PRIu64
		      " + 1) * 512 - %" PRIu32 " = %" PRIu32,
		      sectors, in_sector, entry->comp_bytes);
	story_rule(story, "the stream ends within these bytes; what lies behind it in them is "
			  "another cluster's");
	story_result(story, "stream-offset", entry->comp_at.v);
	story_result(story, "stream-bytes", entry->comp_bytes);
}

/* Decompress through the library, and show what the guest sees. */
static enum q2s_err
tell_content(struct story *story, const struct explained_layer *layer, q2s_guest guest,
	     struct q2s_diag *diag)
{
	const struct q2s_geom *const geom = layer->geom;
	const struct q2s_l1_table l1 = q2s_image_active_l1(layer->image);
	const uint32_t at = q2s_in_cluster(geom, guest);
	uint8_t *const cluster = malloc(geom->cluster_size);
	struct q2s_diag fault = { 0 };
	struct q2s_map *map = NULL;
	struct q2s_run run;
	enum q2s_err err = cluster ? q2s_map_open(layer->image, &l1, &map, diag)
				   : fault_nomem(diag, "cluster");

	if (err == Q2S_OK) {
		if (q2s_map_run(map, guest, 1, &run, &fault) == Q2S_OK &&
		    q2s_map_decompress(map, &run, cluster, &fault) == Q2S_OK) {
			story_formula(story, "in cluster = %" PRIu32 ", from step %u", at,
				      layer->split_step);
			story_bytes(story, "decompressed", (q2s_host){ at }, cluster + at,
				    geom->cluster_size - at < EXPLAIN_BYTES
					    ? geom->cluster_size - at
					    : EXPLAIN_BYTES);
		} else {
			story_fault(story, &fault);
		}
	}
	q2s_map_close(map);
	free(cluster);
	return err;
}

static enum q2s_err
tell_compression(struct story *story, const struct explained_layer *layer, struct q2s_diag *diag)
{
	const bool zstd = layer->header->compression_type == Q2S_COMPRESSION_ZSTD;
	const struct q2s_field *fields;
	enum q2s_err err = Q2S_OK;

	/* It is the last field. */
	if (header_fields(&fields, layer->header->header_length) ==
	    header_fields(&fields, UINT32_MAX))
		err = explain_field(story, layer, "compression_type", diag);
	else
		story_rule(story, "this header ends before compression_type, which is 0 then");
	story_rule(story, "it always gives one whole cluster, by %s",
		   zstd ? "zstd (compression_type 1)" : "raw deflate (compression_type 0)");
	return err;
}

enum q2s_err
explain_compressed(struct story *story, const struct explained_layer *layer, q2s_guest guest,
		   const struct explained_entry *it, struct q2s_diag *diag)
{
	uint8_t stream[EXPLAIN_BYTES];
	enum q2s_err err;

	tell_descriptor(story, layer, q2si_get_be64(it->raw), &it->entry);
	err = explain_read(story, layer->file, "stream", it->entry.comp_at, stream, sizeof(stream),
			   diag);
	if (err != Q2S_OK)
		return err;
	story_step(story, "decompress", "The cluster, decompressed");
	err = tell_compression(story, layer, diag);
	if (err != Q2S_OK)
		return err;
	if (layer->image)
		err = tell_content(story, layer, guest, diag);
	if (err == Q2S_OK)
		err = explain_refcount(story, layer, it->entry.comp_at, false, diag);
	return err;
}

/* The low bits that an entry of the refcount table does not hold of an offset. */
#define BLOCK_SHIFT 9

/* ---- refcount ---------------------------------------------------------------------------- */

static enum q2s_err
tell_block(struct story *story, const struct explained_layer *layer, uint64_t index,
	   q2s_host *block, struct q2s_diag *diag)
{
	const q2s_host table = layer->header->refcount_table_offset;
	const q2s_host at = { table.v + index * Q2S_REFTABLE_ENTRY_SIZE };
	uint8_t raw[Q2S_REFTABLE_ENTRY_SIZE];
	struct q2s_diag fault = { 0 };
	enum q2s_err err;

	err = explain_field(story, layer, "refcount_table_offset", diag);
	if (err != Q2S_OK)
		return err;
	story_formula(story,
		      "table entry at = refcount_table_offset + block * 8 = 0x%" PRIx64
		      " + %" PRIu64 " * 8 = 0x%" PRIx64,
		      table.v, index, at.v);
	err = explain_read(story, layer->file, "refcount table entry", at, raw, sizeof(raw), diag);
	if (err != Q2S_OK)
		return err;
	if (q2s_reftable_decode(layer->geom, raw, at, block, &fault) != Q2S_OK) {
		story_fault(story, &fault);
		*block = (q2s_host){ 0 };
	} else {
		story_offset(story, "bits 9..63", BLOCK_SHIFT, block->v,
			     "host offset of the refcount block");
	}
	return Q2S_OK;
}

/* @count: the refcount in slot @slot of the block. */
static enum q2s_err
tell_count(struct story *story, const struct explained_layer *layer, q2s_host block, uint32_t slot,
	   uint64_t *count, struct q2s_diag *diag)
{
	const struct q2s_geom *const geom = layer->geom;
	const uint64_t bit = (uint64_t)slot * geom->refcount_bits;
	const uint32_t first = (uint32_t)(bit / 8);
	const uint32_t len = geom->refcount_bits < 8 ? 1 : geom->refcount_bits / 8;
	uint8_t *const buf = malloc(geom->cluster_size);
	enum q2s_err err = buf ? q2s_store_read_padded(layer->file, block.v, buf,
						       geom->cluster_size, NULL, diag)
			       : fault_nomem(diag, "refcount block");

	if (err == Q2S_OK) {
		story_formula(story,
			      "count at = block + slot * refcount bits / 8 = 0x%" PRIx64
			      " + %" PRIu32 " * %" PRIu32 " / 8 = 0x%" PRIx64,
			      block.v, slot, geom->refcount_bits, block.v + first);
		if (geom->refcount_bits < 8)
			story_formula(story,
				      "its lowest bit in that byte = slot * refcount bits %% 8 = "
				      "%" PRIu32 " * %" PRIu32 " %% 8 = %" PRIu32,
				      slot, geom->refcount_bits, (uint32_t)(bit % 8));
		story_bytes(story, "count", (q2s_host){ block.v + first }, buf + first, len);
		*count = q2s_refcount_get(geom, buf, slot);
	}
	free(buf);
	return err;
}

static enum q2s_err
tell_width(struct story *story, const struct explained_layer *layer, struct q2s_diag *diag)
{
	const struct q2s_geom *const geom = layer->geom;
	enum q2s_err err = Q2S_OK;

	if (layer->header->version < 3)
		story_rule(story, "a refcount of version 2 has 16 bits (refcount_order 4)");
	else
		err = explain_field(story, layer, "refcount_order", diag);
	if (err != Q2S_OK)
		return err;
	story_formula(story, "refcount bits = 1 << refcount_order = 1 << %" PRIu32 " = %" PRIu32,
		      geom->refcount_order, geom->refcount_bits);
	story_formula(story,
		      "refcounts in a block = cluster size * 8 / refcount bits = %" PRIu32
		      " * 8 / %" PRIu32 " = %" PRIu32,
		      geom->cluster_size, geom->refcount_bits, geom->block_entries);
	return Q2S_OK;
}

enum q2s_err
explain_refcount(struct story *story, const struct explained_layer *layer, q2s_host host,
		 bool copied, struct q2s_diag *diag)
{
	const struct q2s_geom *const geom = layer->geom;
	const uint64_t cluster = host.v >> geom->cluster_bits;
	const uint64_t index = cluster >> geom->block_bits;
	const uint32_t slot = (uint32_t)(cluster & (geom->block_entries - 1));
	const uint64_t entries =
		((uint64_t)layer->header->refcount_table_clusters << geom->cluster_bits) /
		Q2S_REFTABLE_ENTRY_SIZE;
	q2s_host block = { 0 };
	uint64_t count = 0;
	enum q2s_err err = Q2S_OK;

	story_step(story, "refcount", "How often that host cluster is used");
	if (layer->geometry_step)
		story_rule(story, "cluster size is from step %u", layer->geometry_step);
	else
		err = explain_cluster_size(story, layer, diag);
	if (err == Q2S_OK)
		err = tell_width(story, layer, diag);
	if (err != Q2S_OK)
		return err;
	story_formula(story, "host cluster = 0x%" PRIx64 " / %" PRIu32 " = %" PRIu64, host.v,
		      geom->cluster_size, cluster);
	story_formula(story,
		      "block = %" PRIu64 " / %" PRIu32 " = %" PRIu64 ", slot = %" PRIu64
		      " %% %" PRIu32 " = %" PRIu32,
		      cluster, geom->block_entries, index, cluster, geom->block_entries, slot);
	if (index < entries)
		err = tell_block(story, layer, index, &block, diag);
	if (err == Q2S_OK && block.v)
		err = tell_count(story, layer, block, slot, &count, diag);
	else if (err == Q2S_OK)
		story_rule(story, "no refcount block: all counts of its range are 0");
	if (err != Q2S_OK)
		return err;
	story_rule(story, "refcount %" PRIu64 "%s", count,
		   !copied      ? ""
		   : count == 1 ? ", as COPIED says: a writer may overwrite in place"
				: ", though COPIED says 1: wrong, see `check`");
	story_result(story, "refcount", count);
	return Q2S_OK;
}
