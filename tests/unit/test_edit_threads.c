/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One edit, several threads: each has its own bytes, but clusters and tables are everybody's. */
#include <pthread.h>

#include "edited.h"

#include "base/zero.h"

#define KIB 1024ull
#define THREADS 6u

static const struct kind kinds[] = {
	{ .name = "extended 16k over a base",
	  .version = 3,
	  .cluster_bits = 14,
	  .refcount_order = 4,
	  .extended = true,
	  .filled = FILLED_MIXED,
	  .size = 1200 * KIB,
	  .base_size = 1000 * KIB },
	{ .name = "standard 4k, small counts",
	  .version = 3,
	  .cluster_bits = 12,
	  .refcount_order = 3,
	  .filled = FILLED_SHARED,
	  .size = 800 * KIB },
	{ .name = "512, small cache",
	  .version = 3,
	  .cluster_bits = 9,
	  .refcount_order = 6,
	  .filled = FILLED_NOT,
	  .size = 300 * KIB,
	  .base_size = 200 * KIB,
	  .cache = 1 },
	{ .name = "compressed, 64k",
	  .version = 3,
	  .cluster_bits = 16,
	  .refcount_order = 4,
	  .filled = FILLED_ZLIB,
	  .size = 2000 * KIB },
	{ .name = "data file",
	  .version = 3,
	  .cluster_bits = 14,
	  .refcount_order = 4,
	  .extended = true,
	  .filled = FILLED_MIXED,
	  .size = 1000 * KIB,
	  .data_file = true },
};

/** A thread and its bytes, which begin and end anywhere in clusters. */
struct own {
	struct edited *e;
	uint64_t start, end;
	uint64_t seed;
	unsigned requests;
	const char *wrong;
	pthread_t thread;
};

static bool
matches(struct own *own, uint64_t at, uint64_t len)
{
	static _Thread_local uint8_t bytes[1 << 16];

	for (uint64_t n; len > 0; at += n, len -= n) {
		n = q2si_min(len, sizeof(bytes));
		if (q2s_edit_read(own->e->edit, (q2s_guest){ at }, bytes, n, NULL) != Q2S_OK ||
		    memcmp(bytes, own->e->shown + at, n) != 0)
			return false;
	}
	return true;
}

static bool
discard(struct own *own, uint64_t at, uint64_t len)
{
	static _Thread_local uint8_t bytes[1 << 16];
	const uint64_t unit = own->e->geom.sub_size, end = at + len;
	struct q2s_edit *edit = own->e->edit;

	if (q2s_edit_discard(edit, (q2s_guest){ at }, len, NULL) != Q2S_OK)
		return false;
	for (at = q2si_round_up(at, unit); at + unit <= end; at += unit) {
		if (q2s_edit_read(edit, (q2s_guest){ at }, bytes, unit, NULL) != Q2S_OK)
			return false;
		if (q2si_is_zero(bytes, unit))
			memset(own->e->shown + at, 0, unit);
		else if (memcmp(bytes, own->e->shown + at, unit) != 0)
			return false;
	}
	return true;
}

static bool
request(struct own *own, uint64_t at, uint64_t len)
{
	uint8_t *shown = own->e->shown + at;
	struct q2s_edit *edit = own->e->edit;

	switch (unit_random(&own->seed) % 8) {
	case 0:
		memset(shown, 0, len);
		return q2s_edit_zero(edit, (q2s_guest){ at }, len, own->seed & 1, NULL) == Q2S_OK;
	case 1:
		return discard(own, at, len);
	case 2:
		return q2s_edit_flush(edit, NULL) == Q2S_OK;
	case 3:
		return matches(own, at, len);
	default:
		for (uint64_t i = 0; i < len; i++)
			shown[i] = (uint8_t)(unit_random(&own->seed) >> 56);
		return q2s_edit_write(edit, (q2s_guest){ at }, shown, len, NULL) == Q2S_OK &&
		       matches(own, at, len);
	}
}

static void *
run(void *arg)
{
	struct own *own = arg;

	for (unsigned i = 0; i < own->requests; i++) {
		const uint64_t at = own->start + unit_random(&own->seed) % (own->end - own->start);
		const uint64_t most = 3 * own->e->geom.cluster_size;
		const uint64_t len = q2si_min(1 + unit_random(&own->seed) % most, own->end - at);

		if (!request(own, at, len)) {
			own->wrong = "a request failed, or showed something else";
			break;
		}
	}
	return NULL;
}

START_TEST(threads_do_not_see_each_other)
{
	uint64_t seed = 77 + (unsigned)_i;
	struct edited e = edited_make(&kinds[_i], &seed);
	struct own own[THREADS];

	for (unsigned i = 0; i < THREADS; i++) {
		own[i] = (struct own){ .e = &e, .seed = seed + i, .requests = 120 };
		own[i].start = i ? own[i - 1].end : 0;
		own[i].end =
			i + 1 < THREADS ? (i + 1) * e.geom.size / THREADS / 100 * 100 : e.geom.size;
		ck_assert_int_eq(pthread_create(&own[i].thread, NULL, run, &own[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_join(own[i].thread, NULL), 0);
	for (unsigned i = 0; i < THREADS; i++)
		ck_assert_msg(!own[i].wrong, "%s: thread %u: %s", kinds[_i].name, i, own[i].wrong);
	edited_compare(&e, 0, e.geom.size);
	assert_ok(q2s_edit_close(e.edit, &diag));
	e.edit = NULL;
	edited_check(&e, false);
	edited_open(&e);
	edited_compare(&e, 0, e.geom.size);
	edited_free(&e);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("edit, threads");
	TCase *tcase = tcase_create("edit, threads");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tcase, 600);
	tcase_add_loop_test(tcase, threads_do_not_see_each_other, 0, COUNT(kinds));
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
