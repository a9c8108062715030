/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One output on its way: the pieces of a plan, or a whole disk, into a sink. It is cut into parcels
 * of a few parts each. A thread takes a parcel, makes those parts that have to be made (decoded,
 * encrypted, compressed again) while others make theirs, and the parcels are written in order.
 */
#ifndef Q2SI_EMIT_EMISSION_H
#define Q2SI_EMIT_EMISSION_H

#include <q2s/emit.h>

#include "disk/scout.h"
#include "emit/encoder.h"

#define Q2SI_PARCEL_BYTES (1u << 20) /* to make; more only where one cluster is larger */
#define Q2SI_PARCEL_PARTS 64u

/**
 * A stretch of the output that is written in one way.
 *
 * @piece   where it comes from
 * @extent  guest bytes that are not made: where they lie plainly
 * @size    bytes to make, which may be more than are written; 0: none, it is written as it lies
 * @made    those bytes, once they are made
 */
struct q2si_part {
	struct q2s_piece piece;
	struct q2s_extent extent;
	size_t size;
	const uint8_t *made;
};

/** What a thread works on. What only making needs is there once something is made. */
struct q2si_parcel {
	struct q2si_part parts[Q2SI_PARCEL_PARTS];
	size_t count;
	size_t size; /* to make, of all parts */
	uint8_t *buffer;
	size_t buffer_size;
	struct q2s_cursor *cursor;
	struct q2s_cipher *cipher;
	struct q2si_encoder *encoder;
	uint8_t *cluster; /* what the encoder gets */
};

/**
 * What all parcels have in common.
 *
 * @plan     or NULL: the disk itself is the output
 * @disk     or NULL, where nothing but metadata is written
 * @options  the range is resolved: from @from to @until
 * @pieces   who takes asks it for what comes next, while who writes gets metadata from it
 */
struct q2si_emission {
	const struct q2s_plan *plan;
	struct q2s_disk *disk;
	struct q2s_sink *sink;
	struct q2s_emit_options options;

	uint64_t first; /* sink position of the first byte */
	struct q2s_pieces *pieces;
	struct q2s_piece ahead;    /* what was not taken yet of the piece that comes next */
	struct q2s_cursor *cursor; /* for the extents */
	struct q2si_scout scout;

	/* the writer's alone */
	uint8_t *buffer;
	struct q2s_cursor *reader; /* or NULL */
};

/** Write it all, and verify that it is as much as planned, of a source that did not change. */
enum q2s_err q2si_emission_run(struct q2si_emission *emission, struct q2s_diag *diag);

/** Read the next piece, and cut it at the end of the range. */
enum q2s_err q2si_emission_look(struct q2si_emission *emission, struct q2s_diag *diag);

/** Fill @parcel with what comes next; it stays empty at the end. */
enum q2s_err q2si_parcel_take(struct q2si_emission *emission, struct q2si_parcel *parcel,
			      struct q2s_diag *diag);

/** Make what has to be made. */
enum q2s_err q2si_parcel_make(const struct q2si_emission *emission, struct q2si_parcel *parcel,
			      struct q2s_diag *diag);

/** Write all of it. */
enum q2s_err q2si_parcel_write(struct q2si_emission *emission, const struct q2si_parcel *parcel,
			       struct q2s_diag *diag);

void q2si_parcel_free(struct q2si_parcel *parcel);

/** Tell the observer how far it is; Q2S_E_CANCELLED when it wants no more. */
enum q2s_err q2si_emission_observe(const struct q2si_emission *emission, struct q2s_diag *diag);

/** Are compressed clusters compressed a second time, as no spool has them? */
static inline bool
q2si_emission_encodes(const struct q2si_emission *emission)
{
	return emission->options.how && !emission->options.spool;
}

#endif
