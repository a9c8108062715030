/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The active L1 table: judged entry by entry, and the source of most L2 tables. */
#include "l1.h"

#include "base/arith.h"
#include "base/bytes.h"
#include "base/diag.h"

struct q2si_words
q2si_l1_words(const struct q2si_checker *ck, uint64_t at, uint64_t entries, uint64_t weight)
{
	const uint64_t left = at < ck->file_size ? ck->file_size - at : 0;
	const uint64_t fit = q2si_div_up(left, Q2S_L1_ENTRY_SIZE);

	return (struct q2si_words){ at, q2si_min(entries, fit), weight };
}

/* An entry without an L2 table. @guest: NULL in a table of a snapshot. */
static void
check_empty(struct q2si_checker *ck, q2s_host at, const uint8_t *raw, const q2s_guest *guest)
{
	if (q2si_get_be64(raw) & Q2S_ENTRY_COPIED)
		q2si_report(ck, L1_COPIED_EMPTY, .host = at, .has_guest = guest != NULL,
			    .guest = guest ? *guest : (q2s_guest){ 0 });
}

bool
q2si_l1_entry(struct q2si_checker *ck, q2s_host at, const uint8_t *raw, const q2s_guest *guest,
	      struct q2s_l1_entry *out)
{
	enum q2s_err err = q2s_l1_decode(ck->geom, raw, at, out, NULL);

	if (err == Q2S_E_RESERVED) {
		const uint64_t value = q2si_get_be64(raw);
		const uint64_t legal = value & (Q2S_ENTRY_COPIED | Q2S_ENTRY_HOST_MASK);
		uint8_t masked[Q2S_L1_ENTRY_SIZE];

		q2si_report(ck, L1_RESERVED, .host = at, Q2SI_VALUES(value, legal));
		q2si_put_be64(masked, legal);
		err = q2s_l1_decode(ck->geom, masked, at, out, NULL);
	}
	if (err != Q2S_OK) {
		const uint64_t l2 = q2si_get_be64(raw) & Q2S_ENTRY_HOST_MASK;

		q2si_report(ck, L2_TABLE_UNALIGNED, .host = at,
			    Q2SI_VALUES(l2, q2si_round_down(l2, ck->geom->cluster_size)));
		return false;
	}
	if (out->l2.v == 0) {
		check_empty(ck, at, raw, guest);
		return false;
	}
	if (out->l2.v >> ck->geom->cluster_bits >= ck->file_clusters) {
		q2si_report(ck, L2_TABLE_PAST_END, .host = at,
			    Q2SI_VALUES(out->l2.v, ck->file_size));
		return false;
	}
	return true;
}

/* The flag is judged wherever the entry leads, as in QEMU. */
static void
check_copied(struct q2si_checker *ck, q2s_host at, q2s_guest guest, uint64_t entry)
{
	const uint64_t l2 = entry & Q2S_ENTRY_HOST_MASK;
	const bool copied = entry & Q2S_ENTRY_COPIED;
	uint64_t refs;

	if (l2 == 0)
		return;
	refs = q2si_stored_count(ck, l2 >> ck->geom->cluster_bits);
	if (copied && refs != 1)
		q2si_report(ck, L1_COPIED_SET, .host = at, .has_guest = true, .guest = guest,
			    Q2SI_VALUES(refs, 1));
	if (!copied && refs == 1)
		q2si_report(ck, L1_COPIED_CLEAR, .host = at, .has_guest = true, .guest = guest);
}

static enum q2s_err
visit_entry(struct q2si_checker *ck, void *opaque, q2s_host at, const uint8_t *raw, uint64_t weight)
{
	const uint64_t index = (at.v - ck->header->l1_table_offset.v) / Q2S_L1_ENTRY_SIZE;
	const q2s_guest guest = { index * ck->geom->l2_span };
	struct q2s_l1_entry entry;
	struct q2si_table table;

	(void)opaque;
	check_copied(ck, at, guest, q2si_get_be64(raw));
	if (!q2si_l1_entry(ck, at, raw, &guest, &entry))
		return Q2S_OK;
	if (index >= ck->geom->l1_entries)
		q2si_report(ck, L1_PAST_DISK, .host = at);
	table = (struct q2si_table){ .cluster = entry.l2.v >> ck->geom->cluster_bits,
				     .refs = weight,
				     .active = 1,
				     .l1_index = (uint32_t)index };
	return q2si_tables_add(&ck->tables, &table);
}

enum q2s_err
q2si_check_active_l1(struct q2si_checker *ck)
{
	const uint64_t at = ck->header->l1_table_offset.v;
	const uint64_t entries = ck->header->l1_size;
	const struct q2si_words words = q2si_l1_words(ck, at, entries, 1);

	Q2SI_TRY(q2si_count_structure(ck, Q2S_STRUCTURE_L1, at, entries * Q2S_L1_ENTRY_SIZE,
				      Q2SI_FOUND_L1_TABLE_PAST_END));
	return q2si_visit_words(ck, &words, 1, "L1 table", visit_entry, NULL);
}
