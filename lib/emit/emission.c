/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "emit/emission.h"

#include <stdlib.h>

#include "base/arith.h"
#include "base/diag.h"
#include "base/ordered.h"
#include "disk/disk.h"

static uint64_t
total(const struct q2si_emission *emission)
{
	return emission->options.until - emission->options.from;
}

enum q2s_err
q2si_emission_observe(const struct q2si_emission *emission, struct q2s_diag *diag)
{
	const struct q2s_observer *observer = emission->options.observer;

	if (!observer || observer->step(observer->opaque, Q2S_PHASE_WRITE,
					q2s_sink_pos(emission->sink) - emission->first,
					total(emission)))
		return Q2S_OK;
	return q2si_fail_at(diag, Q2S_E_CANCELLED, "output", Q2S_NOWHERE, "stopped on request");
}

/* ---- parcels ------------------------------------------------------------------------------ */

static enum q2s_err
parcel_open(void *shared, void **worker, struct q2s_diag *diag)
{
	(void)shared;
	*worker = calloc(1, sizeof(struct q2si_parcel));
	return *worker ? Q2S_OK : q2si_fail_nomem(diag, "output");
}

static void
parcel_close(void *worker)
{
	q2si_parcel_free(worker);
}

static size_t
parcel_memory(const void *shared)
{
	const struct q2si_emission *emission = shared;
	size_t memory = Q2SI_PARCEL_BYTES;

	if (emission->disk)
		memory += q2si_cursor_memory(emission->disk);
	if (q2si_emission_encodes(emission)) {
		const uint32_t size = q2s_plan_spec(emission->plan)->geom.cluster_size;

		memory += size + q2si_encoder_memory(emission->options.how, size);
	}
	return memory;
}

static enum q2s_err
parcel_take(void *shared, void *worker, bool *more, struct q2s_diag *diag)
{
	struct q2si_parcel *parcel = worker;

	Q2SI_TRY(q2si_parcel_take(shared, parcel, diag));
	*more = parcel->count > 0;
	return Q2S_OK;
}

static bool
parcel_ready(const void *worker)
{
	return ((const struct q2si_parcel *)worker)->size == 0;
}

static enum q2s_err
parcel_work(void *shared, void *worker, struct q2s_diag *diag)
{
	return q2si_parcel_make(shared, worker, diag);
}

static enum q2s_err
parcel_deliver(void *shared, void *worker, struct q2s_diag *diag)
{
	return q2si_parcel_write(shared, worker, diag);
}

static const struct q2si_ordered_ops parcel_ops = {
	.open = parcel_open,
	.close = parcel_close,
	.take = parcel_take,
	.ready = parcel_ready,
	.work = parcel_work,
	.deliver = parcel_deliver,
	.apart = true,
	.memory = parcel_memory,
};

/* ------------------------------------------------------------------------------------------ */

static enum q2s_err
verify(const struct q2si_emission *emission, struct q2s_diag *diag)
{
	const uint64_t written = q2s_sink_pos(emission->sink) - emission->first;

	if (written != total(emission))
		return q2si_fail(diag, Q2S_E_PLAN, "output", Q2S_NOWHERE, written,
				 "not the 0x%llx bytes that were planned",
				 (unsigned long long)total(emission));
	return emission->disk ? q2s_disk_verify(emission->disk, diag) : Q2S_OK;
}

/*
 * Where zeros are bytes like others, one long copy beats many short ones with zeros between them.
 * But over a backing file, what the image does not hold need not be zero on the disk; and in an
 * encrypted image the zeros between data are not encrypted.
 */
static bool
joins(const struct q2si_emission *emission)
{
	return !q2s_sink_skips_zeros(emission->sink) && !emission->options.crypt &&
	       !q2s_plan_spec(emission->plan)->backing_name.data &&
	       !q2s_plan_spec(emission->plan)->difference;
}

static enum q2s_err
open_pieces(struct q2si_emission *emission, struct q2s_diag *diag)
{
	return q2s_pieces_open(emission->plan, (q2s_host){ emission->options.from },
			       joins(emission), &emission->pieces, diag);
}

static enum q2s_err
run(struct q2si_emission *emission, struct q2s_diag *diag)
{
	emission->first = q2s_sink_pos(emission->sink);
	if (emission->plan)
		Q2SI_TRY(open_pieces(emission, diag));
	if (emission->disk) {
		Q2SI_TRY(q2s_cursor_open(emission->disk, &emission->cursor, diag));
		Q2SI_TRY(q2si_scout_open(&emission->scout, emission->disk, diag));
	}
	Q2SI_TRY(q2si_emission_observe(emission, diag));
	Q2SI_TRY(q2si_emission_look(emission, diag));
	Q2SI_TRY(q2si_ordered_run(&parcel_ops, emission, emission->options.threads, diag));
	return verify(emission, diag);
}

enum q2s_err
q2si_emission_run(struct q2si_emission *emission, struct q2s_diag *diag)
{
	const enum q2s_err err = run(emission, diag);

	q2si_scout_close(&emission->scout);
	q2s_cursor_close(emission->cursor);
	q2s_cursor_close(emission->reader);
	q2s_pieces_close(emission->pieces);
	free(emission->buffer);
	return err;
}
