/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `info` knows of one layer, gathered once and then said in one of two ways. */
#ifndef INSPECT_INFO_H
#define INSPECT_INFO_H

#include <stdio.h>

#include <jansson.h>
#include <q2s/image.h>

#include "inspect/extensions.h"

/**
 * One layer.
 *
 * @image         NULL: raw
 * @snapshots     of @snapshots.count 0 when there are none, or when they cannot be read
 * @bitmaps       likewise
 * @has_luks      @luks is decoded
 * @full_backing  the backing file's name as seen from here, to free; NULL without one
 * @faults        what could not be read; @fault_count of them
 */
#define INFO_FAULTS 4
struct info {
	struct q2s_store *file;
	struct q2s_image *image;
	struct q2s_snapshots snapshots;
	struct q2s_bitmaps bitmaps;
	bool has_luks;
	struct q2s_luks luks;
	char *full_backing;
	size_t fault_count;
	struct q2s_diag faults[INFO_FAULTS];
};

/** Gather; @file and @image stay the caller's. What is unreadable becomes a fault. */
void info_gather(struct q2s_store *file, struct q2s_image *image, struct info *out);
void info_free(struct info *info);

/** The size that QEMU shows for a plain file: rounded up to whole sectors. */
uint64_t info_file_size(const struct q2s_store *file);

/** The object that `qemu-img info --output=json` prints. NULL when out of memory. */
json_t *info_qemu(const struct info *info);

/** One bitmap as `qemu-img info` has it: name, granularity, flags. */
json_t *info_bitmap_json(const struct q2s_bitmap *bitmap);

/** The object behind the key "q2s": what QEMU does not show. NULL when out of memory. */
json_t *info_extra(const struct info *info);

/** A structure of the image, or a part of cluster 0, and where it lies. */
struct info_place {
	const char *structure;
	q2s_host at;
	uint64_t len;
};
#define INFO_PLACES 12

/** Fill in what is there, in a fixed order; returns how many. */
size_t info_places(const struct info *info, struct info_place places[INFO_PLACES]);

/** The text for people. */
void info_human(FILE *out, const struct info *info);

#endif
