/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <q2s/edit.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "made.h"

#define MUST(call)                                                         \
	do {                                                               \
		if (!(call)) {                                             \
			fprintf(stderr, "laboratory: %s failed\n", #call); \
			exit(2);                                           \
		}                                                          \
	} while (0)

const struct lab_config lab_configs[] = {
	{ "std-4k", 3, 12, 4, false, false, false, LAB_NOT_FULL, false, LAB_NO_GAP },
	{ "std-4k-base", 3, 12, 4, false, true, false, LAB_NOT_FULL, false, LAB_NO_GAP },
	{ "std-512-r64", 3, 9, 6, false, false, false, LAB_BLOCK, false, LAB_NO_GAP },
	{ "std-512-r1", 3, 9, 0, false, false, false, LAB_NOT_FULL, false, LAB_NO_GAP },
	{ "ext-16k-base", 3, 14, 4, true, true, false, LAB_NOT_FULL, false, LAB_NO_GAP },
	{ "ext-16k-r64", 3, 14, 6, true, false, false, LAB_NOT_FULL, false, LAB_NO_GAP },
	{ "std-4k-snapshot", 3, 12, 4, false, false, true, LAB_NOT_FULL, false, LAB_NO_GAP },
	{ "ext-16k-snapshot", 3, 14, 4, true, true, true, LAB_NOT_FULL, false, LAB_NO_GAP },
	{ "v2-4k-base", 2, 12, 4, false, true, false, LAB_NOT_FULL, false, LAB_NO_GAP },
	{ "std-512-full", 3, 9, 6, false, false, false, LAB_TABLE, false, LAB_NO_GAP },
	{ "std-4k-bitmap", 3, 12, 4, false, true, false, LAB_NOT_FULL, true, LAB_NO_GAP },
	{ "std-512-bitmap", 3, 9, 4, false, false, false, LAB_NOT_FULL, true, LAB_NO_GAP },
	{ "std-4k-gap", 3, 12, 4, false, true, false, LAB_NOT_FULL, true, LAB_GAP },
	{ "ext-16k-gap", 3, 14, 4, true, false, false, LAB_NOT_FULL, false, LAB_GAP },
	{ "std-4k-snapshot-gap", 3, 12, 4, false, false, true, LAB_NOT_FULL, false, LAB_GAP },
	{ "std-512-r64-gap", 3, 9, 6, false, false, false, LAB_BLOCK, false, LAB_GAP },
	{ "std-512-scattered", 3, 9, 4, false, false, true, LAB_NOT_FULL, false, LAB_SCATTERED },
};
const size_t lab_config_count = sizeof(lab_configs) / sizeof(lab_configs[0]);

/* What lies in the clusters at the start of the disk. */
enum spot {
	SPOT_DATA,
	SPOT_DATA_2,
	SPOT_ZERO,
	SPOT_ZERO_ALLOCATED, /* preallocated, reads as zero */
	SPOT_COMPRESSED,
	SPOT_COMPRESSED_2, /* in the same host cluster */
	SPOT_EMPTY,
	SPOT_PARTIAL, /* extended: each third subcluster is data, each next one zero; else data */
	SPOT_EMPTY_2,
	SPOT_OTHER, /* empty; for another thread */
	SPOT_LAST,  /* the end of the disk, in the middle of a cluster where that can be */
	SPOTS,
};

/* ---- making ---------------------------------------------------------------------------------- */

/* Bytes that say where they belong. */
static void
fill(uint8_t *bytes, size_t len, uint64_t seed)
{
	for (size_t at = 0; at + 8 <= len; at += 8)
		q2si_put_be64(bytes + at, (seed << 32) + at + 1);
}

static void
put_data(struct made *made, uint64_t guest, uint32_t alloc, uint32_t zero, bool copied)
{
	const uint32_t size = made->geom.cluster_size;
	struct q2s_l2_entry entry = {
		.has_host = true, .copied = copied, .alloc = alloc, .zero = zero
	};
	uint8_t *bytes = malloc(size);

	MUST(bytes);
	made_raw_entry(made, guest, 0, 0); /* the table first */
	fill(bytes, size, 1000 + guest / size);
	entry.host = made_clusters(made, bytes, size);
	made_entry(made, guest, &entry);
	free(bytes);
}

/* Nothing refers to these, so they are free. */
static void
put_gap(struct made *made)
{
	const size_t len = (size_t)2 * SPOTS * made->geom.cluster_size;
	uint8_t *bytes = malloc(len);

	MUST(bytes);
	fill(bytes, len, 4000);
	(void)made_clusters(made, bytes, len);
	free(bytes);
}

/* The same, one at a time between data, so that the snapshot's L1 table finds no room of two clusters. */
static void
put_scattered(struct made *made)
{
	const uint32_t size = made->geom.cluster_size;
	uint8_t bytes[SIM_SECTOR];

	MUST(size == sizeof(bytes));
	fill(bytes, size, 4000);
	for (uint64_t i = 0; i < 2 * SPOTS; i++) {
		(void)made_clusters(made, bytes, size);
		put_data(made, (SPOTS + i) * size, made->geom.sub_mask, 0, false);
	}
}

static void
put_zero(struct made *made, uint64_t guest)
{
	const struct q2s_l2_entry entry = { .zero = made->geom.sub_mask };

	if (made->geom.version > 2)
		made_entry(made, guest, &entry);
}

static void
put_compressed(struct made *made, uint64_t guest)
{
	const uint32_t size = made->geom.cluster_size;
	uint8_t *plain = malloc(size), *packed = malloc(size);
	z_stream z = { 0 };

	MUST(plain && packed);
	memset(plain, 0, size);
	fill(plain, size / 8, 2000 + guest / size);
	MUST(deflateInit2(&z, 9, Z_DEFLATED, -12, 9, Z_DEFAULT_STRATEGY) == Z_OK);
	z.next_in = plain;
	z.avail_in = size;
	z.next_out = packed;
	z.avail_out = size;
	MUST(deflate(&z, Z_FINISH) == Z_STREAM_END);
	made_compressed(made, guest, packed, size - z.avail_out);
	MUST(deflateEnd(&z) == Z_OK);
	free(plain);
	free(packed);
}

static void
put_partial(struct made *made, uint64_t guest, bool copied)
{
	uint32_t alloc = 1, zero = 0;

	if (made->geom.extended) {
		alloc = 0;
		for (uint32_t sub = 0; sub + 1 < made->geom.sub_count; sub += 3) {
			alloc |= UINT32_C(1) << sub;
			zero |= UINT32_C(2) << sub;
		}
	}
	put_data(made, guest, alloc, zero, copied);
}

static void
put_spots(struct made *made, bool copied)
{
	const uint64_t size = made->geom.cluster_size;
	const uint32_t all = made->geom.sub_mask;
	const bool zero_flag = made->geom.version > 2;

	put_data(made, SPOT_DATA * size, all, 0, copied);
	put_data(made, SPOT_DATA_2 * size, all, 0, copied);
	put_zero(made, SPOT_ZERO * size);
	put_data(made, SPOT_ZERO_ALLOCATED * size, zero_flag ? 0 : all, zero_flag ? all : 0,
		 copied);
	put_partial(made, SPOT_PARTIAL * size, copied);
	/* Two streams in one host cluster; a width of 1 bit has no count of 2. */
	put_compressed(made, SPOT_COMPRESSED * size);
	if (made->geom.refcount_max > 3)
		put_compressed(made, SPOT_COMPRESSED_2 * size);
	made->end = q2si_round_up(made->end, size);
}

/* As much data as the refcount table has room for, less what is used up soon. */
static void
fill_table(struct made *made)
{
	const struct q2s_geom *geom = &made->geom;
	const uint64_t room = (uint64_t)geom->cluster_size / 8 << geom->block_bits;
	const uint64_t blocks = geom->cluster_size / 8;

	for (uint64_t guest = 2 * geom->l2_span;
	     (made->end >> geom->cluster_bits) + blocks + 3 < room; guest += geom->cluster_size)
		put_data(made, guest, geom->sub_mask, 0, true);
}

/* The same for the first refcount block: two clusters are left in it. */
static void
fill_block(struct made *made)
{
	const struct q2s_geom *geom = &made->geom;

	for (uint64_t guest = SPOTS * (uint64_t)geom->cluster_size;
	     (made->end >> geom->cluster_bits) + 3 < geom->block_entries;
	     guest += geom->cluster_size)
		put_data(made, guest, geom->sub_mask, 0, true);
}

/* The snapshot's L1 table is the active one; nothing is COPIED in either. */
static void
put_snapshot(struct made *made)
{
	const uint64_t len = made->header.l1_size * 8ull;
	struct q2s_store *file = made_file(made);
	uint8_t *l1 = malloc(len), record[256];
	struct q2s_snapshot snapshot = {
		.l1_entries = made->header.l1_size,
		.id = (const uint8_t *)"1",
		.id_len = 1,
		.name = (const uint8_t *)"s",
		.name_len = 1,
		.has_disk_size = true,
		.disk_size = made->geom.size,
	};
	size_t used;

	MUST(l1 && q2s_store_read_padded(file, made->header.l1_table_offset.v, l1, len, NULL,
					 NULL) == Q2S_OK);
	q2s_store_unref(file);
	for (uint64_t i = 0; i < made->header.l1_size; i++) {
		const uint64_t word = q2si_get_be64(l1 + i * 8) & ~Q2S_ENTRY_COPIED;

		q2si_put_be64(l1 + i * 8, word);
		made_l1(made, i, word);
	}
	snapshot.l1_offset = made_clusters(made, l1, len);
	MUST(q2s_snapshot_encode(&made->geom, &snapshot, record, sizeof(record), &used, NULL) ==
	     Q2S_OK);
	made->header.nb_snapshots = 1;
	made->header.snapshots_offset = made_clusters(made, record, used);
	free(l1);
}

/* ---- refcounts ---------------------------------------------------------------------------------
 */

struct counts {
	const struct q2s_geom *geom;
	const uint8_t *bytes;
	uint16_t *of; /* a cluster */
};

static void
count(const struct counts *counts, uint64_t at, uint64_t len)
{
	for (uint64_t c = at >> counts->geom->cluster_bits;
	     len > 0 && c <= (at + len - 1) >> counts->geom->cluster_bits; c++)
		counts->of[c]++;
}

static void
count_l2(const struct counts *counts, uint64_t table)
{
	const struct q2s_geom *geom = counts->geom;

	count(counts, table, geom->cluster_size);
	for (uint32_t i = 0; i < geom->l2_entries; i++) {
		const uint64_t at = table + (uint64_t)i * geom->l2_entry_size;
		struct q2s_l2_entry entry;

		MUST(q2s_l2_decode(geom, counts->bytes + at, (q2s_host){ at }, &entry, NULL) ==
		     Q2S_OK);
		if (entry.compressed) {
			const struct q2s_comp_range range =
				q2s_comp_sectors(entry.comp_at, entry.comp_bytes);

			count(counts, range.first.v, range.bytes);
		} else if (entry.has_host) {
			count(counts, entry.host.v, geom->cluster_size);
		}
	}
}

static void
count_l1(const struct counts *counts, uint64_t at, uint32_t entries)
{
	count(counts, at, entries * 8ull);
	for (uint32_t i = 0; i < entries; i++) {
		const uint64_t table =
			q2si_get_be64(counts->bytes + at + i * 8ull) & Q2S_ENTRY_HOST_MASK;

		if (table)
			count_l2(counts, table);
	}
}

/* Blocks go to the end, and are counted too. */
static void
put_refcounts(const struct made *made, struct lab_image *image)
{
	const struct q2s_geom *geom = &made->geom;
	const struct q2s_header *header = &made->header;
	const uint64_t used = image->length >> geom->cluster_bits;
	struct counts counts = { geom, image->bytes, NULL };
	uint64_t blocks = 0;

	while (blocks << geom->block_bits < used + blocks)
		blocks++;
	MUST(blocks <= geom->cluster_size / 8);
	image->length += blocks << geom->cluster_bits;
	image->bytes = realloc(image->bytes, image->length);
	counts.bytes = image->bytes;
	counts.of = calloc((blocks + 1) << geom->block_bits, sizeof(*counts.of));
	MUST(image->bytes && counts.of);
	memset(image->bytes + (used << geom->cluster_bits), 0, blocks << geom->cluster_bits);
	count(&counts, 0, 1);
	count(&counts, header->refcount_table_offset.v, 1);
	count(&counts, used << geom->cluster_bits, blocks << geom->cluster_bits);
	count_l1(&counts, header->l1_table_offset.v, header->l1_size);
	if (header->nb_snapshots) {
		count(&counts, header->snapshots_offset.v, 1);
		count_l1(&counts, q2si_get_be64(image->bytes + header->snapshots_offset.v),
			 header->l1_size);
	}
	for (uint64_t b = 0; b < blocks; b++) {
		const uint64_t at = (used + b) << geom->cluster_bits;

		q2si_put_be64(image->bytes + header->refcount_table_offset.v + b * 8, at);
		for (uint32_t i = 0; i < geom->block_entries; i++)
			MUST(q2s_refcount_set(geom, image->bytes + at, i,
					      counts.of[(b << geom->block_bits) + i],
					      NULL) == Q2S_OK);
	}
	free(counts.of);
}

/* ---- the whole ---------------------------------------------------------------------------------
 */

static void
window_add(struct lab_image *image, uint64_t from, uint64_t until)
{
	struct lab_window *window = &image->windows[image->window_count++];

	window->start = from / SIM_SECTOR;
	window->count = until / SIM_SECTOR - window->start;
	image->sectors += window->count;
}

/* Of a disk this long only the start is looked at. */
static bool
is_long(const struct lab_config *config)
{
	return config->full == LAB_TABLE || config->gap == LAB_SCATTERED;
}

static uint64_t
disk_size(const struct lab_config *config)
{
	const uint64_t size = UINT64_C(1) << config->cluster_bits;
	const uint64_t span = (size / (config->extended ? 16 : 8)) * size;

	if (config->full == LAB_TABLE)
		return 64 * span;
	if (config->gap == LAB_SCATTERED)
		return 64 * span + 3 * size; /* an L1 table of two clusters */
	/* one L2 table and a few clusters of the next one; the last one short where that can be */
	return span + 3 * size + (size > SIM_SECTOR ? size / 8 * 3 : 0);
}

/* With small clusters a bitmap's table gets another entry on the way. */
static uint64_t
longest(const struct lab_config *config, const struct q2s_geom *geom)
{
	const uint64_t entry = (8ull * geom->cluster_size) << Q2S_BITMAP_GRANULARITY_BITS_MIN;

	if (is_long(config))
		return geom->size;
	return (config->bitmap && geom->cluster_bits == 9 ? entry : 2 * geom->l2_span) +
	       2ull * geom->cluster_size;
}

static void
put_base(struct lab_image *image)
{
	/* Longer than the disk, and so that it ends within a cluster of what the disk may become. */
	const uint64_t size = image->geom.size + image->geom.cluster_size * 3ull / 2;
	uint8_t *bytes = malloc(size);

	MUST(bytes);
	fill(bytes, size, 77);
	MUST(q2s_store_memory(bytes, size, "base", &image->base_store, NULL) == Q2S_OK);
	MUST(q2s_disk_raw(image->base_store, &image->base, NULL) == Q2S_OK);
	free(bytes);
}

/* By the engine itself, in memory; what it leaves is where sequences begin. */
static void
put_bitmap(struct lab_image *image)
{
	const struct q2s_bytes name = { (const uint8_t *)LAB_BITMAP, strlen(LAB_BITMAP) };
	struct q2s_edit_options options = Q2S_EDIT_OPTIONS_INIT;
	struct q2s_store *store;
	struct q2s_edit *edit;

	options.flags = Q2S_EDIT_NO_BASE;
	MUST(q2s_store_memory(image->bytes, image->length, "image", &store, NULL) == Q2S_OK);
	MUST(q2s_edit_open(store, &options, &edit, NULL) == Q2S_OK);
	MUST(q2s_edit_bitmap_add(edit, name, Q2S_BITMAP_GRANULARITY_BITS_MIN, true, NULL) ==
	     Q2S_OK);
	MUST(q2s_edit_close(edit, NULL) == Q2S_OK);
	image->length = q2si_round_up(q2s_store_size(store), image->geom.cluster_size);
	image->bytes = realloc(image->bytes, image->length);
	MUST(image->bytes && q2s_store_read_padded(store, 0, image->bytes, image->length, NULL,
						   NULL) == Q2S_OK);
	q2s_store_unref(store);
}

void
lab_image_make(const struct lab_config *config, struct lab_image *out)
{
	const struct q2s_geom_params params = {
		.version = config->version,
		.cluster_bits = config->cluster_bits,
		.refcount_order = config->refcount_order,
		.extended = config->extended,
		.size = disk_size(config),
	};
	struct made made = made_start(&params);
	struct q2s_store *file;

	*out = (struct lab_image){ .config = config, .geom = made.geom };
	if (config->gap == LAB_GAP)
		put_gap(&made);
	if (config->gap == LAB_SCATTERED)
		put_scattered(&made);
	out->longest = longest(config, &made.geom);
	put_spots(&made, !config->snapshot);
	if (config->full == LAB_BLOCK)
		fill_block(&made);
	if (config->full == LAB_TABLE)
		fill_table(&made);
	if (config->snapshot)
		put_snapshot(&made);
	if (config->version > 2)
		made.header.autoclear_features = LAB_AUTOCLEAR;
	made_finish(&made);
	file = made_file(&made);
	out->length = q2si_round_up(q2s_store_size(file), made.geom.cluster_size);
	out->bytes = malloc(out->length);
	MUST(out->bytes &&
	     q2s_store_read_padded(file, 0, out->bytes, out->length, NULL, NULL) == Q2S_OK);
	q2s_store_unref(file);
	put_refcounts(&made, out);
	made_free(&made);
	if (config->bitmap)
		put_bitmap(out);
	if (config->base)
		put_base(out);
	window_add(out, 0, (uint64_t)SPOT_LAST * out->geom.cluster_size);
	window_add(out, out->geom.l2_span - out->geom.cluster_size,
		   is_long(config) ? out->geom.l2_span + 3ull * out->geom.cluster_size
				   : out->geom.size + 3ull * out->geom.cluster_size);
	if (!is_long(config))
		window_add(out, out->longest - 3ull * out->geom.cluster_size, out->longest);
}

void
lab_image_free(struct lab_image *image)
{
	q2s_disk_close(image->base);
	q2s_store_unref(image->base_store);
	free(image->bytes);
}

/* ---- the alphabet ------------------------------------------------------------------------------
 */

void
lab_image_other(const struct lab_image *image, struct lab_op *out)
{
	const uint64_t size = image->geom.cluster_size;

	*out = (struct lab_op){ "other", LAB_WRITE, SPOT_OTHER * size, size, 0 };
}

size_t
lab_alphabet(const struct lab_image *image, struct lab_op ops[LAB_OPS])
{
	const uint64_t c = image->geom.cluster_size, sub = image->geom.sub_size;
	const uint64_t part = q2si_min(c / 4, 512), border = image->geom.l2_span;
	const uint64_t end = is_long(image->config) ? border + 3 * c : image->geom.size;
	const uint64_t last = q2si_round_down(end - 1, c);
	size_t n = 0;

	ops[n++] = (struct lab_op){ "write-data", LAB_WRITE, SPOT_DATA * c, c, 0 };
	ops[n++] = (struct lab_op){ "write-data-part", LAB_WRITE, SPOT_DATA_2 * c + part, part, 0 };
	ops[n++] = (struct lab_op){ "write-zero-part", LAB_WRITE, SPOT_ZERO * c + 100, part, 0 };
	ops[n++] = (struct lab_op){ "write-zero-allocated", LAB_WRITE,
				    SPOT_ZERO_ALLOCATED * c + c / 2, part, 0 };
	ops[n++] = (struct lab_op){ "write-compressed", LAB_WRITE, SPOT_COMPRESSED * c, part, 0 };
	ops[n++] =
		(struct lab_op){ "write-compressed-whole", LAB_WRITE, SPOT_COMPRESSED_2 * c, c, 0 };
	ops[n++] = (struct lab_op){ "write-empty", LAB_WRITE, SPOT_EMPTY * c, c, 0 };
	ops[n++] =
		(struct lab_op){ "write-empty-part", LAB_WRITE, SPOT_EMPTY_2 * c + 300, part, 0 };
	ops[n++] = (struct lab_op){ "write-two", LAB_WRITE, SPOT_EMPTY * c + c / 2, c, 0 };
	ops[n++] = (struct lab_op){ "write-border", LAB_WRITE, border - part, 2 * part, 0 };
	ops[n++] = (struct lab_op){ "write-last", LAB_WRITE, last, end - last, 0 };
	ops[n++] = (struct lab_op){ "zero-data", LAB_ZERO, SPOT_DATA * c, c, 0 };
	ops[n++] = (struct lab_op){ "zero-part", LAB_ZERO, SPOT_DATA_2 * c + (sub < c ? sub : part),
				    sub < c ? sub : part, 0 };
	ops[n++] = (struct lab_op){ "zero-free", LAB_ZERO, SPOT_DATA_2 * c, 3 * c,
				    Q2S_EDIT_MAY_DISCARD };
	ops[n++] = (struct lab_op){ "zero-empty", LAB_ZERO, SPOT_EMPTY * c + sub, c, 0 };
	ops[n++] = (struct lab_op){ "discard-data", LAB_DISCARD, SPOT_DATA * c, c, 0 };
	ops[n++] = (struct lab_op){ "discard-part", LAB_DISCARD, SPOT_PARTIAL * c,
				    sub < c ? 4 * sub : c, 0 };
	ops[n++] = (struct lab_op){ "discard-compressed", LAB_DISCARD,
				    SPOT_ZERO_ALLOCATED * c + c / 2, c + c / 2, 0 };
	ops[n++] = (struct lab_op){ "discard-last", LAB_DISCARD, last, end - last, 0 };
	ops[n++] = (struct lab_op){ "compact", LAB_COMPACT, 0, 0, 0 };
	ops[n++] = (struct lab_op){ "flush", LAB_FLUSH, 0, 0, 0 };
	ops[n++] = (struct lab_op){ "create", LAB_CREATE, 0, 0, 0 };
	ops[n++] = (struct lab_op){ "apply", LAB_APPLY, 0, 0, 0 };
	ops[n++] = (struct lab_op){ "delete", LAB_DELETE, 0, 0, 0 };
	ops[n++] = (struct lab_op){ "grow", LAB_RESIZE, image->longest, 0, 0 };
	ops[n++] = (struct lab_op){ "grow-part", LAB_RESIZE,
				    q2si_round_up(image->geom.size + c / 2, SIM_SECTOR), 0, 0 };
	ops[n++] = (struct lab_op){ "shrink", LAB_RESIZE, border - c, 0, 0 };
	ops[n++] = (struct lab_op){ "shrink-part", LAB_RESIZE, q2si_round_up(c + c / 2, SIM_SECTOR),
				    0, 0 };
	ops[n++] = (struct lab_op){ "size-back", LAB_RESIZE, image->geom.size, 0, 0 };
	ops[n++] = (struct lab_op){ "extended", LAB_EXTENDED, 1, 0, 0 };
	ops[n++] = (struct lab_op){ "standard", LAB_EXTENDED, 0, 0, 0 };
	ops[n++] = (struct lab_op){ "wider", LAB_WIDTH, 32, 0, 0 };
	ops[n++] = (struct lab_op){ "narrow", LAB_WIDTH, 16, 0, 0 };
	ops[n++] = (struct lab_op){ "version-2", LAB_VERSION, 2, 0, 0 };
	ops[n++] = (struct lab_op){ "version-3", LAB_VERSION, 3, 0, 0 };
	return n;
}
