/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A file that is still arriving: how much of the stream is read, and what is forgotten. */
#include <sys/wait.h>
#include <unistd.h>

#include <q2s/io.h>

#include "files.h"

#define BLOCK 65536u /* space is given back in such units; a pipe holds one */

/* A stream of @blocks blocks, each filled with its number, from a process of its own. */
struct source {
	int fd;
	pid_t writer;
	struct q2s_store *file;
};

static void
write_blocks(int fd, unsigned blocks)
{
	static uint8_t buf[BLOCK];

	for (unsigned i = 0; i < blocks; i++) {
		memset(buf, (int)i + 1, sizeof(buf));
		if (write(fd, buf, sizeof(buf)) != (ssize_t)sizeof(buf))
			_exit(1);
	}
	_exit(0);
}

static struct source
source_open(unsigned blocks)
{
	static const uint8_t head[3] = { 7, 8, 9 };
	struct source source = { 0 };
	int ends[2];

	ck_assert_int_eq(pipe(ends), 0);
	source.writer = fork();
	ck_assert_int_ge(source.writer, 0);
	if (source.writer == 0) {
		(void)close(ends[0]);
		write_blocks(ends[1], blocks);
	}
	(void)close(ends[1]);
	source.fd = ends[0];
	const struct q2s_stream stream = {
		.fd = source.fd, .name = "stream", .head = head, .head_len = sizeof(head),
		.folder = files_folder,
	};

	assert_ok(q2s_store_arriving(&stream, &source.file, &diag));
	return source;
}

static void
source_close(struct source *source)
{
	int status = -1;

	q2s_store_unref(source->file);
	(void)close(source->fd);
	ck_assert_int_eq(waitpid(source->writer, &status, 0), source->writer);
	ck_assert_int_eq(status, 0);
}

/* The byte at @at is that of its block; the head comes before all blocks. */
static void
assert_byte(struct source *source, uint64_t at)
{
	uint8_t byte = 0;

	assert_ok(q2s_store_read(source->file, at, &byte, 1, &diag));
	ck_assert_uint_eq(byte, at < 3 ? 7 + at : (at - 3) / BLOCK + 1);
}

START_TEST(the_size_is_known_at_the_end)
{
	struct source source = source_open(20);
	const uint64_t size = 20 * BLOCK + 3;
	struct q2s_stretch stretch;
	uint8_t bytes[8];
	size_t got;

	ck_assert(q2s_store_is_arriving(source.file));
	assert_byte(&source, 0);
	assert_byte(&source, 5 * BLOCK);
	ck_assert_uint_gt(q2s_store_size(source.file), size);
	ck_assert_uint_gt(q2s_store_size_until(source.file, 9 * BLOCK), size);
	assert_ok(q2s_store_stretch(source.file, BLOCK, &stretch, &diag));
	ck_assert(!stretch.hole);
	ck_assert_uint_ge(stretch.len, 8 * BLOCK);
	assert_ok(q2s_store_read_padded(source.file, size - 3, bytes, sizeof(bytes), &got, &diag));
	ck_assert_uint_eq(got, 3);
	ck_assert_uint_eq(bytes[2], 20);
	ck_assert_uint_eq(bytes[3], 0);
	ck_assert_uint_eq(q2s_store_size(source.file), size);
	assert_byte(&source, 1);
	assert_ok(q2s_store_verify(source.file, &diag));
	source_close(&source);
}
END_TEST

START_TEST(what_is_forgotten_is_gone)
{
	struct source source = source_open(20);
	uint8_t bytes[BLOCK];

	assert_byte(&source, 10 * BLOCK);
	q2s_store_forget(source.file, BLOCK / 2, 3 * BLOCK);
	q2s_store_forget(source.file, BLOCK / 2 + 3 * BLOCK, 1);
	q2s_store_forget(source.file, 8 * BLOCK, BLOCK);
	q2s_store_forget(source.file, 6 * BLOCK, BLOCK); /* comes too late, and stays */
	assert_byte(&source, BLOCK / 2 - 1);
	assert_byte(&source, BLOCK / 2 + 3 * BLOCK + 1);
	assert_byte(&source, 6 * BLOCK + 5);
	assert_byte(&source, 9 * BLOCK + 3);
	ck_assert_int_eq(q2s_store_read(source.file, BLOCK / 2, bytes, 1, NULL), Q2S_E_UNSUPPORTED);
	ck_assert_int_eq(q2s_store_read(source.file, BLOCK / 2 + 3 * BLOCK, bytes, 1, NULL),
			 Q2S_E_UNSUPPORTED);
	ck_assert_int_eq(q2s_store_read(source.file, 7 * BLOCK + 10, bytes, BLOCK, NULL),
			 Q2S_E_UNSUPPORTED);
	assert_ok(q2s_store_verify(source.file, &diag));
	source_close(&source);
}
END_TEST

START_TEST(an_unread_rest_is_read_and_dropped)
{
	struct source source = source_open(50);

	assert_byte(&source, 0);
	assert_ok(q2s_store_verify(source.file, &diag));
	ck_assert_uint_lt(q2s_store_size(source.file), 20 * BLOCK);
	source_close(&source); /* the writer ended well */
}
END_TEST

UNIT_MAIN("feed", the_size_is_known_at_the_end, what_is_forgotten_is_gone,
	  an_unread_rest_is_read_and_dropped)
