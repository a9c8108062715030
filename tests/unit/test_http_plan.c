/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a server is asked for, and when, without one: the test brings the bytes and says what time it is. */
#include "io/http_plan.h"


#include "unit.h"

#define MIB UINT64_C(1048576)
#define MS INT64_C(1000)

static struct q2si_http_plan plan;
static struct q2s_diag diag;

static void
setup(void)
{
	q2si_plan_init(&plan);
	diag = (struct q2s_diag){ 0 };
}

static void
teardown(void)
{
	q2si_plan_free(&plan);
	ck_assert_uint_eq(plan.memory, 0);
}

static void
announce(uint64_t at, uint64_t end)
{
	ck_assert_int_eq(q2si_plan_want(&plan, at, end, true, &diag), Q2S_OK);
}

/* What a reader does that has to wait. */
static struct q2si_fetched *
wait_at(uint64_t at, uint64_t len)
{
	struct q2si_fetched **link, *piece;

	ck_assert_int_eq(q2si_plan_want(&plan, at, at + len, false, &diag), Q2S_OK);
	piece = q2si_plan_find(&plan, at, &link);
	piece->readers++;
	piece->wanted = true;
	return piece;
}

static void
read_at(uint64_t at, uint64_t len)
{
	struct q2si_fetched **link, *piece = q2si_plan_find(&plan, at, &link);

	ck_assert_ptr_nonnull(piece);
	ck_assert_int_eq(piece->state, Q2SI_THERE);
	plan.clock++;
	q2si_plan_read(&plan, piece, len);
}

/* Load all lanes that can be; returns how many. */
static unsigned
load_lanes(int64_t now)
{
	unsigned count = 0;

	for (size_t i = 0; i < Q2SI_LANES; i++)
		if (!plan.lanes[i].piece && q2si_plan_load(&plan, &plan.lanes[i])) {
			q2si_plan_sent(&plan.lanes[i], now);
			count++;
		}
	return count;
}

/* Up to @len bytes come; returns how many were taken before the lane was paused. */
static uint64_t
bring(struct q2si_lane *lane, uint64_t len, int64_t now)
{
	uint64_t done = 0;

	while (done < len) {
		struct q2si_fetched *piece = lane->piece;
		const uint64_t left = piece->end - piece->filled;
		const uint64_t n = len - done < left ? len - done : left;

		if (left == 0)
			break;
		if (!q2si_plan_open(&plan, lane, n, now))
			break;
		q2si_plan_came(&plan, lane, n, now);
		done += n;
	}
	return done;
}

static void
complete(struct q2si_lane *lane, int64_t now)
{
	ck_assert_uint_eq(lane->piece->filled, lane->until);
	q2si_plan_done(&plan, lane, now);
	ck_assert_ptr_null(lane->piece);
}

/* A server that answers a request of @len bytes from @asked on so fast, and so late. */
static void
serve(int64_t *now, uint64_t len, int64_t delay, int64_t rate)
{
	announce(1000 * MIB, 1000 * MIB + len);
	ck_assert_uint_eq(load_lanes(*now), 1);
	*now += delay;
	ck_assert_uint_eq(bring(&plan.lanes[0], 1, *now), 1);
	*now += (int64_t)(len * 1000000 / (uint64_t)rate);
	ck_assert_uint_eq(bring(&plan.lanes[0], len - 1, *now), len - 1);
	complete(&plan.lanes[0], *now);
}

START_TEST(announced_in_stripes)
{
	announce(0, 200 * MIB);
	ck_assert_uint_eq(load_lanes(1), Q2SI_LANES);
	for (size_t i = 0; i < Q2SI_LANES; i++) {
		ck_assert_uint_eq(plan.lanes[i].piece->start, i * Q2SI_REQUEST_STRIPE);
		ck_assert_uint_eq(plan.lanes[i].until, (i + 1) * (uint64_t)Q2SI_REQUEST_STRIPE);
	}
	/* all of them have room at once */
	for (size_t i = Q2SI_LANES; i-- > 0;)
		ck_assert_uint_eq(bring(&plan.lanes[i], Q2SI_REQUEST_STRIPE, 2),
				  Q2SI_REQUEST_STRIPE);
	ck_assert_uint_eq(plan.paused, 0);
	ck_assert_uint_le(plan.memory, Q2SI_HTTP_MEMORY);
}
END_TEST

START_TEST(order_of_reading_not_of_the_file)
{
	announce(90 * MIB, 91 * MIB);
	announce(5 * MIB, 6 * MIB);
	load_lanes(1);
	ck_assert_uint_eq(plan.lanes[0].piece->start, 90 * MIB);
	ck_assert_uint_eq(plan.lanes[1].piece->start, 5 * MIB);
}
END_TEST

START_TEST(reader_first)
{
	announce(0, 100 * MIB);
	wait_at(500 * MIB, 4096);
	load_lanes(1);
	ck_assert_uint_eq(plan.lanes[0].piece->start, 500 * MIB);
	ck_assert_uint_eq(plan.lanes[0].until, 500 * MIB + 4096);
}
END_TEST

START_TEST(small_gaps_are_fetched)
{
	announce(0, 65536);
	announce(65536 + 4096, 131072);
	announce(10 * MIB, 10 * MIB + 65536);
	ck_assert_uint_eq(load_lanes(1), 2);
	ck_assert_uint_eq(plan.lanes[0].until, 131072);
	ck_assert_uint_eq(plan.lanes[1].piece->start, 10 * MIB);
	/* the gap counts as read */
	bring(&plan.lanes[0], 131072, 2);
	complete(&plan.lanes[0], 2);
	read_at(0, 131072 - 4096);
	ck_assert_uint_eq(plan.pieces->taken, 131072);
}
END_TEST

START_TEST(slow_connections_share)
{
	int64_t now = 1;

	serve(&now, 4 * MIB, 100 * MS, 40000000);
	ck_assert_int_eq(plan.delay, 100 * MS);
	ck_assert_uint_eq(plan.request, Q2SI_REQUEST_STRIPE);
}
END_TEST

START_TEST(a_fast_connection_is_not_stopped)
{
	int64_t now = 1;

	serve(&now, 4 * MIB, 100 * MS, 1000000000);
	ck_assert_uint_eq(plan.request, Q2SI_REQUEST_MAX);
	announce(0, 200 * MIB);
	load_lanes(now);
	ck_assert_uint_eq(plan.lanes[0].until, Q2SI_REQUEST_MAX);
	/* the second one is asked before the first one ends */
	ck_assert_uint_eq(plan.lanes[1].piece->start, Q2SI_REQUEST_MAX);
	/* but without a delay there is nothing to gain */
	teardown();
	setup();
	now = 1;
	serve(&now, 4 * MIB, 1, 1000000000);
	ck_assert_uint_eq(plan.request, Q2SI_REQUEST_STRIPE);
}
END_TEST

/* The time in which a lane had to wait for a reader says nothing about the server. */
START_TEST(pauses_are_not_measured)
{
	struct q2si_lane *const lane = &plan.lanes[0];
	int64_t now = 1;
	uint64_t got;

	plan.request = Q2SI_REQUEST_MAX;
	announce(0, 64 * MIB);
	load_lanes(now);
	now += 10 * MS;
	bring(lane, 1, now);
	now += 32;
	got = 1 + bring(lane, 64 * MIB, now);
	ck_assert_uint_eq(got, Q2SI_HTTP_NEXT);
	ck_assert(lane->paused);
	const int64_t rate = plan.rate;

	ck_assert_int_gt(rate, 100000000);
	now += 60 * 1000 * MS;
	for (uint64_t at = 0; at < Q2SI_HTTP_NEXT; at += MIB)
		read_at(at, MIB);
	q2si_plan_resume(&plan, lane);
	ck_assert(lane->resume && !lane->paused);
	bring(lane, 64 * MIB - got, now);
	complete(lane, now);
	ck_assert_int_eq(plan.rate, rate);
}
END_TEST

START_TEST(memory_for_what_is_read_next)
{
	announce(0, 128 * MIB);
	load_lanes(1);
	/* the last lane is quick, but may not take the room of the first */
	for (size_t i = Q2SI_LANES; i-- > 0;)
		bring(&plan.lanes[i], Q2SI_REQUEST_STRIPE, 2);
	for (size_t i = 0; i < Q2SI_LANES; i++)
		complete(&plan.lanes[i], 2);
	load_lanes(3);
	ck_assert_uint_eq(bring(&plan.lanes[0], MIB, 4), 0);
	ck_assert(plan.lanes[0].paused);
	q2si_plan_resume(&plan, &plan.lanes[0]);
	ck_assert(!plan.lanes[0].resume);
	read_at(0, MIB);
	q2si_plan_resume(&plan, &plan.lanes[0]);
	ck_assert(plan.lanes[0].resume);
	ck_assert_uint_eq(bring(&plan.lanes[0], MIB, 5), MIB);
	ck_assert_uint_le(plan.memory, Q2SI_HTTP_MEMORY);
}
END_TEST

START_TEST(what_was_read_goes_first)
{
	struct q2si_fetched **link;

	announce(0, Q2SI_HTTP_NEXT);
	load_lanes(1);
	for (size_t i = 0; i < Q2SI_LANES; i++) {
		bring(&plan.lanes[i], Q2SI_REQUEST_STRIPE, 2);
		complete(&plan.lanes[i], 2);
	}
	read_at(3 * MIB, MIB);
	/* a reader that waits gets room in any case */
	ck_assert(q2si_plan_make_room(&plan, 9 * MIB, true));
	ck_assert_ptr_null(q2si_plan_find(&plan, 3 * MIB, &link));
	ck_assert_ptr_nonnull(q2si_plan_find(&plan, 2 * MIB, &link));
	ck_assert(q2si_plan_make_room(&plan, 10 * MIB, true));
	ck_assert_ptr_null(q2si_plan_find(&plan, 31 * MIB, &link));
	ck_assert(!q2si_plan_make_room(&plan, 11 * MIB, false));
}
END_TEST

START_TEST(recalled_for_a_reader)
{
	const struct q2si_fetched *piece;

	announce(0, 32 * MIB + 8 * MIB * Q2SI_LANES);
	load_lanes(1);
	for (size_t i = 0; i < Q2SI_LANES; i++) {
		bring(&plan.lanes[i], Q2SI_REQUEST_STRIPE, 2);
		complete(&plan.lanes[i], 2);
	}
	ck_assert_uint_eq(load_lanes(3), Q2SI_LANES);
	for (size_t i = 0; i < Q2SI_LANES; i++)
		ck_assert_uint_eq(bring(&plan.lanes[i], 1, 4), 0);
	ck_assert_uint_eq(plan.paused, Q2SI_LANES);
	ck_assert_ptr_null(q2si_plan_recall(&plan)); /* nobody waits */
	piece = wait_at(900 * MIB, 4096);
	ck_assert_ptr_eq(q2si_plan_recall(&plan), &plan.lanes[Q2SI_LANES - 1]);
	ck_assert_uint_eq(load_lanes(5), 1);
	ck_assert_ptr_eq(plan.lanes[Q2SI_LANES - 1].piece, piece);
	ck_assert_uint_eq(bring(&plan.lanes[Q2SI_LANES - 1], 4096, 6), 4096);
}
END_TEST

START_TEST(metadata_stays)
{
	struct q2si_fetched **link;

	wait_at(900 * MIB, 65536)->readers = 0;
	announce(0, 28 * MIB);
	load_lanes(1);
	for (size_t i = 0; i < Q2SI_LANES; i++) {
		bring(&plan.lanes[i], Q2SI_REQUEST_STRIPE, 2);
		complete(&plan.lanes[i], 2);
	}
	read_at(900 * MIB, 65536);
	for (uint64_t at = 0; at < 28 * MIB; at += MIB)
		read_at(at, MIB);
	ck_assert(q2si_plan_make_room(&plan, Q2SI_HTTP_MEMORY - MIB, false));
	ck_assert(q2si_plan_make_room(&plan, Q2SI_HTTP_MEMORY, true));
	ck_assert_ptr_nonnull(q2si_plan_find(&plan, 900 * MIB, &link));
	/* but not all of it: what was read longest ago goes */
	for (uint64_t at = 100 * MIB; at < 109 * MIB; at += MIB) {
		wait_at(at, MIB)->readers = 0;
		load_lanes(3);
		bring(&plan.lanes[0], MIB, 4);
		complete(&plan.lanes[0], 4);
		read_at(at, MIB);
	}
	(void)q2si_plan_make_room(&plan, Q2SI_HTTP_MEMORY, false);
	ck_assert_ptr_null(q2si_plan_find(&plan, 900 * MIB, &link));
	ck_assert_ptr_nonnull(q2si_plan_find(&plan, 108 * MIB, &link));
}
END_TEST

/* ---- the first request goes on ------------------------------------------------------------ */

static void
guess(uint64_t from, uint64_t until)
{
	plan.delay = 100 * MS;
	ck_assert_int_eq(q2si_plan_guess(&plan, from, until, 1, &diag), Q2S_OK);
	q2si_plan_resume(&plan, &plan.lanes[0]);
	ck_assert(plan.lanes[0].resume);
	plan.lanes[0].resume = false;
}

START_TEST(guess_comes_true)
{
	struct q2si_lane *const lane = &plan.lanes[0];
	uint64_t got;

	guess(256 << 10, 64 * MIB);
	got = bring(lane, 64 * MIB, 20 * MS);
	ck_assert_uint_le(plan.memory, Q2SI_HTTP_GUESS);
	ck_assert_uint_gt(got, Q2SI_HTTP_GUESS - 2 * MIB);
	announce(MIB, 100 * MIB);
	q2si_plan_trim(&plan, lane);
	load_lanes(2);
	ck_assert_uint_eq(plan.lanes[1].piece->start, 64 * MIB); /* the rest is on its way */
	q2si_plan_resume(&plan, lane);
	ck_assert(lane->resume);
	/* of the first piece 256 KiB were announced, and it may go when those are read */
	ck_assert_uint_lt(plan.pieces->taken, MIB);
	read_at(MIB, 256 << 10);
	ck_assert_uint_eq(plan.pieces->taken, MIB);
}
END_TEST

START_TEST(guess_counts_what_is_read)
{
	struct q2si_fetched **link;
	const struct q2si_fetched *piece;

	guess(0, 4 * MIB);
	bring(&plan.lanes[0], 4 * MIB, 2);
	complete(&plan.lanes[0], 2);
	piece = q2si_plan_find(&plan, MIB, &link);
	read_at(MIB, 4096); /* an L2 table, say */
	ck_assert_uint_eq(piece->taken, MIB);
	announce(MIB + 65536, 2 * MIB);
	ck_assert_uint_eq(piece->taken, 65536);
	read_at(MIB + 65536, MIB - 65536);
	ck_assert_uint_eq(piece->taken, MIB);
	ck_assert(q2si_piece_is_spare(q2si_plan_find(&plan, 2 * MIB, &link)));
}
END_TEST

START_TEST(guess_gives_way)
{
	struct q2si_lane *const lane = &plan.lanes[0];
	struct q2si_fetched **link;

	guess(0, 64 * MIB);
	bring(lane, MIB + 4096, 2);
	ck_assert(!q2si_plan_trim(&plan, lane));
	ck_assert_uint_eq(lane->until, 64 * MIB);
	/* what is next is not read, but something behind it: the present piece is the last */
	announce(20 * MIB, 22 * MIB);
	ck_assert(!q2si_plan_trim(&plan, lane));
	ck_assert(lane->cut);
	ck_assert_uint_eq(lane->until, 2 * MIB);
	ck_assert_ptr_null(q2si_plan_find(&plan, 2 * MIB, &link));
	ck_assert_uint_eq(load_lanes(3), 1);
	ck_assert_uint_eq(plan.lanes[1].piece->start, 20 * MIB);
	bring(lane, MIB - 4096, 3);
	complete(lane, 3);
}
END_TEST

START_TEST(guess_gives_way_at_once)
{
	struct q2si_lane *const lane = &plan.lanes[0];
	struct q2si_fetched **link;

	guess(0, 64 * MIB);
	bring(lane, 64 * MIB, 2); /* until there is no more room */
	ck_assert(lane->paused);
	wait_at(40 * MIB, 4096);
	ck_assert(q2si_plan_trim(&plan, lane));
	ck_assert_ptr_null(lane->piece);
	ck_assert_uint_eq(plan.paused, 0);
	ck_assert_ptr_null(q2si_plan_find(&plan, 39 * MIB, &link));
	ck_assert_uint_eq(load_lanes(3), 1);
	ck_assert_uint_eq(lane->piece->start, 40 * MIB);
}
END_TEST

START_TEST(guess_does_not_bring_what_is_near)
{
	struct q2si_lane *const lane = &plan.lanes[0];

	guess(0, 64 * MIB);
	wait_at(2 * MIB, 4096);
	ck_assert(!q2si_plan_trim(&plan, lane));
	ck_assert(!lane->cut);
}
END_TEST

/* One slow connection for 64 MiB, while the others have nothing to do. */
START_TEST(guess_is_cut_into_stripes)
{
	struct q2si_lane *const lane = &plan.lanes[0];

	guess(0, 64 * MIB);
	announce(0, 64 * MIB);
	bring(lane, MIB, 50 * MS);
	ck_assert(!q2si_plan_trim(&plan, lane));
	ck_assert(!lane->cut);
	bring(lane, MIB + 4096, 100 * MS);
	ck_assert_int_gt(plan.rate, 0);
	ck_assert(!q2si_plan_trim(&plan, lane));
	ck_assert(lane->cut);
	/* 4 MiB, and the 2 that come while other lanes wait for their first bytes */
	ck_assert_uint_eq(lane->until, 8 * MIB);
	ck_assert_uint_eq(load_lanes(101 * MS), Q2SI_LANES - 1);
	ck_assert_uint_eq(plan.lanes[1].piece->start, 8 * MIB);
	bring(lane, 64 * MIB, 102 * MS);
	complete(lane, 102 * MS);
}
END_TEST

/* Sent again, a request is for what is left, and nothing is cut off any more. */
START_TEST(sent_again)
{
	struct q2si_lane *const lane = &plan.lanes[0];

	announce(0, 4 * MIB);
	load_lanes(1);
	bring(lane, MIB + 5, 2);
	lane->later = 3;
	ck_assert(!q2si_plan_trim(&plan, lane));
	q2si_plan_sent(lane, 3);
	ck_assert_uint_eq(lane->piece->filled, MIB + 5);
	ck_assert_uint_eq(lane->until, 4 * MIB);
	ck_assert_uint_eq(lane->came, 0);
	bring(lane, 3 * MIB - 5, 4);
	complete(lane, 4);
}
END_TEST

START_TEST(released)
{
	struct q2si_lane *const lane = &plan.lanes[0];

	announce(0, 4 * MIB);
	load_lanes(1);
	bring(lane, MIB + 5, 2);
	struct q2si_fetched *const lost = lane->piece;

	q2si_plan_release(&plan, lane);
	ck_assert_ptr_null(lane->piece);
	lost->state = Q2SI_LOST;
	ck_assert_uint_eq(plan.queued, 2);
	ck_assert_uint_eq(load_lanes(3), 1);
	ck_assert_uint_eq(lane->piece->start, 2 * MIB);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		announced_in_stripes, order_of_reading_not_of_the_file, reader_first,
		small_gaps_are_fetched, slow_connections_share, a_fast_connection_is_not_stopped,
		pauses_are_not_measured, memory_for_what_is_read_next, what_was_read_goes_first,
		recalled_for_a_reader, metadata_stays, guess_comes_true, guess_counts_what_is_read, guess_gives_way,
		guess_gives_way_at_once, guess_does_not_bring_what_is_near,
		guess_is_cut_into_stripes, sent_again, released,
	};
	TCase *const tcase = tcase_create("http plan");

	tcase_add_checked_fixture(tcase, setup, teardown);
	return unit_run_case("http plan", tcase, tests, COUNT(tests));
}
