/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory as a store: blocks, of which those that are zero need not be there. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/diag.h"
#include "base/zero.h"
#include "io/store.h"

#define BLOCK_BITS 16
#define BLOCK_SIZE ((size_t)1 << BLOCK_BITS)

struct memory {
	pthread_rwlock_t lock; /* of the table and the length; who reads them may change bytes */
	uint8_t **blocks;      /* NULL: zeros */
	size_t count;          /* of blocks that the table has room for */
	uint64_t length;
};

/* The part of [@at, @at + @len) that lies in the block of @at. */
static size_t
in_block(uint64_t at, uint64_t len)
{
	return q2si_min_size(len, BLOCK_SIZE - (at & (BLOCK_SIZE - 1)));
}

static uint8_t *
block_at(const struct memory *memory, uint64_t at)
{
	const uint64_t index = at >> BLOCK_BITS;

	return index < memory->count ? memory->blocks[index] : NULL;
}

static enum q2s_err
memory_read(void *self, uint64_t at, void *buf, size_t len, size_t *got, struct q2s_diag *diag)
{
	struct memory *memory = self;
	uint8_t *to = buf;

	(void)diag;
	(void)pthread_rwlock_rdlock(&memory->lock);
	len = at < memory->length ? q2si_min(len, memory->length - at) : 0;
	*got = len;
	for (size_t n; len > 0; at += n, to += n, len -= n) {
		const uint8_t *block = block_at(memory, at);

		n = in_block(at, len);
		if (block)
			memcpy(to, block + (at & (BLOCK_SIZE - 1)), n);
		else
			memset(to, 0, n);
	}
	(void)pthread_rwlock_unlock(&memory->lock);
	return Q2S_OK;
}

static uint64_t
memory_length(void *self)
{
	struct memory *memory = self;
	uint64_t length;

	(void)pthread_rwlock_rdlock(&memory->lock);
	length = memory->length;
	(void)pthread_rwlock_unlock(&memory->lock);
	return length;
}

static uint64_t
memory_allocated(void *self)
{
	struct memory *memory = self;
	uint64_t count = 0;

	(void)pthread_rwlock_rdlock(&memory->lock);
	for (size_t i = 0; i < memory->count; i++)
		count += memory->blocks[i] != NULL;
	(void)pthread_rwlock_unlock(&memory->lock);
	return count << BLOCK_BITS;
}

static enum q2s_err
memory_extent(void *self, uint64_t at, struct q2s_stretch *out, struct q2s_diag *diag)
{
	struct memory *memory = self;
	uint64_t end = at;

	(void)diag;
	(void)pthread_rwlock_rdlock(&memory->lock);
	const bool hole = !block_at(memory, at);

	while (end < memory->length && (block_at(memory, end) == NULL) == hole)
		end = q2si_round_down(end, BLOCK_SIZE) + BLOCK_SIZE;
	(void)pthread_rwlock_unlock(&memory->lock);
	*out = (struct q2s_stretch){ .hole = hole, .len = end - at };
	return Q2S_OK;
}

/* ---- writing ----------------------------------------------------------------------------- */

static bool
has_blocks(const struct memory *memory, uint64_t at, uint64_t len)
{
	if (at + len > memory->length)
		return false;
	for (uint64_t block = at >> BLOCK_BITS; block <= (at + len - 1) >> BLOCK_BITS; block++)
		if (!memory->blocks[block])
			return false;
	return true;
}

/* Room in the table up to @end. */
static enum q2s_err
grow_table(struct memory *memory, uint64_t end, struct q2s_diag *diag)
{
	const uint64_t wanted = q2si_div_up(end, BLOCK_SIZE);
	const uint64_t count = q2si_max(wanted, 2 * memory->count);
	uint8_t **blocks;

	if (wanted <= memory->count)
		return Q2S_OK;
	blocks = reallocarray(memory->blocks, q2si_size(count), sizeof(*blocks));
	if (!blocks)
		return q2si_fail_nomem(diag, "memory store");
	memset(blocks + memory->count, 0, (count - memory->count) * sizeof(*blocks));
	memory->blocks = blocks;
	memory->count = count;
	return Q2S_OK;
}

static enum q2s_err
add_blocks(struct memory *memory, uint64_t at, uint64_t len, struct q2s_diag *diag)
{
	Q2SI_TRY(grow_table(memory, at + len, diag));
	for (uint64_t block = at >> BLOCK_BITS; block <= (at + len - 1) >> BLOCK_BITS; block++) {
		if (!memory->blocks[block])
			memory->blocks[block] = calloc(1, BLOCK_SIZE);
		if (!memory->blocks[block])
			return q2si_fail_nomem(diag, "memory store");
	}
	memory->length = q2si_max(memory->length, at + len);
	return Q2S_OK;
}

static void
put(const struct memory *memory, uint64_t at, const void *buf, size_t len)
{
	const uint8_t *from = buf;

	for (size_t n; len > 0; at += n, from += n, len -= n) {
		n = in_block(at, len);
		memcpy(block_at(memory, at) + (at & (BLOCK_SIZE - 1)), from, n);
	}
}

static enum q2s_err
memory_write(void *self, uint64_t at, const void *buf, size_t len, struct q2s_diag *diag)
{
	struct memory *memory = self;
	enum q2s_err err = Q2S_OK;

	(void)pthread_rwlock_rdlock(&memory->lock);
	if (!has_blocks(memory, at, len)) {
		(void)pthread_rwlock_unlock(&memory->lock);
		(void)pthread_rwlock_wrlock(&memory->lock);
		err = add_blocks(memory, at, len, diag);
	}
	if (err == Q2S_OK)
		put(memory, at, buf, len);
	(void)pthread_rwlock_unlock(&memory->lock);
	return err;
}

/* Whole blocks go, the ends become zero. */
static void
clear(const struct memory *memory, uint64_t at, uint64_t len)
{
	for (size_t n; len > 0; at += n, len -= n) {
		uint8_t *block = block_at(memory, at);

		n = in_block(at, len);
		if (block && n == BLOCK_SIZE) {
			free(block);
			memory->blocks[at >> BLOCK_BITS] = NULL;
		} else if (block) {
			memset(block + (at & (BLOCK_SIZE - 1)), 0, n);
		}
	}
}

static enum q2s_err
memory_discard(void *self, uint64_t at, uint64_t len, struct q2s_diag *diag)
{
	struct memory *memory = self;

	(void)diag;
	(void)pthread_rwlock_wrlock(&memory->lock);
	if (at < memory->length)
		clear(memory, at, q2si_min(len, memory->length - at));
	(void)pthread_rwlock_unlock(&memory->lock);
	return Q2S_OK;
}

static enum q2s_err
memory_zero(void *self, uint64_t at, uint64_t len, struct q2s_diag *diag)
{
	struct memory *memory = self;
	enum q2s_err err;

	(void)pthread_rwlock_wrlock(&memory->lock);
	err = grow_table(memory, at + len, diag);
	if (err == Q2S_OK) {
		clear(memory, at, len);
		memory->length = q2si_max(memory->length, at + len);
	}
	(void)pthread_rwlock_unlock(&memory->lock);
	return err;
}

static enum q2s_err
memory_set_length(void *self, uint64_t length, struct q2s_diag *diag)
{
	struct memory *memory = self;
	enum q2s_err err = Q2S_OK;

	(void)pthread_rwlock_wrlock(&memory->lock);
	if (length < memory->length)
		clear(memory, length, memory->length - length);
	else
		err = grow_table(memory, length, diag);
	if (err == Q2S_OK)
		memory->length = length;
	(void)pthread_rwlock_unlock(&memory->lock);
	return err;
}

static void
memory_close(void *self)
{
	struct memory *memory = self;

	for (size_t i = 0; i < memory->count; i++)
		free(memory->blocks[i]);
	free(memory->blocks);
	(void)pthread_rwlock_destroy(&memory->lock);
	free(memory);
}

static bool
memory_is_cached(void *self, uint64_t at)
{
	(void)self, (void)at;
	return true;
}

static const struct q2s_store_ops memory_ops = {
	.size = sizeof(memory_ops),
	.read = memory_read,
	.length = memory_length,
	.close = memory_close,
	.write = memory_write,
	.zero = memory_zero,
	.discard = memory_discard,
	.set_length = memory_set_length,
	.extent = memory_extent,
	.allocated = memory_allocated,
	.is_cached = memory_is_cached,
};

enum q2s_err
q2s_store_memory(const void *bytes, size_t len, const char *name, struct q2s_store **out,
		 struct q2s_diag *diag)
{
	struct memory *memory = calloc(1, sizeof(*memory));
	const uint8_t *from = bytes;
	enum q2s_err err;

	if (!memory || pthread_rwlock_init(&memory->lock, NULL) != 0) {
		free(memory);
		return q2si_fail_nomem(diag, "memory store");
	}
	err = memory_set_length(memory, len, diag);
	for (size_t at = 0, n; err == Q2S_OK && at < len; at += n) {
		n = in_block(at, len - at);
		if (!q2si_is_zero(from + at, n))
			err = memory_write(memory, at, from + at, n, diag);
	}
	if (err == Q2S_OK)
		err = q2s_store_new(&memory_ops, memory, name, out, diag);
	if (err != Q2S_OK)
		memory_close(memory);
	return err;
}
