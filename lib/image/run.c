/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From L2 entries to maximal runs. A fully written terabyte has 16.7 million entries, of which
 * nearly all repeat their predecessor one cluster further on: those are compared as raw words, and
 * only where the pattern breaks is an entry decoded.
 */
#include "run.h"

#include <inttypes.h>
#include <string.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "base/diag.h"

/* ---- L1 ------------------------------------------------------------------------------------ */

enum q2s_err
q2si_l1_entry_read(const struct q2s_geom *geom, const uint8_t *raw, q2s_host at,
		   struct q2s_l1_entry *out, struct q2s_diag *diag)
{
	uint8_t clean[Q2S_L1_ENTRY_SIZE];

	q2si_put_be64(clean, q2si_get_be64(raw) & (Q2S_ENTRY_HOST_MASK | Q2S_ENTRY_COPIED));
	return q2s_l1_decode(geom, clean, at, out, diag);
}

/* Raw entries without an offset are empty, whatever their other bits, as in QEMU. */
uint64_t
q2si_l1_skip(const uint8_t *raw, uint64_t count)
{
	const uint64_t mask = htobe64(Q2S_ENTRY_HOST_MASK);

	for (uint64_t i = 0; i < count; i++) {
		uint64_t word;

		memcpy(&word, raw + i * Q2S_L1_ENTRY_SIZE, sizeof(word));
		if (word & mask)
			return i;
	}
	return count;
}

/* ---- L2 ------------------------------------------------------------------------------------ */

static const uint8_t *
part_raw(const struct q2si_l2_part *part)
{
	return part->raw + (size_t)part->index * part->geom->l2_entry_size;
}

/* Host offset of the entry that is looked at. */
static q2s_host
part_at(const struct q2si_l2_part *part)
{
	return (q2s_host){ part->at.v + (uint64_t)part->index * part->geom->l2_entry_size };
}

static enum q2s_err
part_decode(const struct q2si_l2_part *part, struct q2s_l2_entry *out, struct q2s_diag *diag)
{
	return q2s_l2_decode_lenient(part->geom, part_raw(part), part_at(part), out, diag);
}

struct q2si_l2_part
q2si_l2_part(const struct q2s_geom *geom, q2s_host table, uint32_t slice_size, q2s_guest guest,
	     uint64_t max)
{
	const uint64_t wanted = (q2s_in_cluster(geom, guest) + max - 1) >> geom->cluster_bits;
	const uint32_t count =
		(uint32_t)q2si_min(geom->l2_entries, slice_size / geom->l2_entry_size);
	const uint32_t first = q2s_l2_index(geom, guest) & ~(count - 1);
	const uint32_t index = q2s_l2_index(geom, guest) - first;

	return (struct q2si_l2_part){
		.geom = geom,
		.at = { table.v + (uint64_t)first * geom->l2_entry_size },
		.index = index,
		.end = (uint32_t)q2si_min(count, index + wanted + 1),
	};
}

/* How many subclusters of @entry from @sub on read as @state. */
static uint32_t
subs_alike(const struct q2s_geom *geom, const struct q2s_l2_entry *entry, enum q2s_state state,
	   uint32_t sub)
{
	uint32_t in_state, others;

	if (state == Q2S_DATA)
		in_state = entry->alloc;
	else if (state == Q2S_ZERO)
		in_state = entry->zero;
	else
		in_state = ~(entry->alloc | entry->zero);
	others = (~in_state & geom->sub_mask) >> sub;
	return others ? (uint32_t)__builtin_ctz(others) : geom->sub_count - sub;
}

/*
 * The number of entries at @raw, at most @max, of which each is the one before it plus @step;
 * @word is the one before the first.
 */
static uint32_t
words_repeat(const uint8_t *raw, uint32_t max, uint64_t word, uint64_t step)
{
	uint32_t n = 0;

	/* Four at a time, because a branch a word is what this loop would otherwise cost. */
	for (; n + 4 <= max; n += 4, word += 4 * step) {
		const uint8_t *at = raw + (size_t)n * Q2S_L2_ENTRY_SIZE;

		if ((q2si_get_be64(at) ^ (word + step)) | (q2si_get_be64(at + 8) ^ (word + 2 * step)) |
		    (q2si_get_be64(at + 16) ^ (word + 3 * step)) |
		    (q2si_get_be64(at + 24) ^ (word + 4 * step)))
			break;
	}
	while (n < max && q2si_get_be64(raw + (size_t)n * Q2S_L2_ENTRY_SIZE) == word + step) {
		word += step;
		n++;
	}
	return n;
}

/* The same for extended entries, whose bitmaps must all be @bitmap (in the file's byte order). */
static uint32_t
pairs_repeat(const uint8_t *raw, uint32_t max, uint64_t word, uint64_t step, const uint8_t *bitmap)
{
	const uint64_t same = q2si_get_be64(bitmap);
	uint32_t n = 0;

	for (; n < max; n++, raw += Q2S_L2X_ENTRY_SIZE) {
		word += step;
		if ((q2si_get_be64(raw) ^ word) | (q2si_get_be64(raw + 8) ^ same))
			break;
	}
	return n;
}

/*
 * The entry at @part reads alike in all its subclusters: the number of entries behind it that
 * repeat it, each one cluster further on in the host if it has a host cluster.
 */
static uint32_t
entries_repeat(const struct q2si_l2_part *part, const struct q2s_l2_entry *entry)
{
	const uint32_t size = part->geom->l2_entry_size;
	const uint64_t step = entry->has_host ? part->geom->cluster_size : 0;
	const uint8_t *raw = part_raw(part);
	uint64_t max = part->end - part->index - 1;

	/* The sum must not leave the offset's bits, where it would look like flags. */
	if (step)
		max = q2si_min(max, (Q2S_HOST_OFFSET_LIMIT - 1 - entry->host.v) / step);
	if (!part->geom->extended)
		return words_repeat(raw + size, (uint32_t)max, q2si_get_be64(raw), step);
	return pairs_repeat(raw + size, (uint32_t)max, q2si_get_be64(raw), step, raw + 8);
}

/* Does @next, whose start is @clusters behind @first, continue a run of @state? */
static bool
continues(const struct q2s_geom *geom, const struct q2s_l2_entry *first, uint64_t clusters,
	  enum q2s_state state, const struct q2s_l2_entry *next)
{
	if (next->compressed || q2s_l2_state(next, 0) != state || next->has_host != first->has_host)
		return false;
	return !next->has_host || next->host.v == first->host.v + clusters * geom->cluster_size;
}

/*
 * The number of subclusters from @sub of the plain @first on that read alike and lie in a row. A
 * damaged entry ends the run before it: what lies before the damage can be read. @copied: of all.
 */
static uint64_t
run_measure(struct q2si_l2_part *part, const struct q2s_l2_entry *first, uint32_t sub, bool *copied)
{
	const struct q2s_geom *geom = part->geom;
	const enum q2s_state state = q2s_l2_state(first, sub);
	const uint32_t start = part->index;
	struct q2s_l2_entry entry = *first;
	uint64_t subs = subs_alike(geom, first, state, sub);

	*copied = first->copied;
	if (sub + subs < geom->sub_count)
		return subs;
	for (;;) {
		uint32_t alike = subs_alike(geom, &entry, state, 0);

		if (alike == geom->sub_count) {
			const uint32_t n = entries_repeat(part, &entry);

			part->index += n;
			subs += (uint64_t)n * geom->sub_count;
		}
		if (++part->index >= part->end || part_decode(part, &entry, NULL) != Q2S_OK ||
		    !continues(geom, first, part->index - start, state, &entry))
			return subs;
		*copied = *copied && entry.copied;
		alike = subs_alike(geom, &entry, state, 0);
		subs += alike;
		if (alike < geom->sub_count)
			return subs;
	}
}

static enum q2s_err
run_plain(const struct q2si_l2_part *part, q2s_guest guest, const struct q2s_l2_entry *entry,
	  struct q2s_run *out)
{
	const struct q2s_geom *geom = part->geom;
	const uint32_t sub = q2s_sub_index(geom, guest);
	const uint32_t in_sub = (uint32_t)guest.v & (geom->sub_size - 1);
	struct q2si_l2_part place = *part;
	bool copied;

	*out = (struct q2s_run){ .state = q2s_l2_state(entry, sub), .has_host = entry->has_host };
	if (entry->has_host)
		out->host.v = entry->host.v + q2s_in_cluster(geom, guest);
	out->len = (run_measure(&place, entry, sub, &copied) << geom->sub_bits) - in_sub;
	out->once = copied && out->state == Q2S_DATA;
	return Q2S_OK;
}

enum q2s_err
q2si_l2_run(const struct q2si_l2_part *part, q2s_guest guest, struct q2s_l2_entry *entry,
	    struct q2s_run *out, struct q2s_diag *diag)
{
	Q2SI_TRY(part_decode(part, entry, diag));
	if (!entry->compressed)
		return run_plain(part, guest, entry, out);
	*out = (struct q2s_run){ .len = part->geom->cluster_size -
					q2s_in_cluster(part->geom, guest),
				 .state = Q2S_DATA,
				 .compressed = true,
				 .has_host = true,
				 .host = entry->comp_at,
				 .comp_bytes = entry->comp_bytes };
	return Q2S_OK;
}

enum q2s_err
q2si_identity_check(const struct q2si_l2_part *part, q2s_guest guest, const struct q2s_run *run,
		    struct q2s_diag *diag)
{
	const uint64_t cluster = q2si_round_down(guest.v, part->geom->cluster_size);
	const uint64_t found = q2si_round_down(run->host.v, part->geom->cluster_size);

	if (!part->geom->data_file || !run->has_host || run->compressed || found == cluster ||
	    (run->state != Q2S_DATA && found == 0))
		return Q2S_OK;
	return q2si_fail(diag, Q2S_E_OFFSET, "L2 entry", part_at(part), found,
			 "not the guest offset 0x%" PRIx64 ", as with a data file it must be",
			 cluster);
}
