/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The laboratory of the write path: runs sequences of guest operations on a simulated disk, makes
 * the states in which a crash may leave it, and judges each.
 */
#ifndef Q2S_TESTS_LAB_LAB_H
#define Q2S_TESTS_LAB_LAB_H

#include "oracle.h"

/** A program that changes images: the write engine, or the naive one that proves the laboratory. */
struct lab_writer {
	const char *name;
	enum q2s_err (*open)(struct q2s_store *store, const struct lab_image *image, void **out,
			     struct q2s_diag *diag);
	/** NULL: what it reads is not looked at. */
	enum q2s_err (*read)(void *self, uint64_t at, void *buf, size_t len, struct q2s_diag *diag);
	enum q2s_err (*write)(void *self, uint64_t at, const void *buf, size_t len,
			      struct q2s_diag *diag);
	enum q2s_err (*zero)(void *self, uint64_t at, uint64_t len, unsigned flags,
			     struct q2s_diag *diag);
	enum q2s_err (*discard)(void *self, uint64_t at, uint64_t len, struct q2s_diag *diag);
	/** Move all down, and cut off the end. NULL: it cannot, and is not asked to. */
	enum q2s_err (*shrink)(void *self, struct q2s_diag *diag);
	enum q2s_err (*flush)(void *self, struct q2s_diag *diag);
	/** The following may be NULL. @name: of a snapshot. */
	enum q2s_err (*resize)(void *self, uint64_t size, struct q2s_diag *diag);
	enum q2s_err (*create)(void *self, const char *name, struct q2s_diag *diag);
	enum q2s_err (*apply)(void *self, const char *name, struct q2s_diag *diag);
	enum q2s_err (*remove)(void *self, const char *name, struct q2s_diag *diag);
	/** LAB_EXTENDED, LAB_WIDTH, LAB_VERSION. */
	enum q2s_err (*amend)(void *self, const struct lab_op *op, struct q2s_diag *diag);
	enum q2s_err (*close)(void *self, struct q2s_diag *diag);
};

extern const struct lab_writer lab_engine, lab_naive;

/** The engine punches no holes, so that clusters that are reused hold old bytes. */
extern bool engine_keeps_space;

/** What the naive writer does wrong, to be found: bits. */
#define NAIVE_L2_BEFORE_DATA (1u << 0)
#define NAIVE_L2_BEFORE_REFCOUNTS (1u << 1)
#define NAIVE_REUSE_EARLY (1u << 2)
#define NAIVE_PUNCH_LATE (1u << 3)
#define NAIVE_NO_FLUSH (1u << 4)
#define NAIVE_NO_COPY (1u << 5)
#define NAIVE_NO_COUNT (1u << 6)
#define NAIVE_FAULTS 7
extern unsigned naive_faults;
extern const char *const naive_fault_names[NAIVE_FAULTS];

/**
 * A sequence that passes through a window in which other writers fail.
 *
 * @number  of doc/crash-windows
 * @rule    of the engine, without which the sequence fails too
 */
struct lab_known {
	unsigned number;
	const char *image, *ops;
	unsigned rule;
};

extern const struct lab_known lab_windows[];
extern const size_t lab_window_count;

#define LAB_LONGEST 64 /* operations of a sequence */

/**
 * A snapshot that was made.
 *
 * @name     that of the operation that made it; of the one that the image has from the start, "s"
 * @op       that operation, so what came before is in it; -1: it was there at first
 * @deleted  the operation that deleted it, or -1
 * @refused  there was no room for it
 * @size     of its disk
 */
struct lab_snapshot {
	char name[8];
	int op, deleted;
	bool refused;
	uint64_t size;
};

/** Events of the disk before an operation and after it; index: of all, the last one is closing. */
struct lab_mark {
	size_t start, end;
	bool failed;
};

struct lab {
	const struct lab_writer *writer;
	const struct lab_image *image;
	struct sim sim;
	struct q2s_store *store; /* the simulated disk */
	struct sim_view view;    /* one crash state, and as a store */
	size_t view_room;
	struct q2s_store *view_store;
	struct oracle oracle;
	uint8_t *shown; /* the sectors of the windows, as they were read last */
	uint8_t *saved; /* of a crash state, what it was made from */
	size_t saved_room;

	struct lab_op ops[LAB_LONGEST];
	size_t op_count;
	struct lab_op other; /* of lab_run_meanwhile() */
	int current;         /* the operation that runs */
	void *writing;       /* what the writer opened */
	uint64_t size;       /* of the disk */
	uint32_t sub_size, version;
	struct lab_snapshot snapshots[LAB_LONGEST + 1]; /* all that were made in this sequence */
	unsigned made;
	unsigned kept[LAB_LONGEST + 1]; /* those that were not deleted, by index */
	unsigned kept_count;
	struct lab_mark marks[LAB_LONGEST + 1];

	unsigned subsets; /* all subsets of so many pending writes */
	unsigned random;  /* else so many at random, besides the regular ones */
	uint64_t rng;
	bool quiet;       /* count what is wrong, say nothing */
	const char *qemu; /* a folder for samples that qemu-img is to check, or NULL */
	unsigned qemu_every;

	uint64_t sequences, states, wrong, most_leaks, judged_by_qemu;
	uint64_t miscopied; /* states with COPIED flags that do not fit, but harm nobody */
	char first[2048]; /* what was wrong first */
};

void lab_open(struct lab *lab, const struct lab_writer *writer, const struct lab_image *image);
void lab_close(struct lab *lab);

uint64_t lab_random(uint64_t *state);

/** Run lab->ops, and judge what it leaves, and all crash states since the last operation began. */
void lab_run(struct lab *lab);
/**
 * Run lab->ops, and judge all crash states. The disk's call @fail_at (0: none) fails with
 * @fail_errno; the sequence ends with the operation that fails then.
 */
void lab_run_all(struct lab *lab, unsigned fail_at, int fail_errno);

/**
 * The same, with a write to an empty cluster that begins while the first hole is punched, as if
 * another thread had sent it.
 */
void lab_run_meanwhile(struct lab *lab);

/** crash.c: states of all events from @from on. */
void lab_crash(struct lab *lab, size_t from);
/** judge.c: the state in lab->view, with everything before operation @done durable. */
bool lab_judge(struct lab *lab, int done, bool leaks, char *why, size_t size);
/** Fill lab->shown with the disk, or with the one of @snapshot. */
bool lab_show(struct lab *lab, const char *snapshot, char *why, size_t size);
/** Something is wrong. */
void lab_wrong(struct lab *lab, const char *where, const char *why);

#endif
