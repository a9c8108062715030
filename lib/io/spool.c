/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bytes that have to wait: in memory first, then in a file without a name. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <q2s/io.h>

#include "base/arith.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "io/nameless.h"

#define BLOCK_BITS 18
#define BLOCK_SIZE ((size_t)1 << BLOCK_BITS)

/*
 * The first @held bytes are in blocks, the rest in the file, which begins with byte @held. Both
 * counts grow only after what they count is in place: a reader may come at any time.
 */
struct q2s_spool {
	char *folder;
	uint64_t budget;
	uint8_t **blocks;
	size_t count;
	_Atomic uint64_t held;
	_Atomic uint64_t size;
	struct q2s_store *file; /* NULL until the budget is used up */
};

enum q2s_err
q2s_spool_new(const char *folder, uint64_t budget, struct q2s_spool **out, struct q2s_diag *diag)
{
	struct q2s_spool *spool = calloc(1, sizeof(*spool));

	if (!spool || !(spool->folder = strdup(folder ? folder : q2si_nameless_folder()))) {
		free(spool);
		return q2si_fail_nomem(diag, "spool");
	}
	spool->budget = budget;
	*out = spool;
	return Q2S_OK;
}

void
q2s_spool_free(struct q2s_spool *spool)
{
	if (!spool)
		return;
	for (size_t i = 0; i < spool->count; i++)
		free(spool->blocks[i]);
	free(spool->blocks);
	q2s_store_unref(spool->file);
	free(spool->folder);
	free(spool);
}

uint64_t
q2s_spool_size(const struct q2s_spool *spool)
{
	return spool->size;
}

static enum q2s_err
spool_errno(const struct q2s_spool *spool, const char *doing, struct q2s_diag *diag)
{
	return q2si_in_file(diag, q2si_fail_errno(diag, errno, "spool", Q2S_NOWHERE, "%s", doing),
			    spool->folder);
}

static enum q2s_err
begin_file(struct q2s_spool *spool, struct q2s_diag *diag)
{
	Q2SI_AUTO_CLOSE int fd = -1;

	Q2SI_TRY(q2si_nameless_open(spool->folder, &fd, diag));
	Q2SI_TRY(q2s_store_from_fd(fd, spool->folder, &spool->file, diag));
	fd = -1;
	return Q2S_OK;
}

static enum q2s_err
append_file(struct q2s_spool *spool, const uint8_t *buf, size_t len, struct q2s_diag *diag)
{
	if (!spool->file)
		Q2SI_TRY(begin_file(spool, diag));
	while (len > 0) {
		const ssize_t n = pwrite(q2s_store_fd(spool->file), buf, len,
					 (off_t)(spool->size - spool->held));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return spool_errno(spool, "writing the temporary file failed", diag);
		buf += n;
		len -= (size_t)n;
		spool->size += (uint64_t)n;
	}
	return Q2S_OK;
}

/* One more block; the list has room for all that the budget allows from the start. */
static enum q2s_err
add_block(struct q2s_spool *spool, struct q2s_diag *diag)
{
	if (!spool->blocks)
		spool->blocks = calloc(q2si_size((spool->budget >> BLOCK_BITS) + 1), sizeof(*spool->blocks));
	if (!spool->blocks || !(spool->blocks[spool->count] = malloc(BLOCK_SIZE)))
		return q2si_fail_nomem(diag, "spool");
	spool->count++;
	return Q2S_OK;
}

enum q2s_err
q2s_spool_append(struct q2s_spool *spool, const void *buf, size_t len, struct q2s_diag *diag)
{
	const uint8_t *from = buf;

	while (len > 0 && !spool->file && spool->held < spool->budget) {
		const size_t skip = spool->held & (BLOCK_SIZE - 1);
		const size_t n = q2si_min_size(q2si_min(len, BLOCK_SIZE - skip),
					  spool->budget - spool->held);

		if (spool->held == (uint64_t)spool->count << BLOCK_BITS)
			Q2SI_TRY(add_block(spool, diag));
		memcpy(spool->blocks[spool->held >> BLOCK_BITS] + skip, from, n);
		spool->held += n;
		spool->size += n;
		from += n;
		len -= n;
	}
	return len == 0 ? Q2S_OK : append_file(spool, from, len, diag);
}

/* The longest stretch of memory from @at on, at most @max bytes; NULL where the file begins. */
static const uint8_t *
held_at(const struct q2s_spool *spool, uint64_t at, uint64_t max, size_t *len)
{
	const size_t skip = at & (BLOCK_SIZE - 1);

	if (at >= spool->held)
		return NULL;
	*len = q2si_min_size(spool->held - at, q2si_min(max, BLOCK_SIZE - skip));
	return spool->blocks[at >> BLOCK_BITS] + skip;
}

static enum q2s_err
check_range(const struct q2s_spool *spool, uint64_t at, uint64_t len, struct q2s_diag *diag)
{
	if (at <= spool->size && len <= spool->size - at)
		return Q2S_OK;
	return q2si_fail(diag, Q2S_E_USAGE, "spool", Q2S_NOWHERE, at, "nothing was put there");
}

enum q2s_err
q2s_spool_read(struct q2s_spool *spool, uint64_t at, void *buf, size_t len, struct q2s_diag *diag)
{
	const uint8_t *held;
	uint8_t *to = buf;
	size_t n;

	Q2SI_TRY(check_range(spool, at, len, diag));
	for (; len > 0 && (held = held_at(spool, at, len, &n)); at += n, to += n, len -= n)
		memcpy(to, held, n);
	if (len == 0)
		return Q2S_OK;
	return q2s_store_read(spool->file, at - spool->held, to, len, diag);
}

struct q2s_store *
q2s_spool_place(struct q2s_spool *spool, uint64_t at, uint64_t *file_at, uint64_t *len)
{
	if (at < spool->held) {
		*len = spool->held - at;
		return NULL;
	}
	*file_at = at - spool->held;
	*len = spool->size - at;
	return spool->file;
}

enum q2s_err
q2s_spool_move(struct q2s_spool *spool, uint64_t at, uint64_t len, struct q2s_sink *sink,
	       struct q2s_diag *diag)
{
	const uint8_t *held;
	size_t n;

	Q2SI_TRY(check_range(spool, at, len, diag));
	for (; len > 0 && (held = held_at(spool, at, len, &n)); at += n, len -= n)
		Q2SI_TRY(q2s_sink_write(sink, held, n, diag));
	if (len == 0)
		return Q2S_OK;
	return q2s_sink_copy(sink, spool->file, at - spool->held, len, diag);
}
