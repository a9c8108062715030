/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Workers in parallel: no more of them than memory is set aside for, and results in order. */
#include <unistd.h>

#include "base/ordered.h"
#include "unit.h"

#define ITEMS 100

struct work {
	size_t memory;
	unsigned workers; /* opened so far; the threads start one another under no lock */
	unsigned next, delivered;
};

static enum q2s_err
count_open(void *shared, void **worker, struct q2s_diag *why)
{
	struct work *work = shared;

	(void)why;
	(void)__atomic_add_fetch(&work->workers, 1, __ATOMIC_SEQ_CST);
	*worker = calloc(1, sizeof(unsigned));
	return Q2S_OK;
}

static enum q2s_err
number_take(void *shared, void *worker, bool *more, struct q2s_diag *why)
{
	struct work *work = shared;

	(void)why;
	*more = work->next < ITEMS;
	*(unsigned *)worker = work->next++;
	return Q2S_OK;
}

static enum q2s_err
wait_a_little(void *shared, void *worker, struct q2s_diag *why)
{
	(void)shared, (void)why;
	(void)usleep(*(unsigned *)worker % 3 * 100);
	return Q2S_OK;
}

static enum q2s_err
number_deliver(void *shared, void *worker, struct q2s_diag *why)
{
	struct work *work = shared;

	(void)why;
	ck_assert_uint_eq(*(unsigned *)worker, work->delivered);
	work->delivered++;
	return Q2S_OK;
}

static size_t
work_memory(const void *shared)
{
	return ((const struct work *)shared)->memory;
}

static const struct q2si_ordered_ops ops = {
	.open = count_open,
	.close = free,
	.take = number_take,
	.work = wait_a_little,
	.deliver = number_deliver,
	.memory = work_memory,
};

START_TEST(workers_fit_into_their_memory)
{
	static const struct {
		size_t memory;
		unsigned threads, workers;
	} rows[] = {
		{ 0, 7, 7 },
		{ 0, 1000, Q2SI_THREADS_MAX },
		{ 1, 7, 7 },
		{ Q2SI_WORKERS_MEMORY / 3, 7, 3 },
		{ Q2SI_WORKERS_MEMORY / 3, 2, 2 },
		{ Q2SI_WORKERS_MEMORY, 7, 1 },
		{ SIZE_MAX, 7, 1 },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct work work = { .memory = rows[i].memory };

		assert_ok(q2si_ordered_run(&ops, &work, rows[i].threads, &diag));
		ck_assert_uint_eq(work.workers, rows[i].workers);
		ck_assert_uint_eq(work.delivered, ITEMS);
	}
}
END_TEST

UNIT_MAIN("ordered", workers_fit_into_their_memory)
