/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files past the page cache: any byte of them, by several threads, and what is left behind. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <q2s/store.h>

#include "unit.h"

#define KIB 1024ull
#define SIZE (700 * KIB)
#define SHARED (24 * KIB) /* so little that threads meet */
#define THREADS 4u
#define REQUESTS 1000u

static char path[] = "./q2s-direct.XXXXXX";

/* A file of @size bytes; NULL: this file system does not allow O_DIRECT. */
static struct q2s_store *
start(uint64_t size)
{
	const int fd = mkstemp(strcpy(path, "./q2s-direct.XXXXXX"));
	struct q2s_diag why = { 0 };
	struct q2s_store *store;
	enum q2s_err set;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)size), 0);
	assert_ok(q2s_store_from_fd_writable(fd, path, &store, &diag));
	set = q2s_store_set_direct(store, &why);
	if (set == Q2S_OK) {
		ck_assert(fcntl(fd, F_GETFL) & O_DIRECT);
		assert_ok(q2s_store_set_direct(store, &diag)); /* again changes nothing */
		return store;
	}
	/* then nothing has changed, and it says why */
	ck_assert_int_eq(set, Q2S_E_UNSUPPORTED);
	ck_assert_ptr_nonnull(strstr(why.text, "O_DIRECT"));
	ck_assert(!(fcntl(fd, F_GETFL) & O_DIRECT));
	assert_ok(q2s_store_write(store, 3, "x", 1, NULL));
	q2s_store_unref(store);
	unlink(path);
	return NULL;
}

/* What is in the file, read by others. */
static void
assert_file(const uint8_t *want, uint64_t size)
{
	FILE *file = fopen(path, "r");
	uint8_t *got = malloc(size + 1);

	ck_assert_ptr_nonnull(file);
	ck_assert_ptr_nonnull(got);
	ck_assert_uint_eq(fread(got, 1, size + 1, file), size);
	for (uint64_t i = 0; i < size; i++)
		quick_assert_eq(got[i], want[i]);
	free(got);
	fclose(file);
	unlink(path);
}

/* ---- threads with bytes of their own --------------------------------------------------------- */

/* Each thread has every THREADS-th piece of 100 bytes: they share all blocks. */
struct writer {
	struct q2s_store *store;
	uint8_t *bytes; /* what should be there */
	unsigned number;
	uint64_t seed;
	const char *wrong;
	pthread_t thread;
};

#define PIECE 100u

static void
request(struct writer *writer)
{
	const uint64_t pieces = SHARED / PIECE / THREADS;
	const uint64_t at =
		(unit_random(&writer->seed) % pieces * THREADS + writer->number) * PIECE;
	uint8_t *const mine = writer->bytes + at;
	uint8_t buf[PIECE];
	enum q2s_err err;

	switch (unit_random(&writer->seed) % 4) {
	case 0:
		err = q2s_store_read(writer->store, at, buf, PIECE, NULL);
		if (err != Q2S_OK || memcmp(buf, mine, PIECE) != 0)
			writer->wrong = "read";
		break;
	case 1:
		memset(mine, 0, PIECE);
		if (q2s_store_zero(writer->store, at, PIECE, NULL) != Q2S_OK)
			writer->wrong = "zero";
		break;
	case 2:
		err = q2s_store_discard(writer->store, at, PIECE, NULL);
		if (err == Q2S_OK)
			memset(mine, 0, PIECE);
		else if (err != Q2S_E_UNSUPPORTED)
			writer->wrong = "discard";
		break;
	default:
		memset(mine, (int)unit_random(&writer->seed), PIECE);
		if (q2s_store_write(writer->store, at, mine, PIECE, NULL) != Q2S_OK)
			writer->wrong = "write";
	}
}

static void *
writer_main(void *arg)
{
	struct writer *writer = arg;

	for (unsigned i = 0; i < REQUESTS && !writer->wrong; i++)
		request(writer);
	return NULL;
}

START_TEST(threads_that_share_blocks_do_not_harm_each_other)
{
	struct q2s_store *store = start(SHARED);
	struct writer writers[THREADS];
	uint8_t *bytes = calloc(1, SHARED);

	if (!store) {
		free(bytes);
		return;
	}
	ck_assert_ptr_nonnull(bytes);
	for (unsigned i = 0; i < THREADS; i++) {
		writers[i] = (struct writer){
			.store = store, .bytes = bytes, .number = i, .seed = i + 1
		};
		ck_assert_int_eq(pthread_create(&writers[i].thread, NULL, writer_main, &writers[i]),
				 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		ck_assert_int_eq(pthread_join(writers[i].thread, NULL), 0);
		ck_assert_msg(!writers[i].wrong, "%s", writers[i].wrong);
	}
	assert_ok(q2s_store_flush(store, &diag));
	q2s_store_unref(store);
	assert_file(bytes, SHARED);
	free(bytes);
}
END_TEST

/* ---- one thread, all lengths ----------------------------------------------------------------- */

START_TEST(any_length_at_any_place)
{
	struct q2s_store *store = start(12345);
	uint8_t *bytes = calloc(1, 2 * SIZE), *buf = malloc(2 * SIZE);
	uint64_t size = 12345, seed = 9;
	size_t got;

	if (!store) {
		free(bytes);
		free(buf);
		return;
	}
	ck_assert(bytes && buf);
	for (unsigned i = 0; i < 400; i++) {
		const uint64_t unit = 1ull << unit_random(&seed) % 13;
		const uint64_t at = unit_random(&seed) % (SIZE / unit) * unit;
		const size_t len = (size_t)(1 + unit_random_log(&seed) % (SIZE / unit)) * unit;
		const size_t skew = unit_random(&seed) % 2 * 7; /* of the buffer's address */
		const size_t n = len < SIZE - skew ? len : SIZE - skew;

		if (i % 3 == 0) {
			memset(buf + skew, 0xee, n);
			assert_ok(q2s_store_read_padded(store, at, buf + skew, n, &got, &diag));
			quick_assert_eq(got, at >= size ? 0 : at + n > size ? size - at : n);
			quick_assert(memcmp(buf + skew, bytes + at, n) == 0);
			continue;
		}
		for (size_t k = 0; k < n; k++)
			buf[skew + k] = (uint8_t)(i + k);
		memcpy(bytes + at, buf + skew, n);
		assert_ok(q2s_store_write(store, at, buf + skew, n, &diag));
		if (at + n > size)
			size = at + n;
		quick_assert_eq(q2s_store_size(store), size);
	}
	q2s_store_unref(store);
	assert_file(bytes, size); /* and not a byte more */
	free(bytes);
	free(buf);
}
END_TEST

START_TEST(what_is_no_file_cannot)
{
	struct q2s_diag why = { 0 };
	struct q2s_store *store;

	assert_ok(q2s_store_memory(NULL, 0, "memory", &store, &diag));
	ck_assert_int_eq(q2s_store_set_direct(store, &why), Q2S_E_UNSUPPORTED);
	ck_assert_str_eq(why.file, "memory");
	q2s_store_unref(store);
}
END_TEST

UNIT_MAIN("direct", threads_that_share_blocks_do_not_harm_each_other, any_length_at_any_place,
	  what_is_no_file_cannot)
