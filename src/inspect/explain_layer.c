/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The way of a guest offset through the tables of one layer. */
#include "inspect/explain.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "common/escape.h"
#include "format/header.h"
#include "inspect/l1_tables.h"

enum q2s_err
explain_read(struct story *story, struct q2s_file *file, const char *what, q2s_host at,
	     uint8_t *raw, size_t len, struct q2s_diag *diag)
{
	size_t got;
	const enum q2s_err err = q2s_file_read_padded(file, at.v, raw, len, &got, diag);

	if (err != Q2S_OK)
		return err;
	story_bytes(story, what, at, raw, len);
	if (got < len)
		story_rule(story, "the file ends there: what is missing reads as zero");
	return Q2S_OK;
}

/* ---- arithmetic -------------------------------------------------------------------------- */

static enum q2s_err
tell_geometry(struct story *story, const struct explained_layer *layer, struct q2s_diag *diag)
{
	const struct q2s_geom *const geom = layer->geom;
	uint8_t raw[4];
	enum q2s_err err;

	story_step(story, "geometry", "How this image cuts the disk");
	err = explain_read(story, layer->file, "cluster_bits", (q2s_host){ AT_CLUSTER_BITS }, raw,
			   sizeof(raw), diag);
	if (err != Q2S_OK)
		return err;
	story_formula(story, "cluster size = 1 << cluster_bits = 1 << %" PRIu32 " = %" PRIu32,
		      geom->cluster_bits, geom->cluster_size);
	story_formula(story, "L2 entries in a table = cluster size / %" PRIu32 " = %" PRIu32,
		      geom->l2_entry_size, geom->l2_entries);
	story_rule(story, "an L2 table is one cluster, and an entry has %s",
		   geom->extended ? "16 bytes with extended L2 (incompatible bit 4)" : "8 bytes");
	if (geom->extended)
		story_formula(story, "subcluster size = cluster size / 32 = %" PRIu32,
			      geom->sub_size);
	story_result(story, "cluster-size", geom->cluster_size);
	return Q2S_OK;
}

static void
tell_split(struct story *story, const struct q2s_geom *geom, q2s_guest guest)
{
	const uint64_t cluster = guest.v >> geom->cluster_bits;
	const uint32_t in_cluster = q2s_in_cluster(geom, guest);

	story_step(story, "split", "The guest offset, taken apart");
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

/* ---- tables ------------------------------------------------------------------------------ */

/* COPIED of an L1 or L2 entry that leads to @what: a word to whoever wants to write. */
static void
tell_copied(struct story *story, uint64_t raw, const char *what)
{
	story_bits(story, "bit 63", raw >> 63,
		   raw & Q2S_ENTRY_COPIED      ? "COPIED: the %s has refcount 1, and may be changed"
		   : raw & Q2S_ENTRY_HOST_MASK ? "not COPIED: the %s must be copied before a change"
					       : "not COPIED: there is no %s",
		   what);
}

/* @l2: where the L2 table lies, 0 for none. */
static enum q2s_err
tell_l1(struct story *story, const struct explained_layer *layer, q2s_guest guest, q2s_host *l2,
	struct q2s_diag *diag)
{
	const uint64_t index = q2s_l1_index(layer->geom, guest);
	const q2s_host table = layer->header->l1_table_offset;
	const q2s_host at = { table.v + index * Q2S_L1_ENTRY_SIZE };
	uint8_t raw[Q2S_L1_ENTRY_SIZE];
	struct q2s_diag fault = { 0 };
	struct q2s_l1_entry entry;
	enum q2s_err err;

	*l2 = (q2s_host){ 0 };
	story_step(story, "l1", "L1 entry %" PRIu64, index);
	story_formula(story,
		      "entry at = l1_table_offset + index * 8 = 0x%" PRIx64 " + %" PRIu64
		      " * 8 = 0x%" PRIx64,
		      table.v, index, at.v);
	err = explain_read(story, layer->file, "L1 entry", at, raw, sizeof(raw), diag);
	if (err != Q2S_OK)
		return err;
	tell_copied(story, q2si_get_be64(raw), "L2 table");
	story_bits(story, "bits 9..55", q2si_get_be64(raw) & Q2S_ENTRY_HOST_MASK,
		   "host offset of the L2 table");
	if (q2s_l1_decode(layer->geom, raw, at, &entry, &fault) != Q2S_OK)
		story_fault(story, &fault);
	if (l1_target(layer->geom, raw, l2))
		story_rule(story, "the L2 table lies at 0x%" PRIx64, l2->v);
	else if (fault.err == Q2S_OK)
		story_rule(story,
			   "offset 0: no L2 table, all %" PRIu64
			   " bytes that it would map are unallocated",
			   layer->geom->l2_span);
	story_result(story, "l2-table", l2->v);
	return Q2S_OK;
}

static void
tell_entry_bits(struct story *story, const struct explained_layer *layer, uint64_t raw)
{
	const bool is_compressed = raw & Q2S_ENTRY_COMPRESSED;

	if (is_compressed)
		story_bits(story, "bit 63", raw >> 63,
			   "COPIED: never set here, as compressed data is not overwritten");
	else
		tell_copied(story, raw, "cluster");
	story_bits(story, "bit 62", is_compressed, is_compressed ? "compressed" : "not compressed");
	if (is_compressed)
		return;
	story_bits(story, "bits 9..55", raw & Q2S_ENTRY_HOST_MASK, "host offset of the cluster");
	if (!layer->geom->extended)
		story_bits(story, "bit 0", raw & 1, raw & 1 ? "ZERO: reads as zero" : "not ZERO");
}

/* @ok: @it is filled, and is to be believed. */
static enum q2s_err
tell_l2(struct story *story, const struct explained_layer *layer, q2s_guest guest, q2s_host l2,
	struct explained_entry *it, bool *ok, struct q2s_diag *diag)
{
	const struct q2s_geom *const geom = layer->geom;
	const uint32_t index = q2s_l2_index(geom, guest);
	struct q2s_diag fault = { 0 };
	enum q2s_err err;

	it->at.v = l2.v + (uint64_t)index * geom->l2_entry_size;
	story_step(story, "l2", "L2 entry %" PRIu32, index);
	story_formula(story,
		      "entry at = L2 table + index * %" PRIu32 " = 0x%" PRIx64 " + %" PRIu32
		      " * %" PRIu32 " = 0x%" PRIx64,
		      geom->l2_entry_size, l2.v, index, geom->l2_entry_size, it->at.v);
	err = explain_read(story, layer->file, "L2 entry", it->at, it->raw, geom->l2_entry_size,
			   diag);
	if (err != Q2S_OK)
		return err;
	tell_entry_bits(story, layer, q2si_get_be64(it->raw));
	*ok = true;
	if (q2s_l2_decode(geom, it->raw, it->at, &it->entry, &fault) == Q2S_OK)
		return Q2S_OK;
	story_fault(story, &fault);
	*ok = q2s_l2_decode_lenient(geom, it->raw, it->at, &it->entry, NULL) == Q2S_OK;
	story_rule(story, *ok ? "QEMU passes this over while reading"
			      : "QEMU answers reads of this cluster with an error");
	return Q2S_OK;
}

/* ---- what the entry means ---------------------------------------------------------------- */

static void
tell_subcluster(struct story *story, const struct q2s_geom *geom, q2s_guest guest,
		const struct explained_entry *it)
{
	const uint64_t bitmap = q2si_get_be64(it->raw + 8);
	const uint32_t sub = q2s_sub_index(geom, guest);
	char alloc[24], zero[24];

	snprintf(alloc, sizeof(alloc), "bit %" PRIu32, sub);
	snprintf(zero, sizeof(zero), "bit 32+%" PRIu32, sub);
	story_step(story, "subcluster", "Subcluster %" PRIu32 " in the bitmap 0x%016" PRIx64, sub,
		   bitmap);
	story_bits(story, alloc, bitmap >> sub & 1,
		   bitmap >> sub & 1 ? "allocated: reads from the host cluster" : "not allocated");
	story_bits(story, zero, bitmap >> (32 + sub) & 1,
		   bitmap >> (32 + sub) & 1 ? "reads as zero" : "no zero bit");
	story_rule(story, "both bits at once would make the whole entry invalid");
}

static const char *
tell_state(struct story *story, const struct explained_layer *layer, q2s_guest guest,
	   const struct explained_entry *it)
{
	const bool extended = layer->geom->extended;

	if (extended)
		tell_subcluster(story, layer->geom, guest, it);
	switch (q2s_l2_state(&it->entry, q2s_sub_index(layer->geom, guest))) {
	case Q2S_ZERO:
		story_rule(story, "reads as zero%s",
			   it->entry.has_host ? "; the host cluster is kept, its bytes are ignored"
					      : "; never from the backing file");
		return "zero";
	case Q2S_DATA:
		story_rule(story,
			   extended ? "allocated: data" : "a host offset without ZERO: data");
		return "data";
	default:
		story_rule(story, "%s: falls through to the backing file, zero without one",
			   extended ? "neither bit" : "neither offset nor ZERO");
		return "absent";
	}
}

static enum q2s_err
tell_host(struct story *story, const struct explained_layer *layer, q2s_guest guest,
	  const struct explained_entry *it, struct explained *out, struct q2s_diag *diag)
{
	const uint32_t in_cluster = q2s_in_cluster(layer->geom, guest);
	const uint32_t left = layer->geom->sub_size - in_cluster % layer->geom->sub_size;
	uint8_t bytes[EXPLAIN_BYTES];
	char *name;

	out->has_host = true;
	out->host.v = it->entry.host.v + in_cluster;
	story_step(story, "host", "The host bytes");
	story_formula(story,
		      "host offset = cluster + in cluster = 0x%" PRIx64 " + %" PRIu32
		      " = 0x%" PRIx64,
		      it->entry.host.v, in_cluster, out->host.v);
	story_result(story, "host-offset", out->host.v);
	if (layer->geom->data_file) {
		name = escape_bytes(layer->data_file_name.data, layer->data_file_name.len);
		story_rule(story,
			   "it lies in the external data file \"%s\", where host and guest "
			   "offset are the same",
			   name ? name : "?");
		free(name);
		return Q2S_OK;
	}
	if (layer->header->crypt_method != Q2S_CRYPT_NONE)
		story_rule(story, "encrypted: these are not the guest's bytes");
	if (out->host.v >= q2s_file_size(layer->file)) {
		story_rule(story, "past the end of the file: the cluster is not there");
		out->word = "invalid";
		return Q2S_OK;
	}
	return explain_read(story, layer->file, "data", out->host, bytes,
			    left < sizeof(bytes) ? left : sizeof(bytes), diag);
}

static enum q2s_err
tell_entry(struct story *story, const struct explained_layer *layer, q2s_guest guest,
	   const struct explained_entry *it, struct explained *out, struct q2s_diag *diag)
{
	enum q2s_err err = Q2S_OK;

	if (it->entry.compressed) {
		out->word = "compressed";
		return explain_compressed(story, layer, guest, it, diag);
	}
	out->word = tell_state(story, layer, guest, it);
	if (out->word[0] == 'd')
		err = tell_host(story, layer, guest, it, out, diag);
	if (err == Q2S_OK && it->entry.has_host && !layer->geom->data_file)
		err = explain_refcount(story, layer, it->entry.host, it->entry.copied, diag);
	return err;
}

enum q2s_err
explain_layer(struct story *story, const struct explained_layer *layer, q2s_guest guest,
	      struct explained *out, struct q2s_diag *diag)
{
	struct explained_entry it = { 0 };
	q2s_host l2;
	bool ok;
	enum q2s_err err = tell_geometry(story, layer, diag);

	*out = (struct explained){ .word = "absent" };
	if (err != Q2S_OK)
		return err;
	tell_split(story, layer->geom, guest);
	err = tell_l1(story, layer, guest, &l2, diag);
	if (err != Q2S_OK || l2.v == 0)
		return err;
	if (l2.v >= q2s_file_size(layer->file)) {
		story_rule(story, "past the end of the file: the table is not there");
		out->word = "invalid";
		return Q2S_OK;
	}
	err = tell_l2(story, layer, guest, l2, &it, &ok, diag);
	if (err != Q2S_OK)
		return err;
	if (ok)
		return tell_entry(story, layer, guest, &it, out, diag);
	out->word = "invalid";
	return Q2S_OK;
}
