/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which subclusters hold data? Metadata of the disk answers for holes without reading; data is
 * read as little as possible, as most clusters show a byte that is not zero at once.
 */
#include <stdlib.h>

#include "base/arith.h"
#include "base/diag.h"
#include "base/pages.h"
#include "base/zero.h"
#include "plan/scan.h"

/* The first bytes of a large unit, which decide most of them. */
#define PEEK 4096u
/* Units from this size on are peeked into; smaller ones are read many at a time. */
#define PEEK_UNIT (32u << 10)
/* Small enough to stay in the nearest caches between reading and looking, also on a shared core. */
#define WINDOW (64u << 10)
/* Extents that are skipped at a time: some disks have to read to know that they are empty. */
#define SKIP_MAX 16

enum q2s_err
q2si_prober_open(struct q2si_prober *prober, struct q2s_disk *disk, const struct q2s_geom *geom,
		 const struct q2s_scan_options *options, struct q2si_ahead_budget *budget,
		 struct q2s_diag *diag)
{
	*prober = (struct q2si_prober){
		.geom = geom,
		.size = q2si_min(q2s_disk_size(disk), geom->size),
		.trust_holes = options->trust_holes,
		.keep_zeros = options->keep_zeros,
		.store_zeros = options->store_zeros || geom->version < 3,
		.ahead = { .budget = budget },
		.buf_size = WINDOW,
	};
	prober->buf = q2si_pages(prober->buf_size);
	if (!prober->buf)
		return q2si_fail_nomem(diag, "scan buffer");
	return q2s_cursor_open(disk, &prober->cursor, diag);
}

void
q2si_prober_close(struct q2si_prober *prober)
{
	q2s_cursor_close(prober->cursor);
	free(prober->buf);
}

/* Let prober->extent cover @at, which is inside the disk. */
static enum q2s_err
cover(struct q2si_prober *prober, uint64_t at, struct q2s_diag *diag)
{
	const uint64_t end = prober->extent_at + prober->extent.len;

	if (at >= prober->extent_at && at < end)
		return Q2S_OK;
	prober->extent.len = 0;
	Q2SI_TRY(q2s_cursor_extent(prober->cursor, (q2s_guest){ at }, UINT64_MAX, &prober->extent,
				   diag));
	prober->extent_at = at;
	if (!prober->keep_zeros && prober->extent.state == Q2S_ZERO)
		prober->extent.state = Q2S_ABSENT;
	return Q2S_OK;
}

static uint64_t
extent_end(const struct q2si_prober *prober)
{
	return prober->extent_at + prober->extent.len;
}

enum q2s_err
q2si_skip_empty(struct q2si_prober *prober, uint64_t from, uint64_t *out, struct q2s_diag *diag)
{
	for (int skipped = 0; skipped < SKIP_MAX && from < prober->size; skipped++) {
		Q2SI_TRY(cover(prober, from, diag));
		if (prober->extent.state != Q2S_ABSENT)
			break;
		from = extent_end(prober);
	}
	*out = from;
	return Q2S_OK;
}

/* Is [@at, @end) zero, read in large windows that serve the neighbours too? */
static enum q2s_err
windowed_zero(struct q2si_prober *prober, uint64_t at, uint64_t end, bool *zero,
	      struct q2s_diag *diag)
{
	*zero = true;
	while (*zero && at < end) {
		const uint64_t window_end = prober->window_at + prober->window_len;

		if (at < prober->window_at || at >= window_end) {
			/* what is not data is not worth reading */
			const size_t n = q2si_min_size(extent_end(prober) - at, prober->buf_size);

			prober->window_len = 0;
			Q2SI_TRY(q2s_cursor_read(prober->cursor, (q2s_guest){ at }, prober->buf, n,
						 diag));
			prober->window_at = at;
			prober->window_len = n;
			continue;
		}
		const size_t n = q2si_min(end, window_end) - at;

		*zero = q2si_is_zero(prober->buf + (at - prober->window_at), n);
		at += n;
	}
	return Q2S_OK;
}

/* Is [@at, @end) zero, looking at a little first? */
static enum q2s_err
peeked_zero(struct q2si_prober *prober, uint64_t at, uint64_t end, bool *zero,
	    struct q2s_diag *diag)
{
	size_t n = q2si_min_size(end - at, PEEK);

	prober->window_len = 0;
	*zero = true;
	while (*zero && at < end) {
		Q2SI_TRY(q2s_cursor_read(prober->cursor, (q2s_guest){ at }, prober->buf, n, diag));
		*zero = q2si_is_zero(prober->buf, n);
		at += n;
		n = q2si_min_size(end - at, prober->buf_size);
	}
	return Q2S_OK;
}

/* Does data that lies in one extent hold only zeros? */
static enum q2s_err
data_is_zero(struct q2si_prober *prober, uint64_t at, uint64_t end, bool *zero,
	     struct q2s_diag *diag)
{
	const uint32_t unit = prober->geom->sub_size;
	const bool peeks = unit >= PEEK_UNIT;

	*zero = false;
	if (prober->trust_holes)
		return Q2S_OK;
	q2si_ahead(&prober->ahead, &prober->extent, at - prober->extent_at,
		   q2si_min(extent_end(prober), prober->end) - at, unit, peeks ? PEEK : unit);
	return peeks ? peeked_zero(prober, at, end, zero, diag) :
		       windowed_zero(prober, at, end, zero, diag);
}

/*
 * The state of one unit (a subcluster) that lies in several extents. Where absent and zero bytes
 * meet in it and the difference counts, the whole unit has to be stored.
 */
static enum q2s_err
unit_state(struct q2si_prober *prober, uint64_t at, uint64_t end, enum q2s_state *out,
	   struct q2s_diag *diag)
{
	bool absent = false, zero = false;

	*out = Q2S_DATA;
	for (end = q2si_min(end, prober->size); at < end;) {
		Q2SI_TRY(cover(prober, at, diag));
		const uint64_t part = q2si_min(end, extent_end(prober));
		bool is_zero = true;

		if (prober->extent.state == Q2S_DATA)
			Q2SI_TRY(data_is_zero(prober, at, part, &is_zero, diag));
		if (!is_zero)
			return Q2S_OK;
		if (prober->extent.state == Q2S_ABSENT)
			absent = true;
		else
			zero = true;
		at = part;
	}
	if (!prober->keep_zeros || !zero)
		*out = Q2S_ABSENT;
	else if (!absent && !prober->store_zeros)
		*out = Q2S_ZERO;
	return Q2S_OK;
}

/* One cluster, subcluster by subcluster. */
static enum q2s_err
probe_cluster(struct q2si_prober *prober, uint64_t cluster, struct q2s_slot *out,
	      struct q2s_diag *diag)
{
	const struct q2s_geom *geom = prober->geom;
	uint64_t at = cluster << geom->cluster_bits;

	*out = (struct q2s_slot){ 0 };
	for (uint32_t sub = 0; sub < geom->sub_count && at < prober->size; sub++) {
		enum q2s_state state;

		Q2SI_TRY(unit_state(prober, at, at + geom->sub_size, &state, diag));
		if (state == Q2S_DATA)
			out->alloc |= 1u << sub;
		else if (state == Q2S_ZERO)
			out->zero |= 1u << sub;
		at += geom->sub_size;
	}
	out->host = out->alloc != 0;
	return Q2S_OK;
}

/* How many clusters from @cluster on lie in one extent whose state needs no reading? */
static uint64_t
known_clusters(const struct q2si_prober *prober, uint64_t cluster, uint64_t end)
{
	const uint32_t bits = prober->geom->cluster_bits;
	const uint64_t until = extent_end(prober);

	if (prober->extent.state == Q2S_DATA && !prober->trust_holes)
		return 0;
	if (prober->extent.state == Q2S_ZERO && prober->store_zeros)
		return 0;
	return q2si_min(until >> bits, end) - q2si_min(cluster, until >> bits);
}

static struct q2s_slot
whole_slot(const struct q2s_geom *geom, enum q2s_state state)
{
	return (struct q2s_slot){
		.host = state == Q2S_DATA,
		.alloc = state == Q2S_DATA ? geom->sub_mask : 0,
		.zero = state == Q2S_ZERO ? geom->sub_mask : 0,
	};
}

enum q2s_err
q2si_probe(struct q2si_prober *prober, uint64_t first, uint64_t end, struct q2si_runs *runs,
	   struct q2s_diag *diag)
{
	prober->end = end << prober->geom->cluster_bits;
	for (uint64_t cluster = first; cluster < end;) {
		struct q2s_slot slot = { 0 };
		uint64_t n = end - cluster; /* behind the disk: the size was rounded up */

		if (cluster << prober->geom->cluster_bits < prober->size) {
			Q2SI_TRY(cover(prober, cluster << prober->geom->cluster_bits, diag));
			n = known_clusters(prober, cluster, end);
			slot = whole_slot(prober->geom, prober->extent.state);
		}
		if (n == 0) {
			Q2SI_TRY(probe_cluster(prober, cluster, &slot, diag));
			n = 1;
		}
		Q2SI_TRY(q2si_runs_add(runs, &slot, n, diag));
		cluster += n;
	}
	return Q2S_OK;
}
