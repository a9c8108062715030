/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The two maps of a report: cells that count, and samples of what they count. */
#include "inspect/report.h"

#include <stdlib.h>

#include "base/arith.h"
#include "common/fault.h"

/* ---- layout ------------------------------------------------------------------------------ */

static bool
host_open(struct report *report)
{
	struct host_map *const map = &report->host;
	const uint64_t size = q2si_max(q2s_store_size(report->subject->file), 1);

	map->granule_bits = report->geom->cluster_bits;
	while (((size - 1) >> map->granule_bits) >= HOST_GRANULES)
		map->granule_bits++;
	map->cell_bits = map->granule_bits;
	while (((size - 1) >> map->cell_bits) >= REPORT_CELLS)
		map->cell_bits++;
	map->granules = ((size - 1) >> map->granule_bits) + 1;
	map->count = (uint32_t)((size - 1) >> map->cell_bits) + 1;
	map->kinds = calloc(map->granules, 1);
	map->cells = calloc((size_t)map->count + 1, sizeof(*map->cells));
	return map->kinds && map->cells;
}

static bool
guest_open(struct report *report)
{
	struct guest_map *const map = &report->guest;
	const uint64_t clusters = report->geom->clusters;

	if (clusters == 0)
		return true;
	while (((clusters - 1) >> map->cell_bits) >= REPORT_CELLS)
		map->cell_bits++;
	map->count = (uint32_t)((clusters - 1) >> map->cell_bits) + 1;
	map->cells = calloc(map->count, sizeof(*map->cells));
	if (!map->cells)
		return false;
	for (uint32_t i = 0; i < map->count; i++) {
		const uint64_t first = (uint64_t)i << map->cell_bits;

		map->cells[i].counts[GUEST_UNALLOCATED] =
			q2si_min(clusters - first, 1ull << map->cell_bits);
	}
	return true;
}

enum q2s_err
report_maps_open(struct report *report, struct q2s_diag *diag)
{
	if (host_open(report) && guest_open(report))
		return Q2S_OK;
	return fault_nomem(diag, "report");
}

void
report_maps_close(struct report *report)
{
	free(report->host.kinds);
	free(report->host.cells);
	free(report->guest.cells);
}

/* ---- host -------------------------------------------------------------------------------- */

static uint64_t
cell_of(const struct host_map *map, q2s_host at)
{
	return q2si_min(at.v >> map->cell_bits, map->count);
}

static bool
is_single(const struct report *report)
{
	return report->host.cell_bits == report->geom->cluster_bits;
}

/* One of a kind is enough, unless the cell is one cluster with several owners. */
static void
sample_host(struct report *report, const struct host_sample *sample)
{
	struct host_cell *const cell = &report->host.cells[cell_of(&report->host, sample->at)];

	if (cell->samples == REPORT_HOST_SAMPLES)
		return;
	for (uint32_t i = 0; i < cell->samples && !is_single(report); i++) {
		if (cell->sample[i].kind == sample->kind)
			return;
	}
	cell->sample[cell->samples++] = *sample;
}

bool
report_is_sample(const struct report *report, q2s_host at)
{
	const struct host_cell *const cell = &report->host.cells[cell_of(&report->host, at)];

	for (uint32_t i = 0; i < cell->samples; i++) {
		if (cell->sample[i].at.v == at.v)
			return true;
	}
	return false;
}

void
report_refcount(struct report *report, q2s_host at, uint64_t refcount)
{
	struct host_cell *const cell = &report->host.cells[cell_of(&report->host, at)];

	for (uint32_t i = 0; i < cell->samples; i++) {
		if (cell->sample[i].at.v != at.v)
			continue;
		cell->sample[i].has_refcount = true;
		cell->sample[i].refcount = refcount;
	}
}

enum host_kind
report_host_kind(const struct report *report, q2s_host at)
{
	const uint64_t granule = at.v >> report->host.granule_bits;

	if (granule >= report->host.granules)
		return HOST_PAST;
	return (enum host_kind)report->host.kinds[granule];
}

void
report_mark_sample(struct report *report, const struct host_sample *sample)
{
	struct host_map *const map = &report->host;
	const enum host_kind known = report_host_kind(report, sample->at);

	if (known == HOST_FREE)
		map->kinds[sample->at.v >> map->granule_bits] = (uint8_t)sample->kind;
	else if (known == HOST_PAST)
		map->cells[map->count].counts[HOST_PAST]++;
	sample_host(report, sample);
}

void
report_mark(struct report *report, q2s_host at, enum host_kind kind, const q2s_guest *guest)
{
	struct host_sample sample = { .at = at, .kind = kind };

	if (guest) {
		sample.has_guest = true;
		sample.guest = *guest;
	}
	report_mark_sample(report, &sample);
}

void
report_mark_range(struct report *report, q2s_host at, uint64_t len, enum host_kind kind)
{
	const uint64_t unit = 1ull << report->host.granule_bits;
	uint64_t end, pos = q2si_round_down(at.v, unit);

	if (len == 0)
		return;
	if (!q2si_add(at.v, len, &end))
		end = UINT64_MAX;
	if (pos >> report->host.granule_bits >= report->host.granules) /* once, not for each */
		report_mark(report, at, kind, NULL);
	for (; pos < end && pos >> report->host.granule_bits < report->host.granules; pos += unit) {
		if (!report_work(report, 1))
			break;
		report_mark(report, (q2s_host){ pos }, kind, NULL);
	}
}

void
report_host_count(struct report *report)
{
	struct host_map *const map = &report->host;
	const uint32_t shift = map->cell_bits - map->granule_bits;
	const uint64_t size = q2s_store_size(report->subject->file);
	const uint64_t clusters = q2si_div_up(size, report->geom->cluster_size);
	const uint64_t each = 1ull << (map->granule_bits - report->geom->cluster_bits);

	for (uint64_t i = 0; i < map->granules; i++)
		map->cells[i >> shift].counts[map->kinds[i]] += q2si_min(each, clusters - i * each);
}

/* ---- guest ------------------------------------------------------------------------------- */

void
report_guest(struct report *report, const struct guest_sample *sample)
{
	struct guest_map *const map = &report->guest;
	struct guest_cell *const cell = &map->cells[sample->cluster >> map->cell_bits];
	uint32_t same = 0;

	cell->counts[GUEST_UNALLOCATED]--;
	cell->counts[sample->kind]++;
	if (cell->samples == REPORT_GUEST_SAMPLES || sample->kind == GUEST_UNSEEN)
		return;
	for (uint32_t i = 0; i < cell->samples; i++)
		same += cell->sample[i].kind == sample->kind;
	if (same < REPORT_SAME_KIND)
		cell->sample[cell->samples++] = *sample;
}

/* ---- both -------------------------------------------------------------------------------- */

void
report_place_finding(struct report *report, const struct q2s_finding *finding)
{
	const struct guest_map *const guest = &report->guest;
	const uint64_t cluster = finding->guest.v >> report->geom->cluster_bits;

	if (finding->host.v != Q2S_NOWHERE.v)
		report->host.cells[cell_of(&report->host, finding->host)].findings++;
	if (finding->has_guest && cluster >> guest->cell_bits < guest->count)
		guest->cells[cluster >> guest->cell_bits].findings++;
}

bool
report_work(struct report *report, uint64_t n)
{
	if (report->work < n) {
		report->cut = true;
		return false;
	}
	report->work -= n;
	return true;
}

bool
report_is_hole(const struct report *report, q2s_host at)
{
	struct q2s_stretch stretch;

	return at.v < q2s_store_size(report->subject->file) &&
	       q2s_store_stretch(report->subject->file, at.v, &stretch, NULL) == Q2S_OK &&
	       stretch.hole && stretch.len >= report->geom->cluster_size;
}

void
report_trouble(struct report *report, const struct q2s_diag *fault)
{
	if (report->troubles++ == 0)
		report->trouble = *fault;
}
