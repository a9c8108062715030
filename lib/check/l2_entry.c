/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* L2 entries that are not plain allocated clusters: broken, compressed, or flags alone. */
#include "l2.h"

#include "base/arith.h"
#include "base/bytes.h"
#include "base/diag.h"
#include "decoder.h"
#include "format/l2.h"

/* One entry as stored. */
struct raw_entry {
	const uint8_t *bytes;
	uint64_t desc;
	uint64_t map;
};

static struct raw_entry
entry_load(const struct q2si_l2_walk *walk, uint32_t index)
{
	const struct q2s_geom *geom = walk->ck->geom;
	const uint8_t *bytes = walk->raw + (size_t)index * geom->l2_entry_size;

	return (struct raw_entry){
		.bytes = bytes,
		.desc = q2si_get_be64(bytes),
		.map = geom->extended ? q2si_get_be64(bytes + 8) : 0,
	};
}

/* ---- broken entries ---------------------------------------------------------------------- */

static enum q2si_finding_id
broken_reserved(const struct q2s_geom *geom, const struct raw_entry *raw)
{
	const uint64_t known = Q2S_ENTRY_COPIED | Q2S_ENTRY_HOST_MASK | Q2S_ENTRY_ZERO;

	return geom->extended && !(raw->desc & ~known) ? Q2SI_FOUND_L2_EXTENDED_BIT0
						       : Q2SI_FOUND_L2_RESERVED;
}

/* The finding for a rule that a decoder saw broken. */
static enum q2si_finding_id
broken_rule(const struct q2s_geom *geom, enum q2s_err err, const struct raw_entry *raw)
{
	switch (err) {
	case Q2S_E_RESERVED:
		return broken_reserved(geom, raw);
	case Q2S_E_OFFSET:
		return Q2SI_FOUND_DATA_CLUSTER_UNALIGNED;
	case Q2S_E_COPIED:
		return Q2SI_FOUND_COMPRESSED_COPIED;
	case Q2S_E_ZERO_FLAG:
		return Q2SI_FOUND_L2_ZERO_FLAG;
	case Q2S_E_SUBCLUSTER:
		return raw->map >> 32 & raw->map ? Q2SI_FOUND_L2_SUBCLUSTER_BOTH
						 : Q2SI_FOUND_L2_SUBCLUSTER_NO_HOST;
	default: /* Q2S_E_COMPRESSED */
		if (geom->data_file)
			return Q2SI_FOUND_COMPRESSED_DATA_FILE;
		return raw->map ? Q2SI_FOUND_COMPRESSED_BITMAP : Q2SI_FOUND_COMPRESSED_OFFSET;
	}
}

/* What QEMU judges too, it judges once for each L1 entry that leads here. */
static void
report_broken(struct q2si_l2_walk *walk, uint32_t index, enum q2s_err err,
	      const struct raw_entry *raw)
{
	const enum q2si_finding_id id = broken_rule(walk->ck->geom, err, raw);
	const uint64_t times = id == Q2SI_FOUND_L2_ZERO_FLAG ? 1 : walk->table->refs;

	q2si_l2_report_entry(walk, id, index,
			     (struct q2si_place){ Q2SI_VALUES(raw->desc, 0), Q2SI_TIMES(times) });
}

/* An unaligned cluster touches two; QEMU counts both. */
static enum q2s_err
count_unaligned(struct q2si_l2_walk *walk, uint32_t index, uint64_t host)
{
	struct q2si_checker *ck = walk->ck;
	const uint64_t first = host >> ck->geom->cluster_bits;
	bool touched = false;

	q2si_l2_count_blocks(walk, host, 1);
	if (ck->geom->data_file)
		return Q2S_OK;
	if (q2si_past_end(ck, host, ck->geom->cluster_size)) {
		q2si_l2_report(walk, DATA_CLUSTER_PAST_END, index, Q2SI_VALUES(host, ck->file_size),
			       Q2SI_TIMES(walk->table->refs));
		return Q2S_OK;
	}
	return q2si_counts_add(&ck->counted, first, 2, walk->table->refs, &touched);
}

/*
 * A plain entry that cannot be read. What it points at is still not free, as for QEMU; but of an
 * entry whose bitmap contradicts itself QEMU looks at nothing but COPIED.
 */
static enum q2s_err
count_owned(struct q2si_l2_walk *walk, uint32_t index, const struct raw_entry *raw)
{
	const struct q2s_geom *geom = walk->ck->geom;
	const uint64_t host = raw->desc & Q2S_ENTRY_HOST_MASK;
	const struct q2si_l2_run run = { index, 1, host, raw->desc & Q2S_ENTRY_COPIED };
	const bool contradicts = raw->map >> 32 & raw->map;

	if (host == 0)
		return Q2S_OK;
	if (q2si_is_aligned(host, geom->cluster_size) && !contradicts)
		return q2si_l2_count_run(walk, &run);
	if (!geom->data_file)
		q2si_l2_check_copied(walk, &run, host >> geom->cluster_bits, 1);
	else if (!run.copied && walk->table->active)
		q2si_l2_report(walk, DATA_FILE_COPIED, index, Q2SI_TIMES(walk->table->active));
	return contradicts ? Q2S_OK : count_unaligned(walk, index, host);
}

/* ---- compressed clusters ----------------------------------------------------------------- */

/* One host cluster that a stream touches. */
static enum q2s_err
count_stream_cluster(struct q2si_l2_walk *walk, uint32_t index, uint64_t cluster)
{
	struct q2si_checker *ck = walk->ck;
	const bool known = q2si_counts_get(&ck->compressed, cluster) != 0;
	bool touched = false;

	Q2SI_TRY(q2si_counts_add(&ck->counted, cluster, 1, walk->table->refs, &touched));
	if (known)
		return Q2S_OK;
	if (touched && !q2si_l2_report_metadata(walk, index, 0, cluster, 1))
		q2si_l2_report(walk, OVERLAP_COMPRESSED, index, Q2SI_TIMES(0));
	return q2si_counts_add(&ck->compressed, cluster, 1, 1, &touched);
}

static void
check_stream(struct q2si_l2_walk *walk, uint32_t index, const struct q2s_l2_entry *entry)
{
	struct q2s_diag diag = { 0 };

	if (walk->ck->header->crypt_method != Q2S_CRYPT_NONE && !walk->ck->told_compressed_clear) {
		q2si_l2_report(walk, COMPRESSED_CLEAR, index);
		walk->ck->told_compressed_clear = true;
	}
	if (walk->decoder && !q2si_decodes(walk->decoder, entry, &diag))
		q2si_l2_report(walk, COMPRESSED_UNDECODABLE, index, .host = entry->comp_at,
			       .detail = diag.text);
}

static void
count_compressed_block(struct q2si_l2_walk *walk)
{
	struct q2s_check_result *result = &walk->ck->result;
	const uint64_t active = walk->table->active;

	result->allocated_clusters += active;
	result->compressed_clusters += active;
	result->fragmented_clusters += active;
}

static enum q2s_err
count_compressed(struct q2si_l2_walk *walk, uint32_t index, const struct q2s_l2_entry *entry)
{
	struct q2si_checker *ck = walk->ck;
	const struct q2s_comp_range range = q2s_comp_sectors(entry->comp_at, entry->comp_bytes);
	const struct q2si_clusters clusters = q2si_l2_clusters(ck->geom, entry);

	count_compressed_block(walk);
	if (q2si_past_end(ck, range.first.v, range.bytes)) {
		q2si_l2_report(walk, COMPRESSED_PAST_END, index,
			       Q2SI_VALUES(range.first.v + range.bytes, ck->file_size),
			       Q2SI_TIMES(walk->table->refs));
		return Q2S_OK;
	}
	check_stream(walk, index, entry);
	for (uint64_t i = 0; i < clusters.count; i++)
		Q2SI_TRY(count_stream_cluster(walk, index, clusters.first + i));
	return Q2S_OK;
}

/* QEMU takes a stream with a bitmap, or beyond the largest offset, for no reference. */
static enum q2s_err
count_broken_compressed(struct q2si_l2_walk *walk, const struct raw_entry *raw)
{
	if (!walk->ck->geom->data_file && !raw->map)
		count_compressed_block(walk);
	return Q2S_OK;
}

enum q2s_err
q2si_l2_count_entry(struct q2si_l2_walk *walk, uint32_t index)
{
	const struct q2s_geom *geom = walk->ck->geom;
	const struct raw_entry raw = entry_load(walk, index);
	const q2s_host at = q2si_l2_entry_at(walk, index);
	struct q2s_l2_entry entry;
	enum q2s_err strict, err;

	err = strict = q2s_l2_decode(geom, raw.bytes, at, &entry, NULL);
	if (strict != Q2S_OK) {
		report_broken(walk, index, strict, &raw);
		err = q2s_l2_decode_lenient(geom, raw.bytes, at, &entry, NULL);
	}
	if (err != Q2S_OK && err != strict)
		report_broken(walk, index, err, &raw);
	if (raw.desc & Q2S_ENTRY_COMPRESSED) {
		if (err != Q2S_OK || raw.map)
			return count_broken_compressed(walk, &raw);
		return count_compressed(walk, index, &entry);
	}
	if (err != Q2S_OK)
		return count_owned(walk, index, &raw);
	if (entry.has_host)
		return q2si_l2_count_run(
			walk, &(const struct q2si_l2_run){ index, 1, entry.host.v, entry.copied });
	/* QEMU sets COPIED on zeros at offset 0 of a data file. */
	if (raw.desc & Q2S_ENTRY_COPIED && !geom->data_file)
		q2si_l2_report(walk, L2_COPIED_EMPTY, index);
	return Q2S_OK;
}
