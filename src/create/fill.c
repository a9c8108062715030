/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From regions to slots and patterns. Most slots are runs of whole clusters; where regions meet
 * within a cluster, its slot is put together subcluster by subcluster.
 */
#include "create/fill.h"

#include <stdlib.h>

#include "common/fault.h"
#include "common/progress.h"

#define SPOOL_BUDGET (8u << 20)

/* ---- slots ------------------------------------------------------------------------------- */

/*
 * @next  the guest cluster that comes next
 * @part  its slot, when @open: some of its subclusters are written
 */
struct filler {
	const struct q2s_spec *image;
	const struct q2s_slot *base;
	struct q2s_alloc *alloc;
	uint64_t next;
	bool open;
	struct q2s_slot part;
};

/* Make the subclusters of @mask what the region says. */
static void
apply(const struct q2s_spec *image, enum region_kind kind, uint32_t mask, struct q2s_slot *slot)
{
	if (kind == REGION_ZERO && image->geom.version < 3)
		return; /* what is not written reads as zero already */
	slot->alloc &= ~mask;
	slot->zero &= ~mask;
	switch (kind) {
	case REGION_DATA:
	case REGION_COMPRESSED: /* until its length is known */
		slot->host = true;
		slot->alloc |= mask;
		break;
	case REGION_ZERO:
		slot->zero |= mask;
		break;
	case REGION_DISCARD:
		if (mask == image->geom.sub_mask)
			slot->host = false;
		break;
	case REGION_ZERO_ALLOC:
		slot->host = true;
		slot->zero |= mask;
		break;
	}
}

static enum q2s_err
add(struct filler *filler, const struct q2s_slot *slot, uint64_t count, struct q2s_diag *diag)
{
	filler->next += count;
	return q2s_alloc_add(filler->alloc, slot, count, diag);
}

/* End the cluster that is put together, and go on to @cluster. */
static enum q2s_err
move_to(struct filler *filler, uint64_t cluster, struct q2s_diag *diag)
{
	enum q2s_err err = Q2S_OK;

	if (filler->open && filler->next < cluster) {
		filler->open = false;
		err = add(filler, &filler->part, 1, diag);
	}
	if (err == Q2S_OK && filler->next < cluster)
		err = add(filler, filler->base, cluster - filler->next, diag);
	return err;
}

static enum q2s_err
add_whole(struct filler *filler, const struct region *region, uint64_t count,
	  struct q2s_diag *diag)
{
	struct q2s_slot slot = *filler->base;

	apply(filler->image, region->kind, filler->image->geom.sub_mask, &slot);
	return add(filler, &slot, count, diag);
}

/* Some subclusters, @from to before @until, of the cluster that comes next. */
static void
add_part(struct filler *filler, const struct region *region, uint64_t from, uint64_t until)
{
	const uint64_t upper = (UINT64_C(1) << until) - 1, lower = (UINT64_C(1) << from) - 1;

	if (!filler->open)
		filler->part = *filler->base;
	filler->open = true;
	apply(filler->image, region->kind, (uint32_t)(upper & ~lower), &filler->part);
}

static enum q2s_err
add_region(struct filler *filler, const struct region *region, struct q2s_diag *diag)
{
	const struct q2s_geom *const geom = &filler->image->geom;
	const uint64_t cluster_subs = geom->sub_count;
	/* in subclusters of the disk; the last one, and a compressed cluster, need not be full */
	uint64_t at = region->start / geom->sub_size;
	uint64_t end = (region->start + region->len + geom->sub_size - 1) / geom->sub_size;
	enum q2s_err err = Q2S_OK;

	if (region->kind == REGION_COMPRESSED)
		end = (end + cluster_subs - 1) / cluster_subs * cluster_subs;
	while (at < end && err == Q2S_OK) {
		const uint64_t from = at % cluster_subs, whole = (end - at) / cluster_subs;

		err = move_to(filler, at / cluster_subs, diag);
		if (err != Q2S_OK)
			break;
		if (from == 0 && whole > 0) {
			err = add_whole(filler, region, whole, diag);
			at += whole * cluster_subs;
		} else {
			const uint64_t room = cluster_subs - from;
			const uint64_t n = end - at < room ? end - at : room;

			add_part(filler, region, from, from + n);
			at += n;
		}
	}
	return err;
}

static enum q2s_err
make_slots(const struct q2s_spec *image, const struct q2s_slot *base,
	   const struct regions *regions, struct q2s_alloc *alloc, struct q2s_diag *diag)
{
	struct filler filler = { .image = image, .base = base, .alloc = alloc };
	enum q2s_err err = Q2S_OK;

	for (size_t i = 0; i < regions->count && err == Q2S_OK; i++)
		err = add_region(&filler, &regions->list[i], diag);
	if (err == Q2S_OK)
		err = move_to(&filler, image->geom.clusters, diag);
	return err;
}

/* ---- content ----------------------------------------------------------------------------- */

/* Random bytes do not compress: a compressed cluster has them in its first half alone. */
static struct q2s_pattern
pattern_of(const struct q2s_spec *image, const struct region *region)
{
	return (struct q2s_pattern){
		.start = { region->start },
		.len = region->len,
		.state = Q2S_DATA,
		.seeded = region->seeded,
		.seed = region->seed,
		.fill = region->fill,
		.half = region->kind == REGION_COMPRESSED ? image->geom.cluster_size : 0,
	};
}

static enum q2s_err
make_disk(const struct q2s_spec *image, const struct regions *regions, struct q2s_disk **out,
	  struct q2s_diag *diag)
{
	struct q2s_pattern *const patterns = calloc(regions->count + 1, sizeof(*patterns));
	size_t count = 0;
	enum q2s_err err;

	if (!patterns)
		return fault_nomem(diag, "--write");
	for (size_t i = 0; i < regions->count; i++) {
		const struct region *const region = &regions->list[i];

		if (region->kind == REGION_DATA || region->kind == REGION_COMPRESSED)
			patterns[count++] = pattern_of(image, region);
	}
	err = q2s_disk_pattern(image->geom.size, patterns, count, out, diag);
	free(patterns);
	return err;
}

/* ---- compression ------------------------------------------------------------------------- */

struct choice {
	const struct regions *regions;
	uint32_t cluster_bits;
};

static bool
is_wanted(void *opaque, uint64_t cluster)
{
	const struct choice *const choice = opaque;
	const struct region *const region =
		regions_at(choice->regions, cluster << choice->cluster_bits);

	return region && region->kind == REGION_COMPRESSED;
}

static bool
has_compressed(const struct regions *regions)
{
	for (size_t i = 0; i < regions->count; i++)
		if (regions->list[i].kind == REGION_COMPRESSED)
			return true;
	return false;
}

static enum q2s_err
compress(const struct q2s_spec *image, const struct regions *regions, struct fill *fill,
	 struct q2s_diag *diag)
{
	struct choice choice = { regions, image->geom.cluster_bits };
	struct q2s_compress_options how = {
		.how = { .type = image->compression_type },
		.wanted = is_wanted,
		.opaque = &choice,
		.observer = progress_observer(),
	};
	struct q2s_alloc *compressed = NULL;
	enum q2s_err err = q2s_spool_new(NULL, SPOOL_BUDGET, &fill->spool, diag);

	how.spool = fill->spool;
	if (err == Q2S_OK)
		err = q2s_compress(fill->disk, fill->alloc, &how, &compressed, diag);
	if (err == Q2S_OK) {
		q2s_alloc_free(fill->alloc);
		fill->alloc = compressed;
	}
	return err;
}

enum q2s_err
fill_make(const struct q2s_spec *image, const struct q2s_slot *base,
	  const struct regions *regions, struct fill *out, struct q2s_diag *diag)
{
	enum q2s_err err;

	*out = (struct fill){ 0 };
	err = make_disk(image, regions, &out->disk, diag);
	if (err == Q2S_OK)
		err = q2s_alloc_new(&image->geom, &out->alloc, diag);
	if (err == Q2S_OK)
		err = make_slots(image, base, regions, out->alloc, diag);
	if (err == Q2S_OK && has_compressed(regions))
		err = compress(image, regions, out, diag);
	if (err != Q2S_OK)
		fill_free(out);
	return err;
}

void
fill_free(struct fill *fill)
{
	q2s_disk_close(fill->disk);
	q2s_alloc_free(fill->alloc);
	q2s_spool_free(fill->spool);
	*fill = (struct fill){ 0 };
}
