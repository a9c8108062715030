/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The walker over one L1 table: what its files share. */
#ifndef Q2SI_IMAGE_MAP_H
#define Q2SI_IMAGE_MAP_H

#include "decode.h"
#include "image.h"

/**
 * @active  not the table of a snapshot, where COPIED means nothing
 * @l1     a slice of the L1 table: entries [@l1_first, @l1_first + @l1_count)
 * @l2     the L2 table behind L1 entry @l2_index, one cluster; valid when @has_l2
 */
struct q2s_map {
	const struct q2s_image *image;
	struct q2s_l1_table table;
	bool active;
	uint8_t *l1;
	uint64_t l1_first;
	uint64_t l1_count;
	uint8_t *l2;
	uint64_t l2_index;
	bool has_l2;
	struct q2si_decoder decoder;
};

/** As q2s_map_next_table(), but looks at no entry from @limit on; *@out is at most @limit. */
enum q2s_err q2si_map_next_below(struct q2s_map *map, uint64_t index, uint64_t limit,
				 uint64_t *out, struct q2s_diag *diag);

#endif
