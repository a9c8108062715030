/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sizes of public structs, which are compiled into the programs of others: one that changes
 * here without a new interface number of the library breaks them without a word. tests/headers.sh sees to
 * it that all are here.
 */
#include <q2s/q2s.h>

#include "unit.h"

#define PIN(type, lp64) { #type, sizeof(struct type), lp64 }

START_TEST(public_structs_keep_their_size)
{
	static const struct {
		const char *name;
		size_t size, lp64;
	} rows[] = {
		PIN(q2s_diag, 1440),
		PIN(q2s_observer, 16),
		PIN(q2s_builder_options, 136),
		PIN(q2s_layer, 32),
		PIN(q2s_chain_options, 24),
		PIN(q2s_finding, 80),
		PIN(q2s_check_options, 40),
		PIN(q2s_check_result, 72),
		PIN(q2s_crypt_place, 32),
		PIN(q2s_luks_params, 32),
		PIN(q2s_extent, 40),
		PIN(q2s_pattern, 40),
		PIN(q2s_layer_key, 64),
		PIN(q2s_disk_qcow2_options, 80),
		PIN(q2s_disk_open_options, 32),
		PIN(q2s_disk_nbd_options, 56),
		PIN(q2s_comparison, 16),
		PIN(q2s_hint, 24),
		PIN(q2s_salvaged, 16),
		PIN(q2s_changed_options, 32),
		PIN(q2s_edit_options, 56),
		PIN(q2s_commit, 40),
		PIN(q2s_edit_snapshot, 24),
		PIN(q2s_edit_blocked, 16),
		PIN(q2s_edit_features, 40),
		PIN(q2s_compression, 8),
		PIN(q2s_compress_options, 56),
		PIN(q2s_emit_options, 72),
		PIN(q2s_field, 32),
		PIN(q2s_geom, 104),
		PIN(q2s_geom_params, 24),
		PIN(q2s_refcount_size, 16),
		PIN(q2s_header, 112),
		PIN(q2s_ext, 24),
		PIN(q2s_feature_item, 49),
		PIN(q2s_ext_bitmaps, 24),
		PIN(q2s_ext_crypto, 16),
		PIN(q2s_id, 16),
		PIN(q2s_mark, 32),
		PIN(q2s_l1_entry, 16),
		PIN(q2s_l2_entry, 40),
		PIN(q2s_comp_range, 16),
		PIN(q2s_snapshot, 120),
		PIN(q2s_bitmap, 48),
		PIN(q2s_bitmap_table_entry, 16),
		PIN(q2s_luks_slot, 56),
		PIN(q2s_luks, 656),
		PIN(q2s_luks_words, 144),
		PIN(q2s_http_options, 40),
		PIN(q2s_bytes, 16),
		PIN(q2s_snapshots, 40),
		PIN(q2s_bitmaps, 40),
		PIN(q2s_bitmap_run, 16),
		PIN(q2s_l1_table, 24),
		PIN(q2s_run, 32),
		PIN(q2s_container, 24),
		PIN(q2s_digest, 72),
		PIN(q2s_spec_bitmap, 32),
		PIN(q2s_spec, 224),
		PIN(q2s_slot, 24),
		PIN(q2s_scan_options, 24),
		PIN(q2s_share_options, 24),
		PIN(q2s_layout, 136),
		PIN(q2s_measure, 32),
		PIN(q2s_plan_note, 200),
		PIN(q2s_plan_look, 48),
		PIN(q2s_piece, 48),
		PIN(q2s_repair_options, 24),
		PIN(q2s_repair_result, 192),
		PIN(q2s_repair_step, 104),
		PIN(q2s_salvage_result, 56),
		PIN(q2s_stretch, 16),
		PIN(q2s_store_ident, 48),
		PIN(q2s_store_ops, 128),
		PIN(q2s_stretch_walk, 24),
		PIN(q2s_stream, 80),
		PIN(q2s_structure, 80),
		PIN(q2s_table_entry, 112),
		PIN(q2s_walk_options, 64),
		PIN(q2s_seen, 24),
		PIN(q2s_table, 56),
		PIN(q2s_records, 56),
		PIN(q2s_stored_record, 1464),
		PIN(q2s_extensions, 32),
	};

	if (sizeof(void *) != 8 || sizeof(size_t) != 8)
		return; /* other machines have their own numbers */
	for (size_t i = 0; i < COUNT(rows); i++)
		ck_assert_msg(rows[i].size == rows[i].lp64, "struct %s: %zu instead of %zu",
			      rows[i].name, rows[i].size, rows[i].lp64);
}
END_TEST

START_TEST(offsets_are_plain_numbers_of_64_bits)
{
	ck_assert_uint_eq(sizeof(q2s_guest), 8);
	ck_assert_uint_eq(sizeof(q2s_host), 8);
}
END_TEST

/* What tells the age of options comes first in all of them. */
#define FIRST(type) ck_assert_uint_eq(offsetof(struct type, size), 0)

START_TEST(options_begin_with_their_size)
{
	FIRST(q2s_builder_options);
	FIRST(q2s_changed_options);
	FIRST(q2s_chain_options);
	FIRST(q2s_check_options);
	FIRST(q2s_commit);
	FIRST(q2s_compress_options);
	FIRST(q2s_disk_nbd_options);
	FIRST(q2s_disk_open_options);
	FIRST(q2s_disk_qcow2_options);
	FIRST(q2s_edit_options);
	FIRST(q2s_emit_options);
	FIRST(q2s_http_options);
	FIRST(q2s_plan_look);
	FIRST(q2s_repair_options);
	FIRST(q2s_scan_options);
	FIRST(q2s_share_options);
	FIRST(q2s_store_ops);
	FIRST(q2s_walk_options);
}
END_TEST

/* A size that cannot be, and none at all, are the caller's mistakes; NULL is no mistake. */
START_TEST(options_of_a_wrong_size_are_refused)
{
	struct q2s_disk_qcow2_options qcow2 = { .size = sizeof(qcow2) + 1 };
	struct q2s_changed_options changed = { .size = 0, .unit = 512 };
	struct q2s_share_options share = { .size = 0 };
	struct q2s_scan_options scan = { .size = 0 };
	struct q2s_compress_options compress = { .size = 0 };
	struct q2s_emit_options emit = { .size = 0, .until = Q2S_TO_END };
	struct q2s_disk *disk = NULL, *out = NULL;
	struct q2s_alloc *alloc = NULL, *made = NULL;
	struct q2s_store *store = NULL;
	struct q2s_spec spec;

	assert_ok(q2s_disk_empty(1 << 20, &disk, &diag));
	assert_ok(q2s_spec_init(&spec, 1 << 20, &diag));
	assert_ok(q2s_store_memory("QFI", 3, "memory", &store, &diag));
	ck_assert_int_eq(q2s_disk_qcow2(store, &qcow2, &out, NULL), Q2S_E_USAGE);
	ck_assert_int_eq(q2s_disk_changed(disk, disk, &changed, &out, NULL), Q2S_E_USAGE);
	ck_assert_int_eq(q2s_scan(disk, &spec.geom, &scan, &alloc, NULL), Q2S_E_USAGE);
	ck_assert_int_eq(q2s_disk_nbd(NULL, &out, NULL) == Q2S_OK, 0);
	assert_ok(q2s_scan(disk, &spec.geom, NULL, &alloc, &diag));
	ck_assert_int_eq(q2s_share(disk, alloc, &share, &made, NULL), Q2S_E_USAGE);
	ck_assert_int_eq(q2s_compress(disk, alloc, &compress, &made, NULL), Q2S_E_USAGE);
	ck_assert_int_eq(q2s_emit_raw(disk, NULL, &emit, NULL), Q2S_E_USAGE);
	assert_ok(q2s_compress(disk, alloc, NULL, &made, &diag));
	q2s_alloc_free(made);
	q2s_alloc_free(alloc);
	q2s_store_unref(store);
	assert_ok(q2s_disk_changed(disk, disk, NULL, &out, &diag));
	q2s_disk_close(out);
	q2s_disk_close(disk);
}
END_TEST

/* Codes are numbers in other programs too: new ones go to the end of their class. */
START_TEST(error_codes_keep_their_numbers)
{
	ck_assert_int_eq(Q2S_OK, 0);
	ck_assert_int_eq(Q2S_E_USAGE, 100);
	ck_assert_int_eq(Q2S_E_IO, 200);
	ck_assert_int_eq(Q2S_E_BUSY, 206);
	ck_assert_int_eq(Q2S_E_UNSUPPORTED, 300);
	ck_assert_int_eq(Q2S_E_LIMIT, 400);
	ck_assert_int_eq(Q2S_E_MAGIC, 500);
	ck_assert_int_eq(Q2S_E_CRYPTO, 514);
}
END_TEST

UNIT_MAIN("abi", public_structs_keep_their_size, options_begin_with_their_size,
	  options_of_a_wrong_size_are_refused, offsets_are_plain_numbers_of_64_bits,
	  error_codes_keep_their_numbers)
