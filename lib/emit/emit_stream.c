/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A raw disk that comes through a pipe, written where it can be put at any offset: each cluster
 * goes to its final place at once. The tables follow when the end of the disk is known; the header,
 * which says where they are, and the L1 table, for which space was left behind it, come last.
 */
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "base/zero.h"
#include "io/drain.h"
#include "plan/plan.h"

#include <q2s/emit.h>

struct arrival {
	struct q2s_geom geom; /* of the largest disk that this could become */
	struct q2s_sink *sink;
	struct q2s_alloc *alloc;
	uint64_t added; /* guest clusters that @alloc knows of */
	/* the cluster that is being filled; it has bytes that are not zero */
	bool open;
	uint64_t number;
	uint8_t *cluster;
};

/* ---- data -------------------------------------------------------------------------------- */

/* Which subclusters of the open cluster hold data? */
static uint32_t
data_mask(const struct arrival *arrival)
{
	const struct q2s_geom *geom = &arrival->geom;
	uint32_t mask = 0;

	for (uint32_t sub = 0; sub < geom->sub_count; sub++)
		if (!q2si_is_zero(arrival->cluster + ((size_t)sub << geom->sub_bits),
				  geom->sub_size))
			mask |= 1u << sub;
	return mask;
}

/* Write the open cluster. Small clusters come many to a stretch, and some of them are zero. */
static enum q2s_err
close_cluster(struct arrival *arrival, struct q2s_diag *diag)
{
	static const struct q2s_slot absent = { 0 };
	struct q2s_slot slot = { .host = true };

	if (!arrival->open)
		return Q2S_OK;
	arrival->open = false;
	slot.alloc = data_mask(arrival);
	if (slot.alloc == 0)
		return Q2S_OK;
	Q2SI_TRY(q2s_alloc_add(arrival->alloc, &absent, arrival->number - arrival->added, diag));
	Q2SI_TRY(q2s_alloc_add(arrival->alloc, &slot, 1, diag));
	arrival->added = arrival->number + 1;
	return q2s_sink_write(arrival->sink, arrival->cluster, arrival->geom.cluster_size, diag);
}

/* Put bytes that lie within guest cluster @number at their place. */
static enum q2s_err
fill_cluster(struct arrival *arrival, uint64_t number, uint32_t skip, const uint8_t *buf,
	     size_t len, struct q2s_diag *diag)
{
	if (!arrival->open || arrival->number != number) {
		Q2SI_TRY(close_cluster(arrival, diag));
		memset(arrival->cluster, 0, arrival->geom.cluster_size);
		arrival->number = number;
		arrival->open = true;
	}
	memcpy(arrival->cluster + skip, buf, len);
	return Q2S_OK;
}

static enum q2s_err
take(void *opaque, uint64_t at, const void *buf, size_t len, struct q2s_diag *diag)
{
	struct arrival *arrival = opaque;
	const struct q2s_geom *geom = &arrival->geom;
	const uint8_t *from = buf;

	if (at > geom->size || len > geom->size - at)
		return q2si_fail(diag, Q2S_E_LIMIT, "stream", Q2S_NOWHERE, at + len,
				 "longer than any disk with clusters of this size");
	while (len > 0) {
		const uint32_t skip = (uint32_t)at & (geom->cluster_size - 1);
		const size_t n = q2si_min_size(len, geom->cluster_size - skip);

		Q2SI_TRY(fill_cluster(arrival, at >> geom->cluster_bits, skip, from, n, diag));
		from += n;
		at += n;
		len -= n;
	}
	return Q2S_OK;
}

/* ---- metadata ---------------------------------------------------------------------------- */

/* The tables behind the data, then the header; the sink ends behind the tables. */
static enum q2s_err
write_metadata(const struct q2s_plan *plan, struct q2s_sink *sink, struct q2s_diag *diag)
{
	const struct q2s_layout *layout = q2s_plan_layout(plan);
	const struct q2s_emit_options tables = { .size = sizeof(tables),
						 .from = layout->refcount_table.v,
						 .until = Q2S_TO_END };
	const struct q2s_emit_options header = { .size = sizeof(header), .until = layout->data.v };

	if (q2s_sink_pos(sink) != layout->refcount_table.v)
		return q2si_fail(diag, Q2S_E_PLAN, "output", Q2S_NOWHERE, q2s_sink_pos(sink),
				 "the data does not end where the plan has the tables");
	Q2SI_TRY(q2s_emit(plan, NULL, sink, &tables, diag));
	Q2SI_TRY(q2s_sink_seek(sink, 0, diag));
	Q2SI_TRY(q2s_emit(plan, NULL, sink, &header, diag));
	return q2s_sink_seek(sink, layout->length, diag);
}

/* All of the disk is there, and its size is known. */
static enum q2s_err
finish(struct arrival *arrival, const struct q2s_spec *wanted, uint64_t size,
       struct q2s_diag *diag)
{
	struct q2s_spec spec = *wanted;
	struct q2s_plan *plan = NULL;
	enum q2s_err err;

	Q2SI_TRY(close_cluster(arrival, diag));
	Q2SI_TRY(q2s_geom_resize(&wanted->geom, size, &spec.geom, diag));
	Q2SI_TRY(q2s_plan_new(&spec, arrival->alloc, &plan, diag));
	arrival->alloc = NULL;
	err = write_metadata(plan, arrival->sink, diag);
	q2s_plan_free(plan);
	return err;
}

static enum q2s_err
begin(struct arrival *arrival, const struct q2s_spec *spec, struct q2s_diag *diag)
{
	if (!spec->data_first || spec->geom.data_file || !q2s_sink_can_seek(arrival->sink))
		return q2si_fail_at(diag, Q2S_E_USAGE, "output", Q2S_NOWHERE,
				    "needs data before tables, and a sink that can seek");
	Q2SI_TRY(q2s_geom_resize(&spec->geom, q2s_geom_size_max(&spec->geom), &arrival->geom,
				 diag));
	Q2SI_TRY(q2s_alloc_new(&arrival->geom, &arrival->alloc, diag));
	arrival->cluster = malloc(arrival->geom.cluster_size);
	if (!arrival->cluster)
		return q2si_fail_nomem(diag, "cluster");
	return q2s_sink_zero(arrival->sink,
			     (1 + q2si_front_clusters(&arrival->geom)) * arrival->geom.cluster_size,
			     diag);
}

enum q2s_err
q2s_emit_stream(const struct q2s_stream *stream, const struct q2s_spec *spec,
		struct q2s_sink *sink, struct q2s_diag *diag)
{
	struct arrival arrival = { .sink = sink };
	uint64_t size = 0;
	enum q2s_err err = begin(&arrival, spec, diag);

	if (err == Q2S_OK)
		err = q2si_drain(stream, take, &arrival, &size, diag);
	if (err == Q2S_OK)
		err = finish(&arrival, spec, size, diag);
	q2s_alloc_free(arrival.alloc);
	free(arrival.cluster);
	return err;
}

/* ---- raw --------------------------------------------------------------------------------- */

struct raw_arrival {
	struct q2s_sink *sink;
	uint64_t size; /* 0: as much as comes */
};

static enum q2s_err
check_raw_end(const struct raw_arrival *arrival, uint64_t end, struct q2s_diag *diag)
{
	if (!arrival->size || end <= arrival->size)
		return Q2S_OK;
	return q2si_fail(diag, Q2S_E_LIMIT, "size", Q2S_NOWHERE, end,
			 "the disk is longer than the 0x%llx bytes of the image",
			 (unsigned long long)arrival->size);
}

static enum q2s_err
take_raw(void *opaque, uint64_t at, const void *buf, size_t len, struct q2s_diag *diag)
{
	const struct raw_arrival *arrival = opaque;

	Q2SI_TRY(check_raw_end(arrival, at + len, diag));
	Q2SI_TRY(q2s_sink_zero(arrival->sink, at - q2s_sink_pos(arrival->sink), diag));
	return q2s_sink_write(arrival->sink, buf, len, diag);
}

enum q2s_err
q2s_emit_stream_raw(const struct q2s_stream *stream, uint64_t size, struct q2s_sink *sink,
		    struct q2s_diag *diag)
{
	struct raw_arrival arrival = { sink, size };
	uint64_t came = 0;

	Q2SI_TRY(q2si_drain(stream, take_raw, &arrival, &came, diag));
	Q2SI_TRY(check_raw_end(&arrival, came, diag));
	if (!size)
		size = q2si_round_up(came, Q2S_SECTOR);
	return q2s_sink_zero(sink, size - q2s_sink_pos(sink), diag);
}
