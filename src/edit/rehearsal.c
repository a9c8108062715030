/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is written goes, by whole blocks, into a store in memory; a sorted list of ranges says which
 * blocks are there. A rehearsal is used by one thread.
 */
#include "edit/rehearsal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/escape.h"
#include "common/fault.h"

#define BLOCK UINT64_C(4096)

/* Blocks [@start, @end). */
struct range {
	uint64_t start, end;
};

/**
 * @changed  where the blocks of @ranges are read from: sorted, disjoint, no two adjacent
 * @sum      what is done is added there; or NULL
 */
struct rehearsal {
	struct q2s_store *file;
	struct q2s_store *changed;
	uint64_t length;
	struct range *ranges;
	size_t count, room;
	enum rehearsal_lines lines;
	struct rehearsal_sum *sum;
};

static void line_print(const struct rehearsal *rehearsal, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void
line_print(const struct rehearsal *rehearsal, const char *format, ...)
{
	const char *const name = q2s_store_name(rehearsal->file);
	va_list args;

	if (rehearsal->lines == REHEARSAL_SILENT)
		return;
	if (rehearsal->lines == REHEARSAL_LABEL) {
		escape_print(stdout, name, strlen(name));
		fputs(": ", stdout);
	}
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
}

/* ---- changed blocks ---------------------------------------------------------------------- */

/* Index of the first range that ends at or behind @block. */
static size_t
range_find(const struct rehearsal *rehearsal, uint64_t block)
{
	size_t low = 0, high = rehearsal->count;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;

		if (rehearsal->ranges[middle].end < block)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool
is_changed(const struct rehearsal *rehearsal, uint64_t block)
{
	const size_t i = range_find(rehearsal, block + 1);

	return i < rehearsal->count && rehearsal->ranges[i].start <= block;
}

static enum q2s_err
range_add(struct rehearsal *rehearsal, uint64_t start, uint64_t end, struct q2s_diag *diag)
{
	const size_t i = range_find(rehearsal, start);
	size_t last = i;

	if (rehearsal->count == rehearsal->room) {
		const size_t room = rehearsal->room ? 2 * rehearsal->room : 64;
		struct range *const ranges =
			reallocarray(rehearsal->ranges, room, sizeof(*ranges));

		if (!ranges)
			return fault_nomem(diag, "--dry-run");
		rehearsal->ranges = ranges;
		rehearsal->room = room;
	}
	/* What it touches becomes one with it. */
	for (; last < rehearsal->count && rehearsal->ranges[last].start <= end; last++) {
		if (rehearsal->ranges[last].start < start)
			start = rehearsal->ranges[last].start;
		if (rehearsal->ranges[last].end > end)
			end = rehearsal->ranges[last].end;
	}
	memmove(rehearsal->ranges + i + 1, rehearsal->ranges + last,
		(rehearsal->count - last) * sizeof(*rehearsal->ranges));
	rehearsal->count += 1 - (last - i);
	rehearsal->ranges[i] = (struct range){ start, end };
	return Q2S_OK;
}

/* Have a block in memory of which only a part is about to change. */
static enum q2s_err
block_copy(struct rehearsal *rehearsal, uint64_t block, struct q2s_diag *diag)
{
	uint8_t bytes[BLOCK];
	enum q2s_err err;

	if (is_changed(rehearsal, block))
		return Q2S_OK;
	err = q2s_store_read_padded(rehearsal->file, block * BLOCK, bytes, BLOCK, NULL, diag);
	return err == Q2S_OK ? q2s_store_write(rehearsal->changed, block * BLOCK, bytes, BLOCK, diag)
			     : err;
}

/* [@at, @at + @len), not empty, is about to change. */
static enum q2s_err
blocks_take(struct rehearsal *rehearsal, uint64_t at, uint64_t len, struct q2s_diag *diag)
{
	const uint64_t first = at / BLOCK, last = (at + len - 1) / BLOCK;
	enum q2s_err err = Q2S_OK;

	if (at % BLOCK != 0)
		err = block_copy(rehearsal, first, diag);
	if (err == Q2S_OK && (at + len) % BLOCK != 0)
		err = block_copy(rehearsal, last, diag);
	if (err == Q2S_OK)
		err = range_add(rehearsal, first, last + 1, diag);
	if (err == Q2S_OK && at + len > rehearsal->length)
		rehearsal->length = at + len;
	return err;
}

/* ---- the store --------------------------------------------------------------------------- */

static enum q2s_err
rehearsal_read(void *self, uint64_t at, void *buf, size_t len, size_t *got, struct q2s_diag *diag)
{
	struct rehearsal *const rehearsal = self;
	uint8_t *to = buf;
	enum q2s_err err = Q2S_OK;

	if (at >= rehearsal->length)
		len = 0;
	else if (len > rehearsal->length - at)
		len = rehearsal->length - at;
	*got = len;
	while (len > 0 && err == Q2S_OK) {
		const uint64_t left = BLOCK - at % BLOCK;
		const size_t n = len < left ? len : left;

		err = q2s_store_read_padded(is_changed(rehearsal, at / BLOCK) ? rehearsal->changed
									     : rehearsal->file,
					    at, to, n, NULL, diag);
		at += n;
		to += n;
		len -= n;
	}
	return err;
}

static uint64_t
rehearsal_length(void *self)
{
	return ((struct rehearsal *)self)->length;
}

static enum q2s_err
rehearsal_write(void *self, uint64_t at, const void *buf, size_t len, struct q2s_diag *diag)
{
	struct rehearsal *const rehearsal = self;
	enum q2s_err err = blocks_take(rehearsal, at, len, diag);

	if (rehearsal->sum)
		rehearsal->sum->written += len;
	line_print(rehearsal, "write %zu at 0x%" PRIx64 "\n", len, at);
	return err == Q2S_OK ? q2s_store_write(rehearsal->changed, at, buf, len, diag) : err;
}

static enum q2s_err
zero(struct rehearsal *rehearsal, const char *what, uint64_t at, uint64_t len,
     struct q2s_diag *diag)
{
	enum q2s_err err = blocks_take(rehearsal, at, len, diag);

	line_print(rehearsal, "%s %" PRIu64 " at 0x%" PRIx64 "\n", what, len, at);
	return err == Q2S_OK ? q2s_store_zero(rehearsal->changed, at, len, diag) : err;
}

static enum q2s_err
rehearsal_zero(void *self, uint64_t at, uint64_t len, struct q2s_diag *diag)
{
	struct rehearsal_sum *const sum = ((struct rehearsal *)self)->sum;

	if (sum)
		sum->zeroed += len;
	return zero(self, "zero", at, len, diag);
}

static enum q2s_err
rehearsal_discard(void *self, uint64_t at, uint64_t len, struct q2s_diag *diag)
{
	struct rehearsal_sum *const sum = ((struct rehearsal *)self)->sum;

	if (sum)
		sum->discarded += len;
	return zero(self, "discard", at, len, diag);
}

static enum q2s_err
rehearsal_flush(void *self, struct q2s_diag *diag)
{
	(void)diag;
	line_print(self, "flush\n");
	return Q2S_OK;
}

/* What is cut off is zero when the file becomes longer again. */
static enum q2s_err
rehearsal_set_length(void *self, uint64_t length, struct q2s_diag *diag)
{
	struct rehearsal *const rehearsal = self;
	enum q2s_err err = Q2S_OK;

	line_print(rehearsal, "set length 0x%" PRIx64 "\n", length);
	if (length < rehearsal->length) {
		const uint64_t cut = rehearsal->length - length;

		err = blocks_take(rehearsal, length, cut, diag);
		if (err == Q2S_OK)
			err = q2s_store_zero(rehearsal->changed, length, cut, diag);
	}
	rehearsal->length = length;
	return err;
}

static void
rehearsal_close(void *self)
{
	struct rehearsal *const rehearsal = self;

	q2s_store_unref(rehearsal->file);
	q2s_store_unref(rehearsal->changed);
	free(rehearsal->ranges);
	free(rehearsal);
}

/* As the file has them: a reader may skip its holes. */
static enum q2s_err
rehearsal_extent(void *self, uint64_t at, struct q2s_stretch *out, struct q2s_diag *diag)
{
	const struct rehearsal *const rehearsal = self;
	const size_t i = range_find(rehearsal, at / BLOCK + 1);
	const struct range *const range = i < rehearsal->count ? &rehearsal->ranges[i] : NULL;
	enum q2s_err err;

	*out = (struct q2s_stretch){ .len = rehearsal->length - at };
	if (range && range->start <= at / BLOCK) {
		out->len = range->end * BLOCK - at;
	} else {
		if (at < q2s_store_size(rehearsal->file)) {
			err = q2s_store_stretch(rehearsal->file, at, out, diag);
			if (err != Q2S_OK)
				return err;
		}
		if (range && range->start * BLOCK - at < out->len)
			out->len = range->start * BLOCK - at;
	}
	if (out->len > rehearsal->length - at)
		out->len = rehearsal->length - at;
	return Q2S_OK;
}

enum q2s_err
rehearsal_of(struct q2s_store *file, enum rehearsal_lines lines, struct rehearsal_sum *sum,
	     struct q2s_store **out, struct q2s_diag *diag)
{
	static const struct q2s_store_ops ops = {
		.size = sizeof(ops),
		.read = rehearsal_read,
		.length = rehearsal_length,
		.close = rehearsal_close,
		.write = rehearsal_write,
		.zero = rehearsal_zero,
		.discard = rehearsal_discard,
		.flush = rehearsal_flush,
		.set_length = rehearsal_set_length,
		.extent = rehearsal_extent,
	};
	struct rehearsal *const rehearsal = calloc(1, sizeof(*rehearsal));
	const char *const name = q2s_store_name(file);
	enum q2s_err err;

	if (!rehearsal)
		return fault_nomem(diag, "--dry-run");
	rehearsal->file = q2s_store_ref(file);
	rehearsal->length = q2s_store_size(file);
	rehearsal->lines = lines;
	rehearsal->sum = sum;
	err = q2s_store_memory(NULL, 0, name, &rehearsal->changed, diag);
	if (err == Q2S_OK)
		err = q2s_store_new(&ops, rehearsal, name, out, diag);
	if (err != Q2S_OK)
		rehearsal_close(rehearsal);
	return err;
}

enum q2s_err
rehearsal_wrap(struct q2s_store *file, struct q2s_store **out, struct q2s_diag *diag)
{
	return rehearsal_of(file, REHEARSAL_LABEL, NULL, out, diag);
}

enum q2s_err
rehearsal_wrap_silent(struct q2s_store *file, struct q2s_store **out, struct q2s_diag *diag)
{
	return rehearsal_of(file, REHEARSAL_SILENT, NULL, out, diag);
}

void
rehearsal_sum_print(const char *file, const struct rehearsal_sum *sum)
{
	escape_print(stdout, file, strlen(file));
	printf(": %" PRIu64 " bytes to write, %" PRIu64 " to zero, %" PRIu64 " to give back\n",
	       sum->written, sum->zeroed, sum->discarded);
}
