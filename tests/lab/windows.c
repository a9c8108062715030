/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The windows in which a crash of other writers loses or shows wrong bytes; doc/crash-windows tells of
 * each, and where the others of them are tested.
 */
#include "lab.h"

#include "edit/order.h"

const struct lab_known lab_windows[] = {
	{ 1, "std-4k", "discard-data write-empty flush", Q2SI_FREE_AFTER_UNMAP },
	{ 1, "ext-16k-base", "zero-free write-empty flush", Q2SI_FREE_AFTER_UNMAP },
	{ 2, "std-4k", "write-compressed-whole write-compressed write-empty flush",
	  Q2SI_FREE_AFTER_UNMAP },
	{ 3, "std-4k", "write-compressed-whole discard-compressed flush", Q2SI_FREE_AFTER_UNMAP },
	{ 6, "std-4k-base", "grow", Q2SI_ZERO_BEFORE_SIZE },
	{ 6, "ext-16k-base", "grow-part", Q2SI_ZERO_BEFORE_SIZE },
	{ 9, "std-4k-snapshot", "write-data apply write-data flush", Q2SI_COPY_SHARED },
	{ 9, "ext-16k-snapshot", "write-data apply write-data flush", Q2SI_COPY_SHARED },
	{ 10, "std-4k", "write-border flush shrink", Q2SI_SIZE_BEFORE_CUT },
	{ 10, "ext-16k-base", "shrink-part", Q2SI_SIZE_BEFORE_CUT },
};
const size_t lab_window_count = sizeof(lab_windows) / sizeof(lab_windows[0]);
