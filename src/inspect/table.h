/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A table of an image, read a piece at a time: also a damaged one, also one of 32 MiB. */
#ifndef INSPECT_TABLE_H
#define INSPECT_TABLE_H

#include <q2s/io.h>

#define TABLE_PIECE 65536u

/**
 * A table of fixed-size entries. Zero-initialised by table_open(); owns one buffer.
 *
 * @at, @count, @entry_size  what it is
 * @buf                      entries from @first on, @held of them
 */
struct table {
	struct q2s_file *file;
	q2s_host at;
	uint64_t count;
	uint32_t entry_size;
	uint8_t *buf;
	uint64_t first;
	uint64_t held;
};

/**
 * @what  for messages
 * Fails with Q2S_E_TRUNCATED when the table starts past the end of the file, Q2S_E_NOMEM.
 */
enum q2s_err table_open(struct q2s_file *file, q2s_host at, uint64_t count, uint32_t entry_size,
			const char *what, struct table *out, struct q2s_diag *diag);
void table_close(struct table *table); /* a zeroed one is fine */

/** Where entry @index lies. */
q2s_host table_at(const struct table *table, uint64_t index);

/**
 * The bytes of entry @index < count, valid until the next call; zeros past the end of the file.
 * Fastest in ascending order.
 */
enum q2s_err table_get(struct table *table, uint64_t index, const uint8_t **raw,
		       struct q2s_diag *diag);

/** The first index >= @index of an entry that is not all zeros, or count. */
enum q2s_err table_next(struct table *table, uint64_t index, uint64_t *out, struct q2s_diag *diag);

#endif
