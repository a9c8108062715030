/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From regions to slots and patterns. Most slots are runs of whole clusters; where regions meet
 * within a cluster, its slot is put together subcluster by subcluster.
 */
#include "create/fill.h"

#include <stdlib.h>

#include "common/fault.h"
#include "common/progress.h"

/* What the builder is given, for what it asks. */
struct content {
	const struct q2s_spec *image;
	const struct q2s_slot *base;
	const struct regions *regions;
};

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
allocate(void *opaque, struct q2s_alloc *alloc, struct q2s_diag *diag)
{
	const struct content *const content = opaque;
	const struct regions *const regions = content->regions;
	struct filler filler = { .image = content->image, .base = content->base, .alloc = alloc };
	enum q2s_err err = Q2S_OK;

	for (size_t i = 0; i < regions->count && err == Q2S_OK; i++)
		err = add_region(&filler, &regions->list[i], diag);
	if (err == Q2S_OK)
		err = move_to(&filler, content->image->geom.clusters, diag);
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

/* ---- the image ---------------------------------------------------------------------------- */

static bool
is_wanted(void *opaque, uint64_t cluster)
{
	const struct content *const content = opaque;
	const struct region *const region =
		regions_at(content->regions, cluster << content->image->geom.cluster_bits);

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

enum q2s_err
fill_make(const struct q2s_spec *image, const struct q2s_crypt *crypt, const struct q2s_slot *base,
	  const struct regions *regions, struct q2s_builder **out, struct q2s_diag *diag)
{
	const struct q2s_compression compression = { .type = image->compression_type };
	struct content content = { image, base, regions };
	struct q2s_builder_options how = Q2S_BUILDER_OPTIONS_INIT;
	struct q2s_disk *disk = NULL;
	enum q2s_err err = make_disk(image, regions, &disk, diag);

	how.spec = image;
	how.crypt = crypt;
	how.allocate = allocate;
	how.wanted = is_wanted;
	how.opaque = &content;
	how.compression = has_compressed(regions) ? &compression : NULL;
	how.observer = progress_observer();
	if (err == Q2S_OK)
		err = q2s_builder_new(disk, &how, out, diag);
	q2s_disk_close(disk);
	return err;
}
