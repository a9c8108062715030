/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What changed in the active L1 table and in the L2 tables that it leads to. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "common/escape.h"
#include "common/json.h"
#include "inspect/diff.h"
#include "inspect/show.h"

#define STATE_TEXT 128

/** A table of each state; where one is missing all of its entries are zero. */
struct table_pair {
	struct q2s_table a, b;
};

static const uint8_t no_entry[Q2S_L2X_ENTRY_SIZE];

/* A table that is not in the file has no entries. */
static enum q2s_err
open_side(struct q2s_store *file, q2s_host at, uint64_t count, uint32_t size, struct q2s_table *out,
	  struct q2s_diag *diag)
{
	*out = (struct q2s_table){ 0 };
	if (at.v == 0 || at.v >= q2s_store_size(file))
		return Q2S_OK;
	return q2s_table_open(file, at, count, size, "table", out, diag);
}

static void
pair_close(struct table_pair *pair)
{
	q2s_table_close(&pair->a);
	q2s_table_close(&pair->b);
}

/* The next entry of @table from @index on: *@at is UINT64_MAX at the end. */
static enum q2s_err
next(struct q2s_table *table, uint64_t index, uint64_t *at, const uint8_t **raw,
     struct q2s_diag *diag)
{
	enum q2s_err err = Q2S_OK;

	*at = index;
	if (index < table->count)
		err = q2s_table_next(table, at, raw, diag);
	if (*at >= table->count)
		*at = UINT64_MAX;
	return err;
}

/* The next index of an entry that one of them has, and both entries; UINT64_MAX at the end. */
static enum q2s_err
pair_next(struct table_pair *pair, uint64_t *index, const uint8_t **a, const uint8_t **b,
	  struct q2s_diag *diag)
{
	uint64_t in_a = UINT64_MAX, in_b = UINT64_MAX;
	enum q2s_err err = next(&pair->a, *index, &in_a, a, diag);

	if (err == Q2S_OK)
		err = next(&pair->b, *index, &in_b, b, diag);
	*index = q2si_min(in_a, in_b);
	if (in_a != *index)
		*a = no_entry;
	if (in_b != *index)
		*b = no_entry;
	return err;
}

static enum q2s_err
open_l1(const struct diff *diff, struct table_pair *out, struct q2s_diag *diag)
{
	const struct q2s_header *const a = diff->before->header, *const b = diff->after->header;
	const uint64_t max = Q2S_L1_MAX_BYTES / Q2S_L1_ENTRY_SIZE;
	enum q2s_err err;

	*out = (struct table_pair){ 0 };
	err = open_side(diff->before->file, a->l1_table_offset, q2si_min(a->l1_size, max),
			Q2S_L1_ENTRY_SIZE, &out->a, diag);
	return err != Q2S_OK
		       ? err
		       : open_side(diff->after->file, b->l1_table_offset, q2si_min(b->l1_size, max),
				   Q2S_L1_ENTRY_SIZE, &out->b, diag);
}

/* ---- L1 ---------------------------------------------------------------------------------- */

static const char *
l1_state(uint64_t raw, char out[STATE_TEXT])
{
	if (raw == 0)
		return "empty";
	snprintf(out, STATE_TEXT, "L2 table at 0x%" PRIx64 "%s",
		 (uint64_t)(raw & Q2S_ENTRY_HOST_MASK), raw & Q2S_ENTRY_COPIED ? ", COPIED" : "");
	return out;
}

/** How the entries of both states go together, for what explains all of them at once. */
struct l1_summary {
	uint64_t before;
	uint64_t after;
};

static enum q2s_err
show_l1(struct diff *diff, struct l1_summary *summary, struct q2s_diag *diag)
{
	struct table_pair pair;
	const uint8_t *a, *b;
	char old[STATE_TEXT], new[STATE_TEXT];
	uint64_t index = 0;
	enum q2s_err err = open_l1(diff, &pair, diag);

	diff_section(&diff->out, "l1", "Active L1 table");
	for (; err == Q2S_OK; index++) {
		err = pair_next(&pair, &index, &a, &b, diag);
		if (err != Q2S_OK || index == UINT64_MAX)
			break;
		const uint64_t was = q2si_get_be64(a), is = q2si_get_be64(b);

		summary->before += was != 0;
		summary->after += is != 0;
		if (was != is)
			diff_item(&diff->out,
				  json_pack("{s:o, s:o, s:o, s:o}", "index", u64_json(index),
					    "guest-offset",
					    u64_json(index * diff->after->geom->l2_span), "before",
					    u64_json(was), "after", u64_json(is)),
				  "entry %-5" PRIu64 " 0x%016" PRIx64 " -> 0x%016" PRIx64
				  "  %s -> %s",
				  index, was, is, l1_state(was, old), l1_state(is, new));
	}
	diff_section_end(&diff->out);
	pair_close(&pair);
	return err;
}

/* Does the active table of the later state lead where that of @snapshot does, and did not before?
 */
static enum q2s_err
same_targets(const struct subject *subject, const struct q2s_snapshot *snapshot, bool *same,
	     struct q2s_diag *diag)
{
	const struct q2s_header *const header = subject->header;
	struct table_pair pair = { 0 };
	const uint8_t *a, *b;
	enum q2s_err err = open_side(subject->file, header->l1_table_offset,
				     q2si_min(header->l1_size, subject->geom->l1_entries),
				     Q2S_L1_ENTRY_SIZE, &pair.a, diag);

	if (err == Q2S_OK)
		err = open_side(subject->file, snapshot->l1_offset,
				q2si_min(snapshot->l1_entries, subject->geom->l1_entries),
				Q2S_L1_ENTRY_SIZE, &pair.b, diag);
	*same = true;
	for (uint64_t index = 0; err == Q2S_OK && *same; index++) {
		err = pair_next(&pair, &index, &a, &b, diag);
		if (err != Q2S_OK || index == UINT64_MAX)
			break;
		*same = ((q2si_get_be64(a) ^ q2si_get_be64(b)) & Q2S_ENTRY_HOST_MASK) == 0;
	}
	pair_close(&pair);
	return err;
}

/* The first snapshot in whose state the disk is; @name to free, NULL for none. */
static enum q2s_err
at_snapshot(const struct subject *subject, char **name, struct q2s_diag *diag)
{
	struct q2s_records walk = q2s_records_snapshots(subject->opened);
	struct q2s_snapshot it;
	struct q2s_stored_record record;
	enum q2s_err err = Q2S_OK, read = Q2S_OK;

	*name = NULL;
	while (err == Q2S_OK && !*name &&
	       q2s_records_next_snapshot(&walk, &record, &it, &read, diag)) {
		bool same = false;

		if (record.fault.err == Q2S_OK)
			err = same_targets(subject, &it, &same, diag);
		if (err == Q2S_OK && same)
			*name = escape_bytes(it.name, it.name_len);
	}
	q2s_records_end(&walk);
	return err != Q2S_OK ? err : read;
}

/* What replaced all that the guest sees: a snapshot applied, or a commit that emptied the overlay.
 */
static enum q2s_err
explain_l1(struct diff *diff, const struct l1_summary *summary, struct q2s_diag *diag)
{
	const struct q2s_header *const a = diff->before->header, *const b = diff->after->header;
	char *before = NULL, *after = NULL;
	enum q2s_err err = Q2S_OK;

	if (a->nb_snapshots && a->nb_snapshots == b->nb_snapshots && diff->out.all)
		err = at_snapshot(diff->after, &after, diag);
	if (err == Q2S_OK && after)
		err = at_snapshot(diff->before, &before, diag);
	if (err == Q2S_OK && after && (!before || strcmp(before, after) != 0)) {
		diff->replaced = true;
		diff_event(diff, "snapshot apply", "snapshot apply \"%.300s\"", after);
	} else if (err == Q2S_OK && summary->before && !summary->after &&
		   a->backing_file_offset.v && b->backing_file_offset.v) {
		diff->replaced = true;
		diff_event(diff, "commit",
			   "commit: all L1 entries are empty now, so all is read from the backing "
			   "file");
	}
	free(before);
	free(after);
	return err;
}

/* ---- L2 ---------------------------------------------------------------------------------- */

/** Neighbours of which the same is to be said. @last: the entry that was added last. */
struct l2_group {
	struct diff *diff;
	uint64_t count;
	uint64_t guest;
	uint64_t at;
	uint64_t before[2], after[2];
	uint64_t last_before, last_after;
	char old[STATE_TEXT], new[STATE_TEXT];
	json_t *object;
};

static void
l2_state(const struct q2s_geom *geom, const struct q2s_l2_entry *entry, bool ok,
	 char out[STATE_TEXT])
{
	const char *const kind = show_l2_kind(geom, entry);
	char where[48] = "", bits[48] = "";

	if (!ok) {
		snprintf(out, STATE_TEXT, "invalid");
		return;
	}
	if (entry->compressed) {
		snprintf(out, STATE_TEXT, "compressed, %" PRIu32 " bytes at 0x%" PRIx64,
			 entry->comp_bytes, entry->comp_at.v);
		return;
	}
	if (entry->has_host)
		snprintf(where, sizeof(where), " at 0x%" PRIx64 "%s", entry->host.v,
			 entry->copied ? ", COPIED" : "");
	if (kind[0] == 'm')
		snprintf(bits, sizeof(bits), ", allocated 0x%08" PRIx32 " zero 0x%08" PRIx32,
			 entry->alloc, entry->zero);
	snprintf(out, STATE_TEXT, "%s%s%s", kind, where, bits);
}

static void
group_end(struct l2_group *group)
{
	struct diff *const diff = group->diff;
	char much[48] = "";

	if (group->count == 0)
		return;
	if (group->count > 1)
		snprintf(much, sizeof(much), " and %" PRIu64 " more alike", group->count - 1);
	if (group->object)
		json_object_set_new(group->object, "entries", u64_json(group->count));
	diff_item(&diff->out, group->object, "guest 0x%-10" PRIx64 " %s -> %s%s", group->guest,
		  group->old, group->new, much);
	group->count = 0;
}

/* Is @value what follows @last in a group: the same, or the next cluster's? */
static bool
follows(uint64_t value, uint64_t last, uint32_t size)
{
	return value & Q2S_ENTRY_COMPRESSED ? false
	       : last & Q2S_ENTRY_HOST_MASK ? value == last + size
					    : value == last;
}

static json_t *
words_json(const struct q2s_geom *geom, const uint64_t words[2])
{
	char text[40];

	if (geom->extended)
		snprintf(text, sizeof(text), "%016" PRIx64 "%016" PRIx64, words[0], words[1]);
	else
		snprintf(text, sizeof(text), "%016" PRIx64, words[0]);
	return json_string(text);
}

static void
group_add(struct l2_group *group, const struct diff_pair *pair, uint64_t at, const uint8_t *a,
	  const uint8_t *b)
{
	const struct q2s_geom *const geom = group->diff->after->geom;
	const uint32_t size = geom->cluster_size;
	const uint64_t old[2] = { q2si_get_be64(a), geom->extended ? q2si_get_be64(a + 8) : 0 };
	const uint64_t new[2] = { q2si_get_be64(b), geom->extended ? q2si_get_be64(b + 8) : 0 };

	if (group->count && pair->guest == group->guest + group->count * size &&
	    old[1] == group->before[1] && new[1] == group->after[1] &&
	    follows(old[0], group->last_before, size) && follows(new[0], group->last_after, size)) {
		group->count++;
	} else {
		group_end(group);
		group->count = 1;
		group->guest = pair->guest;
		memcpy(group->before, old, sizeof(old));
		memcpy(group->after, new, sizeof(new));
		l2_state(geom, &pair->before, pair->before_ok, group->old);
		l2_state(geom, &pair->after, pair->after_ok, group->new);
		group->object = json_pack(
			"{s:o, s:o, s:o, s:o, s:s, s:s}", "guest-offset", u64_json(pair->guest),
			"host-offset", u64_json(at), "before", words_json(geom, old), "after",
			words_json(geom, new), "was", group->old, "is", group->new);
	}
	group->last_before = old[0];
	group->last_after = new[0];
}

/* Does the cluster that the entry leads to hold other bytes than before? */
static bool
bytes_changed(const struct diff *diff, const struct q2s_l2_entry *entry)
{
	return diff->changed_count && !entry->compressed && entry->alloc &&
	       diff_changed(diff, entry->host.v >> diff->after->geom->cluster_bits);
}

static enum q2s_err
visit_pair(struct diff *diff, struct l2_group *group, uint64_t guest, uint64_t at, const uint8_t *a,
	   const uint8_t *b, struct q2s_diag *diag)
{
	const struct q2s_geom *const geom = diff->after->geom;
	const bool same = memcmp(a, b, geom->l2_entry_size) == 0;
	struct diff_pair pair = { .guest = guest };

	if (same && diff->changed_count == 0)
		return Q2S_OK;
	pair.after_ok =
		q2s_l2_decode_lenient(geom, b, (q2s_host){ at }, &pair.after, NULL) == Q2S_OK;
	if (same && (!pair.after_ok || !bytes_changed(diff, &pair.after)))
		return Q2S_OK;
	pair.before_ok = q2s_l2_decode_lenient(diff->before->geom, a, (q2s_host){ at },
					       &pair.before, NULL) == Q2S_OK;
	if (!same)
		group_add(group, &pair, at, a, b);
	return diff_guest(diff, &pair, diag);
}

static enum q2s_err
walk_l2(struct diff *diff, struct l2_group *group, uint64_t index, q2s_host l2_a, q2s_host l2_b,
	struct q2s_diag *diag)
{
	const struct q2s_geom *const geom = diff->after->geom;
	struct table_pair pair = { 0 };
	const uint8_t *a, *b;
	enum q2s_err err = open_side(diff->before->file, l2_a, geom->l2_entries,
				     geom->l2_entry_size, &pair.a, diag);

	if (err == Q2S_OK)
		err = open_side(diff->after->file, l2_b, geom->l2_entries, geom->l2_entry_size,
				&pair.b, diag);
	for (uint64_t i = 0; err == Q2S_OK; i++) {
		err = pair_next(&pair, &i, &a, &b, diag);
		if (err != Q2S_OK || i == UINT64_MAX)
			break;
		const uint64_t guest = index * geom->l2_span + (i << geom->cluster_bits);

		err = visit_pair(diff, group, guest,
				 (l2_b.v ? l2_b.v : l2_a.v) + i * geom->l2_entry_size, a, b, diag);
	}
	pair_close(&pair);
	return err;
}

static enum q2s_err
show_l2(struct diff *diff, struct q2s_diag *diag)
{
	struct l2_group group = { .diff = diff };
	struct q2s_seen seen = { 0 };
	struct table_pair pair;
	const uint8_t *a, *b;
	uint64_t index = 0;
	enum q2s_err err = open_l1(diff, &pair, diag);

	diff_section(&diff->out, "l2", "L2 entries");
	for (; err == Q2S_OK; index++) {
		q2s_host l2_a, l2_b;
		bool may = false;

		err = pair_next(&pair, &index, &a, &b, diag);
		if (err != Q2S_OK || index == UINT64_MAX)
			break;
		if (!q2s_l1_target(diff->before->geom, a, &l2_a))
			l2_a.v = 0;
		if (!q2s_l1_target(diff->after->geom, b, &l2_b))
			l2_b.v = 0;
		if (l2_a.v || l2_b.v)
			err = diff_may_visit(diff, &seen, l2_a, l2_b, diff->after->geom->l2_entries,
					     &may, diag);
		if (err == Q2S_OK && may)
			err = walk_l2(diff, &group, index, l2_a, l2_b, diag);
	}
	group_end(&group);
	diff_section_end(&diff->out);
	if (err == Q2S_OK)
		err = diff_guest_end(diff, diag);
	q2s_seen_free(&seen);
	pair_close(&pair);
	return err;
}

enum q2s_err
diff_tables(struct diff *diff, struct q2s_diag *diag)
{
	struct l1_summary summary = { 0 };
	enum q2s_err err = show_l1(diff, &summary, diag);

	if (err == Q2S_OK)
		err = explain_l1(diff, &summary, diag);
	return err == Q2S_OK && diff->same_entries ? show_l2(diff, diag) : err;
}
