/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A limited rate, in a time that the test makes: nothing here waits, and nothing measures. */
#include "base/diag.h"
#include "io/limit.h"
#include "sinks.h"

#define SECOND 1000000000ull

/* ---- the bucket -------------------------------------------------------------------------- */

static const uint64_t rates[] = { 1,           2,         7,          8,         1000,
				  1000000,     123456789, 10ull << 30, 1ull << 40, UINT64_MAX };

START_TEST(a_wait_is_exactly_as_long_as_it_must_be)
{
	for (size_t i = 0; i < COUNT(rates); i++) {
		const uint64_t start = 12345;
		struct q2si_bucket bucket;
		uint64_t wait = 0, again;

		q2si_bucket_init(&bucket, rates[i], start);
		/* nothing is there in the beginning: what is short-lived is limited too */
		ck_assert_uint_eq(q2si_bucket_take(&bucket, start, UINT64_MAX, &wait), 0);
		ck_assert_uint_gt(wait, 0);
		ck_assert_uint_le(wait, SECOND);
		ck_assert_uint_eq(q2si_bucket_take(&bucket, start + wait - 1, UINT64_MAX, &again),
				  0);
		ck_assert_uint_eq(again, 1);
		ck_assert_uint_gt(q2si_bucket_take(&bucket, start + wait, UINT64_MAX, &again), 0);
	}
}
END_TEST

/* elapsed * rate / SECOND, of which the product would not fit into 64 bits. */
static uint64_t
allowed(uint64_t elapsed, uint64_t rate)
{
	const uint64_t rest = elapsed % SECOND;

	return elapsed / SECOND * rate + rate / SECOND * rest + rate % SECOND * rest / SECOND;
}

/* At any time no more has passed than the rate allows, and one bucketful. */
START_TEST(the_rate_is_never_exceeded)
{
	for (size_t i = 0; i < COUNT(rates) - 1; i++) {
		const uint64_t rate = rates[i];
		const uint64_t full = rate / 8 < 1 ? 1 : rate / 8;
		uint64_t chance = 11 + i, now = 99, passed = 0, wait;
		struct q2si_bucket bucket;

		q2si_bucket_init(&bucket, rate, now);
		for (int k = 0; k < 20000; k++) {
			const uint64_t want = 1 + unit_random_log(&chance) % (1 << 22);
			const uint64_t got = q2si_bucket_take(&bucket, now, want, &wait);

			ck_assert_uint_le(got, want);
			ck_assert_uint_le(got, 1 << 20);
			passed += got;
			ck_assert(passed <= full || passed - full <= allowed(now - 99, rate));
			if (got == 0)
				now += unit_random(&chance) % 3 == 0 ? wait / 2 : wait;
			else
				now += unit_random_log(&chance) % SECOND;
		}
	}
}
END_TEST

/* Who always waits as told gets the whole rate. */
START_TEST(the_rate_is_reached)
{
	static const uint64_t some[] = { 1, 3, 8, 1000, 65537, 1 << 20, 1 << 28 };

	for (size_t i = 0; i < COUNT(some); i++) {
		const uint64_t bytes = some[i] * 20;
		struct q2si_bucket bucket;
		uint64_t now = 0, passed = 0, wait, got;

		q2si_bucket_init(&bucket, some[i], now);
		while (passed < bytes) {
			got = q2si_bucket_take(&bucket, now, bytes - passed, &wait);
			passed += got;
			now += got ? 0 : wait;
		}
		ck_assert_uint_eq(passed, bytes);
		ck_assert_uint_le(now, 20 * SECOND + 20 * 256);
		ck_assert_uint_ge(now, 20 * SECOND - SECOND);
	}
}
END_TEST

START_TEST(a_long_pause_is_not_saved_up)
{
	struct q2si_bucket bucket;
	uint64_t now = UINT64_MAX / 2, passed = 0, got, wait;

	q2si_bucket_init(&bucket, 1 << 20, 0);
	while ((got = q2si_bucket_take(&bucket, now, UINT64_MAX, &wait)) > 0)
		passed += got;
	ck_assert_uint_eq(passed, (1 << 20) / 8);
	/* a clock that goes back is no reason for anything */
	ck_assert_uint_eq(q2si_bucket_take(&bucket, 5, 1, &wait), 0);
	ck_assert_uint_gt(q2si_bucket_take(&bucket, now + wait, 1, &wait), 0);
}
END_TEST

/* ---- the sink ---------------------------------------------------------------------------- */

/* Time passes only while somebody sleeps. */
struct world {
	uint64_t now, longest, asked;
	uint64_t last_done; /* what the observer was told */
	uint64_t cancel_at; /* bytes */
};

static uint64_t
world_now(void *opaque)
{
	return ((struct world *)opaque)->now;
}

static void
world_sleep(void *opaque, uint64_t nanoseconds)
{
	struct world *world = opaque;

	world->now += nanoseconds;
	if (nanoseconds > world->longest)
		world->longest = nanoseconds;
}

static bool
world_step(void *opaque, enum q2s_phase phase, uint64_t done, uint64_t total)
{
	struct world *world = opaque;

	ck_assert_int_eq(phase, Q2S_PHASE_WRITE);
	ck_assert_uint_eq(total, 4711);
	ck_assert_uint_ge(done, world->last_done);
	world->last_done = done;
	world->asked++;
	return done < world->cancel_at;
}

static struct q2s_sink *
limit(struct q2s_sink *inner, uint64_t rate, struct world *world)
{
	const struct q2si_clock clock = { world_now, world_sleep, world };
	static struct q2s_observer observer;
	struct q2s_sink *sink;

	observer = (struct q2s_observer){ world_step, world };
	assert_ok(q2si_sink_limit(inner, rate, &observer, 4711, &clock, &sink, &diag));
	return sink;
}

static struct q2s_sink *
open_file(const char *name)
{
	struct q2s_sink *sink;

	assert_ok(q2s_sink_open(path_of(name), Q2S_SINK_REPLACE, 0, &sink, &diag));
	return sink;
}

START_TEST(every_byte_arrives_and_takes_its_time)
{
	static const uint64_t some[] = { 1000, 100000, 50 << 20 };

	for (size_t i = 0; i < COUNT(some); i++) {
		struct sink_model model = { .bytes = malloc(SINK_ROOM) };
		struct world world = { .cancel_at = UINT64_MAX };
		uint8_t *got = malloc(SINK_ROOM);
		/* an old file: its zeros have to be made */
		const int fd = open(path_of("out"), O_RDWR | O_CREAT, 0666);
		struct q2s_sink *inner, *sink;

		ck_assert_int_eq(ftruncate(fd, SINK_ROOM), 0);
		assert_ok(q2s_sink_from_fd(fd, "out", 0, &inner, &diag));
		sink = limit(inner, some[i], &world);
		sink_drive(sink, &model, 7 + i);
		assert_ok(q2s_sink_commit(sink, &diag));
		close(fd);
		ck_assert_uint_eq(get_file(path_of("out"), got, SINK_ROOM), SINK_ROOM);
		sink_assert_same(got, model.len, &model);
		ck_assert_uint_ge(world.now + SECOND / 8, model.len * SECOND / some[i]);
		ck_assert_uint_le(world.now, model.len * SECOND / some[i] + SECOND);
		ck_assert_uint_le(world.longest, SECOND / 4);
		ck_assert_uint_gt(world.asked, 0);
		free(got);
		free(model.bytes);
	}
}
END_TEST

/* In one huge move at a small rate, somebody must be told that it goes on. */
START_TEST(progress_goes_on_within_a_move)
{
	struct world world = { .cancel_at = UINT64_MAX };
	struct q2s_sink *const sink = limit(open_file("slow"), 1000, &world);
	static const char bytes[100000] = "x";

	assert_ok(q2s_sink_write(sink, bytes, 10, &diag));
	assert_ok(q2s_sink_write(sink, bytes, sizeof(bytes), &diag));
	ck_assert_uint_ge(world.asked, 400);
	ck_assert_uint_gt(world.last_done, sizeof(bytes) - 1000);
	ck_assert_uint_lt(world.last_done, sizeof(bytes) + 10);
	ck_assert_uint_eq(q2s_sink_pos(sink), sizeof(bytes) + 10);
	assert_ok(q2s_sink_commit(sink, &diag));
}
END_TEST

START_TEST(nobody_waits_long_to_be_asked)
{
	struct world world = { .cancel_at = UINT64_MAX };
	struct q2s_sink *const sink = limit(open_file("slower"), 1, &world);

	assert_ok(q2s_sink_write(sink, "abc", 3, &diag));
	ck_assert_uint_ge(world.asked, 12);
	ck_assert_uint_eq(world.longest, SECOND / 4);
	ck_assert_uint_eq(world.now, 3 * SECOND);
	assert_ok(q2s_sink_commit(sink, &diag));
}
END_TEST

START_TEST(a_move_can_be_stopped)
{
	struct world world = { .cancel_at = 5000 };
	struct q2s_sink *const sink = limit(open_file("stopped"), 1000, &world);
	static const char bytes[100000] = "x";

	ck_assert_int_eq(q2s_sink_write(sink, bytes, sizeof(bytes), NULL), Q2S_E_CANCELLED);
	ck_assert_uint_ge(world.last_done, 5000);
	ck_assert_uint_lt(world.last_done, 6000);
	q2s_sink_abort(sink);
	ck_assert_uint_eq(count_names(), 0);
}
END_TEST

START_TEST(holes_cost_nothing)
{
	struct world world = { .cancel_at = UINT64_MAX };
	struct q2s_sink *const sink = limit(open_file("holes"), 1, &world);

	assert_ok(q2s_sink_zero(sink, (uint64_t)1 << 40, &diag));
	ck_assert_uint_eq(world.now, 0);
	assert_ok(q2s_sink_write(sink, "abc", 3, &diag));
	ck_assert_uint_ge(world.now, 2 * SECOND);
	assert_ok(q2s_sink_commit(sink, &diag));
}
END_TEST

START_TEST(zeros_through_a_pipe_are_bytes)
{
	struct world world = { .cancel_at = UINT64_MAX };
	struct q2s_sink *inner, *sink;
	int ends[2];

	ck_assert_int_eq(pipe(ends), 0);
	assert_ok(q2s_sink_from_fd(ends[1], "pipe", 0, &inner, &diag));
	sink = limit(inner, 1000, &world);
	ck_assert_ptr_null(q2s_sink_temp_path(sink));
	assert_ok(q2s_sink_zero(sink, 10000, &diag));
	ck_assert_uint_ge(world.now, 9 * SECOND);
	assert_ok(q2s_sink_commit(sink, &diag));
	close(ends[0]);
	close(ends[1]);
}
END_TEST

START_TEST(a_rate_of_nothing_is_refused)
{
	struct q2s_sink *const inner = open_file("kept");
	struct q2s_sink *sink;

	assert_refused(Q2S_E_USAGE, NOWHERE, 0, q2s_sink_limit(inner, 0, NULL, 0, &sink, &diag));
	assert_ok(q2s_sink_limit(inner, UINT64_MAX, NULL, 0, &sink, &diag));
	assert_ok(q2s_sink_write(sink, "abc", 3, &diag));
	assert_ok(q2s_sink_commit(sink, &diag));
	ck_assert(file_exists(path_of("kept")));
}
END_TEST

FILES_MAIN("sink_limit", a_wait_is_exactly_as_long_as_it_must_be, the_rate_is_never_exceeded,
	   the_rate_is_reached, a_long_pause_is_not_saved_up, every_byte_arrives_and_takes_its_time,
	   progress_goes_on_within_a_move, nobody_waits_long_to_be_asked, a_move_can_be_stopped, holes_cost_nothing,
	   zeros_through_a_pipe_are_bytes, a_rate_of_nothing_is_refused)
