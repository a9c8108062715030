/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The way of a guest offset through the tables of one layer. */
#include "inspect/explain.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "common/escape.h"

/* The low bits that L1 and L2 entries do not hold of an offset. */
#define OFFSET_SHIFT 9

enum q2s_err
explain_read(struct story *story, struct q2s_store *file, const char *what, q2s_host at,
	     uint8_t *raw, size_t len, struct q2s_diag *diag)
{
	size_t got;
	const enum q2s_err err = q2s_store_read_padded(file, at.v, raw, len, &got, diag);

	if (err != Q2S_OK)
		return err;
	story_bytes(story, what, at, raw, len);
	if (got < len)
		story_rule(story, "the file ends there: what is missing reads as zero");
	return Q2S_OK;
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
tell_l1(struct story *story, struct explained_layer *layer, q2s_guest guest, q2s_host *l2,
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
	layer->l1_step = story->count;
	err = explain_field(story, layer, "l1_table_offset", diag);
	if (err != Q2S_OK)
		return err;
	story_rule(story, "an L1 entry has 8 bytes; the index is from step %u", layer->split_step);
	story_formula(story,
		      "entry at = l1_table_offset + L1 index * 8 = 0x%" PRIx64 " + %" PRIu64
		      " * 8 = 0x%" PRIx64,
		      table.v, index, at.v);
	err = explain_read(story, layer->file, "L1 entry", at, raw, sizeof(raw), diag);
	if (err != Q2S_OK)
		return err;
	story_formula(story, "as a number = 0x%016" PRIx64, q2si_get_be64(raw));
	tell_copied(story, q2si_get_be64(raw), "L2 table");
	story_offset(story, "bits 9..55", OFFSET_SHIFT, q2si_get_be64(raw) & Q2S_ENTRY_HOST_MASK,
		     "host offset of the L2 table");
	if (q2s_l1_decode(layer->geom, raw, at, &entry, &fault) != Q2S_OK)
		story_fault(story, &fault);
	if (q2s_l1_target(layer->geom, raw, l2))
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
	story_offset(story, "bits 9..55", OFFSET_SHIFT, raw & Q2S_ENTRY_HOST_MASK,
		     "host offset of the cluster");
	if (!layer->geom->extended)
		story_bits(story, "bit 0", raw & 1, raw & 1 ? "ZERO: reads as zero" : "not ZERO");
}

/* The two numbers of an extended entry; a standard one has only the first. */
static void
tell_words(struct story *story, const struct q2s_geom *geom, const uint8_t *raw)
{
	if (!geom->extended) {
		story_formula(story, "as a number = 0x%016" PRIx64, q2si_get_be64(raw));
		return;
	}
	story_formula(story, "bytes 0..7 = 0x%016" PRIx64 ", the descriptor", q2si_get_be64(raw));
	story_formula(story, "bytes 8..15 = 0x%016" PRIx64 ", the subcluster bitmap",
		      q2si_get_be64(raw + 8));
}

/* @ok: @it is filled, and is to be believed. */
static enum q2s_err
tell_l2(struct story *story, struct explained_layer *layer, q2s_guest guest, q2s_host l2,
	struct explained_entry *it, bool *ok, struct q2s_diag *diag)
{
	const struct q2s_geom *const geom = layer->geom;
	const uint32_t index = q2s_l2_index(geom, guest);
	struct q2s_diag fault = { 0 };
	enum q2s_err err;

	it->at.v = l2.v + (uint64_t)index * geom->l2_entry_size;
	story_step(story, "l2", "L2 entry %" PRIu32, index);
	layer->l2_step = story->count;
	story_rule(story,
		   "the L2 table is from step %u, the index from step %u, the size of an entry from "
		   "step %u",
		   layer->l1_step, layer->split_step, layer->geometry_step);
	story_formula(story,
		      "entry at = L2 table + L2 index * %" PRIu32 " = 0x%" PRIx64 " + %" PRIu32
		      " * %" PRIu32 " = 0x%" PRIx64,
		      geom->l2_entry_size, l2.v, index, geom->l2_entry_size, it->at.v);
	err = explain_read(story, layer->file, "L2 entry", it->at, it->raw, geom->l2_entry_size,
			   diag);
	if (err != Q2S_OK)
		return err;
	tell_words(story, geom, it->raw);
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

/* Which of the entry's 16 bytes, as they are dumped, has the bit of @sub: 0 is in byte @last. */
static void
tell_byte(struct story *story, const char *name, uint32_t sub, uint32_t last)
{
	story_formula(story,
		      "%s: in byte = %" PRIu32 " - %" PRIu32 " / 8 = %" PRIu32
		      ", bit of that byte = %" PRIu32 " %% 8 = %" PRIu32,
		      name, last, sub, last - sub / 8, sub, sub % 8);
}

static void
tell_subcluster(struct story *story, const struct explained_layer *layer, q2s_guest guest,
		const struct explained_entry *it)
{
	const uint64_t bitmap = q2si_get_be64(it->raw + 8);
	const uint32_t sub = q2s_sub_index(layer->geom, guest);
	char alloc[24], zero[24];

	snprintf(alloc, sizeof(alloc), "bit %" PRIu32, sub);
	snprintf(zero, sizeof(zero), "bit 32+%" PRIu32, sub);
	story_step(story, "subcluster", "Subcluster %" PRIu32 " in the bitmap 0x%016" PRIx64, sub,
		   bitmap);
	story_rule(story,
		   "the bitmap (second 8 bytes, step %u) is two of 32 bits; the subcluster is "
		   "from step %u",
		   layer->l2_step, layer->split_step);
	story_bits(story, "bits 0..31", bitmap & UINT32_MAX,
		   "allocated, bytes 12..15: bit n is subcluster n");
	story_bits(story, "bits 32..63", bitmap >> 32,
		   "reads as zero, bytes 8..11: bit 32+n is subcluster n");
	tell_byte(story, "allocated", sub, 15);
	tell_byte(story, "zero", sub, 11);
	story_bits(story, alloc, bitmap >> sub & 1,
		   bitmap >> sub & 1 ? "allocated: reads from the host cluster" : "not allocated");
	story_bits(story, zero, bitmap >> (32 + sub) & 1,
		   bitmap >> (32 + sub) & 1 ? "reads as zero" : "no zero bit");
	story_rule(story, "both bits at once would make the whole entry invalid");
}

/* What reads as something else may have its place in the host cluster all the same. */
static void
tell_preallocated(struct story *story, const struct explained_layer *layer, q2s_guest guest,
		  const struct explained_entry *it)
{
	const struct q2s_geom *const geom = layer->geom;
	const uint32_t sub = q2s_sub_index(geom, guest);

	if (!it->entry.has_host)
		return;
	if (geom->extended)
		story_formula(story,
			      "its place = host cluster + subcluster * %" PRIu32 " = 0x%" PRIx64
			      " + %" PRIu32 " * %" PRIu32 " = 0x%" PRIx64,
			      geom->sub_size, it->entry.host.v, sub, geom->sub_size,
			      it->entry.host.v + (uint64_t)sub * geom->sub_size);
	story_rule(story, "its space is preallocated: reads ignore it, a write needs no new "
			  "cluster");
}

static const char *
tell_state(struct story *story, const struct explained_layer *layer, q2s_guest guest,
	   const struct explained_entry *it)
{
	const bool extended = layer->geom->extended;

	if (extended)
		tell_subcluster(story, layer, guest, it);
	switch (q2s_l2_state(&it->entry, q2s_sub_index(layer->geom, guest))) {
	case Q2S_ZERO:
		story_rule(story, "reads as zero, never from the backing file");
		tell_preallocated(story, layer, guest, it);
		return "zero";
	case Q2S_DATA:
		story_rule(story,
			   extended ? "allocated: data" : "a host offset without ZERO: data");
		return "data";
	default:
		story_rule(story,
			   "%s: unallocated, reads from the backing file, or as zero without one",
			   extended ? "neither bit" : "neither offset nor ZERO");
		tell_preallocated(story, layer, guest, it);
		return "unallocated";
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
	story_rule(story, "the cluster is from step %u, the place in it from step %u",
		   layer->l2_step, layer->split_step);
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
	if (out->host.v >= q2s_store_size(layer->file)) {
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
explain_layer(struct story *story, struct explained_layer *layer, q2s_guest guest,
	      struct explained *out, struct q2s_diag *diag)
{
	struct explained_entry it = { 0 };
	q2s_host l2;
	bool ok;
	enum q2s_err err = explain_geometry(story, layer, diag);

	*out = (struct explained){ .word = "unallocated" };
	if (err != Q2S_OK)
		return err;
	explain_split(story, layer, guest);
	err = tell_l1(story, layer, guest, &l2, diag);
	if (err != Q2S_OK || l2.v == 0)
		return err;
	if (l2.v >= q2s_store_size(layer->file)) {
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
