/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From the entries of tables that are at hand to runs: pure, for whoever reads an image. */
#ifndef Q2SI_IMAGE_RUN_H
#define Q2SI_IMAGE_RUN_H

#include <q2s/image.h>

/** Decode an L1 entry as QEMU reads it: reserved bits are masked, and only a check reports them. */
enum q2s_err q2si_l1_entry_read(const struct q2s_geom *geom, const uint8_t *raw, q2s_host at,
				struct q2s_l1_entry *out, struct q2s_diag *diag);
/** The first of @count raw L1 entries that is not empty, or @count. */
uint64_t q2si_l1_skip(const uint8_t *raw, uint64_t count);

/**
 * Entries of an L2 table, as stored.
 *
 * @raw    of entry 0 of the part, at host offset @at
 * @index  of the entry that is looked at
 * @end    no entry from here on matters; @index is below it
 */
struct q2si_l2_part {
	const struct q2s_geom *geom;
	const uint8_t *raw;
	q2s_host at;
	uint32_t index;
	uint32_t end;
};

/**
 * The part of the L2 table at @table that lies in one slice of @slice_size bytes (or in the whole
 * table, if that is less) and holds the entry of guest offset @guest; its raw bytes are the
 * caller's to find, at part->at. Only entries of [@guest, @guest + @max) matter.
 */
struct q2si_l2_part q2si_l2_part(const struct q2s_geom *geom, q2s_host table, uint32_t slice_size,
				 q2s_guest guest, uint64_t max);

/**
 * The run at @guest, whose entry is part->index: maximal within the part. Nothing is said of the
 * file: whether host clusters lie in it, or where a data file must have them.
 *
 * @entry  receives the first entry
 * @out    @once says only that all entries have COPIED
 */
enum q2s_err q2si_l2_run(const struct q2si_l2_part *part, q2s_guest guest,
			 struct q2s_l2_entry *entry, struct q2s_run *out, struct q2s_diag *diag);

/** In the external data file every cluster lies at its guest offset. Q2S_E_OFFSET, or Q2S_OK. */
enum q2s_err q2si_identity_check(const struct q2si_l2_part *part, q2s_guest guest,
				 const struct q2s_run *run, struct q2s_diag *diag);

#endif
