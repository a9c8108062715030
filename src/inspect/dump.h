/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the sections of `dump` share. */
#ifndef INSPECT_DUMP_H
#define INSPECT_DUMP_H

#include "inspect/sheet.h"
#include "inspect/subject.h"

/** One dump in progress. @guest, @guest_end: the part of the disk that L1 and L2 are shown for. */
struct dump {
	const struct subject *subject;
	struct sheet sheet;
	uint64_t guest;
	uint64_t guest_end;
};

/**
 * A section shows one kind of structure. What is wrong in the image is shown in place; only what
 * keeps the tool from working (I/O, memory) is returned.
 */
typedef enum q2s_err (*dump_section)(struct dump *dump, struct q2s_diag *diag);

enum q2s_err dump_header(struct dump *dump, struct q2s_diag *diag);
enum q2s_err dump_extensions(struct dump *dump, struct q2s_diag *diag);
enum q2s_err dump_luks(struct dump *dump, struct q2s_diag *diag);
enum q2s_err dump_l1(struct dump *dump, struct q2s_diag *diag);
enum q2s_err dump_l2(struct dump *dump, struct q2s_diag *diag);
enum q2s_err dump_reftable(struct dump *dump, struct q2s_diag *diag);
enum q2s_err dump_refcounts(struct dump *dump, struct q2s_diag *diag);
enum q2s_err dump_snapshots(struct dump *dump, struct q2s_diag *diag);
enum q2s_err dump_bitmaps(struct dump *dump, struct q2s_diag *diag);

/**
 * Pass on what keeps the tool from working; show everything else as a fault of the structure that
 * is being shown, and clear it.
 */
enum q2s_err dump_fault(struct dump *dump, enum q2s_err err, struct q2s_diag *diag);

/** A fault of ours: "lies past the end of the file". */
struct q2s_diag dump_past_end(const char *what, q2s_host at, q2s_host target);

#endif
