/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pieces: they cover the image without gap, are maximal, and do not depend on where one starts. */
#include "plans.h"

/* Pieces as they are collected: maximal by construction. */
struct list {
	struct q2s_piece *pieces;
	size_t count, room;
	uint64_t at;
};

static void
list_add(struct list *list, enum q2s_piece_kind kind, uint64_t len, uint64_t guest)
{
	struct q2s_piece *last = list->count ? &list->pieces[list->count - 1] : NULL;

	if (len == 0)
		return;
	if (last && last->kind == kind &&
	    (kind == Q2S_PIECE_ZERO || last->guest.v + last->len == guest)) {
		last->len += len;
	} else {
		if (list->count == list->room) {
			list->room = list->room ? 2 * list->room : 64;
			list->pieces = realloc(list->pieces, list->room * sizeof(*list->pieces));
			ck_assert_ptr_nonnull(list->pieces);
		}
		list->pieces[list->count++] = (struct q2s_piece){
			.kind = kind, .at = { list->at }, .len = len, .guest = { guest },
		};
	}
	list->at += len;
}

/* One subcluster of a cluster that has host space. */
static void
list_add_unit(struct list *list, const struct q2s_geom *geom, uint64_t guest, bool data)
{
	const uint64_t left = geom->size > guest ? geom->size - guest : 0;
	const uint64_t inside = left < geom->sub_size ? left : geom->sub_size;

	if (data)
		list_add(list, Q2S_PIECE_GUEST, inside, guest);
	list_add(list, Q2S_PIECE_ZERO, data ? geom->sub_size - inside : geom->sub_size, 0);
}

/*
 * What the pieces must be: metadata, and the clusters with host space in guest order. @joined: a
 * cluster that has data is data as a whole.
 */
static struct list
expected(const struct planned *p, bool joined)
{
	struct list list = { 0 };

	list_add(&list, Q2S_PIECE_METADATA, p->layout->data.v, 0);
	for (uint64_t i = 0; !p->geom.data_file && i < p->geom.clusters; i++)
		for (uint32_t sub = 0; p->slots[i].host && sub < p->geom.sub_count; sub++)
			list_add_unit(&list, &p->geom,
				      (i << p->geom.cluster_bits) +
					      ((uint64_t)sub << p->geom.sub_bits),
				      joined ? p->slots[i].alloc != 0 :
					       p->slots[i].alloc >> sub & 1);
	list_add(&list, Q2S_PIECE_METADATA, p->layout->length - list.at, 0); /* with data first */
	return list;
}

static void
assert_piece(const struct q2s_piece *got, const struct q2s_piece *want)
{
	if (got->kind != want->kind || got->at.v != want->at.v || got->len != want->len ||
	    (got->kind == Q2S_PIECE_GUEST && got->guest.v != want->guest.v))
		ck_abort_msg("%d at %" PRIx64 "+%" PRIx64 " guest %" PRIx64 " instead of %d at %" PRIx64
			     "+%" PRIx64 " guest %" PRIx64,
			     got->kind, got->at.v, got->len, got->guest.v, want->kind, want->at.v,
			     want->len, want->guest.v);
}

/* From @start on the walk gives what is left of the list there. */
static void
assert_walk(const struct planned *p, const struct list *list, uint64_t start, bool joined)
{
	struct q2s_pieces *pieces = NULL;
	struct q2s_piece got;

	assert_ok(q2s_pieces_open(p->plan, (q2s_host){ start }, joined, &pieces, &diag));
	for (size_t i = 0; i < list->count; i++) {
		struct q2s_piece want = list->pieces[i];

		if (want.at.v + want.len <= start)
			continue;
		if (want.at.v < start) {
			want.guest.v += start - want.at.v;
			want.len -= start - want.at.v;
			want.at.v = start;
		}
		assert_ok(q2s_pieces_next(pieces, &got, &diag));
		assert_piece(&got, &want);
	}
	for (unsigned i = 0; i < 2; i++) {
		assert_ok(q2s_pieces_next(pieces, &got, &diag));
		ck_assert_int_eq(got.kind, Q2S_PIECE_END);
		ck_assert_uint_eq(got.at.v, p->layout->length);
	}
	q2s_pieces_close(pieces);
}

/* Walks from many places. */
static void
assert_walks(const struct planned *p, bool joined, uint64_t *seed)
{
	struct list list = expected(p, joined);

	ck_assert_uint_eq(list.at, p->layout->length);
	assert_walk(p, &list, 0, joined);
	assert_walk(p, &list, p->layout->data.v, joined);
	assert_walk(p, &list, p->layout->length, joined);
	for (unsigned i = 0; i < 20; i++)
		assert_walk(p, &list, unit_random(seed) % (p->layout->length + 1), joined);
	for (unsigned i = 0; i < 20; i++) {
		const struct q2s_piece *piece = &list.pieces[unit_random(seed) % list.count];

		assert_walk(p, &list, piece->at.v, joined);
		assert_walk(p, &list, piece->at.v + piece->len - 1, joined);
	}
	free(list.pieces);
}

START_TEST(pieces_are_as_the_slots_say)
{
	uint64_t seed = 31;
	struct planned p;

	for (unsigned index = 0; index < GEOMS; index++) {
		if (!planned_make(&p, index, &seed))
			continue;
		assert_walks(&p, false, &seed);
		assert_walks(&p, true, &seed);
		planned_free(&p);
	}
}
END_TEST

/* Metadata [@from, @until), asked for at once, in some places, and in parts. */
static void
assert_metadata(const struct planned *p, uint64_t from, uint64_t until, uint64_t *seed)
{
	const size_t len = (size_t)(until - from);
	uint8_t *whole = malloc(len + 1), *part = malloc(len + 1);
	struct q2s_pieces *pieces = NULL;

	assert_ok(q2s_pieces_open(p->plan, (q2s_host){ 0 }, false, &pieces, &diag));
	assert_ok(q2s_pieces_metadata(pieces, (q2s_host){ from }, whole, len, &diag));
	for (unsigned i = 0; i < 10 && len > 0; i++) {
		const size_t at = unit_random(seed) % len;
		const size_t n = unit_random_log(seed) % (len - at + 1);

		assert_ok(q2s_pieces_metadata(pieces, (q2s_host){ from + at }, part, n, &diag));
		ck_assert_mem_eq(part, whole + at, n);
	}
	for (size_t at = 0, n; at < len; at += n) {
		n = 1 + unit_random(seed) % 100000;
		n = n < len - at ? n : len - at;
		assert_ok(q2s_pieces_metadata(pieces, (q2s_host){ from + at }, part, n, &diag));
		ck_assert_mem_eq(part, whole + at, n);
	}
	q2s_pieces_close(pieces);
	free(whole);
	free(part);
}

START_TEST(metadata_does_not_depend_on_how_it_is_asked_for)
{
	uint64_t seed = 32;
	struct planned p;

	for (unsigned index = 0; index < GEOMS; index++) {
		if (!planned_make(&p, index, &seed))
			continue;
		const struct q2s_layout *layout = p.layout;
		const uint64_t end =
			layout->data.v + (layout->data_clusters << p.geom.cluster_bits);

		assert_metadata(&p, 0, layout->data.v, &seed);
		assert_metadata(&p, end, layout->length, &seed);
		planned_free(&p);
	}
}
END_TEST

START_TEST(what_is_outside_is_refused)
{
	uint64_t seed = 33;
	struct planned p;
	struct q2s_pieces *pieces = NULL;
	uint8_t byte;

	for (unsigned index = 0; !planned_make(&p, index, &seed) || p.layout->data_clusters == 0;
	     index++)
		continue;
	const uint64_t data = p.layout->data.v, end = p.layout->length;

	assert_refused(Q2S_E_USAGE, NOWHERE, end + 1,
		       q2s_pieces_open(p.plan, (q2s_host){ end + 1 }, false, &pieces, &diag));
	assert_ok(q2s_pieces_open(p.plan, (q2s_host){ 0 }, false, &pieces, &diag));
	assert_refused(Q2S_E_USAGE, NOWHERE, data,
		       q2s_pieces_metadata(pieces, (q2s_host){ data }, &byte, 1, &diag));
	assert_refused(Q2S_E_USAGE, NOWHERE, UINT64_MAX,
		       q2s_pieces_metadata(pieces, (q2s_host){ UINT64_MAX }, &byte, 1, &diag));
	q2s_pieces_close(pieces);
	q2s_pieces_close(NULL);
	planned_free(&p);
}
END_TEST

/* The cost of starting somewhere is one table's runs: a walk in 16 parts must not be slow. */
START_TEST(parts_make_the_whole)
{
	const struct q2s_geom_params params = { .version = 3, .cluster_bits = 16,
						.refcount_order = 4, .size = 1ull << 40 };
	const struct q2s_slot data = { .host = true, .alloc = 1 }, absent = { 0 };
	struct q2s_spec spec = { 0 };
	struct q2s_alloc *alloc = NULL;
	struct q2s_plan *plan = NULL;
	uint64_t sum = 0, at = 0;

	assert_ok(q2s_geom_init(&params, &spec.geom, &diag));
	assert_ok(q2s_alloc_new(&spec.geom, &alloc, &diag));
	for (unsigned i = 0; i < 200000; i++)
		assert_ok(q2s_alloc_add(alloc, i % 2 ? &data : &absent, 1 + i % 7, &diag));
	assert_ok(q2s_plan_new(&spec, alloc, &plan, &diag));
	const uint64_t length = q2s_plan_layout(plan)->length;

	for (uint64_t part = 1; part <= 16; part++) {
		const uint64_t end = length / 16 * part + (part == 16 ? length % 16 : 0);
		struct q2s_pieces *pieces = NULL;
		struct q2s_piece piece;

		assert_ok(q2s_pieces_open(plan, (q2s_host){ at }, false, &pieces, &diag));
		for (; at < end; at = piece.at.v + piece.len) {
			assert_ok(q2s_pieces_next(pieces, &piece, &diag));
			ck_assert_uint_eq(piece.at.v, at);
			if (piece.len > end - at)
				piece.len = end - at;
			sum += piece.len;
		}
		q2s_pieces_close(pieces);
	}
	ck_assert_uint_eq(sum, length);
	q2s_plan_free(plan);
}
END_TEST

UNIT_MAIN("pieces", pieces_are_as_the_slots_say, metadata_does_not_depend_on_how_it_is_asked_for,
	  what_is_outside_is_refused, parts_make_the_whole)
