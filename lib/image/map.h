/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The walker over one L1 table: what its files share. */
#ifndef Q2SI_IMAGE_MAP_H
#define Q2SI_IMAGE_MAP_H

#include "decode.h"
#include "image.h"
#include "run.h"
#include "shared.h"

/**
 * @active  not the table of a snapshot, where COPIED means nothing
 * @shared  slices of tables, for q2si_map_run_near(); NULL: whole tables only
 * @l1      NULL, or a part of the L1 table: entries [@l1_first, @l1_first + @l1_count)
 * @l2      NULL, or the L2 table behind L1 entry @l2_index, one cluster; valid when @has_l2
 * @slice   the number of the slice of L2 entries that was asked for last, counted in guest order
 * @end     guest offset behind the run that was found last
 * @in_row  how many slices were asked for in a row
 */
struct q2s_map {
	const struct q2s_image *image;
	struct q2s_l1_table table;
	bool active;
	struct q2si_shared *shared;
	uint8_t *l1;
	uint64_t l1_first;
	uint64_t l1_count;
	uint8_t *l2;
	uint64_t l2_index;
	bool has_l2;
	uint64_t slice;
	uint64_t end;
	unsigned in_row;
	struct q2si_decoder decoder;
};

/** As q2s_map_next_table(), but looks at no entry from @limit on; *@out is at most @limit. */
enum q2s_err q2si_map_next_below(struct q2s_map *map, uint64_t index, uint64_t limit,
				 uint64_t *out, struct q2s_diag *diag);

/** As q2s_map_open(); @shared outlives the map. */
enum q2s_err q2si_map_open_shared(struct q2s_image *image, const struct q2s_l1_table *l1,
				  struct q2si_shared *shared, struct q2s_map **out,
				  struct q2s_diag *diag);

/**
 * As q2s_map_run(), for who comes back for more: the run may also end where the slice of a table
 * ends, and less is read for it. Who asks for one slice after the other gets whole tables, which
 * are read past the shared slices and leave these to the others.
 */
enum q2s_err q2si_map_run_near(struct q2s_map *map, q2s_guest guest, uint64_t max,
			       struct q2s_run *out, struct q2s_diag *diag);

#endif
