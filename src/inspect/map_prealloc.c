/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Telling an image whose clusters were given out before anything was written into them. */
#include <stdlib.h>

#include "base/arith.h"
#include "inspect/map.h"

/* How many of the @n first counts of @block are not 0, as far as @enough. */
static uint64_t
count_used(const struct q2s_geom *geom, const uint8_t *block, uint64_t n, uint64_t enough)
{
	uint64_t used = 0;

	for (uint32_t i = 0; i < n && used < enough; i++)
		used += q2s_refcount_get(geom, block, i) != 0;
	return used;
}

/* Add the used clusters that refcount block @index tells of; @block has room for it. */
static enum q2s_err
add_block(const struct q2s_image *image, uint64_t index, uint8_t *block, uint64_t n,
	  uint64_t enough, uint64_t *used)
{
	const struct q2s_header *const header = q2s_image_header(image);
	const struct q2s_geom *const geom = q2s_image_geom(image);
	struct q2s_file *const file = q2s_image_file(image);
	const q2s_host at = { header->refcount_table_offset.v + index * Q2S_REFTABLE_ENTRY_SIZE };
	uint8_t raw[Q2S_REFTABLE_ENTRY_SIZE];
	q2s_host where;
	enum q2s_err err = q2s_file_read_padded(file, at.v, raw, sizeof(raw), NULL, NULL);

	if (err == Q2S_OK)
		err = q2s_reftable_decode(geom, raw, at, &where, NULL);
	if (err != Q2S_OK || where.v == 0)
		return err;
	err = q2s_file_read_padded(file, where.v, block, geom->cluster_size, NULL, NULL);
	if (err == Q2S_OK)
		*used += count_used(geom, block, n, enough - *used);
	return err;
}

bool
image_is_preallocated(const struct q2s_image *image)
{
	const struct q2s_header *const header = q2s_image_header(image);
	const struct q2s_geom *const geom = q2s_image_geom(image);
	const struct q2s_file *const file = q2s_image_file(image);
	const uint64_t end = q2si_div_up(q2s_file_size(file), geom->cluster_size);
	const uint64_t real = q2s_file_allocated(file) / geom->cluster_size;
	const uint64_t enough = q2si_max(real * 10 / 9, real + 2);
	const uint64_t blocks =
		q2si_min(q2si_div_up(end, geom->block_entries),
			 ((uint64_t)header->refcount_table_clusters << geom->cluster_bits) /
				 Q2S_REFTABLE_ENTRY_SIZE);
	uint8_t *const block = malloc(geom->cluster_size);
	enum q2s_err err = block ? Q2S_OK : Q2S_E_NOMEM;
	uint64_t used = 0;

	if (q2s_header_check_tables(header, NULL) != Q2S_OK)
		err = Q2S_E_REFCOUNT;
	for (uint64_t i = 0; i < blocks && used < enough && err == Q2S_OK; i++)
		err = add_block(image, i, block,
				q2si_min(geom->block_entries, end - i * geom->block_entries),
				enough, &used);
	free(block);
	return err == Q2S_OK && used >= enough;
}
