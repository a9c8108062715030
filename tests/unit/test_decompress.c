/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Compressed clusters: every stream that QEMU reads, and none that it refuses. */
#include <zlib.h>
#include <zstd.h>

#include "walk.h"

#define KIB 1024ull

/* A compressed stream; longer than any cluster here. */
struct stream {
	uint8_t data[512 * KIB];
	size_t len;
};

static struct stream stream;
static uint8_t plain[512 * KIB], got[512 * KIB];

/* Text with repeats of 30,000 bytes ago, between which chance decides. */
static void
fill_plain(void)
{
	uint64_t chance = 42;

	for (size_t i = 0; i < sizeof(plain); i++)
		plain[i] = i >= 30000 && i / 3000 % 2 ? plain[i - 30000]
						      : (uint8_t)('a' + unit_random(&chance) % 16);
}

static void
deflate_plain(size_t len, int level, int window, int flush)
{
	z_stream z = { .next_in = plain, .avail_in = (uInt)len, .next_out = stream.data,
		       .avail_out = sizeof(stream.data) };

	ck_assert_int_eq(deflateInit2(&z, level, Z_DEFLATED, window, 9, Z_DEFAULT_STRATEGY), Z_OK);
	ck_assert_int_ge(deflate(&z, flush), Z_OK);
	stream.len = sizeof(stream.data) - z.avail_out;
	deflateEnd(&z);
}

/* One more frame of plain[from, from + len). */
static void
zstd_add(size_t from, size_t len, bool sized, bool checksum)
{
	ZSTD_CCtx *ctx = ZSTD_createCCtx();
	ZSTD_inBuffer in = { .src = plain + from, .size = len };
	ZSTD_outBuffer out = { .dst = stream.data, .size = sizeof(stream.data), .pos = stream.len };

	ck_assert(!ZSTD_isError(ZSTD_CCtx_setParameter(ctx, ZSTD_c_checksumFlag, checksum)));
	ck_assert(!ZSTD_isError(ZSTD_CCtx_setParameter(ctx, ZSTD_c_contentSizeFlag, sized)));
	if (sized)
		ck_assert(!ZSTD_isError(ZSTD_CCtx_setPledgedSrcSize(ctx, len)));
	ck_assert_uint_eq(ZSTD_compressStream2(ctx, &out, &in, ZSTD_e_end), 0);
	stream.len = out.pos;
	ZSTD_freeCCtx(ctx);
}

static void
stream_add(const void *bytes, size_t len)
{
	memcpy(stream.data + stream.len, bytes, len);
	stream.len += len;
}

/* A frame without content size that asks for a window of 2^log bytes and holds raw blocks. */
static void
zstd_add_window(unsigned log, size_t len)
{
	const uint8_t head[] = { 0x28, 0xb5, 0x2f, 0xfd, 0, (uint8_t)((log - 10) << 3) };
	const uint32_t block = 1 | (uint32_t)len << 3; /* the last one, raw */
	const uint8_t block_head[] = { (uint8_t)block, (uint8_t)(block >> 8),
				       (uint8_t)(block >> 16) };

	stream_add(head, sizeof(head));
	stream_add(block_head, sizeof(block_head));
	stream_add(plain, len);
}

/* Put the stream into an image of its own and read it back; @cut: bytes missing in the file. */
static enum q2s_err
read_stream(uint32_t bits, enum q2s_compression_type type, uint64_t cut)
{
	struct made made = made_v3(bits, false, 1ull << bits);
	struct q2s_diag found = { 0 };
	struct walk walk;
	struct q2s_run run;
	enum q2s_err result;

	made.header.compression_type = (uint8_t)type;
	if (type == Q2S_COMPRESSION_ZSTD)
		made.header.incompatible_features |= Q2S_INCOMPAT_COMPRESSION;
	made.end += 13; /* streams are not aligned */
	made_compressed(&made, 0, stream.data, stream.len);
	made_resize(&made, made.end - cut);
	walk = walk_start(&made);
	assert_ok(q2s_map_run(walk.map, (q2s_guest){ 0 }, 1, &run, &diag));
	memset(got, 0xee, sizeof(got));
	result = q2s_map_decompress(walk.map, &run, got, &found);
	ck_assert_uint_eq(got[1ull << bits], 0xee); /* never a byte more than a cluster */
	if (result == Q2S_OK)
		ck_assert_mem_eq(got, plain, 1ull << bits);
	else
		ck_assert_uint_eq(found.at.v, run.host.v);
	/* The contexts are as good as new, after a failure too. */
	ck_assert_int_eq(q2s_map_decompress(walk.map, &run, got, NULL), result);
	walk_end(&walk, &made);
	return result;
}

#define DEFLATE(bits) read_stream(bits, Q2S_COMPRESSION_ZLIB, 0)
#define ZSTD(bits) read_stream(bits, Q2S_COMPRESSION_ZSTD, 0)

START_TEST(deflate_of_every_window_and_level)
{
	fill_plain();
	for (uint32_t bits = 9; bits <= 18; bits++)
		for (int window = 9; window <= 15; window++)
			for (int level = 0; level <= 9; level += 3) {
				deflate_plain(1ull << bits, level, -window, Z_FINISH);
				if (stream.len > (2ull << bits) - 1024)
					continue; /* more than a descriptor can hold */
				ck_assert_int_eq(DEFLATE(bits), Q2S_OK);
			}
}
END_TEST

START_TEST(deflate_may_be_longer_than_its_cluster)
{
	fill_plain();
	deflate_plain(64 * KIB, 0, -15, Z_FINISH); /* stored */
	ck_assert_uint_gt(stream.len, 64 * KIB);
	ck_assert_int_eq(DEFLATE(16), Q2S_OK);
}
END_TEST

START_TEST(deflate_may_go_on_after_the_cluster)
{
	fill_plain();
	deflate_plain(65 * KIB, 6, -12, Z_FINISH);
	ck_assert_int_eq(DEFLATE(16), Q2S_OK);
	deflate_plain(64 * KIB, 6, -12, Z_FINISH);
	stream_add("\xff\xff\xff\xff the next stream", 20);
	ck_assert_int_eq(DEFLATE(16), Q2S_OK);
}
END_TEST

START_TEST(deflate_that_is_not_one_cluster_is_refused)
{
	fill_plain();
	deflate_plain(64 * KIB - 1, 6, -12, Z_FINISH);
	ck_assert_int_eq(DEFLATE(16), Q2S_E_DATA);
	deflate_plain(64 * KIB, 6, 12, Z_FINISH); /* with zlib's wrapper */
	ck_assert_int_eq(DEFLATE(16), Q2S_E_DATA);
	deflate_plain(1000, 6, -12, Z_SYNC_FLUSH); /* no final block */
	ck_assert_int_eq(DEFLATE(16), Q2S_E_DATA);
	stream.len = 0;
	stream_add("\xff\xff\xff\xff", 4);
	ck_assert_int_eq(DEFLATE(16), Q2S_E_DATA);
}
END_TEST

/* Zeros behind the cut would decode to something. The last byte may hold no more than the end. */
START_TEST(a_stream_that_is_cut_is_refused)
{
	fill_plain();
	deflate_plain(4 * KIB, 6, -12, Z_FINISH);
	for (uint64_t cut = 2; cut < stream.len; cut += 31)
		ck_assert_int_eq(read_stream(12, Q2S_COMPRESSION_ZLIB, cut), Q2S_E_DATA);
	ck_assert_int_eq(read_stream(12, Q2S_COMPRESSION_ZLIB, 1), Q2S_OK);
	ck_assert_int_eq(read_stream(12, Q2S_COMPRESSION_ZLIB, 0), Q2S_OK);
	stream.len = 0;
	zstd_add(0, 4 * KIB, true, false);
	for (uint64_t cut = 1; cut < stream.len; cut += 97)
		ck_assert_int_eq(read_stream(12, Q2S_COMPRESSION_ZSTD, cut), Q2S_E_DATA);
	ck_assert_int_eq(read_stream(12, Q2S_COMPRESSION_ZSTD, 0), Q2S_OK);
}
END_TEST

START_TEST(zstd_frames_of_all_shapes)
{
	fill_plain();
	for (uint32_t bits = 9; bits <= 18; bits++)
		for (unsigned shape = 0; shape < 4; shape++) {
			stream.len = 0;
			zstd_add(0, 1ull << bits, shape & 1, shape & 2);
			ck_assert_int_eq(ZSTD(bits), Q2S_OK);
		}
}
END_TEST

START_TEST(zstd_may_be_several_frames)
{
	static const uint8_t skippable[] = { 0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 'a', 'b', 'c' };

	fill_plain();
	stream.len = 0;
	stream_add(skippable, sizeof(skippable));
	for (unsigned i = 0; i < 16; i++) {
		zstd_add(i * 4 * KIB, 4 * KIB, i % 2, i % 3);
		zstd_add(0, 0, true, false);
		stream_add(skippable, sizeof(skippable));
	}
	stream_add("garbage", 7);
	ck_assert_int_eq(ZSTD(16), Q2S_OK);
}
END_TEST

START_TEST(zstd_that_is_not_one_cluster_is_refused)
{
	fill_plain();
	stream.len = 0;
	zstd_add(0, 64 * KIB - 1, true, false);
	ck_assert_int_eq(ZSTD(16), Q2S_E_DATA);
	zstd_add(0, 2, true, false); /* two frames, one byte too many */
	ck_assert_int_eq(ZSTD(16), Q2S_E_DATA);
	stream.len = 0;
	zstd_add(0, 64 * KIB + 1, false, false);
	ck_assert_int_eq(ZSTD(16), Q2S_E_DATA);
	stream.len = 0;
	zstd_add(0, 64 * KIB, true, true);
	stream.data[stream.len - 1] ^= 1; /* the checksum */
	ck_assert_int_eq(ZSTD(16), Q2S_E_DATA);
	stream.len = 0;
	stream_add("\0\0\0\0\0\0\0\0", 8);
	ck_assert_int_eq(ZSTD(16), Q2S_E_DATA);
}
END_TEST

START_TEST(zstd_windows_are_bounded)
{
	fill_plain();
	for (unsigned log = 17; log <= 31; log++) {
		stream.len = 0;
		zstd_add_window(log, 64 * KIB);
		ck_assert_int_eq(ZSTD(16), log <= 27 ? Q2S_OK : Q2S_E_DATA);
	}
}
END_TEST

UNIT_MAIN("decompress", deflate_of_every_window_and_level, deflate_may_be_longer_than_its_cluster,
	  deflate_may_go_on_after_the_cluster, deflate_that_is_not_one_cluster_is_refused,
	  a_stream_that_is_cut_is_refused, zstd_frames_of_all_shapes, zstd_may_be_several_frames,
	  zstd_that_is_not_one_cluster_is_refused, zstd_windows_are_bounded)
