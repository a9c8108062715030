/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Judging regions, and painting them over each other. All boundaries cut the disk into intervals;
 * regions are laid down from the last to the first, each on what is still free of its intervals.
 */
#include "create/regions.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/fault.h"

/* ---- does it fit? ------------------------------------------------------------------------ */

static uint64_t
end_of(const struct region *region)
{
	return region->start + region->len;
}

static enum q2s_err
check_place(const struct region *region, const struct q2s_geom *geom, struct q2s_diag *diag)
{
	const bool whole = region->kind == REGION_COMPRESSED || !geom->extended;
	const uint64_t unit = whole ? geom->cluster_size : geom->sub_size;
	const uint64_t end = end_of(region);

	if (end > geom->size)
		return spec_fault(diag, Q2S_E_USAGE, region,
				  "leaves the disk of %" PRIu64 " bytes", geom->size);
	if (region->start % unit == 0 && (end % unit == 0 || end == geom->size))
		return Q2S_OK;
	return spec_fault(diag, Q2S_E_USAGE, region,
			  "is finer than the granularity here, %s of %" PRIu64 " bytes",
			  whole ? "clusters" : "subclusters", unit);
}

/* Why an image cannot hold this kind; NULL when it can. */
static const char *
objection(enum region_kind kind, const struct q2s_spec *image)
{
	switch (kind) {
	case REGION_DATA:
		break;
	case REGION_ZERO:
		if (image->geom.version < 3 && image->backing_name.data)
			return "needs compat=v3 (1.1): version 2 cannot hide a backing file by zeros";
		break;
	case REGION_DISCARD:
		if (image->data_file_raw)
			return "contradicts data_file_raw, which keeps every cluster allocated";
		break;
	case REGION_ZERO_ALLOC:
		if (image->geom.version < 3)
			return "needs compat=v3 (1.1): version 2 has no zero clusters";
		break;
	case REGION_COMPRESSED:
		if (image->geom.data_file)
			return "contradicts data_file, which holds no compressed clusters";
		break;
	}
	return NULL;
}

static enum q2s_err
check_region(const struct region *region, const struct q2s_spec *image, struct q2s_diag *diag)
{
	const char *const why = objection(region->kind, image);

	if (why)
		return spec_fault(diag, Q2S_E_CONFLICT, region, "%s", why);
	return check_place(region, &image->geom, diag);
}

/* A later region may have left us a part of a compressed cluster. */
static enum q2s_err
check_whole(const struct regions *regions, const struct q2s_geom *geom, struct q2s_diag *diag)
{
	for (size_t i = 0; i < regions->count; i++) {
		const struct region *const region = &regions->list[i];

		if (region->kind == REGION_COMPRESSED &&
		    check_place(region, geom, NULL) != Q2S_OK)
			return spec_fault(diag, Q2S_E_CONFLICT, region,
					  "is overridden within a cluster of %" PRIu32
					  " bytes, which is compressed as a whole",
					  geom->cluster_size);
	}
	return Q2S_OK;
}

/* ---- painting ---------------------------------------------------------------------------- */

/*
 * @bounds  all starts and ends, ascending; interval k is [bounds[k], bounds[k + 1])
 * @owner   of each interval: 1 + its region, or 0
 * @free    of each interval: itself while it is free, else a later one to look at next
 */
struct canvas {
	uint64_t *bounds;
	size_t count;
	size_t *owner;
	size_t *free;
};

static int
compare(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void
canvas_free(struct canvas *canvas)
{
	free(canvas->bounds);
	free(canvas->owner);
	free(canvas->free);
}

static bool
canvas_init(struct canvas *canvas, const struct spec_list *specs)
{
	size_t kept = 0;

	canvas->bounds = calloc(2 * specs->count, sizeof(*canvas->bounds));
	canvas->owner = calloc(2 * specs->count, sizeof(*canvas->owner));
	canvas->free = calloc(2 * specs->count, sizeof(*canvas->free));
	if (!canvas->bounds || !canvas->owner || !canvas->free)
		return false;
	for (size_t i = 0; i < specs->count; i++) {
		canvas->bounds[2 * i] = specs->items[i].start;
		canvas->bounds[2 * i + 1] = end_of(&specs->items[i]);
	}
	qsort(canvas->bounds, 2 * specs->count, sizeof(*canvas->bounds), compare);
	for (size_t i = 0; i < 2 * specs->count; i++)
		if (kept == 0 || canvas->bounds[kept - 1] != canvas->bounds[i])
			canvas->bounds[kept++] = canvas->bounds[i];
	canvas->count = kept;
	for (size_t i = 0; i < kept; i++)
		canvas->free[i] = i;
	return true;
}

/* The first free interval from @at on; halves the way for those who ask next. */
static size_t
next_free(struct canvas *canvas, size_t at)
{
	while (canvas->free[at] != at) {
		canvas->free[at] = canvas->free[canvas->free[at]];
		at = canvas->free[at];
	}
	return at;
}

static size_t
interval_at(const struct canvas *canvas, uint64_t bound)
{
	const uint64_t *const found = bsearch(&bound, canvas->bounds, canvas->count,
					      sizeof(bound), compare);

	return (size_t)(found - canvas->bounds);
}

static void
paint(struct canvas *canvas, const struct region *region, size_t number)
{
	const size_t end = interval_at(canvas, end_of(region));
	size_t at = next_free(canvas, interval_at(canvas, region->start));

	while (at < end) { /* the last bound begins no interval, and stays free */
		canvas->owner[at] = number;
		canvas->free[at] = at + 1;
		at = next_free(canvas, at);
	}
}

static void
collect(const struct canvas *canvas, const struct spec_list *specs, struct regions *out)
{
	size_t before = 0;

	for (size_t i = 0; i < canvas->count; i++) {
		const size_t owner = canvas->owner[i];

		if (owner == 0 || owner != before) {
			before = owner;
			if (owner == 0)
				continue;
			out->list[out->count] = specs->items[owner - 1];
			out->list[out->count].start = canvas->bounds[i];
			out->list[out->count++].len = 0;
		}
		out->list[out->count - 1].len += canvas->bounds[i + 1] - canvas->bounds[i];
	}
}

static enum q2s_err
flatten(const struct spec_list *specs, struct regions *out, struct q2s_diag *diag)
{
	struct canvas canvas = { 0 };
	const bool ready = canvas_init(&canvas, specs);

	if (ready) {
		for (size_t i = specs->count; i > 0; i--)
			paint(&canvas, &specs->items[i - 1], i);
		out->list = calloc(canvas.count, sizeof(*out->list));
	}
	if (out->list)
		collect(&canvas, specs, out);
	canvas_free(&canvas);
	return out->list ? Q2S_OK : fault_nomem(diag, "--write");
}

enum q2s_err
regions_make(const struct spec_list *specs, const struct q2s_spec *image, struct regions *out,
	     struct q2s_diag *diag)
{
	enum q2s_err err = Q2S_OK;

	*out = (struct regions){ 0 };
	for (size_t i = 0; i < specs->count && err == Q2S_OK; i++)
		err = check_region(&specs->items[i], image, diag);
	if (err == Q2S_OK && specs->count > 0)
		err = flatten(specs, out, diag);
	if (err == Q2S_OK)
		err = check_whole(out, &image->geom, diag);
	if (err != Q2S_OK)
		regions_free(out);
	return err;
}

void
regions_free(struct regions *regions)
{
	free(regions->list);
	*regions = (struct regions){ 0 };
}

const struct region *
regions_at(const struct regions *regions, uint64_t at)
{
	size_t low = 0, high = regions->count;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;

		if (end_of(&regions->list[middle]) <= at)
			low = middle + 1;
		else
			high = middle;
	}
	return low < regions->count && regions->list[low].start <= at ? &regions->list[low] : NULL;
}
