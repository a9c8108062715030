/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names for the entries of tables and for refcounts; entries that are alike are told together. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "common/fault.h"
#include "inspect/spans.h"

/** Entries that are told together: equal, or each @step further than the one before. */
struct group {
	uint64_t first;
	uint64_t count;
	uint64_t raw;
	uint64_t bitmap;
	uint64_t step;
};

static const char *
entry_word(enum q2s_structure_kind kind)
{
	switch (kind) {
	case Q2S_STRUCTURE_REFCOUNT_TABLE:
		return "refcount table";
	case Q2S_STRUCTURE_L1:
		return "L1";
	case Q2S_STRUCTURE_L2:
		return "L2";
	default:
		return "bitmap table";
	}
}

/* ---- what an entry says ------------------------------------------------------------------ */

static void
say_refblock(const struct q2s_geom *geom, const struct group *group, const uint8_t *raw, char *text,
	     size_t size)
{
	q2s_host block;

	if (q2s_reftable_decode(geom, raw, Q2S_NOWHERE, &block, NULL) == Q2S_OK)
		snprintf(text, size,
			 "refcount block at 0x%" PRIx64 ", for host bytes from 0x%" PRIx64, block.v,
			 group->first << geom->block_bits << geom->cluster_bits);
}

static void
say_l1(const struct q2s_geom *geom, const struct group *group, const uint8_t *raw, char *text,
       size_t size)
{
	struct q2s_l1_entry entry;

	if (q2s_l1_decode(geom, raw, Q2S_NOWHERE, &entry, NULL) == Q2S_OK)
		snprintf(text, size, "L2 table at 0x%" PRIx64 "%s, for guest bytes from 0x%" PRIx64,
			 entry.l2.v, entry.copied ? ", COPIED" : "", group->first * geom->l2_span);
}

static void
say_l2(const struct q2s_geom *geom, uint64_t guest, const uint8_t *raw, char *text, size_t size)
{
	struct q2s_l2_entry entry;
	int used;

	if (q2s_l2_decode(geom, raw, Q2S_NOWHERE, &entry, NULL) != Q2S_OK)
		return;
	if (entry.compressed) {
		snprintf(text, size,
			 "guest 0x%" PRIx64 ": compressed, %" PRIu32 " bytes at 0x%" PRIx64, guest,
			 entry.comp_bytes, entry.comp_at.v);
		return;
	}
	used = snprintf(text, size, "guest 0x%" PRIx64 ": ", guest);
	if (entry.has_host)
		used += snprintf(text + used, size - (size_t)used, "cluster at 0x%" PRIx64 "%s",
				 entry.host.v, entry.copied ? ", COPIED" : "");
	else
		used += snprintf(text + used, size - (size_t)used, "no cluster");
	if (geom->extended)
		snprintf(text + used, size - (size_t)used,
			 ", allocated 0x%08" PRIx32 ", zero 0x%08" PRIx32, entry.alloc, entry.zero);
	else if (entry.zero)
		snprintf(text + used, size - (size_t)used, ", ZERO");
}

static void
say_bitmap(const struct q2s_geom *geom, const uint8_t *raw, char *text, size_t size)
{
	struct q2s_bitmap_table_entry entry;

	if (q2s_bitmap_table_decode(geom, raw, Q2S_NOWHERE, &entry, NULL) != Q2S_OK)
		return;
	if (entry.ones)
		snprintf(text, size, "all ones");
	else
		snprintf(text, size, "bits at 0x%" PRIx64, entry.cluster.v);
}

static void
say_entry(const struct spans *spans, const struct group *group, char *text, size_t size)
{
	const struct q2s_geom *const geom = spans->subject->geom;
	uint8_t raw[Q2S_L2X_ENTRY_SIZE];

	q2si_put_be64(raw, group->raw);
	q2si_put_be64(raw + 8, group->bitmap);
	snprintf(text, size, "%s", group->raw | group->bitmap ? "malformed" : "empty");
	if ((group->raw | group->bitmap) == 0)
		return;
	if (spans->in->kind == Q2S_STRUCTURE_REFCOUNT_TABLE)
		say_refblock(geom, group, raw, text, size);
	else if (spans->in->kind == Q2S_STRUCTURE_L1)
		say_l1(geom, group, raw, text, size);
	else if (spans->in->kind == Q2S_STRUCTURE_L2)
		say_l2(geom,
		       spans->in->index * geom->l2_span + (group->first << geom->cluster_bits),
		       raw, text, size);
	else
		say_bitmap(geom, raw, text, size);
}

/* ---- groups ------------------------------------------------------------------------------ */

static enum q2s_err
put_group(struct spans *spans, const struct group *group, uint32_t unit, struct q2s_diag *diag)
{
	const char *const word = entry_word(spans->in->kind);
	char name[SPAN_NAME], text[SPAN_TEXT];
	size_t used;

	if (group->count == 0)
		return Q2S_OK;
	if (group->count == 1)
		snprintf(name, sizeof(name), "%s entry %" PRIu64, word, group->first);
	else
		snprintf(name, sizeof(name), "%s entries %" PRIu64 "..%" PRIu64, word, group->first,
			 group->first + group->count - 1);
	say_entry(spans, group, text, sizeof(text));
	used = strlen(text);
	if (group->step)
		snprintf(text + used, sizeof(text) - used, "; each one cluster after the last");
	return span_put_units(spans, group->count * unit, unit, name, text, diag);
}

/* Take the entry into the group; false when it belongs to the next one. */
static bool
join(struct group *group, uint64_t raw, uint64_t bitmap, uint64_t cluster_size)
{
	const uint64_t step = raw - (group->raw + (group->count - 1) * group->step);
	const bool may_step = !(raw & Q2S_ENTRY_COMPRESSED) && (raw & Q2S_ENTRY_HOST_MASK) &&
			      (group->raw & Q2S_ENTRY_HOST_MASK);

	if (group->count == 0 || bitmap != group->bitmap)
		return false;
	if (group->count == 1 ? step != 0 && !(may_step && step == cluster_size)
			      : step != group->step)
		return false;
	group->step = step;
	group->count++;
	return true;
}

enum q2s_err
spans_table(struct spans *spans, struct q2s_diag *diag)
{
	const struct q2s_geom *const geom = spans->subject->geom;
	const bool extended = spans->in->kind == Q2S_STRUCTURE_L2 && geom->extended;
	const uint32_t unit = extended ? Q2S_L2X_ENTRY_SIZE : Q2S_L1_ENTRY_SIZE;
	struct group group = { 0 };
	struct q2s_table table = { 0 };
	const uint8_t *raw;
	enum q2s_err err =
		q2s_table_open(spans->subject->file, spans->in->at,
			   q2si_div_up(spans->end - spans->at, unit), unit, "table", &table, diag);

	for (uint64_t i = 0; i < table.count && err == Q2S_OK; i++) {
		err = q2s_table_get(&table, i, &raw, diag);
		if (err != Q2S_OK)
			break;
		const uint64_t entry = q2si_get_be64(raw);
		const uint64_t bitmap = extended ? q2si_get_be64(raw + 8) : 0;

		if (join(&group, entry, bitmap, geom->cluster_size))
			continue;
		err = put_group(spans, &group, unit, diag);
		group = (struct group){ .first = i, .count = 1, .raw = entry, .bitmap = bitmap };
	}
	if (err == Q2S_OK)
		err = put_group(spans, &group, unit, diag);
	q2s_table_close(&table);
	return err;
}

/* ---- refcounts --------------------------------------------------------------------------- */

/* The counts in the unit at @first: one, or those that share a byte. */
static void
say_counts(const struct q2s_geom *geom, const uint8_t *block, uint32_t first, uint32_t n,
	   char *text, size_t size)
{
	size_t used = 0;

	for (uint32_t i = 0; i < n && used < size; i++)
		used += (size_t)snprintf(text + used, size - used, "%s%" PRIu64, i ? " " : "",
					 q2s_refcount_get(geom, block, first + i));
}

/* Units @from up to @to of @block hold the same bytes. */
static enum q2s_err
put_counts(struct spans *spans, const uint8_t *block, uint32_t unit, uint64_t from, uint64_t to,
	   struct q2s_diag *diag)
{
	const struct q2s_geom *const geom = spans->subject->geom;
	const uint32_t n = unit * 8 / geom->refcount_bits;
	const uint64_t base = spans->in->index << geom->block_bits;
	char name[SPAN_NAME], text[SPAN_TEXT], counts[SPAN_TEXT / 2];

	say_counts(geom, block, (uint32_t)from * n, n, counts, sizeof(counts));
	snprintf(name, sizeof(name), to - from == 1 && n == 1 ? "refcount" : "refcounts");
	snprintf(text, sizeof(text), "%s%s, of host clusters from 0x%" PRIx64 " to 0x%" PRIx64,
		 counts, to - from > 1 ? (n > 1 ? " and so on" : " each") : "",
		 (base + from * n) << geom->cluster_bits,
		 ((base + to * n) << geom->cluster_bits) - 1);
	return span_put_units(spans, (to - from) * unit, unit, name, text, diag);
}

enum q2s_err
spans_refcounts(struct spans *spans, struct q2s_diag *diag)
{
	const struct q2s_geom *const geom = spans->subject->geom;
	const uint32_t unit = geom->refcount_bits < 8 ? 1 : geom->refcount_bits / 8;
	const uint64_t units = geom->cluster_size / unit;
	uint8_t *const block = malloc(geom->cluster_size);
	enum q2s_err err = block ? q2s_store_read_padded(spans->subject->file, spans->in->at.v,
							 block, geom->cluster_size, NULL, diag)
				 : fault_nomem(diag, "refcount block");

	for (uint64_t from = 0, to; from < units && err == Q2S_OK; from = to) {
		for (to = from + 1; to < units; to++) {
			if (memcmp(block + to * unit, block + from * unit, unit) != 0)
				break;
		}
		err = put_counts(spans, block, unit, from, to, diag);
	}
	free(block);
	return err;
}
