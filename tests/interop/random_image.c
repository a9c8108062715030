/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * random_image SEED OUT [BACKING FORMAT]: a legal image of everything that an L2 entry can say, at
 * random: data, zeros with and without a host cluster, shared and preallocated clusters, both
 * kinds of compression, all bitmaps, in every cluster size. It has no refcounts, as it is to be
 * read only.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "../unit/made.h"

#define CLUSTER_MAX (2u << 20)

static uint64_t chance;
static uint8_t data[CLUSTER_MAX], packed[2 * CLUSTER_MAX];

static uint64_t
below(uint64_t bound)
{
	chance ^= chance >> 12;
	chance ^= chance << 25;
	chance ^= chance >> 27;
	return (chance * 0x2545f4914f6cdd1dull >> 16) % bound;
}

/* Neither all zero nor without repeats, so that it compresses. */
static void
data_fill(uint32_t size)
{
	for (uint32_t i = 0; i < size; i++)
		data[i] = (uint8_t)(i % 64 ? data[i - 1] : below(256));
	data[below(size)] = (uint8_t)(1 + below(255));
}

static size_t
deflate_data(uint32_t size)
{
	const int window = 9 + (int)below(7), level = (int)below(10);
	z_stream z = { .next_in = data, .avail_in = size, .next_out = packed,
		       .avail_out = sizeof(packed) };

	if (deflateInit2(&z, level, Z_DEFLATED, -window, 9, Z_DEFAULT_STRATEGY) != Z_OK ||
	    deflate(&z, Z_FINISH) != Z_STREAM_END)
		abort();
	deflateEnd(&z);
	return sizeof(packed) - z.avail_out;
}

static void
put_compressed(struct made *image, uint64_t guest)
{
	const uint32_t size = image->geom.cluster_size;
	size_t len;

	data_fill(size);
	if (image->header.compression_type == Q2S_COMPRESSION_ZSTD)
		len = ZSTD_compress(packed, sizeof(packed), data, size, (int)below(6));
	else
		len = deflate_data(size);
	/* A descriptor has room for two clusters of sectors, the first of which may be partial. */
	if (len + 512 <= 2ull * size)
		made_compressed(image, guest, packed, len);
}

/* A host cluster of its own with random data, or, sometimes, one that another entry has too. */
static q2s_host
host_choose(struct made *image)
{
	static q2s_host last;

	if (last.v && below(4) == 0)
		return last;
	data_fill(image->geom.cluster_size);
	last = made_clusters(image, below(8) ? data : NULL, image->geom.cluster_size);
	return last;
}

static void
put_plain(struct made *image, uint64_t guest)
{
	const struct q2s_geom *geom = &image->geom;
	struct q2s_l2_entry entry = { .has_host = below(3) > 0 };
	const uint32_t bits = (uint32_t)below(1ull << 32), kind = (uint32_t)below(4);

	if (entry.has_host) {
		entry.host = host_choose(image);
		entry.alloc = (kind == 0 ? bits : kind == 1 ? 0 : ~0u) & geom->sub_mask;
	}
	entry.zero = (below(2) ? (uint32_t)below(1ull << 32) : kind == 3 ? 0 : ~0u) &
		     geom->sub_mask & ~entry.alloc;
	if (!geom->extended && entry.has_host && !entry.alloc)
		entry.zero = geom->version > 2;
	if (geom->version == 2) {
		entry.zero = 0;
		entry.alloc = entry.has_host;
	}
	entry.copied = entry.has_host && below(2);
	made_entry(image, guest, &entry);
}

static struct made
image_start(void)
{
	struct q2s_geom_params params = { .version = 3, .refcount_order = 4 };
	struct made image;
	uint64_t clusters;

	params.cluster_bits = 9 + (uint32_t)(below(3) ? below(8) : below(13));
	if (params.cluster_bits >= 14)
		params.extended = below(2);
	else if (below(4) == 0)
		params.version = 2;
	/* At least two L2 tables now and then; never a raw file that is slow to compare. */
	clusters = 1 + below(below(2) ? 200 : 20000);
	params.size = (clusters << params.cluster_bits) - 512 * below((1u << params.cluster_bits) /
								      512);
	image = made_start(&params);
	if (params.version == 3 && below(2)) {
		image.header.compression_type = Q2S_COMPRESSION_ZSTD;
		image.header.incompatible_features |= Q2S_INCOMPAT_COMPRESSION;
	}
	return image;
}

static void
image_fill(struct made *image)
{
	const uint64_t clusters = image->geom.clusters;
	uint64_t left = 8 + (48ull << 16 >> image->geom.cluster_bits); /* about 3 MiB of data */

	left = left < 300 ? left : 300;
	for (uint64_t cluster = below(2); cluster < clusters && left > 0; left--) {
		const uint64_t guest = cluster << image->geom.cluster_bits;

		if (below(5) == 0)
			put_compressed(image, guest);
		else
			put_plain(image, guest);
		cluster += below(6) ? 1 : below(clusters / 8 + 1);
	}
}

int
main(int argc, char **argv)
{
	struct made image;

	if (argc != 3 && argc != 5) {
		fprintf(stderr, "Usage: random_image SEED OUT [BACKING FORMAT]\n");
		return EXIT_FAILURE;
	}
	chance = strtoull(argv[1], NULL, 0) * 0x9e3779b97f4a7c15ull + 1;
	image = image_start();
	image_fill(&image);
	if (argc == 5) {
		image.backing = argv[3];
		made_extension(&image, Q2S_EXT_BACKING_FORMAT, argv[4], (uint32_t)strlen(argv[4]));
	}
	made_finish(&image);
	made_save(&image, argv[2]);
	made_free(&image);
	return EXIT_SUCCESS;
}
