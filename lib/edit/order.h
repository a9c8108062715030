/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The rules of order, each with a name. In every normal build they are constants, and the compiler
 * drops the question. A build of the laboratory (-DQ2S_LAB) can switch one off, to prove that its
 * absence is found.
 */
#ifndef Q2SI_EDIT_ORDER_H
#define Q2SI_EDIT_ORDER_H

#include <stdbool.h>

enum q2si_rule {
	Q2SI_DATA_BEFORE_L2,      /* barrier between data, rising refcounts, and the L2 slices */
	Q2SI_REFCOUNTS_BEFORE_L2, /* rising refcounts are written before the L2 slices, not after */
	Q2SI_BLOCKS_BEFORE_TABLE, /* barrier between refcount blocks and the table's entries */
	Q2SI_TABLE_BEFORE_L2,     /* barrier between the refcount table and the L2 slices */
	Q2SI_L2_BEFORE_L1,        /* barrier between L2 tables and the L1 entries */
	Q2SI_DATA_FILE_BEFORE_L2, /* the data file is flushed too before the L2 slices */
	Q2SI_FREE_AFTER_UNMAP,    /* a freed cluster waits until nothing durable refers to it */
	Q2SI_PUNCH_BEFORE_REUSE,  /* a punch returned before its cluster is given out again */
	Q2SI_PUNCH_AFTER_UNMAP,   /* holes in subclusters wait for the L2 slices */
	Q2SI_ZERO_NEW_TABLES,     /* a reused cluster is zeroed before it becomes a table */
	Q2SI_ZERO_NEW_DATA,       /* what a write does not cover of a reused cluster is written */
	Q2SI_TABLE_BEFORE_HEADER, /* barrier between a grown refcount table and the header */
	Q2SI_AUTOCLEAR_FIRST,     /* unknown autoclear bits are durably clear before any change */
	Q2SI_WAIT_FOR_CONFLICTS, /* writes, zeros and discards of the same subclusters take turns */
	Q2SI_COPY_SHARED,        /* clusters and tables without COPIED are copied before a change */
	Q2SI_CHECK_OVERLAP,      /* no data where metadata lie */
	Q2SI_BITMAP_MARK_FIRST,   /* bitmaps are durably in use before the first change */
	Q2SI_FLUSH_AT_END,       /* the last barrier of a flush */
	Q2SI_TABLES_BEFORE_HEADER, /* new tables are durable before the header that names them */
	Q2SI_ZERO_BEFORE_SIZE,     /* what a longer disk uncovers is zero before it is longer */
	Q2SI_SIZE_BEFORE_CUT,      /* a disk is shorter before what is behind its end goes */
	Q2SI_COUNT_SNAPSHOT,       /* what a snapshot refers to is counted before it is there */
	Q2SI_RULES
};

#ifdef Q2S_LAB
/** Bit N switches rule N off. */
extern unsigned long q2si_rules_off;
#define Q2SI_KEEPS(rule) (!(q2si_rules_off >> (rule)&1))
#else
#define Q2SI_KEEPS(rule) true
#endif

#endif
