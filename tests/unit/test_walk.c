/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The walk over all structures: order, what is shared, what lies past the end; tolerant opening. */
#include <q2s/check.h>
#include <q2s/walk.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "made.h"
#include "unit.h"

#define KIB 1024ull
#define MIB (KIB << 10)
#define FAR (1ull << 40) /* behind the end of any file here */

/* ---- what a walk tells, as lines --------------------------------------------------------- */

static char told[4096];

__attribute__((format(printf, 1, 2))) static void
tell(const char *fmt, ...)
{
	const size_t used = strlen(told);
	va_list args;

	va_start(args, fmt);
	vsnprintf(told + used, sizeof(told) - used, fmt, args);
	va_end(args);
}

static enum q2s_err
tell_structure(void *opaque, const struct q2s_structure *it, struct q2s_diag *why)
{
	(void)opaque;
	(void)why;
	tell("%s %llu%s%s; ", q2s_structure_name(it->kind), (unsigned long long)it->index,
	     it->again ? " again" : "", it->fault ? " lost" : "");
	return Q2S_OK;
}

static enum q2s_err
tell_entry(void *opaque, const struct q2s_structure *in, const struct q2s_table_entry *it,
	   struct q2s_diag *why)
{
	(void)opaque;
	(void)in;
	(void)why;
	tell("- %llu%s%s%s; ", (unsigned long long)it->index, it->known ? "" : " unknown",
	     it->fault ? " " : "", it->fault ? q2s_err_name(it->fault->err) : "");
	return Q2S_OK;
}

static const char *
walk(const struct q2s_image *image, const struct q2s_walk_options *how)
{
	told[0] = '\0';
	assert_ok(q2s_walk(image, how, &diag));
	return told;
}

static struct q2s_image *
open_made(struct made *made, unsigned flags)
{
	struct q2s_store *const file = made_file(made);
	struct q2s_image *image = NULL;

	assert_ok(q2s_image_open(file, flags, &image, &diag));
	q2s_store_unref(file);
	return image;
}

/* L1: 0 and 2 lead to one table, 1 past the end, 3 to nowhere that could be. */
static struct made
make(void)
{
	struct made made = made_v3(12, false, 8 * MIB);

	made_data(&made, 0, 1);
	made_data(&made, 4 * KIB, 2);
	made_finish(&made);
	return made;
}

START_TEST(each_table_is_told_once)
{
	const struct q2s_walk_options l2 = {
		.size = sizeof(l2),
		.kinds = Q2S_WALK_KIND(Q2S_STRUCTURE_L2),
		.structure = tell_structure,
		.entry = tell_entry,
	};
	struct q2s_walk_options all = l2;
	struct made made = make();
	const uint64_t at = made.header.l1_table_offset.v;
	const uint64_t table = made_entry_at(&made, 0);
	struct q2s_image *image;

	made_put64(&made, at + 8, Q2S_ENTRY_COPIED | FAR);
	made_put64(&made, at + 16, Q2S_ENTRY_COPIED | table);
	made_put64(&made, at + 24, Q2S_ENTRY_COPIED | (table + 512));
	made_put64(&made, table + 8 * 7, UINT64_MAX >> 1 & ~Q2S_ENTRY_COMPRESSED);
	image = open_made(&made, Q2S_IMAGE_DAMAGED);
	ck_assert_str_eq(walk(image, &l2),
			 "L2 table 0; - 0; - 1; - 7 unknown reserved; L2 table 1 lost; ");
	all.all = true;
	all.entry = NULL;
	ck_assert_str_eq(walk(image, &all), "L2 table 0; L2 table 1 lost; L2 table 2 again; ");
	/* Guest bytes of one cluster. */
	all = l2;
	all.guest = 4 * KIB;
	all.guest_end = 8 * KIB;
	ck_assert_str_eq(walk(image, &all), "L2 table 0; - 1; ");
	q2s_image_close(image);
	made_free(&made);
}
END_TEST

START_TEST(a_refused_image_can_be_walked)
{
	const struct q2s_walk_options l1 = {
		.size = sizeof(l1),
		.kinds = Q2S_WALK_KIND(Q2S_STRUCTURE_HEADER) | Q2S_WALK_KIND(Q2S_STRUCTURE_L1),
		.structure = tell_structure,
		.entry = tell_entry,
	};
	struct made made = make();
	struct q2s_check_result result;
	struct q2s_image *image;
	struct q2s_map *map;

	made_put64(&made, 72, 1ull << 60); /* an incompatible feature that nobody knows */
	image = open_made(&made, Q2S_IMAGE_TOLERANT);
	ck_assert_ptr_nonnull(q2s_image_fault(image));
	ck_assert_int_eq(q2s_image_fault(image)->err, Q2S_E_UNSUPPORTED);
	ck_assert_uint_eq(q2s_image_header(image)->incompatible_features, 1ull << 60);
	ck_assert_uint_eq(q2s_image_cluster0_size(image), 4 * KIB);
	ck_assert_str_eq(walk(image, &l1), "header cluster 0; L1 table 0; - 0; ");

	/* What trusts an image does not take it. */
	const struct q2s_l1_table table = q2s_image_active_l1(image);

	ck_assert_int_eq(q2s_map_open(image, &table, &map, NULL), Q2S_E_UNSUPPORTED);
	ck_assert_int_eq(q2s_check(image, NULL, &result, NULL), Q2S_E_UNSUPPORTED);
	q2s_image_close(image);

	/* Without a geometry there is still the header. */
	made_put32(&made, 20, 77);
	image = open_made(&made, Q2S_IMAGE_TOLERANT);
	ck_assert(!q2s_image_has_geom(image));
	ck_assert_uint_eq(q2s_image_header(image)->cluster_bits, 77);
	q2s_image_close(image);
	made_free(&made);
}
END_TEST

START_TEST(a_sound_image_has_no_fault)
{
	struct made made = make();
	struct q2s_image *const image = open_made(&made, Q2S_IMAGE_TOLERANT);

	ck_assert_ptr_null(q2s_image_fault(image));
	ck_assert(q2s_image_has_geom(image));
	q2s_image_close(image);
	made_free(&made);
}
END_TEST

UNIT_MAIN("walk", each_table_is_told_once, a_refused_image_can_be_walked,
	  a_sound_image_has_no_fault)
