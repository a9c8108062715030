/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading ahead: what a scan leaves in the kernel's cache. Says nothing where that cannot be emptied. */
#include "plan/ahead.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>

#include <q2s/plan.h>

#include "io/memory.h"

#include "files.h"
#include "geoms.h"

#define PAGE 4096u
#define PAGES 8192u /* of the file: four windows */
#define WINDOW (8u << 20)

/* How many of the file's pages are in the cache. */
static unsigned
cached_pages(const struct q2s_store *file)
{
	static unsigned char flags[PAGES];
	void *map = mmap(NULL, PAGES * PAGE, PROT_READ, MAP_SHARED, q2s_store_fd(file), 0);
	unsigned count = 0;

	ck_assert_ptr_ne(map, MAP_FAILED);
	ck_assert_int_eq(mincore(map, PAGES * PAGE, flags), 0);
	munmap(map, PAGES * PAGE);
	for (unsigned i = 0; i < PAGES; i++)
		count += flags[i] & 1;
	return count;
}

/* At least @want pages, after a while: what was asked for is on its way. */
static bool
cached_soon(const struct q2s_store *file, unsigned want)
{
	const struct timespec moment = { .tv_nsec = 10000000 };

	for (unsigned i = 0; i < 200 && cached_pages(file) < want; i++)
		nanosleep(&moment, NULL);
	return cached_pages(file) >= want;
}

/* Let the cache forget it; false where the file lives in the cache alone. */
static bool
make_cold(const struct q2s_store *file)
{
	ck_assert_int_eq(fsync(q2s_store_fd(file)), 0);
	ck_assert_int_eq(posix_fadvise(q2s_store_fd(file), 0, 0, POSIX_FADV_DONTNEED), 0);
	return cached_pages(file) == 0;
}

/* A file that is data everywhere, just written, so it is cached. */
static struct q2s_store *
full_file(void)
{
	static uint8_t bytes[PAGES * PAGE];
	struct q2s_store *file = NULL;

	memset(bytes, 7, sizeof(bytes));
	put_file(path_of("full"), bytes, sizeof(bytes));
	assert_ok(q2s_store_open(path_of("full"), &file, &diag));
	return file;
}

/* Does the file system tell what is cached? Others do not know this way of reading. */
static bool
tells(const struct q2s_store *file)
{
	char byte;
	const struct iovec one = { .iov_base = &byte, .iov_len = 1 };

	return preadv2(q2s_store_fd(file), &one, 1, 0, RWF_NOWAIT) >= 0 || errno == EAGAIN;
}

/*
 * What is done to a cold file, and how many of its pages should be in the cache afterwards; half of
 * them will do, as asking is no order.
 */
struct attempt {
	void (*act)(struct q2s_store *file, void *opaque);
	void *opaque;
	unsigned want;
};

/*
 * Some device, some time, is so fast that what is not in the cache comes while we ask whether it is. So
 * one success of a few is enough.
 */
static void
assert_reads(const struct attempt *attempt)
{
	struct q2s_store *file = full_file();

	for (unsigned i = 0; make_cold(file); i++) {
		attempt->act(file, attempt->opaque);
		if (cached_soon(file, attempt->want / 2))
			break;
		ck_assert_uint_lt(i, 9);
	}
	q2s_store_unref(file);
}

/* Is none of some bytes all over the file in the cache? */
static bool
seems_cold(struct q2s_store *file)
{
	for (unsigned i = 1; i <= 64; i++)
		if (q2s_store_is_cached(file, PAGES / 64 * PAGE * i - 1))
			return false;
	return true;
}

START_TEST(a_file_is_cached_or_not)
{
	struct q2s_store *file = full_file();
	bool cold = true;

	if (tells(file)) {
		ck_assert(q2s_store_is_cached(file, 0));
		ck_assert(q2s_store_is_cached(file, PAGES * PAGE - 1));
		ck_assert(q2s_store_is_cached(file, PAGES * PAGE)); /* nothing to wait for */
	}
	for (unsigned i = 0; i < 10 && (cold = make_cold(file)) && !seems_cold(file); i++)
		ck_assert_uint_lt(i, 9);
	if (cold) {
		q2s_store_will_need(file, 0, PAGES * PAGE);
		ck_assert(cached_soon(file, PAGES / 2));
	}
	q2s_store_unref(file);
}
END_TEST

/* Go through all of it, as the scan does. */
static void
walk(struct q2s_store *file, struct q2si_ahead_budget *budget, uint32_t step, uint32_t peek)
{
	const struct q2s_extent extent = { .len = PAGES * PAGE, .state = Q2S_DATA, .file = file };
	struct q2si_ahead ahead = { .budget = budget };

	for (uint64_t at = 0; at < extent.len; at += step)
		q2si_ahead(&ahead, &extent, at, extent.len - at, step, peek);
}

static void
peek_with(struct q2s_store *file, void *windows)
{
	struct q2si_ahead_budget budget = { .left = *(unsigned *)windows * WINDOW };

	walk(file, &budget, 65536, PAGE);
}

START_TEST(as_much_as_the_budget_allows)
{
	for (unsigned windows = 0; windows <= 4; windows++) {
		const unsigned peeks = PAGES * PAGE / 65536;
		const struct attempt attempt = { peek_with, &windows,
						 windows ? windows * WINDOW / PAGE : peeks };

		assert_reads(&attempt);
	}
}
END_TEST

START_TEST(without_a_budget_only_what_is_looked_at)
{
	struct q2s_store *file = full_file();
	unsigned windows = 0;

	if (make_cold(file)) {
		peek_with(file, &windows);
		ck_assert_uint_lt(cached_pages(file), PAGES / 2);
	}
	q2s_store_unref(file);
}
END_TEST

static void
look_at_all(struct q2s_store *file, void *none)
{
	struct q2si_ahead_budget budget = { .left = 0 };

	(void)none;
	walk(file, &budget, 2048, 2048);
}

START_TEST(what_is_looked_at_as_a_whole_needs_no_budget)
{
	const struct attempt attempt = { look_at_all, NULL, PAGES };

	assert_reads(&attempt);
}
END_TEST

START_TEST(what_is_cached_costs_nothing)
{
	struct q2si_ahead_budget budget = { .left = WINDOW };
	struct q2s_store *file = full_file();

	walk(file, &budget, 65536, PAGE);
	if (tells(file))
		ck_assert_uint_eq(budget.left, WINDOW);
	q2s_store_unref(file);
}
END_TEST

static void
scan(struct q2s_store *file, void *read_again)
{
	const struct q2s_geom_params params = { .version = 3, .cluster_bits = 16,
						.refcount_order = 4, .size = PAGES * PAGE };
	const struct q2s_scan_options options = { .size = sizeof(options),
						  .read_again = *(bool *)read_again };
	struct q2s_alloc *alloc = NULL;
	struct q2s_disk *disk = NULL;
	struct q2s_geom geom;

	assert_ok(q2s_geom_init(&params, &geom, &diag));
	assert_ok(q2s_disk_raw(file, &disk, &diag));
	assert_ok(q2s_scan(disk, &geom, &options, &alloc, &diag));
	q2s_alloc_free(alloc);
	q2s_disk_close(disk);
}

START_TEST(a_scan_has_the_data_ready)
{
	bool read_again = true;
	const struct attempt attempt = { scan, &read_again, PAGES };

	if (q2si_memory_available() / 2 >= PAGES * PAGE)
		assert_reads(&attempt);
}
END_TEST

START_TEST(a_scan_that_is_all_reads_little)
{
	struct q2s_store *file = full_file();
	bool read_again = false;

	if (make_cold(file)) {
		scan(file, &read_again);
		ck_assert_uint_lt(cached_pages(file), PAGES / 2);
	}
	q2s_store_unref(file);
}
END_TEST

START_TEST(memory_is_no_more_than_there_is)
{
	const uint64_t pages = (uint64_t)sysconf(_SC_PHYS_PAGES);

	ck_assert_uint_gt(q2si_memory_available(), 0);
	ck_assert_uint_le(q2si_memory_available(), pages * (uint64_t)sysconf(_SC_PAGESIZE));
}
END_TEST

FILES_MAIN("ahead", a_file_is_cached_or_not, as_much_as_the_budget_allows,
	   without_a_budget_only_what_is_looked_at, what_is_looked_at_as_a_whole_needs_no_budget,
	   what_is_cached_costs_nothing, a_scan_has_the_data_ready, a_scan_that_is_all_reads_little,
	   memory_is_no_more_than_there_is)
