/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a crash may leave: between two flushes, any of the writes, whole or in part. A crash may
 * come at any moment up to the second flush; what is judged is the last one, as the writes that
 * were not made before are among those that do not matter then.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "lab.h"

#define ALL UINT64_MAX

/* Writes that are pending, which of them are on the disk, and how much of each. */
struct pending {
	struct lab *lab;
	const struct sim_event *events;
	size_t count;
	uint64_t *masks; /* sectors of each; grows: only that */
	bool *used;
	int done; /* the operation before which all is durable */
	size_t epoch;
};

static void
save(struct lab *lab, size_t *used, uint64_t at, uint64_t len)
{
	if (*used + len > lab->saved_room) {
		lab->saved_room = 2 * (*used + len);
		lab->saved = realloc(lab->saved, lab->saved_room);
		if (!lab->saved) {
			perror("laboratory");
			exit(2);
		}
	}
	memcpy(lab->saved + *used, lab->view.bytes + at, len);
	*used += len;
}

/* Where an event changes bytes. */
static void
touched(const struct lab *lab, const struct sim_event *event, uint64_t *at, uint64_t *len)
{
	*at = event->kind == SIM_LENGTH ? event->end : event->at;
	*len = event->kind == SIM_LENGTH ? lab->view_room - event->end : event->len;
}

static void
describe(const struct pending *p, char *text, size_t size)
{
	static const char *const names[] = { "write", "zero", "length", "flush" };
	size_t n = (size_t)snprintf(text, size, "crash after flush %zu, on the disk:", p->epoch);

	for (size_t i = 0; i < p->count && n < size; i++) {
		const struct sim_event *event = &p->events[i];

		if (!p->used[i])
			continue;
		n += (size_t)snprintf(text + n, size - n, " %s 0x%" PRIx64 "+0x%" PRIx64,
				      names[event->kind], event->at, event->len);
		if (p->masks[i] != ALL && n < size)
			n += (size_t)snprintf(text + n, size - n, " (sectors %" PRIx64 ")",
					      p->masks[i]);
	}
	if (n < size)
		n += (size_t)snprintf(text + n, size - n, "; missing:");
	for (size_t i = 0; i < p->count && n < size; i++)
		if (!p->used[i])
			n += (size_t)snprintf(text + n, size - n, " %s 0x%" PRIx64 "+0x%" PRIx64,
					      names[p->events[i].kind], p->events[i].at,
					      p->events[i].len);
}

/* Make the state, judge it, and take it back. */
static void
judge(const struct pending *p)
{
	struct lab *lab = p->lab;
	const uint64_t length = lab->view.length;
	char why[600], where[1200];
	size_t used = 0;

	for (size_t i = 0; i < p->count; i++) {
		uint64_t at, len;

		if (!p->used[i])
			continue;
		touched(lab, &p->events[i], &at, &len);
		save(lab, &used, at, len);
		sim_apply(&lab->sim, &p->events[i], p->masks[i], lab->view.bytes, lab->view_room,
			  &lab->view.length);
	}
	if (!lab_judge(lab, p->done, true, why, sizeof(why))) {
		describe(p, where, sizeof(where));
		lab_wrong(lab, where, why);
	}
	for (size_t i = p->count; i-- > 0;) {
		uint64_t at, len;

		if (!p->used[i])
			continue;
		touched(lab, &p->events[i], &at, &len);
		used -= len;
		memcpy(lab->view.bytes + at, lab->saved + used, len);
	}
	lab->view.length = length;
}

static void
reset(const struct pending *p, bool used)
{
	for (size_t i = 0; i < p->count; i++) {
		p->used[i] = used;
		p->masks[i] = ALL;
	}
}

/* Sectors at random, in units of 512 bytes or 4 KiB. */
static uint64_t
torn(struct lab *lab)
{
	const uint64_t bits = lab_random(&lab->rng);
	uint64_t mask = 0;

	if (bits >> 63)
		return lab_random(&lab->rng);
	for (unsigned i = 0; i < 8; i++)
		mask |= bits >> i & 1 ? UINT64_C(0xff) << 8 * i : 0;
	return mask;
}

static void
all_subsets(const struct pending *p)
{
	reset(p, false);
	for (uint64_t set = 0; set < UINT64_C(1) << p->count; set++) {
		for (size_t i = 0; i < p->count; i++)
			p->used[i] = set >> i & 1;
		judge(p);
	}
}

/* The first ones, one alone, all but one. */
static void
regular_subsets(const struct pending *p)
{
	reset(p, false);
	judge(p);
	for (size_t i = 0; i < p->count; i++) {
		reset(p, false);
		for (size_t k = 0; k <= i; k++)
			p->used[k] = true;
		judge(p);
		reset(p, false);
		p->used[i] = true;
		judge(p);
		reset(p, true);
		p->used[i] = false;
		judge(p);
	}
}

static void
random_subsets(const struct pending *p)
{
	for (unsigned n = 0; n < p->lab->random; n++) {
		const uint64_t density = lab_random(&p->lab->rng) % 4;

		reset(p, false);
		for (size_t i = 0; i < p->count; i++)
			p->used[i] = lab_random(&p->lab->rng) % 5 > density;
		judge(p);
	}
}

/* Each write that is more than a sector in part, among all before it, all others, or alone. */
static void
torn_subsets(const struct pending *p)
{
	for (size_t i = 0; i < p->count; i++) {
		const struct sim_event *event = &p->events[i];

		if (event->kind == SIM_LENGTH)
			continue;
		for (unsigned how = 0; event->len > SIM_SECTOR && how < 3; how++) {
			reset(p, how == 1);
			for (size_t k = 0; k < i && how == 0; k++)
				p->used[k] = true;
			p->used[i] = true;
			p->masks[i] = torn(p->lab);
			judge(p);
		}
		if (event->at + event->len > p->lab->view.length) {
			reset(p, true);
			p->masks[i] = 0;
			judge(p);
		}
	}
}

static void
examine(struct pending *p)
{
	const bool few = p->count <= p->lab->subsets;

	p->masks = calloc(p->count + 1, sizeof(*p->masks));
	p->used = calloc(p->count + 1, sizeof(*p->used));
	if (!p->masks || !p->used) {
		perror("laboratory");
		exit(2);
	}
	if (few) {
		all_subsets(p);
	} else {
		regular_subsets(p);
		random_subsets(p);
	}
	torn_subsets(p);
	free(p->masks);
	free(p->used);
}

/* The operation before which all is durable, when the disk has seen @events events. */
static int
durable_before(const struct lab *lab, size_t events)
{
	int done = 0;

	for (size_t i = 0; i < lab->op_count; i++)
		if (lab->ops[i].kind >= LAB_FLUSH && !lab->marks[i].failed &&
		    lab->marks[i].end <= events &&
		    (lab->ops[i].kind == LAB_FLUSH || lab->marks[i].end > lab->marks[i].start))
			done = (int)i + (lab->ops[i].kind > LAB_FLUSH);
	if (!lab->marks[lab->op_count].failed && lab->marks[lab->op_count].end <= events &&
	    (lab->op_count == 0 || !lab->marks[lab->op_count - 1].failed))
		done = (int)lab->op_count;
	return done;
}

void
lab_crash(struct lab *lab, size_t from)
{
	const struct sim *sim = &lab->sim;
	size_t epoch = 0;

	if (lab->view_room < sim->room) {
		lab->view.bytes = realloc(lab->view.bytes, sim->room);
		if (!lab->view.bytes) {
			perror("laboratory");
			exit(2);
		}
		lab->view_room = sim->room;
	}
	memset(lab->view.bytes, 0, lab->view_room);
	memcpy(lab->view.bytes, lab->image->bytes, lab->image->length);
	lab->view.length = lab->image->length;
	for (size_t start = 0; start < sim->count; epoch++) {
		size_t end = start;

		while (end < sim->count && sim->events[end].kind != SIM_FLUSH)
			end++;
		if (end > from && end > start) {
			struct pending p = { .lab = lab,
					     .events = sim->events + start,
					     .count = end - start,
					     .epoch = epoch,
					     .done = durable_before(lab, end) };

			examine(&p);
		}
		for (size_t i = start; i < end; i++)
			sim_apply(sim, &sim->events[i], ALL, lab->view.bytes, lab->view_room,
				  &lab->view.length);
		start = end + 1;
	}
}
