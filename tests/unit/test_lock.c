/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QEMU's locks: who is let in beside whom, which bytes are held, and that refusals leave nothing. */
#include <q2s/io.h>

#include "files.h"

enum {
	READ = Q2S_LOCK_CONSISTENT_READ,
	WRITE = Q2S_LOCK_WRITE,
	UNCHANGED = Q2S_LOCK_WRITE_UNCHANGED,
	RESIZE = Q2S_LOCK_RESIZE,
};

static struct q2s_diag diag;

static struct q2s_store *
open_disk(int flags)
{
	const int fd = open(path_of("disk"), flags | O_CREAT | O_CLOEXEC, 0666);
	struct q2s_store *store = NULL;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(q2s_store_from_fd(fd, "disk", &store, NULL), Q2S_OK);
	return store;
}

/* The bytes below 256 that others than @fd hold, as ranges: "100 201 203". */
static const char *
held_beside(int fd)
{
	static char text[256];
	size_t len = 0;

	text[0] = '\0';
	for (off_t at = 0; at < 256; at++) {
		struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = at,
				      .l_len = 1 };

		ck_assert_int_eq(fcntl(fd, F_OFD_GETLK, &lock), 0);
		if (lock.l_type != F_UNLCK)
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%d",
						len ? " " : "", (int)at);
	}
	return text;
}

static enum q2s_err
lock(struct q2s_store *store, unsigned uses, unsigned forbids)
{
	diag = (struct q2s_diag){ 0 };
	return q2s_store_lock(store, uses, forbids, &diag);
}

START_TEST(holds_the_bytes_that_qemu_holds)
{
	struct q2s_store *writer = open_disk(O_RDWR), *other = open_disk(O_RDONLY);
	const int fd = q2s_store_fd(other);

	ck_assert_str_eq(held_beside(fd), "");
	ck_assert_int_eq(lock(writer, READ | WRITE | RESIZE, WRITE | RESIZE), Q2S_OK);
	ck_assert_str_eq(held_beside(fd), "100 101 103 201 203");
	q2s_store_unlock(writer);
	ck_assert_str_eq(held_beside(fd), "");
	ck_assert_int_eq(lock(writer, READ, WRITE | RESIZE), Q2S_OK);
	ck_assert_str_eq(held_beside(fd), "100 201 203");
	ck_assert_int_eq(lock(writer, UNCHANGED, UNCHANGED), Q2S_OK);
	ck_assert_str_eq(held_beside(fd), "100 102 201 202 203");
	q2s_store_unref(writer);
	ck_assert_str_eq(held_beside(fd), "");
	q2s_store_unref(other);
}
END_TEST

START_TEST(conflicts_are_refused_and_leave_nothing)
{
	static const struct {
		unsigned uses, forbids;         /* of the first */
		unsigned more_uses, more_forbids; /* of the second */
		const char *names;              /* what the refusal names, or NULL: let in */
	} rows[] = {
		{ READ, WRITE | RESIZE, READ, WRITE | RESIZE, NULL },
		{ READ | WRITE | RESIZE, WRITE | RESIZE, READ, WRITE | RESIZE, "holds" },
		{ READ, WRITE | RESIZE, READ | WRITE | RESIZE, WRITE | RESIZE, "forbids" },
		{ READ | WRITE, 0, READ, RESIZE, NULL },
		{ RESIZE, 0, READ, WRITE | RESIZE, "\"resize\"" },
		{ READ | WRITE, 0, READ, WRITE | RESIZE, "\"write\"" },
		{ 0, READ, READ, 0, "\"consistent read\"" },
		{ 0, UNCHANGED, UNCHANGED, 0, "\"write unchanged\"" },
		{ READ | WRITE | RESIZE, WRITE | RESIZE, READ, 0, NULL },
		{ WRITE, 0, WRITE, 0, NULL },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct q2s_store *first = open_disk(O_RDWR), *second = open_disk(O_RDWR);
		const enum q2s_err want = rows[i].names ? Q2S_E_BUSY : Q2S_OK;

		ck_assert_int_eq(lock(first, rows[i].uses, rows[i].forbids), Q2S_OK);
		ck_assert_int_eq(q2s_store_lock_probe(second, rows[i].more_uses,
						      rows[i].more_forbids, NULL), want);
		ck_assert_str_eq(held_beside(q2s_store_fd(first)), "");
		ck_assert_msg(lock(second, rows[i].more_uses, rows[i].more_forbids) == want,
			      "row %zu", i);
		if (rows[i].names) {
			ck_assert_msg(strstr(diag.text, rows[i].names), "%s", diag.text);
			ck_assert_str_eq(diag.file, "disk");
			ck_assert_str_eq(held_beside(q2s_store_fd(first)), "");
		}
		q2s_store_unref(second);
		q2s_store_unref(first);
	}
}
END_TEST

/* What was held before the refusal still is. */
START_TEST(a_refusal_keeps_what_was_held)
{
	struct q2s_store *reader = open_disk(O_RDONLY), *second = open_disk(O_RDWR);

	ck_assert_int_eq(lock(reader, READ, WRITE), Q2S_OK);
	ck_assert_int_eq(lock(second, READ, 0), Q2S_OK);
	ck_assert_int_eq(lock(second, READ | WRITE, RESIZE), Q2S_E_BUSY);
	ck_assert_str_eq(held_beside(q2s_store_fd(reader)), "100");
	q2s_store_unref(second);
	q2s_store_unref(reader);
}
END_TEST

/* The description outlives the store when somebody else has a descriptor of it. */
START_TEST(locks_end_with_the_store)
{
	struct q2s_store *store = open_disk(O_RDONLY), *other = open_disk(O_RDONLY);
	const int copy = dup(q2s_store_fd(store));

	ck_assert_int_eq(lock(store, READ, WRITE | RESIZE), Q2S_OK);
	q2s_store_unref(store);
	ck_assert_str_eq(held_beside(q2s_store_fd(other)), "");
	close(copy);
	q2s_store_unref(other);
}
END_TEST

/* A program that does not know the rules, and locks all of the file for itself. */
START_TEST(a_write_lock_of_all_is_a_conflict)
{
	struct q2s_store *store = open_disk(O_RDONLY);
	const int fd = open(path_of("disk"), O_RDWR);
	struct flock all = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	ck_assert_int_eq(fcntl(fd, F_OFD_SETLK, &all), 0);
	ck_assert_int_eq(q2s_store_lock_probe(store, 0, WRITE, NULL), Q2S_E_BUSY);
	ck_assert_int_eq(lock(store, READ, 0), Q2S_E_BUSY);
	close(fd);
	ck_assert_int_eq(lock(store, READ, 0), Q2S_OK);
	q2s_store_unref(store);
}
END_TEST

FILES_MAIN("lock", holds_the_bytes_that_qemu_holds, conflicts_are_refused_and_leave_nothing,
	   a_refusal_keeps_what_was_held, locks_end_with_the_store,
	   a_write_lock_of_all_is_a_conflict)
