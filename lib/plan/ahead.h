/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading ahead for the scan. It looks at a few bytes of each cluster, which the kernel takes for
 * random reading and does not anticipate; and whoever has scanned a disk will read all its data.
 */
#ifndef Q2SI_PLAN_AHEAD_H
#define Q2SI_PLAN_AHEAD_H

#include <stdatomic.h>
#include <stdbool.h>

#include <q2s/disk.h>

/** Bytes that may still be read for later, by all threads together. */
struct q2si_ahead_budget {
	_Atomic uint64_t left;
};

/** What one thread has seen to. Zero-initialise, then set @budget. */
struct q2si_ahead {
	struct q2si_ahead_budget *budget;
	const struct q2s_store *file;
	uint64_t from, until; /* of @file: in the cache, or on its way */
};

/**
 * @read_again  all data will be: then as much as stays in the kernel's cache until that time, as
 *              far as one can know; else nothing
 */
void q2si_ahead_budget_init(struct q2si_ahead_budget *budget, bool read_again);

/**
 * The bytes of @extent from @skip on will be looked at, in order: see to it that the kernel is
 * ahead.
 *
 * @len   how far it goes on in this extent, at least
 * @step, @peek  the first @peek bytes of each @step are wanted now; equal: all bytes
 */
void q2si_ahead(struct q2si_ahead *ahead, const struct q2s_extent *extent, uint64_t skip,
		uint64_t len, uint32_t step, uint32_t peek);

#endif
