/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Places that a walk has been to. In a damaged image a million entries can lead to one table, which
 * is to be read and shown once; the work is then bounded by what is in the file.
 */
#ifndef INSPECT_SEEN_H
#define INSPECT_SEEN_H

#include <q2s/image.h>

/** More than this is refused: the set then has 32 MiB. */
#define SEEN_MAX (3u << 20)

/** A set of host offsets, for each kind of structure by itself. Start with zeros. */
struct seen {
	uint64_t *keys;
	size_t count;
	size_t room;
};

/** Free what it owns; a zeroed one is fine. */
void seen_free(struct seen *seen);

/**
 * Add a cluster.
 *
 * @at     its host offset, a multiple of 512
 * @kind   0 .. 510: what is looked for there
 * @again  receives whether it was in the set before
 *
 * Returns Q2S_OK, Q2S_E_LIMIT (more than SEEN_MAX), Q2S_E_NOMEM.
 */
enum q2s_err seen_add(struct seen *seen, q2s_host at, unsigned kind, bool *again,
		      struct q2s_diag *diag);

/** A table of @count entries of @entry_size bytes, of a @kind as for seen_add(). */
struct seen_table {
	q2s_host at;
	uint64_t count;
	uint32_t entry_size;
	unsigned kind;
};

/**
 * Add the clusters of a table, up to the first that is in the set already or past the end of @file.
 *
 * @fresh  receives how many entries lie before that one
 */
enum q2s_err seen_add_table(struct seen *seen, const struct q2s_file *file,
			    const struct q2s_geom *geom, const struct seen_table *table,
			    uint64_t *fresh, struct q2s_diag *diag);

#endif
