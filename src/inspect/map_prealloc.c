/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Telling an image whose clusters were given out before anything was written into them. */
#include <stdlib.h>

#include <q2s/walk.h>

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

/* Add the used clusters that a refcount block tells of; @block has room for it. */
static enum q2s_err
add_block(const struct q2s_image *image, const uint8_t *raw, uint8_t *block, uint64_t n,
	  uint64_t enough, uint64_t *used)
{
	const struct q2s_geom *const geom = q2s_image_geom(image);
	q2s_host where;
	enum q2s_err err = q2s_reftable_decode(geom, raw, Q2S_NOWHERE, &where, NULL);

	if (err == Q2S_OK)
		err = q2s_store_read_padded(q2s_image_file(image), where.v, block,
					    geom->cluster_size, NULL, NULL);
	if (err == Q2S_OK)
		*used += count_used(geom, block, n, enough - *used);
	return err;
}

bool
image_is_preallocated(const struct q2s_image *image)
{
	const struct q2s_geom *const geom = q2s_image_geom(image);
	const struct q2s_store *const file = q2s_image_file(image);
	const uint64_t end = q2si_div_up(q2s_store_size(file), geom->cluster_size);
	const uint64_t real = q2s_store_allocated(file) / geom->cluster_size;
	const uint64_t enough = q2si_max(real * 10 / 9, real + 2);
	const uint64_t blocks = q2si_div_up(end, geom->block_entries);
	uint8_t *const block = malloc(geom->cluster_size);
	struct q2s_table table = { 0 };
	const uint8_t *raw;
	uint64_t used = 0;
	enum q2s_err err = block ? q2s_header_check_tables(q2s_image_header(image), NULL)
				 : Q2S_E_NOMEM;

	if (err == Q2S_OK)
		err = q2s_table_open_refcounts(image, &table, NULL);
	for (uint64_t i = 0; used < enough && err == Q2S_OK; i++) {
		err = q2s_table_next(&table, &i, &raw, NULL);
		if (err != Q2S_OK || i >= q2si_min(blocks, table.count))
			break;
		err = add_block(image, raw, block,
				q2si_min(geom->block_entries, end - i * geom->block_entries),
				enough, &used);
	}
	q2s_table_close(&table);
	free(block);
	return err == Q2S_OK && used >= enough;
}
