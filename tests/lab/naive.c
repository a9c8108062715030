/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A writer that does the least, without a cache, for standard images: it is right unless it is told
 * to make a mistake, and proves that the laboratory finds that.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/diag.h"
#include "lab.h"

unsigned naive_faults;
const char *const naive_fault_names[NAIVE_FAULTS] = {
	"the L2 entry before the data",
	"the L2 entry before the refcount",
	"a cluster is free before nothing durable refers to it",
	"a hole is punched when its cluster may be in use again",
	"a flush that does nothing",
	"what a write does not cover is not copied",
	"a refcount that does not rise",
};

struct naive {
	struct q2s_store *store;
	const struct lab_image *image;
	uint64_t l1, table; /* host offsets: of the L1 table and of the refcount table */
	uint64_t late;      /* what is punched at the next flush, or 0 */
};

static enum q2s_err
get(const struct naive *naive, uint64_t at, uint64_t *word, struct q2s_diag *diag)
{
	uint8_t raw[8];

	Q2SI_TRY(q2s_store_read(naive->store, at, raw, sizeof(raw), diag));
	*word = q2si_get_be64(raw);
	return Q2S_OK;
}

static enum q2s_err
put(const struct naive *naive, uint64_t at, uint64_t word, struct q2s_diag *diag)
{
	uint8_t raw[8];

	q2si_put_be64(raw, word);
	return q2s_store_write(naive->store, at, raw, sizeof(raw), diag);
}

/* Two writes are in the right order, unless the fault says otherwise. */
static enum q2s_err
barrier(const struct naive *naive, unsigned fault, struct q2s_diag *diag)
{
	return naive_faults & fault ? Q2S_OK : q2s_store_flush(naive->store, diag);
}

/* Where the L2 entry of a cluster is. */
static enum q2s_err
find(const struct naive *naive, uint64_t cluster, uint64_t *at, struct q2s_diag *diag)
{
	const struct q2s_geom *geom = &naive->image->geom;

	Q2SI_TRY(get(naive, naive->l1 + (cluster >> geom->l2_bits) * 8, at, diag));
	*at &= Q2S_ENTRY_HOST_MASK;
	if (*at == 0)
		return q2si_fail_at(diag, Q2S_E_UNSUPPORTED, "L1 entry", Q2S_NOWHERE,
				    "the naive writer makes no tables");
	*at += (cluster & (geom->l2_entries - 1)) * 8;
	return Q2S_OK;
}

/* Count @cluster of the host up to 1, or down to 0, in the first refcount block. */
static enum q2s_err
set_count(const struct naive *naive, uint64_t block, uint64_t cluster, uint64_t count,
	  struct q2s_diag *diag)
{
	uint8_t raw[2] = { 0, (uint8_t)count };

	return q2s_store_write(naive->store, block + cluster * 2, raw, sizeof(raw), diag);
}

static enum q2s_err
allocate(const struct naive *naive, uint64_t *host, struct q2s_diag *diag)
{
	const struct q2s_geom *geom = &naive->image->geom;
	uint8_t raw[2] = { 1, 1 };
	uint64_t block, cluster = 0;

	Q2SI_TRY(get(naive, naive->table, &block, diag));
	for (; cluster < geom->block_entries && (raw[0] || raw[1]); cluster++)
		Q2SI_TRY(q2s_store_read(naive->store, block + cluster * 2, raw, 2, diag));
	cluster--;
	*host = cluster << geom->cluster_bits;
	return naive_faults & NAIVE_NO_COUNT ? Q2S_OK : set_count(naive, block, cluster, 1, diag);
}

/* What a cluster shows now. */
static enum q2s_err
old_bytes(const struct naive *naive, uint64_t entry, uint64_t cluster, uint8_t *bytes,
	  struct q2s_diag *diag)
{
	const size_t size = naive->image->geom.cluster_size;
	const uint64_t host = entry & Q2S_ENTRY_HOST_MASK;

	memset(bytes, 0, size);
	if (naive_faults & NAIVE_NO_COPY)
		return Q2S_OK;
	if (entry & 1)
		return Q2S_OK;
	if (host)
		return q2s_store_read_padded(naive->store, host, bytes, size, NULL, diag);
	return naive->image->base ? q2s_store_read_padded(naive->image->base_store, cluster * size,
							  bytes, size, NULL, diag)
				  : Q2S_OK;
}

/* A write within one cluster that has to get an entry. */
static enum q2s_err
write_new(const struct naive *naive, uint64_t at, const uint8_t *buf, size_t len, uint64_t entry,
	  uint64_t entry_at, struct q2s_diag *diag)
{
	const struct q2s_geom *geom = &naive->image->geom;
	const uint64_t cluster = at >> geom->cluster_bits;
	uint64_t host = entry & Q2S_ENTRY_HOST_MASK, word;
	uint8_t bytes[64 << 10];

	Q2SI_TRY(old_bytes(naive, entry, cluster, bytes, diag));
	memcpy(bytes + (at & (geom->cluster_size - 1)), buf, len);
	if (host == 0)
		Q2SI_TRY(allocate(naive, &host, diag));
	word = host | Q2S_ENTRY_COPIED;
	Q2SI_TRY(barrier(naive, NAIVE_L2_BEFORE_REFCOUNTS, diag));
	if (naive_faults & NAIVE_L2_BEFORE_DATA)
		Q2SI_TRY(put(naive, entry_at, word, diag));
	Q2SI_TRY(q2s_store_write(naive->store, host, bytes, geom->cluster_size, diag));
	if (!(naive_faults & NAIVE_L2_BEFORE_REFCOUNTS))
		Q2SI_TRY(barrier(naive, NAIVE_L2_BEFORE_DATA, diag));
	return put(naive, entry_at, word, diag);
}

static enum q2s_err
naive_write(void *self, uint64_t at, const void *buf, size_t len, struct q2s_diag *diag)
{
	const struct naive *naive = self;
	const uint64_t size = naive->image->geom.cluster_size;
	const uint8_t *from = buf;

	for (size_t n; len > 0; at += n, from += n, len -= n) {
		uint64_t entry_at, entry;

		n = size - at % size < len ? size - at % size : len;
		Q2SI_TRY(find(naive, at / size, &entry_at, diag));
		Q2SI_TRY(get(naive, entry_at, &entry, diag));
		if ((entry & Q2S_ENTRY_HOST_MASK) && !(entry & 1))
			Q2SI_TRY(q2s_store_write(naive->store,
						 (entry & Q2S_ENTRY_HOST_MASK) + at % size, from, n,
						 diag));
		else
			Q2SI_TRY(write_new(naive, at, from, n, entry, entry_at, diag));
	}
	return Q2S_OK;
}

/* Nothing refers to @host any more. */
static enum q2s_err
release(struct naive *naive, uint64_t host, struct q2s_diag *diag)
{
	const struct q2s_geom *geom = &naive->image->geom;
	uint64_t block;

	Q2SI_TRY(barrier(naive, NAIVE_REUSE_EARLY, diag));
	Q2SI_TRY(get(naive, naive->table, &block, diag));
	if (naive_faults & NAIVE_PUNCH_LATE)
		naive->late = host;
	else
		Q2SI_TRY(q2s_store_discard(naive->store, host, geom->cluster_size, diag));
	Q2SI_TRY(set_count(naive, block, host >> geom->cluster_bits, 0, diag));
	return q2s_store_flush(naive->store, diag);
}

static enum q2s_err
naive_discard(void *self, uint64_t at, uint64_t len, struct q2s_diag *diag)
{
	struct naive *naive = self;
	const uint64_t size = naive->image->geom.cluster_size;

	for (uint64_t cluster = (at + size - 1) / size; (cluster + 1) * size <= at + len;
	     cluster++) {
		uint64_t entry_at, entry;

		Q2SI_TRY(find(naive, cluster, &entry_at, diag));
		Q2SI_TRY(get(naive, entry_at, &entry, diag));
		Q2SI_TRY(put(naive, entry_at, 1, diag));
		if (entry & Q2S_ENTRY_HOST_MASK)
			Q2SI_TRY(release(naive, entry & Q2S_ENTRY_HOST_MASK, diag));
	}
	return Q2S_OK;
}

static enum q2s_err
naive_zero(void *self, uint64_t at, uint64_t len, unsigned flags, struct q2s_diag *diag)
{
	static const uint8_t zeros[64 << 10];

	(void)flags;
	return naive_write(self, at, zeros, len, diag);
}

static enum q2s_err
naive_flush(void *self, struct q2s_diag *diag)
{
	struct naive *naive = self;

	if (naive->late)
		Q2SI_TRY(q2s_store_discard(naive->store, naive->late,
					   naive->image->geom.cluster_size, diag));
	naive->late = 0;
	return barrier(naive, NAIVE_NO_FLUSH, diag);
}

static enum q2s_err
naive_close(void *self, struct q2s_diag *diag)
{
	const enum q2s_err err = q2s_store_flush(((const struct naive *)self)->store, diag);

	free(self);
	return err;
}

static enum q2s_err
naive_open(struct q2s_store *store, const struct lab_image *image, void **out,
	   struct q2s_diag *diag)
{
	struct naive *naive = calloc(1, sizeof(*naive));
	enum q2s_err err;

	if (!naive)
		return q2si_fail_nomem(diag, "naive writer");
	naive->store = store;
	naive->image = image;
	err = get(naive, 40, &naive->l1, diag);
	if (err == Q2S_OK)
		err = get(naive, 48, &naive->table, diag);
	if (err == Q2S_OK) /* autoclear bits, of which it knows none */
		err = put(naive, 88, 0, diag);
	if (err == Q2S_OK)
		err = q2s_store_flush(store, diag);
	*out = naive;
	return err;
}

const struct lab_writer lab_naive = {
	.name = "naive",
	.open = naive_open,
	.write = naive_write,
	.zero = naive_zero,
	.discard = naive_discard,
	.flush = naive_flush,
	.close = naive_close,
};
