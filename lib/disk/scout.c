/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "disk/scout.h"

#include <q2s/http.h>

#include "base/arith.h"

/* Data that is announced: two of the largest requests. What of it waits in memory is the store's. */
#define WINDOW (128u << 20)
#define STEP (1u << 20)

static bool
is_remote(const struct q2s_disk *disk)
{
	const struct q2s_store *file;

	for (size_t i = 0; (file = q2s_disk_file(disk, i)); i++)
		if (q2s_store_is_remote(file))
			return true;
	return false;
}

enum q2s_err
q2si_scout_open(struct q2si_scout *scout, struct q2s_disk *disk, struct q2s_diag *diag)
{
	return is_remote(disk) ? q2s_cursor_open(disk, &scout->cursor, diag) : Q2S_OK;
}

void
q2si_scout_close(struct q2si_scout *scout)
{
	q2s_cursor_close(scout->cursor);
	scout->cursor = NULL;
}

/* What lies before @guest has been read. */
static void
catch_up(struct q2si_scout *scout, uint64_t guest)
{
	while (scout->count > 0 && scout->ends[scout->first] <= guest) {
		scout->ahead -= scout->sizes[scout->first];
		scout->first = (scout->first + 1) % Q2SI_SCOUT_STEPS;
		scout->count--;
	}
	scout->at = q2si_max(scout->at, guest);
}

static void
note(struct q2si_scout *scout, uint64_t end, uint64_t size)
{
	const size_t last = (scout->first + scout->count++) % Q2SI_SCOUT_STEPS;

	scout->ends[last] = end;
	scout->sizes[last] = (uint32_t)size;
	scout->ahead += size;
}

/* One extent further; false when it cannot be said what comes. */
static bool
step(struct q2si_scout *scout, uint64_t size)
{
	struct q2s_extent extent;

	if (q2s_cursor_extent(scout->cursor, (q2s_guest){ scout->at },
			      q2si_min(STEP, size - scout->at), &extent, NULL) != Q2S_OK)
		return false;
	if (extent.state == Q2S_DATA) {
		(void)q2si_cursor_will_read(scout->cursor, (q2s_guest){ scout->at }, extent.len);
		note(scout, scout->at + extent.len, extent.len);
	}
	scout->at += extent.len;
	return true;
}

void
q2si_scout_move(struct q2si_scout *scout, uint64_t guest, uint64_t max)
{
	if (!scout->cursor)
		return;
	const uint64_t size = q2s_disk_size(scout->cursor->disk);

	catch_up(scout, guest);
	while (scout->at < size && scout->ahead < q2si_min(WINDOW, max) &&
	       scout->count < Q2SI_SCOUT_STEPS && step(scout, size))
		;
}
