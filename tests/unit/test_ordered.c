/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parallel work: results in order whatever the threads do, and no threads for nothing. */
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "base/diag.h"
#include "base/ordered.h"
#include "unit.h"

#define ITEMS 500u
#define NONE UINT64_MAX

enum step { IN_TAKE, IN_WORK, IN_DELIVER };

/* What a run shall be like, and what was seen of it. */
struct job {
	uint64_t first_work; /* the items before this one are ready */
	uint64_t bad;        /* the item that fails */
	enum step where;
	size_t memory; /* that a worker takes */

	uint64_t taken;
	uint64_t delivered;
	atomic_uint workers;
	atomic_uint worked;
	atomic_uint working, most; /* at a time */
};

struct worker {
	const struct job *job;
	uint64_t item;
};

static enum q2s_err
fails_at(const struct job *job, uint64_t item, enum step where, struct q2s_diag *diag)
{
	if (item != job->bad || job->where != where)
		return Q2S_OK;
	return q2si_fail(diag, Q2S_E_DATA, "item", Q2S_NOWHERE, item, "bad");
}

static enum q2s_err
job_open(void *shared, void **worker, struct q2s_diag *diag)
{
	struct job *job = shared;
	struct worker *mine = calloc(1, sizeof(*mine));

	(void)diag;
	mine->job = job;
	job->workers++;
	*worker = mine;
	return Q2S_OK;
}

static enum q2s_err
job_take(void *shared, void *worker, bool *more, struct q2s_diag *diag)
{
	struct job *job = shared;

	*more = job->taken < ITEMS;
	((struct worker *)worker)->item = job->taken;
	return *more ? fails_at(job, job->taken++, IN_TAKE, diag) : Q2S_OK;
}

static bool
job_ready(const void *worker)
{
	const struct worker *mine = worker;

	return mine->item < mine->job->first_work;
}

/* Some items take longer than many others together. */
static enum q2s_err
job_work(void *shared, void *worker, struct q2s_diag *diag)
{
	const struct timespec pause = { .tv_nsec = 2000000 };
	struct job *job = shared;
	const uint64_t item = ((struct worker *)worker)->item;

	unsigned most = job->most, now = ++job->working;

	while (now > most && !atomic_compare_exchange_weak(&job->most, &most, now))
		;
	job->worked++;
	if (item % 7 == 3)
		nanosleep(&pause, NULL);
	job->working--;
	return fails_at(job, item, IN_WORK, diag);
}

static enum q2s_err
job_deliver(void *shared, void *worker, struct q2s_diag *diag)
{
	struct job *job = shared;
	const uint64_t item = ((struct worker *)worker)->item;

	quick_assert_eq(item, job->delivered);
	Q2SI_TRY(fails_at(job, item, IN_DELIVER, diag));
	job->delivered++;
	return Q2S_OK;
}

static size_t
job_memory(const void *shared)
{
	return ((const struct job *)shared)->memory;
}

static const struct q2si_ordered_ops ops = {
	.open = job_open,
	.close = free,
	.take = job_take,
	.ready = job_ready,
	.work = job_work,
	.deliver = job_deliver,
	.memory = job_memory,
};

START_TEST(all_is_delivered_in_order)
{
	const unsigned threads[] = { 1, 2, 7, Q2SI_THREADS_MAX, 1000, 0 };
	struct job job = { .bad = NONE };

	ck_assert_int_eq(q2si_ordered_run(&ops, &job, threads[_i], NULL), Q2S_OK);
	ck_assert_uint_eq(job.delivered, ITEMS);
	ck_assert_uint_eq(job.worked, ITEMS);
	if (threads[_i] > 0) {
		ck_assert_uint_le(job.most, threads[_i]);
		ck_assert_uint_le(job.workers, threads[_i] * 2);
	}
}
END_TEST

START_TEST(what_is_ready_needs_no_other_thread)
{
	struct job job = { .bad = NONE, .first_work = NONE };

	ck_assert_int_eq(q2si_ordered_run(&ops, &job, 8, NULL), Q2S_OK);
	ck_assert_uint_eq(job.delivered, ITEMS);
	ck_assert_uint_eq(job.worked, 0);
	ck_assert_uint_eq(job.workers, 1);
}
END_TEST

START_TEST(the_first_work_starts_the_others)
{
	struct job job = { .bad = NONE, .first_work = ITEMS / 2 };

	ck_assert_int_eq(q2si_ordered_run(&ops, &job, 8, NULL), Q2S_OK);
	ck_assert_uint_eq(job.delivered, ITEMS);
	ck_assert_uint_eq(job.worked, ITEMS / 2);
	ck_assert_uint_gt(job.workers, 1);
	ck_assert_uint_le(job.most, 8);
}
END_TEST

START_TEST(workers_fit_into_their_memory)
{
	static const struct {
		size_t memory;
		unsigned threads, most, workers;
	} rows[] = {
		{ 0, 7, 7, 14 },
		{ 0, 1000, Q2SI_THREADS_MAX, Q2SI_THREADS_MAX * 2 },
		{ 1, 7, 7, 14 },
		{ Q2SI_WORKERS_MEMORY / 3, 7, 3, 3 },
		{ Q2SI_WORKERS_MEMORY / 3, 2, 2, 3 },
		{ Q2SI_WORKERS_MEMORY, 7, 1, 1 },
		{ SIZE_MAX, 7, 1, 1 },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct job job = { .bad = NONE, .memory = rows[i].memory };

		ck_assert_int_eq(q2si_ordered_run(&ops, &job, rows[i].threads, NULL), Q2S_OK);
		ck_assert_uint_le(job.most, rows[i].most);
		ck_assert_uint_le(job.workers, rows[i].workers);
		ck_assert_uint_eq(job.delivered, ITEMS);
	}
}
END_TEST

/* ---- what waits for what ----------------------------------------------------------------------- */

/* Item 0 is not done, or not delivered, before so many others are. */
struct meeting {
	enum step where;
	unsigned others;

	pthread_mutex_t lock;
	pthread_cond_t moved;
	uint64_t taken, delivered;
	unsigned worked;
};

static enum q2s_err
meeting_open(void *shared, void **worker, struct q2s_diag *diag)
{
	struct worker *mine = calloc(1, sizeof(*mine));

	(void)shared;
	(void)diag;
	*worker = mine;
	return Q2S_OK;
}

static enum q2s_err
meeting_take(void *shared, void *worker, bool *more, struct q2s_diag *diag)
{
	struct meeting *meeting = shared;

	(void)diag;
	*more = meeting->taken < 20;
	((struct worker *)worker)->item = meeting->taken++;
	return Q2S_OK;
}

static void
meet(struct meeting *meeting, enum step where, uint64_t item)
{
	pthread_mutex_lock(&meeting->lock);
	if (where == IN_WORK && item > 0)
		meeting->worked++;
	pthread_cond_broadcast(&meeting->moved);
	while (where == meeting->where && item == 0 && meeting->worked < meeting->others)
		pthread_cond_wait(&meeting->moved, &meeting->lock);
	pthread_mutex_unlock(&meeting->lock);
}

static enum q2s_err
meeting_work(void *shared, void *worker, struct q2s_diag *diag)
{
	(void)diag;
	meet(shared, IN_WORK, ((struct worker *)worker)->item);
	return Q2S_OK;
}

static enum q2s_err
meeting_deliver(void *shared, void *worker, struct q2s_diag *diag)
{
	struct meeting *meeting = shared;

	(void)diag;
	quick_assert_eq(((struct worker *)worker)->item, meeting->delivered++);
	meet(meeting, IN_DELIVER, ((struct worker *)worker)->item);
	return Q2S_OK;
}

static const struct q2si_ordered_ops meeting_ops = {
	.open = meeting_open,
	.close = free,
	.take = meeting_take,
	.work = meeting_work,
	.deliver = meeting_deliver,
	.apart = true,
};

/* Two threads have four workers: while one is held up with the first item, the other does three. */
START_TEST(a_slow_item_holds_up_no_other_thread)
{
	struct meeting meeting = {
		.where = (enum step)_i,
		.others = 3,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.moved = PTHREAD_COND_INITIALIZER,
	};

	ck_assert_int_eq(q2si_ordered_run(&meeting_ops, &meeting, 2, NULL), Q2S_OK);
	ck_assert_uint_eq(meeting.delivered, 20);
}
END_TEST

/* Whatever is done at the time, what lies before the failure is delivered, and nothing behind it. */
START_TEST(the_first_failure_ends_it)
{
	for (unsigned threads = 1; threads <= 8; threads++) {
		struct job job = { .bad = ITEMS / 3, .where = (enum step)_i };
		struct q2s_diag diag = { 0 };

		ck_assert_int_eq(q2si_ordered_run(&ops, &job, threads, &diag), Q2S_E_DATA);
		ck_assert_int_eq(diag.err, Q2S_E_DATA);
		ck_assert_uint_eq(diag.value, ITEMS / 3);
		if (job.where == IN_TAKE) /* known before those ahead of it are done */
			ck_assert_uint_le(job.delivered, ITEMS / 3);
		else
			ck_assert_uint_eq(job.delivered, ITEMS / 3);
	}
}
END_TEST

int
main(void)
{
	TCase *tcase = tcase_create("ordered");

	tcase_add_loop_test(tcase, all_is_delivered_in_order, 0, 6);
	tcase_add_test(tcase, what_is_ready_needs_no_other_thread);
	tcase_add_test(tcase, the_first_work_starts_the_others);
	tcase_add_test(tcase, workers_fit_into_their_memory);
	tcase_add_loop_test(tcase, a_slow_item_holds_up_no_other_thread, IN_WORK, IN_DELIVER + 1);
	tcase_add_loop_test(tcase, the_first_failure_ends_it, IN_TAKE, IN_DELIVER + 1);
	return unit_run_case("ordered", tcase, NULL, 0);
}
