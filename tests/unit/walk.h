/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A made image, opened, with a walker over its active table. */
#ifndef Q2S_TESTS_WALK_H
#define Q2S_TESTS_WALK_H

#include <q2s/image.h>

#include "made.h"
#include "unit.h"

struct walk {
	struct q2s_store *file;
	struct q2s_image *image;
	struct q2s_map *map;
};

static inline struct walk
walk_start(struct made *made)
{
	struct walk walk;
	struct q2s_l1_table l1;

	made_finish(made);
	walk.file = made_file(made);
	assert_ok(q2s_image_open(walk.file, 0, &walk.image, &diag));
	l1 = q2s_image_active_l1(walk.image);
	assert_ok(q2s_map_open(walk.image, &l1, &walk.map, &diag));
	return walk;
}

static inline void
walk_end(struct walk *walk, struct made *made)
{
	q2s_map_close(walk->map);
	q2s_image_close(walk->image);
	q2s_store_unref(walk->file);
	made_free(made);
}

static inline struct q2s_run
run_at(struct walk *walk, uint64_t guest)
{
	struct q2s_run run;

	assert_ok(q2s_map_run(walk->map, (q2s_guest){ guest }, UINT64_MAX, &run, &diag));
	return run;
}

#endif
