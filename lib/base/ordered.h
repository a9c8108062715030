/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Work in parallel, results in order: items are taken one after the other, worked on by several
 * threads, and delivered one at a time in the order in which they were taken. So a result never
 * depends on the number of threads.
 */
#ifndef Q2SI_BASE_ORDERED_H
#define Q2SI_BASE_ORDERED_H

#include <q2s/base.h>

#define Q2SI_THREADS_MAX 64u
/** All workers of one run together take no more memory than this, however many are asked for. */
#define Q2SI_WORKERS_MEMORY ((size_t)80 << 20)

/**
 * What a kind of work does. A worker holds one item at a time in its own state. There are more of
 * them than threads, so that a thread whose item is done before its turn can go on with another
 * one; each operation may be called from any thread.
 *
 * @open     make one worker's state; *@worker may be anything but NULL, it is handed to the others
 * @close    free it; also called after a failed @open, then perhaps with NULL
 * @take     put the next item into @worker; *@more: there was one. One caller at a time
 * @ready    or NULL: does the item need no work? Until one does, there is one thread alone
 * @work     in parallel with others, for what is not ready
 * @deliver  in the order of taking, one caller at a time
 * @apart    @take and @deliver have nothing in common: one of each may run at the same time
 * @memory   bytes that one worker takes at most, as far as that can be said; NULL: a trifle. There
 *           are no more workers than Q2SI_WORKERS_MEMORY has room for, but always one
 *
 * The first failure in the order of the items ends it all: nothing is delivered after it.
 */
struct q2si_ordered_ops {
	enum q2s_err (*open)(void *shared, void **worker, struct q2s_diag *diag);
	void (*close)(void *worker);
	enum q2s_err (*take)(void *shared, void *worker, bool *more, struct q2s_diag *diag);
	bool (*ready)(const void *worker);
	enum q2s_err (*work)(void *shared, void *worker, struct q2s_diag *diag);
	enum q2s_err (*deliver)(void *shared, void *worker, struct q2s_diag *diag);
	bool apart;
	size_t (*memory)(const void *shared);
};

/**
 * Run until no item is left, or one failed.
 *
 * @threads  0: one for each processor; the calling thread is one of them
 */
enum q2s_err q2si_ordered_run(const struct q2si_ordered_ops *ops, void *shared, unsigned threads,
			      struct q2s_diag *diag);

#endif
