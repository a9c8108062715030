/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A qcow2 image with its layers as one disk: what it shows, and which chains are refused. */
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <q2s/disk.h>

#include "made.h"
#include "unit.h"

#define KIB 1024ull
#define MIB (KIB << 10)
#define CLUSTER (4 * KIB)

static char top[] = "/tmp/q2s-disk-qcow2.XXXXXX";

static void
setup(void)
{
	ck_assert_ptr_nonnull(mkdtemp(top));
	ck_assert_int_eq(chdir(top), 0);
}

static void
teardown(void)
{
	char command[128];

	ck_assert_int_eq(chdir("/"), 0);
	snprintf(command, sizeof(command), "rm -rf '%s'", top);
	ck_assert_int_eq(system(command), 0);
}

/* ---- making ------------------------------------------------------------------------------ */

static struct made
made_over(uint64_t size, const char *backing, const char *format)
{
	struct made made = made_v3(12, false, size);

	made.backing = backing;
	if (format)
		made_extension(&made, Q2S_EXT_BACKING_FORMAT, format, (uint32_t)strlen(format));
	return made;
}

static void
made_done(struct made *made, const char *path)
{
	made_finish(made);
	made_save(made, path);
	made_free(made);
}

/* @count clusters at cluster @first of a raw file, each filled with @byte. */
static void
put_raw(const char *path, uint64_t size, uint64_t first, uint64_t count, int byte)
{
	FILE *file = fopen(path, "w");

	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(fseek(file, (long)(first * CLUSTER), SEEK_SET), 0);
	for (uint64_t i = 0; i < count * CLUSTER; i++)
		ck_assert_int_ne(fputc(byte, file), EOF);
	ck_assert_int_eq(fclose(file), 0);
	ck_assert_int_eq(truncate(path, (off_t)size), 0);
}

static void
made_deflated(struct made *made, uint64_t guest, uint8_t byte)
{
	uint8_t plain[CLUSTER], packed[CLUSTER];
	z_stream z = { .next_in = plain, .avail_in = CLUSTER, .next_out = packed,
		       .avail_out = CLUSTER };

	memset(plain, byte, sizeof(plain));
	plain[0] = (uint8_t)(byte + 1);
	ck_assert_int_eq(deflateInit2(&z, 6, Z_DEFLATED, -12, 9, Z_DEFAULT_STRATEGY), Z_OK);
	ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
	made_compressed(made, guest, packed, CLUSTER - z.avail_out);
	deflateEnd(&z);
}

/* ---- looking ----------------------------------------------------------------------------- */

static enum q2s_err
disk_open(const char *path, const struct q2s_disk_qcow2_options *options, struct q2s_disk **out,
	  struct q2s_diag *diag)
{
	struct q2s_file *file;
	enum q2s_err err;

	ck_assert_int_eq(q2s_file_open(path, &file, diag), Q2S_OK);
	err = q2s_disk_qcow2(file, options, out, diag);
	q2s_file_close(file);
	return err;
}

struct look {
	struct q2s_disk *disk;
	struct q2s_cursor *cursor;
};

static struct look
look_at(const char *path, const char *snapshot)
{
	const struct q2s_disk_qcow2_options options = { .follow = Q2S_FOLLOW_ANY,
							.snapshot = snapshot };
	struct look look;

	assert_ok(disk_open(path, &options, &look.disk, &diag));
	assert_ok(q2s_cursor_open(look.disk, &look.cursor, &diag));
	return look;
}

static void
look_end(struct look *look)
{
	q2s_cursor_close(look->cursor);
	q2s_disk_close(look->disk);
}

static struct q2s_extent
extent_at(struct look *look, uint64_t guest)
{
	struct q2s_extent extent;

	assert_ok(q2s_cursor_extent(look->cursor, (q2s_guest){ guest }, UINT64_MAX, &extent,
				    &diag));
	return extent;
}

#define assert_extent(look, guest, want_len, want_state)                                          \
	do {                                                                                      \
		const struct q2s_extent got = extent_at(look, guest);                             \
		ck_assert_uint_eq(got.len, want_len);                                             \
		ck_assert_int_eq(got.state, want_state);                                          \
	} while (0)

static uint8_t buf[4 * MIB];

/* Bytes [from, from + len) must all be @byte, read whole and in odd pieces. */
static void
assert_bytes(struct look *look, uint64_t from, uint64_t len, uint8_t byte)
{
	static const size_t steps[] = { sizeof(buf), 1000, 4096 };

	for (size_t i = 0; i < COUNT(steps); i++) {
		for (uint64_t at = from; at < from + len;) {
			const size_t left = (size_t)(from + len - at);
			const size_t n = left < steps[i] ? left : steps[i];

			memset(buf, ~byte, n);
			assert_ok(q2s_cursor_read(look->cursor, (q2s_guest){ at }, buf, n, &diag));
			for (size_t k = 0; k < n; k++)
				ck_assert_msg(buf[k] == byte, "at 0x%" PRIx64 ": %02x", at + k,
					      buf[k]);
			at += n;
		}
	}
}

/* Opening @path fails with @err, and the message has @text in it and is about @file. */
static void
assert_unopenable(const char *path, const struct q2s_disk_qcow2_options *options,
		  enum q2s_err err, const char *file, const char *text)
{
	struct q2s_diag diag = { 0 };
	struct q2s_disk *disk;
	const enum q2s_err got = disk_open(path, options, &disk, &diag);

	ck_assert_msg(got == err, "%s: %s", q2s_err_name(got), diag.text);
	ck_assert_msg(strstr(diag.text, text) != NULL, "'%s'", diag.text);
	ck_assert_str_eq(diag.file, file);
}

static const struct q2s_disk_qcow2_options any = { .follow = Q2S_FOLLOW_ANY };
static const struct q2s_disk_qcow2_options beside = { .follow = Q2S_FOLLOW_BESIDE };

/* ---- chains ------------------------------------------------------------------------------ */

/* 0 top data, 1 zero over data, 2 middle data, 3 raw data, 4 raw hole, then past each end. */
START_TEST(the_first_layer_that_is_not_absent_decides)
{
	struct made made = made_over(8 * CLUSTER, "raw", "raw");
	struct look look;

	put_raw("raw", 7 * CLUSTER + 100, 1, 3, 'r');
	made_data(&made, 0, 'm');
	made_data(&made, 2 * CLUSTER, 'm');
	made_done(&made, "middle");
	made = made_over(16 * CLUSTER, "middle", "qcow2");
	made_data(&made, 0, 't');
	made_raw_entry(&made, CLUSTER, Q2S_ENTRY_ZERO, 0);
	made_done(&made, "top");
	look = look_at("top", NULL);
	ck_assert_uint_eq(q2s_disk_size(look.disk), 16 * CLUSTER);
	ck_assert_str_eq(q2s_disk_name(look.disk), "top");
	assert_extent(&look, 0, CLUSTER, Q2S_DATA);
	assert_extent(&look, CLUSTER, CLUSTER, Q2S_ZERO);
	assert_extent(&look, 2 * CLUSTER, CLUSTER, Q2S_DATA);
	assert_extent(&look, 3 * CLUSTER, CLUSTER, Q2S_DATA);
	ck_assert_str_eq(q2s_file_name(extent_at(&look, 3 * CLUSTER).file), "raw");
	ck_assert_uint_eq(extent_at(&look, 3 * CLUSTER + 5).at, 3 * CLUSTER + 5);
	assert_extent(&look, 4 * CLUSTER, 12 * CLUSTER, Q2S_ABSENT);
	assert_bytes(&look, 0, CLUSTER, 't');
	assert_bytes(&look, CLUSTER, CLUSTER, 0);
	assert_bytes(&look, 2 * CLUSTER, CLUSTER, 'm');
	assert_bytes(&look, 3 * CLUSTER, CLUSTER, 'r');
	assert_bytes(&look, 4 * CLUSTER, 12 * CLUSTER, 0);
	assert_bytes(&look, 16 * CLUSTER, CLUSTER, 0); /* past the end */
	look_end(&look);
}
END_TEST

/* A shorter layer ends what can be seen of those below it, within a cluster too. */
START_TEST(nothing_shows_behind_the_end_of_a_shorter_layer)
{
	struct made made = made_over(2 * CLUSTER + 512, "raw", "raw");
	struct look look;

	put_raw("raw", 6 * CLUSTER, 0, 6, 'r');
	made_done(&made, "middle");
	made = made_over(6 * CLUSTER, "middle", "qcow2");
	made_done(&made, "top");
	look = look_at("top", NULL);
	assert_extent(&look, 0, 2 * CLUSTER + 512, Q2S_DATA);
	assert_extent(&look, 2 * CLUSTER + 512, 4 * CLUSTER - 512, Q2S_ABSENT);
	assert_bytes(&look, 0, 2 * CLUSTER + 512, 'r');
	assert_bytes(&look, 2 * CLUSTER + 512, 4 * CLUSTER - 512, 0);
	look_end(&look);
}
END_TEST

START_TEST(a_larger_layer_below_is_cut_off)
{
	struct made made = made_over(CLUSTER, "raw", "raw");
	struct look look;

	put_raw("raw", 6 * CLUSTER + 1, 0, 6, 'r');
	made_done(&made, "top");
	look = look_at("top", NULL);
	assert_extent(&look, 0, CLUSTER, Q2S_DATA);
	assert_bytes(&look, 0, CLUSTER, 'r');
	assert_bytes(&look, CLUSTER, CLUSTER, 0);
	look_end(&look);
}
END_TEST

START_TEST(subclusters_fall_through_one_by_one)
{
	struct made made = made_v3(14, true, 32 * KIB);
	struct look look;
	uint64_t host;

	put_raw("raw", 32 * KIB, 0, 8, 'r');
	made.backing = "raw";
	made_extension(&made, Q2S_EXT_BACKING_FORMAT, "raw", 3);
	memset(buf, 't', 16 * KIB);
	host = made_clusters(&made, buf, 16 * KIB).v;
	made_raw_entry(&made, 0, host, 0x0000000200000004); /* 1 zero, 2 data, the others absent */
	made_done(&made, "top");
	look = look_at("top", NULL);
	assert_extent(&look, 0, 512, Q2S_DATA);
	assert_extent(&look, 512, 512, Q2S_ZERO);
	assert_extent(&look, 1024, 512, Q2S_DATA);
	assert_extent(&look, 1536, 32 * KIB - 1536, Q2S_DATA);
	assert_bytes(&look, 0, 512, 'r');
	assert_bytes(&look, 512, 512, 0);
	assert_bytes(&look, 1024, 512, 't');
	assert_bytes(&look, 1536, 32 * KIB - 1536, 'r');
	look_end(&look);
}
END_TEST

/* ---- extents ----------------------------------------------------------------------------- */

START_TEST(extents_go_over_tables_and_name_the_file)
{
	const uint64_t span = 512 * CLUSTER, size = 3 * span;
	struct made made = made_over(size, NULL, NULL);
	struct look look;
	uint64_t host = 0;

	/* All tables first: the data then lies in one row over all of them. */
	for (uint64_t guest = 0; guest < size; guest += span)
		made_raw_entry(&made, guest, 0, 0);
	memset(buf, 'd', sizeof(buf));
	for (uint64_t guest = 0; guest < size; guest += CLUSTER) {
		const uint64_t at = made_clusters(&made, buf, CLUSTER).v;

		made_raw_entry(&made, guest, at, 0);
		host = host ? host : at;
	}
	made_done(&made, "image");
	look = look_at("image", NULL);
	assert_extent(&look, 0, size, Q2S_DATA);
	ck_assert_uint_eq(extent_at(&look, 0).at, host);
	ck_assert_uint_eq(extent_at(&look, 777).at, host + 777);
	ck_assert_str_eq(q2s_file_name(extent_at(&look, 0).file), "image");
	look_end(&look);
}
END_TEST

START_TEST(holes_in_the_file_are_no_data)
{
	struct made made = made_over(4 * CLUSTER, NULL, NULL);
	uint64_t host;
	struct look look;

	made_data(&made, 0, 'd');
	host = made_clusters(&made, NULL, CLUSTER).v; /* preallocated, never written */
	made_raw_entry(&made, CLUSTER, host, 0);
	made_data(&made, 2 * CLUSTER, 'e');
	made_data(&made, 3 * CLUSTER, 'e');
	made_resize(&made, host + 2 * CLUSTER + 10);
	made_done(&made, "image");
	look = look_at("image", NULL);
	if (extent_at(&look, 0).len == CLUSTER) /* the file system has holes of this size */
		assert_extent(&look, CLUSTER, CLUSTER, Q2S_ZERO);
	/* The missing tail of the last cluster is zero, not data. */
	assert_bytes(&look, 3 * CLUSTER, 10, 'e');
	assert_bytes(&look, 3 * CLUSTER + 10, CLUSTER - 10, 0);
	ck_assert_uint_eq(extent_at(&look, 3 * CLUSTER).len, 10);
	assert_extent(&look, 3 * CLUSTER + 10, CLUSTER - 10, Q2S_ZERO);
	ck_assert_ptr_null(extent_at(&look, 3 * CLUSTER + 10).file);
	assert_bytes(&look, CLUSTER, CLUSTER, 0);
	look_end(&look);
}
END_TEST

START_TEST(damage_is_reported_where_it_is)
{
	struct made made = made_over(4 * CLUSTER, NULL, NULL);
	struct q2s_extent extent;
	struct look look;
	uint64_t at;

	made_data(&made, 0, 'd');
	made_raw_entry(&made, CLUSTER, 0x50200, 0);
	made_data(&made, 2 * CLUSTER, 'd');
	at = made_entry_at(&made, CLUSTER);
	made_done(&made, "image");
	look = look_at("image", NULL);
	assert_extent(&look, 0, CLUSTER, Q2S_DATA);
	assert_refused(Q2S_E_OFFSET, at, 0x50200,
		       q2s_cursor_extent(look.cursor, (q2s_guest){ CLUSTER }, 1, &extent, &diag));
	assert_refused(Q2S_E_OFFSET, at, 0x50200,
		       q2s_cursor_read(look.cursor, (q2s_guest){ 100 }, buf, CLUSTER, &diag));
	assert_bytes(&look, 2 * CLUSTER, CLUSTER, 'd');
	look_end(&look);
}
END_TEST

/* ---- compressed -------------------------------------------------------------------------- */

START_TEST(compressed_clusters_are_read_in_any_order)
{
	struct made made = made_over(8 * CLUSTER, NULL, NULL);
	struct look look;
	uint8_t byte;

	for (uint8_t i = 0; i < 8; i++)
		made_deflated(&made, i * CLUSTER, (uint8_t)('a' + i));
	made_done(&made, "image");
	look = look_at("image", NULL);
	assert_extent(&look, 0, 8 * CLUSTER, Q2S_DATA);
	ck_assert_ptr_null(extent_at(&look, 0).file);
	/* More clusters at a time than a cursor keeps, byte by byte. */
	for (unsigned k = 1; k < 200; k++) {
		const uint64_t i = k * 5 % 8;

		assert_ok(q2s_cursor_read(look.cursor, (q2s_guest){ i * CLUSTER + k }, &byte, 1,
					  &diag));
		ck_assert_uint_eq(byte, 'a' + i);
	}
	assert_ok(q2s_cursor_read(look.cursor, (q2s_guest){ CLUSTER - 1 }, buf, CLUSTER + 2,
				  &diag));
	ck_assert_mem_eq(buf, "acb", 3);
	ck_assert_mem_eq(buf + CLUSTER, "bd", 2);
	look_end(&look);
}
END_TEST

/* ---- snapshots --------------------------------------------------------------------------- */

static void
put_snapshots(struct made *made, const struct q2s_snapshot *list, size_t count)
{
	uint8_t table[2048];
	size_t pos = 0, used;

	for (size_t i = 0; i < count; i++) {
		assert_ok(q2s_snapshot_encode(&made->geom, &list[i], table + pos,
					      sizeof(table) - pos, &used, &diag));
		pos += used;
	}
	made->header.snapshots_offset = made_clusters(made, table, pos);
	made->header.nb_snapshots = (uint32_t)count;
}

#define TEXT(field, text) .field = (const uint8_t *)(text), .field##_len = sizeof(text) - 1

/* A table of two entries with one data cluster of @byte in each L2 table. */
static q2s_host
put_l1(struct made *made, uint8_t byte)
{
	const uint64_t l1 = made_clusters(made, NULL, CLUSTER).v;

	for (uint64_t i = 0; i < 2; i++) {
		const uint64_t l2 = made_clusters(made, NULL, CLUSTER).v;
		uint64_t data;

		memset(buf, byte, CLUSTER);
		data = made_clusters(made, buf, CLUSTER).v;
		made_put64(made, l1 + 8 * i, l2);
		made_put64(made, l2, data);
	}
	return (q2s_host){ l1 };
}

START_TEST(snapshots_are_found_by_id_then_by_name)
{
	struct made made = made_over(2 * MIB, NULL, NULL);
	const struct q2s_snapshot list[] = {
		{ TEXT(id, "1"), TEXT(name, "2"), .l1_offset = put_l1(&made, '1'), .l1_entries = 2,
		  .has_disk_size = true, .disk_size = MIB + 512 },
		{ TEXT(id, "2"), TEXT(name, "two"), .l1_offset = put_l1(&made, '2'),
		  .l1_entries = 2, .has_disk_size = true, .disk_size = 4 * MIB },
		{ TEXT(id, "3"), TEXT(name, "two"), .l1_offset = put_l1(&made, '3'),
		  .l1_entries = 1, .has_disk_size = true, .disk_size = 4 * MIB },
	};
	const struct q2s_disk_qcow2_options small = { .snapshot = "3" }, none = { .snapshot = "4" };
	struct look look;

	made_data(&made, 0, 'a');
	put_snapshots(&made, list, COUNT(list));
	made_done(&made, "image");
	look = look_at("image", "1");
	ck_assert_uint_eq(q2s_disk_size(look.disk), MIB + 512); /* the VM state is behind it */
	assert_bytes(&look, 0, CLUSTER, '1');
	assert_extent(&look, CLUSTER, MIB + 512 - CLUSTER, Q2S_ABSENT);
	look_end(&look);
	look = look_at("image", "2");
	ck_assert_uint_eq(q2s_disk_size(look.disk), 4 * MIB); /* larger than now */
	assert_bytes(&look, 0, CLUSTER, '2');
	assert_bytes(&look, 2 * MIB, CLUSTER, '2');
	look_end(&look);
	look = look_at("image", "two");
	assert_bytes(&look, 0, CLUSTER, '2');
	look_end(&look);
	look = look_at("image", NULL);
	ck_assert_uint_eq(q2s_disk_size(look.disk), 2 * MIB);
	assert_bytes(&look, 0, CLUSTER, 'a');
	look_end(&look);
	assert_unopenable("image", &none, Q2S_E_USAGE, "image", "none has the ID or name '4'");
	assert_unopenable("image", &small, Q2S_E_SNAPSHOT, "image", "1 entries is too small");
}
END_TEST

/* ---- refusals ---------------------------------------------------------------------------- */

START_TEST(encrypted_images_are_refused_plainly)
{
	const struct q2s_disk_qcow2_options keyed = { .key = (const uint8_t *)"k", .key_len = 1 };
	const struct q2s_disk_qcow2_options none = { 0 };
	struct made made = made_over(MIB, NULL, NULL);

	made.header.crypt_method = Q2S_CRYPT_AES;
	made_done(&made, "image");
	assert_unopenable("image", &none, Q2S_E_KEY, "image", "no secret was given");
	assert_unopenable("image", &keyed, Q2S_E_MISSING, "image", "cannot decrypt");
}
END_TEST

START_TEST(other_files_are_opened_by_policy_alone)
{
	const struct q2s_disk_qcow2_options none = { 0 };
	struct made made = made_over(MIB, "raw", "raw");
	struct look look;

	put_raw("raw", MIB, 0, 1, 'r');
	made_done(&made, "image");
	assert_unopenable("image", &none, Q2S_E_POLICY, "image",
			  "'raw' is not opened; --follow beside or --follow any would allow it");
	assert_unopenable("image", NULL, Q2S_E_POLICY, "image", "'raw' is not opened");
	look = look_at("image", NULL);
	assert_bytes(&look, 0, CLUSTER, 'r');
	look_end(&look);
}
END_TEST

START_TEST(loops_are_refused)
{
	struct made made = made_over(MIB, "image", "qcow2");
	char deep[2][16] = { "", "" };

	made_done(&made, "image");
	assert_unopenable("image", &any, Q2S_E_HEADER, "image", "already a layer");
	made = made_over(MIB, "./link", "qcow2");
	made_done(&made, "other");
	ck_assert_int_eq(symlink("other", "link"), 0);
	assert_unopenable("other", &any, Q2S_E_HEADER, "./link", "already a layer");
	made = made_over(MIB, "b", "qcow2");
	made_done(&made, "a");
	made = made_over(MIB, "json:{\"file.filename\":\"a\"}", NULL);
	made_done(&made, "b");
	assert_unopenable("a", &any, Q2S_E_HEADER, "a", "already a layer");
	for (int i = 0; i <= 200; i++) {
		made = made_over(MIB, i ? deep[(i + 1) % 2] : NULL, i ? "qcow2" : NULL);
		snprintf(deep[i % 2], sizeof(deep[0]), "deep%d", i);
		made_done(&made, deep[i % 2]);
	}
	assert_unopenable("deep200", &any, Q2S_E_LIMIT, "deep0", "more than 200 layers");
	struct look look = look_at("deep199", NULL);

	assert_extent(&look, 0, MIB, Q2S_ABSENT);
	look_end(&look);
}
END_TEST

START_TEST(the_recorded_format_is_believed)
{
	struct made made = made_over(MIB, NULL, NULL);
	struct look look;

	made_data(&made, 0, 'i');
	made_done(&made, "base");
	made = made_over(MIB, "base", "raw"); /* the bytes of the image, not its content */
	made_done(&made, "as-raw");
	made = made_over(MIB, "base", "qcow2");
	made_done(&made, "as-qcow2");
	made = made_over(MIB, "base", NULL);
	made_done(&made, "guess");
	made = made_over(MIB, "json:{\"driver\":\"raw\",\"file\":{\"filename\":\"base\"}}", NULL);
	made_done(&made, "json");
	made = made_over(MIB, "base", "vmdk");
	made_done(&made, "vmdk");
	look = look_at("as-raw", NULL);
	assert_bytes(&look, 0, 1, 'Q');
	look_end(&look);
	look = look_at("json", NULL);
	assert_bytes(&look, 0, 1, 'Q');
	look_end(&look);
	look = look_at("as-qcow2", NULL);
	assert_bytes(&look, 0, CLUSTER, 'i');
	look_end(&look);
	look = look_at("guess", NULL);
	assert_bytes(&look, 0, CLUSTER, 'i');
	look_end(&look);
	assert_unopenable("vmdk", &any, Q2S_E_UNSUPPORTED, "base", "'vmdk' is not qcow2 or raw");
	put_raw("plain", MIB, 0, 1, 'r');
	made = made_over(MIB, "plain", NULL);
	made_done(&made, "guess");
	look = look_at("guess", NULL);
	assert_bytes(&look, 0, CLUSTER, 'r');
	look_end(&look);
}
END_TEST

/* A guest that owns a raw disk may make it look like an image that refers to a neighbour. */
START_TEST(a_guessed_image_refers_to_nothing_without_the_users_word)
{
	struct made made = made_over(MIB, "secret", "raw");
	struct look look;

	put_raw("secret", MIB, 0, 1, 's');
	made_done(&made, "guests-disk");
	made = made_over(MIB, "guests-disk", NULL);
	made_done(&made, "image");
	assert_unopenable("image", &beside, Q2S_E_POLICY, "guests-disk",
			  "--follow any would allow it");
	look = look_at("image", NULL);
	assert_bytes(&look, 0, CLUSTER, 's');
	look_end(&look);
}
END_TEST

/* ---- data files -------------------------------------------------------------------------- */

START_TEST(a_data_file_holds_the_data)
{
	const struct q2s_geom_params params = { .version = 3,
						.cluster_bits = 12,
						.refcount_order = 4,
						.data_file = true,
						.size = 8 * CLUSTER };
	const struct q2s_disk_qcow2_options none = { 0 };
	struct made made = made_start(&params);
	struct look look;

	put_raw("data", 4 * CLUSTER + 100, 0, 4, 'd');
	made_extension(&made, Q2S_EXT_DATA_FILE, "data", 4);
	made_raw_entry(&made, 0, Q2S_ENTRY_COPIED, 0);
	made_raw_entry(&made, 2 * CLUSTER, Q2S_ENTRY_COPIED | 2 * CLUSTER, 0);
	made_raw_entry(&made, 3 * CLUSTER, Q2S_ENTRY_COPIED | 3 * CLUSTER | Q2S_ENTRY_ZERO, 0);
	made_raw_entry(&made, 6 * CLUSTER, Q2S_ENTRY_COPIED | 6 * CLUSTER, 0);
	made_done(&made, "image");
	look = look_at("image", NULL);
	assert_extent(&look, 0, CLUSTER, Q2S_DATA);
	ck_assert_str_eq(q2s_file_name(extent_at(&look, 0).file), "data");
	ck_assert_uint_eq(extent_at(&look, 2 * CLUSTER).at, 2 * CLUSTER);
	assert_bytes(&look, 0, CLUSTER, 'd');
	assert_bytes(&look, CLUSTER, CLUSTER, 0); /* the entry rules, not the file */
	assert_bytes(&look, 2 * CLUSTER, CLUSTER, 'd');
	assert_bytes(&look, 3 * CLUSTER, 5 * CLUSTER, 0);
	assert_extent(&look, 6 * CLUSTER, CLUSTER, Q2S_ZERO); /* behind the data file's end */
	look_end(&look);
	assert_unopenable("image", &none, Q2S_E_POLICY, "image", "'data' is not opened");
}
END_TEST

/* ---- change ------------------------------------------------------------------------------ */

START_TEST(a_change_of_any_file_is_noticed)
{
	struct made made = made_over(MIB, "raw", "raw");
	struct q2s_diag found = { 0 };
	struct look look;

	put_raw("raw", MIB, 0, 8, 'r');
	made_data(&made, CLUSTER, 'i');
	made_done(&made, "image");
	look = look_at("image", NULL);
	ck_assert_int_eq(q2s_disk_verify(look.disk, &found), Q2S_OK);
	ck_assert_int_eq(truncate("raw", 2 * CLUSTER), 0);
	ck_assert_int_eq(q2s_disk_verify(look.disk, &found), Q2S_E_CHANGED);
	ck_assert_str_eq(found.file, "raw");
	memset(&found, 0, sizeof(found));
	ck_assert_int_eq(q2s_cursor_read(look.cursor, (q2s_guest){ 0 }, buf, 8 * CLUSTER, &found),
			 Q2S_E_CHANGED);
	ck_assert_str_eq(found.file, "raw");
	ck_assert_uint_eq(found.at.v, 2 * CLUSTER);
	look_end(&look);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("disk_qcow2");
	TCase *tcase = tcase_create("disk_qcow2");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, the_first_layer_that_is_not_absent_decides);
	tcase_add_test(tcase, nothing_shows_behind_the_end_of_a_shorter_layer);
	tcase_add_test(tcase, a_larger_layer_below_is_cut_off);
	tcase_add_test(tcase, subclusters_fall_through_one_by_one);
	tcase_add_test(tcase, extents_go_over_tables_and_name_the_file);
	tcase_add_test(tcase, holes_in_the_file_are_no_data);
	tcase_add_test(tcase, damage_is_reported_where_it_is);
	tcase_add_test(tcase, compressed_clusters_are_read_in_any_order);
	tcase_add_test(tcase, snapshots_are_found_by_id_then_by_name);
	tcase_add_test(tcase, encrypted_images_are_refused_plainly);
	tcase_add_test(tcase, other_files_are_opened_by_policy_alone);
	tcase_add_test(tcase, loops_are_refused);
	tcase_add_test(tcase, the_recorded_format_is_believed);
	tcase_add_test(tcase, a_guessed_image_refers_to_nothing_without_the_users_word);
	tcase_add_test(tcase, a_data_file_holds_the_data);
	tcase_add_test(tcase, a_change_of_any_file_is_noticed);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
