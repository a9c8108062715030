/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The reading half on a hostile file: open it, read its tables, walk the mapping, decompress, and
 * read it as a disk. All of it is bounded here too, so that a run that is slow is a finding.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include <q2s/disk.h>

#include "../unit/made.h"
#include "fuzz.h"

enum { RUNS_MAX = 500, DECOMPRESS_MAX = 20, CLUSTER_MAX = 2 << 20 };

static uint8_t cluster[CLUSTER_MAX];

static struct q2s_store *
file_of(const uint8_t *data, size_t size)
{
	const int fd = memfd_create("fuzz", MFD_CLOEXEC);
	struct q2s_store *file;

	if (fd < 0 || write(fd, data, size) != (ssize_t)size ||
	    q2s_store_from_fd(fd, "fuzz", &file, NULL) != Q2S_OK)
		abort();
	return file;
}

/* A run must lead on, stay on the disk, and say nothing that the interface excludes. */
static void
judge_run(const struct q2s_geom *geom, const struct q2s_l1_table *l1, uint64_t guest,
	  const struct q2s_run *run)
{
	if (run->len == 0 || run->len > l1->size - guest)
		abort();
	if (run->compressed && (run->state != Q2S_DATA || run->len > geom->cluster_size))
		abort();
	if (run->state == Q2S_DATA && !run->has_host)
		abort();
}

/* Walk one table; where an entry is bad, go on behind it. */
static void
walk(struct q2s_image *image, const struct q2s_l1_table *l1)
{
	const struct q2s_geom *geom = q2s_image_geom(image);
	unsigned decompressed = 0;
	uint64_t guest = 0;
	struct q2s_map *map;
	struct q2s_run run;

	if (q2s_map_open(image, l1, &map, NULL) != Q2S_OK)
		return;
	for (unsigned i = 0; i < RUNS_MAX && guest < l1->size; i++) {
		struct q2s_diag diag = { 0 };
		const enum q2s_err err =
			q2s_map_run(map, (q2s_guest){ guest }, UINT64_MAX, &run, &diag);

		if (err != diag.err)
			abort();
		if (err != Q2S_OK) {
			guest = (guest | (geom->cluster_size - 1)) + 1;
			continue;
		}
		judge_run(geom, l1, guest, &run);
		if (run.compressed && decompressed++ < DECOMPRESS_MAX)
			q2s_map_decompress(map, &run, cluster, NULL);
		guest += run.len;
	}
	q2s_map_close(map);
}

static void
tables(struct q2s_image *image)
{
	struct q2s_snapshots snapshots;
	struct q2s_bitmaps bitmaps;

	if (q2s_image_snapshots(image, &snapshots, NULL) == Q2S_OK) {
		for (uint32_t i = 0; i < snapshots.count && i < 4; i++) {
			const struct q2s_snapshot *one = &snapshots.list[i];
			const struct q2s_l1_table l1 = { .at = one->l1_offset,
							 .entries = one->l1_entries,
							 .size = one->disk_size };

			walk(image, &l1);
		}
		q2s_snapshots_free(&snapshots);
	}
	if (q2s_image_bitmap_directory(image, &bitmaps, NULL) == Q2S_OK)
		q2s_bitmaps_free(&bitmaps);
}

static void
disk(struct q2s_store *file)
{
	struct q2s_cursor *cursor;
	struct q2s_extent extent;
	struct q2s_disk *disk;

	if (q2s_disk_qcow2(file, NULL, &disk, NULL) != Q2S_OK)
		return;
	if (q2s_cursor_open(disk, &cursor, NULL) != Q2S_OK)
		abort();
	for (uint64_t guest = 0, i = 0; guest < q2s_disk_size(disk) && i < 50; i++) {
		const q2s_guest at = { guest };

		if (q2s_cursor_extent(cursor, at, UINT64_MAX, &extent, NULL) != Q2S_OK)
			extent.len = 512;
		if (extent.len == 0 || extent.len > q2s_disk_size(disk) - guest)
			abort();
		q2s_cursor_read(cursor, at, cluster, 3000, NULL);
		guest += extent.len;
	}
	q2s_cursor_close(cursor);
	q2s_disk_close(disk);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct q2s_store *file = file_of(data, size);
	struct q2s_diag diag = { 0 };
	struct q2s_image *image;
	const enum q2s_err err = q2s_image_open(file, Q2S_IMAGE_DAMAGED, &image, &diag);

	if (err != diag.err)
		abort();
	if (err == Q2S_OK) {
		const struct q2s_l1_table l1 = q2s_image_active_l1(image);

		walk(image, &l1);
		tables(image);
		q2s_image_close(image);
		disk(file);
	}
	q2s_store_unref(file);
	return 0;
}

/* ---- seeds ------------------------------------------------------------------------------- */

static void
add_compressed(struct made *made, uint64_t guest)
{
	uint8_t packed[1024];
	z_stream z = { .next_in = cluster, .avail_in = made->geom.cluster_size, .next_out = packed,
		       .avail_out = sizeof(packed) };

	if (deflateInit2(&z, 6, Z_DEFLATED, -12, 9, Z_DEFAULT_STRATEGY) != Z_OK ||
	    deflate(&z, Z_FINISH) != Z_STREAM_END)
		abort();
	made_compressed(made, guest, packed, sizeof(packed) - z.avail_out);
	deflateEnd(&z);
}

static void
add_snapshot(struct made *made)
{
	const struct q2s_snapshot snapshot = { .l1_offset = made->header.l1_table_offset,
					       .l1_entries = made->header.l1_size,
					       .id = (const uint8_t *)"1",
					       .id_len = 1,
					       .name = (const uint8_t *)"name",
					       .name_len = 4,
					       .has_disk_size = true,
					       .disk_size = made->geom.size };
	uint8_t table[256];
	size_t used;

	if (q2s_snapshot_encode(&made->geom, &snapshot, table, sizeof(table), &used, NULL) != Q2S_OK)
		abort();
	made->header.snapshots_offset = made_clusters(made, table, used);
	made->header.nb_snapshots = 1;
}

/* Small clusters with everything, or the smallest extended ones, whose data is their L1 table. */
static struct made
seed_make(unsigned index)
{
	struct made made = made_v3(index == 0 ? 9 : 14, index > 0, 64 << 10);
	const uint64_t host = made.header.l1_table_offset.v;

	made_extension(&made, Q2S_EXT_FEATURE_NAMES, cluster, 48);
	if (index > 0) {
		made_raw_entry(&made, 0, host, 0x0000ff00000000ff);
		made_raw_entry(&made, 16 << 10, host, 0x00000000ffffffff);
		made_raw_entry(&made, 32 << 10, 0, 0xffffffff00000000);
		return made;
	}
	made_data(&made, 0, 1);
	made_data(&made, 512, 2);
	made_raw_entry(&made, 1024, Q2S_ENTRY_ZERO, 0);
	made_raw_entry(&made, 1536, host | Q2S_ENTRY_ZERO, 0);
	add_compressed(&made, 2048);
	add_compressed(&made, 4096);
	made_data(&made, 40000, 3);
	add_snapshot(&made);
	return made;
}

size_t
fuzz_seed(unsigned int index, uint8_t *data, size_t capacity)
{
	struct made made;
	ssize_t size;

	if (index > 1)
		return 0;
	made = seed_make(index);
	made_finish(&made);
	size = pread(made.fd, data, capacity, 0);
	if (size <= 0)
		abort();
	made_free(&made);
	return (size_t)size;
}
