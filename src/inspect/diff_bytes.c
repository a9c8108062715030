/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The two files byte by byte: which clusters changed, and what they are part of. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "common/fault.h"
#include "common/json.h"
#include "inspect/diff.h"

#define CHUNK (1u << 21) /* a cluster at least */

/* ---- comparing --------------------------------------------------------------------------- */

static enum q2s_err
add_changed(struct diff *diff, uint64_t at, uint32_t first, uint32_t last, struct q2s_diag *diag)
{
	const uint64_t number = at >> diff->after->geom->cluster_bits;
	struct diff_cluster *more;

	if (diff->changed_count && diff->changed[diff->changed_count - 1].number == number) {
		diff->changed[diff->changed_count - 1].last = last;
		return Q2S_OK;
	}
	diff->changed_all++;
	if (diff->changed_count == DIFF_CLUSTERS_MAX)
		return Q2S_OK;
	if (diff->changed_count == diff->changed_cap) {
		const size_t cap = diff->changed_cap ? 2 * diff->changed_cap : 64;

		more = realloc(diff->changed, cap * sizeof(*more));
		if (!more)
			return fault_nomem(diag, "list of changed clusters");
		diff->changed = more;
		diff->changed_cap = cap;
	}
	diff->changed[diff->changed_count++] = (struct diff_cluster){ .number = number,
								      .first = first,
								      .last = last,
								      .before = DIFF_NOTHING,
								      .after = DIFF_NOTHING };
	return Q2S_OK;
}

/* Where @len bytes that are known to differ begin and end to do so. */
static void
narrow(const uint8_t *a, const uint8_t *b, uint32_t len, uint32_t *first, uint32_t *last)
{
	for (*first = 0; a[*first] == b[*first]; ++*first)
		;
	for (*last = len - 1; a[*last] == b[*last]; --*last)
		;
}

/* @len bytes at @at of both files, cluster by cluster. */
static enum q2s_err
compare_chunk(struct diff *diff, uint64_t at, uint32_t len, struct q2s_diag *diag)
{
	const uint32_t size = diff->after->geom->cluster_size;
	uint8_t *const a = diff->bytes[0], *const b = diff->bytes[1];
	enum q2s_err err = q2s_store_read_padded(diff->before->file, at, a, len, NULL, diag);

	if (err == Q2S_OK)
		err = q2s_store_read_padded(diff->after->file, at, b, len, NULL, diag);
	if (err != Q2S_OK || memcmp(a, b, len) == 0)
		return err;
	for (uint32_t pos = 0, n; pos < len && err == Q2S_OK; pos += n) {
		const uint32_t in = (uint32_t)((at + pos) & (size - 1));
		uint32_t first, last;

		n = (uint32_t)q2si_min(size - in, len - pos);
		if (memcmp(a + pos, b + pos, n) == 0)
			continue;
		narrow(a + pos, b + pos, n, &first, &last);
		err = add_changed(diff, at + pos, in + first, in + last, diag);
	}
	return err;
}

/* What of @file lies at @at: behind its end a hole without an end. */
static enum q2s_err
look(struct q2s_store *file, struct q2s_stretch_walk *walk, uint64_t at, struct q2s_stretch *out,
     struct q2s_diag *diag)
{
	*out = (struct q2s_stretch){ .hole = true, .len = UINT64_MAX - at };
	return at < q2s_store_size(file) ? q2s_store_stretch_on(file, walk, at, out, diag) : Q2S_OK;
}

enum q2s_err
diff_contents(struct diff *diff, struct q2s_diag *diag)
{
	struct q2s_store *const a = diff->before->file, *const b = diff->after->file;
	const uint64_t end = q2si_max(q2s_store_size(a), q2s_store_size(b));
	struct q2s_stretch_walk walk_a = { 0 }, walk_b = { 0 };
	enum q2s_err err = Q2S_OK;

	for (uint64_t at = 0, n; at < end && err == Q2S_OK; at += n) {
		struct q2s_stretch in_a, in_b;

		err = look(a, &walk_a, at, &in_a, diag);
		if (err == Q2S_OK)
			err = look(b, &walk_b, at, &in_b, diag);
		if (err != Q2S_OK)
			break;
		n = q2si_min(q2si_min(in_a.len, in_b.len), end - at);
		if (in_a.hole && in_b.hole)
			continue;
		n = q2si_min(n, CHUNK);
		err = compare_chunk(diff, at, (uint32_t)n, diag);
	}
	return err;
}

enum q2s_err
diff_range(struct diff *diff, q2s_host a, q2s_host b, uint32_t len, bool *differ, uint32_t *first,
	   uint32_t *last, struct q2s_diag *diag)
{
	const struct {
		struct q2s_store *file;
		q2s_host at;
	} sides[] = { { diff->before->file, a }, { diff->after->file, b } };
	enum q2s_err err = Q2S_OK;

	for (int i = 0; i < 2 && err == Q2S_OK; i++) {
		if (sides[i].at.v == Q2S_NOWHERE.v)
			memset(diff->bytes[i], 0, len);
		else
			err = q2s_store_read_padded(sides[i].file, sides[i].at.v, diff->bytes[i],
						    len, NULL, diag);
	}
	if (err != Q2S_OK)
		return err;
	*differ = memcmp(diff->bytes[0], diff->bytes[1], len) != 0;
	if (*differ)
		narrow(diff->bytes[0], diff->bytes[1], len, first, last);
	return Q2S_OK;
}

/* ---- what they are part of --------------------------------------------------------------- */

/* The index of the first changed cluster from @number on. */
static size_t
first_from(const struct diff *diff, uint64_t number)
{
	size_t low = 0, high = diff->changed_count;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;

		if (diff->changed[middle].number < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct diff_cluster *
diff_changed(const struct diff *diff, uint64_t number)
{
	const size_t i = first_from(diff, number);

	return i < diff->changed_count && diff->changed[i].number == number ? &diff->changed[i]
									    : NULL;
}

/** A walk over the structures of one of the states. */
struct claim {
	struct diff *diff;
	const struct subject *subject;
	bool is_after;
};

/* The changed clusters in [@at, @at + @len) are part of @what; @over: whatever was said before. */
static void
claim_range(const struct claim *claim, uint64_t at, uint64_t len, bool over, int what,
	    uint64_t from)
{
	struct diff *const diff = claim->diff;
	const uint32_t bits = diff->after->geom->cluster_bits;
	const uint64_t last = (at + (len - 1)) >> bits;

	for (size_t i = first_from(diff, at >> bits);
	     i < diff->changed_count && diff->changed[i].number <= last; i++) {
		struct diff_cluster *const it = &diff->changed[i];
		int *const part = claim->is_after ? &it->after : &it->before;

		if (!over && *part != DIFF_NOTHING)
			continue;
		*part = what;
		*(claim->is_after ? &it->from_after : &it->from_before) = from;
	}
}

static enum q2s_err
claim_structure(void *opaque, const struct q2s_structure *it, struct q2s_diag *diag)
{
	(void)diag;
	claim_range(opaque, it->at.v, it->len, true, (int)it->kind, it->index);
	return Q2S_OK;
}

/* Who comes first stays: the active L1 table before those of snapshots. */
static enum q2s_err
claim_data(void *opaque, const struct q2s_structure *in, const struct q2s_table_entry *it,
	   struct q2s_diag *diag)
{
	const struct claim *const claim = opaque;
	struct data_range range;

	(void)in;
	(void)diag;
	if (data_range(claim->subject, it, &range))
		claim_range(claim, range.at.v, range.len, false,
			    it->l2.compressed ? DIFF_COMPRESSED : DIFF_DATA, it->guest);
	return Q2S_OK;
}

static enum q2s_err
claim_all(struct diff *diff, struct q2s_diag *diag)
{
	enum q2s_err err = Q2S_OK;

	for (int i = 0; i < 2 && err == Q2S_OK && diff->changed_count; i++) {
		const struct subject *const subject = i ? diff->after : diff->before;
		struct claim claim = { .diff = diff, .subject = subject, .is_after = i };
		const struct q2s_walk_options how = { .size = sizeof(how),
						      .structure = claim_structure,
						      .opaque = &claim };

		err = q2s_walk(subject->opened, &how, diag);
		if (err == Q2S_OK)
			err = data_visit(subject, claim_data, &claim, diag);
	}
	return err;
}

static void
part_text(int part, uint64_t from, char *out, size_t len)
{
	if (part == DIFF_NOTHING)
		snprintf(out, len, "nothing");
	else if (part == DIFF_DATA)
		snprintf(out, len, "data of guest 0x%" PRIx64, from);
	else if (part == DIFF_COMPRESSED)
		snprintf(out, len, "compressed data of guest 0x%" PRIx64, from);
	else if (part == (int)Q2S_STRUCTURE_L2)
		snprintf(out, len, "L2 table of L1 entry %" PRIu64, from);
	else
		snprintf(out, len, "%s", q2s_structure_name((enum q2s_structure_kind)part));
}

static const char *
part_name(int part)
{
	return part == DIFF_NOTHING      ? "nothing"
	       : part == DIFF_DATA       ? "guest data"
	       : part == DIFF_COMPRESSED ? "compressed data"
					 : q2s_structure_name((enum q2s_structure_kind)part);
}

/* Clusters from @from on that are shown together: of one thing, and changed without a gap. */
static size_t
together(const struct diff *diff, size_t from)
{
	const uint32_t size = diff->after->geom->cluster_size;
	size_t i;

	for (i = from + 1; i < diff->changed_count; i++) {
		const struct diff_cluster *const it = &diff->changed[i], *const last = it - 1;

		if (it->number != last->number + 1 || it->first != 0 || last->last != size - 1 ||
		    it->before != last->before || it->after != last->after)
			break;
		if ((it->after == DIFF_DATA && it->from_after != last->from_after + size) ||
		    (it->before == DIFF_DATA && it->from_before != last->from_before + size) ||
		    it->after == DIFF_COMPRESSED || it->before == DIFF_COMPRESSED ||
		    it->after == (int)Q2S_STRUCTURE_L2 || it->before == (int)Q2S_STRUCTURE_L2)
			break;
	}
	return i - from;
}

static json_t *
clusters_json(const struct diff *diff, const struct diff_cluster *it, uint64_t first, uint64_t last,
	      size_t count)
{
	json_t *const object = json_pack("{s:o, s:I, s:o, s:o, s:s, s:s}", "host-offset",
					 u64_json(it->number << diff->after->geom->cluster_bits),
					 "clusters", (json_int_t)count, "first-byte",
					 u64_json(first), "last-byte", u64_json(last), "before",
					 part_name(it->before), "after", part_name(it->after));

	if (object && it->after == DIFF_DATA)
		json_object_set_new(object, "guest-offset", u64_json(it->from_after));
	return object;
}

static void
show_clusters(struct diff *diff, size_t from, size_t count)
{
	const struct diff_cluster *const it = &diff->changed[from];
	const uint32_t bits = diff->after->geom->cluster_bits;
	const uint64_t first = (it->number << bits) + it->first;
	const uint64_t last = (it[count - 1].number << bits) + it[count - 1].last;
	const bool same = it->before == it->after && it->from_before == it->from_after;
	char before[64], after[64];

	part_text(it->before, it->from_before, before, sizeof(before));
	part_text(it->after, it->from_after, after, sizeof(after));
	diff_item(&diff->out, clusters_json(diff, it, first, last, count),
		  "0x%-10" PRIx64 " %s%s%s, bytes 0x%" PRIx64 "..0x%" PRIx64, it->number << bits,
		  same ? "" : before, same ? "" : " -> ", after, first, last);
}

enum q2s_err
diff_show_clusters(struct diff *diff, struct q2s_diag *diag)
{
	const enum q2s_err err = claim_all(diff, diag);

	if (err != Q2S_OK)
		return err;
	diff_section(&diff->out, "clusters", "Clusters of the file whose bytes changed");
	for (size_t i = 0, n; i < diff->changed_count; i += n) {
		n = together(diff, i);
		show_clusters(diff, i, n);
	}
	diff->out.all += diff->changed_all - diff->changed_count;
	diff_section_end(&diff->out);
	return Q2S_OK;
}
