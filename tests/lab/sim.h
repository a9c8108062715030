/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A simulated disk: what is written is seen at once, but is durable only after a flush. All that
 * happens is recorded, so that the states in which a crash may leave the disk can be made later.
 * Like a page cache it works in sectors: a write of a part of one is a write of all of it.
 */
#ifndef Q2S_TESTS_LAB_SIM_H
#define Q2S_TESTS_LAB_SIM_H

#include <q2s/store.h>

#define SIM_SECTOR 512u

enum sim_kind {
	SIM_WRITE,
	SIM_ZERO,   /* also a hole that was punched */
	SIM_LENGTH, /* cut off at @end, or lengthened to it */
	SIM_FLUSH,
};

/** @at, @len: whole sectors; @data: where the bytes are in the arena; @end: the length afterwards.
 */
struct sim_event {
	enum sim_kind kind;
	uint64_t at, len, end;
	size_t data;
};

/**
 * @bytes, @length  what a reader sees
 * @fail_at         the call that fails (counting from 1; 0: none), with @fail_errno; a write that
 *                  fails has written its first half if @fail_short
 */
struct sim {
	uint8_t *bytes;
	size_t room;
	uint64_t length;
	struct sim_event *events;
	size_t count, events_room;
	uint8_t *arena;
	size_t used, arena_room;
	unsigned calls, fail_at;
	int fail_errno;
	bool fail_short;
	bool failed;
	/** Called once, before a hole is punched: another thread's request that comes just then. */
	void (*meanwhile)(void *opaque);
	void *opaque;
};

/** Begin anew with these bytes on the disk, all durable. */
void sim_reset(struct sim *sim, const uint8_t *bytes, uint64_t length);
void sim_free(struct sim *sim);
/** The disk as a store. @sim must outlive it. */
struct q2s_store *sim_store(struct sim *sim);

/**
 * Do @event to @bytes and *@length; of its sectors only those whose bit in @mask is set (sector N
 * has bit N % 64), unless @mask is all ones; with @mask 0 the disk only grows. @room bytes are
 * there.
 */
void sim_apply(const struct sim *sim, const struct sim_event *event, uint64_t mask, uint8_t *bytes,
	       size_t room, uint64_t *length);

/** Bytes of memory as a store that follows @bytes and @length as they change. */
struct sim_view {
	uint8_t *bytes;
	uint64_t length;
};
struct q2s_store *sim_view_store(struct sim_view *view);

#endif
