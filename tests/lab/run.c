/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One sequence of operations, from the initial image to the end. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "lab.h"

/* splitmix64: the same numbers on every machine. */
uint64_t
lab_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

void
lab_wrong(struct lab *lab, const char *where, const char *why)
{
	char text[sizeof(lab->first)];
	size_t n = (size_t)snprintf(text, sizeof(text), "%s %s:", lab->writer->name,
				    lab->image->config->name);

	for (size_t i = 0; i < lab->op_count && n < sizeof(text); i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, " %s", lab->ops[i].name);
	if (n < sizeof(text))
		snprintf(text + n, sizeof(text) - n, "\n    %s\n    %s", where, why);
	if (lab->wrong == 0)
		memcpy(lab->first, text, sizeof(text));
	if (++lab->wrong <= 5 && !lab->quiet)
		printf("WRONG: %s\n", text);
}

/* Bytes that no other operation, and no other place, has. */
static void
pattern(uint64_t op, uint64_t at, uint64_t len, uint8_t *out)
{
	for (uint64_t i = 0; i < len; i++) {
		uint64_t word = (op + 1) << 40 ^ (at + i) >> 3;

		word = lab_random(&word);
		out[i] = (uint8_t)(word >> (at + i) % 8 * 8);
	}
}

/* What is discarded: whole subclusters, of which the last one ends with the disk. */
static void
expect_discard(struct lab *lab, int index, const struct lab_op *op)
{
	const uint64_t from = q2si_round_up(op->at, lab->sub_size);
	uint64_t until = op->at + op->len;

	if (until < lab->size)
		until = q2si_round_down(until, lab->sub_size);
	if (from < until && (lab->version > 2 || !lab->image->base))
		oracle_write(&lab->oracle, index, from, until - from, NULL);
}

/* Sectors from the old end to the new one, or back. A sector is on the disk or not. */
static void
expect_size(struct lab *lab, int index, uint64_t size)
{
	static const uint8_t zeros[SIM_SECTOR];
	uint8_t gone[SIM_SECTOR];

	memset(gone, LAB_GONE, sizeof(gone));
	for (size_t i = 0; i < lab->image->sectors; i++) {
		const uint64_t at = oracle_guest(&lab->oracle, i);

		if (at >= q2si_min(lab->size, size) && at < q2si_max(lab->size, size))
			oracle_set(&lab->oracle, index, i, size > lab->size ? zeros : gone);
	}
	lab->size = size;
}

/* A version 2 image with snapshots has one size, and widths of a few bits room for few snapshots. */
static enum q2s_err
resize(struct lab *lab, void *self, int index, uint64_t size, struct q2s_diag *diag)
{
	const enum q2s_err err = lab->writer->resize(self, size, diag);

	if (err == Q2S_E_UNSUPPORTED && lab->version < 3 && lab->kept_count > 0) {
		*diag = (struct q2s_diag){ 0 };
		return Q2S_OK;
	}
	expect_size(lab, index, size);
	return err;
}

static enum q2s_err
create(struct lab *lab, void *self, int index, struct q2s_diag *diag)
{
	struct lab_snapshot *snapshot = &lab->snapshots[lab->made];
	enum q2s_err err;

	*snapshot = (struct lab_snapshot){ .op = index, .deleted = -1, .size = lab->size };
	snprintf(snapshot->name, sizeof(snapshot->name), "n%d", index);
	lab->made++; /* also one of which nobody knows yet whether it is there */
	err = lab->writer->create(self, snapshot->name, diag);
	if (err == Q2S_E_LIMIT && lab->image->geom.refcount_bits < 8) {
		*diag = (struct q2s_diag){ 0 };
		snapshot->refused = true;
		return Q2S_OK;
	}
	if (err == Q2S_OK)
		lab->kept[lab->kept_count++] = lab->made - 1;
	return err;
}

static enum q2s_err
apply(struct lab *lab, void *self, int index, struct q2s_diag *diag)
{
	const struct lab_snapshot *snapshot;
	enum q2s_err err;

	if (lab->kept_count == 0)
		return Q2S_OK;
	snapshot = &lab->snapshots[lab->kept[lab->kept_count - 1]];
	err = lab->writer->apply(self, snapshot->name, diag);
	if ((err == Q2S_E_LIMIT && lab->image->geom.refcount_bits < 8) ||
	    (err == Q2S_E_CONFLICT && lab->image->config->bitmap)) {
		*diag = (struct q2s_diag){ 0 };
		return Q2S_OK;
	}
	for (size_t i = 0; i < lab->image->sectors; i++)
		oracle_set(&lab->oracle, index, i,
			   oracle_before(&lab->oracle, i, snapshot->op));
	lab->size = snapshot->size;
	return err;
}

/* The guest sees nothing of it. What one kind of image cannot be is refused, and that is fine. */
static enum q2s_err
amend(struct lab *lab, void *self, const struct lab_op *op, struct q2s_diag *diag)
{
	const uint32_t size = lab->image->geom.cluster_size;
	const enum q2s_err err = lab->writer->amend(self, op, diag);

	if (err == Q2S_E_CONFLICT || err == Q2S_E_LIMIT) {
		*diag = (struct q2s_diag){ 0 };
		return Q2S_OK;
	}
	if (op->kind == LAB_EXTENDED)
		lab->sub_size = op->at ? size / Q2S_SUBCLUSTERS : size;
	if (op->kind == LAB_VERSION)
		lab->version = (uint32_t)op->at;
	return err;
}

static enum q2s_err
remove_last(struct lab *lab, void *self, int index, struct q2s_diag *diag)
{
	struct lab_snapshot *snapshot;

	if (lab->kept_count == 0)
		return Q2S_OK;
	snapshot = &lab->snapshots[lab->kept[--lab->kept_count]];
	snapshot->deleted = index;
	return lab->writer->remove(self, snapshot->name, diag);
}

static enum q2s_err
perform(struct lab *lab, void *self, int index, struct q2s_diag *diag)
{
	static uint8_t bytes[64 << 10];
	const struct lab_op *op = &lab->ops[index];
	const struct lab_writer *writer = lab->writer;

	lab->current = index;
	if (op->kind < LAB_FLUSH && op->at + op->len > lab->size)
		return Q2S_OK; /* behind the end of what is left */

	switch (op->kind) {
	case LAB_WRITE:
		pattern((uint64_t)index, op->at, op->len, bytes);
		oracle_write(&lab->oracle, index, op->at, op->len, bytes);
		return writer->write(self, op->at, bytes, op->len, diag);
	case LAB_ZERO:
		oracle_write(&lab->oracle, index, op->at, op->len, NULL);
		return writer->zero(self, op->at, op->len, op->flags, diag);
	case LAB_DISCARD:
		expect_discard(lab, index, op);
		return writer->discard(self, op->at, op->len, diag);
	case LAB_COMPACT:
		return writer->shrink(self, diag);
	case LAB_RESIZE:
		return resize(lab, self, index, op->at, diag);
	case LAB_CREATE:
		return create(lab, self, index, diag);
	case LAB_APPLY:
		return apply(lab, self, index, diag);
	case LAB_DELETE:
		return remove_last(lab, self, index, diag);
	case LAB_EXTENDED:
	case LAB_WIDTH:
	case LAB_VERSION:
		return amend(lab, self, op, diag);
	case LAB_FLUSH:
		break;
	}
	return writer->flush(self, diag);
}

static void
say_failed(struct lab *lab, const char *doing, const struct q2s_diag *diag)
{
	char text[400];

	q2s_diag_format(diag, text, sizeof(text));
	lab_wrong(lab, doing, text);
}

/* The writer itself shows what was written. */
static void
read_back(struct lab *lab, void *self)
{
	for (size_t i = 0; i < lab->image->sectors; i++) {
		struct q2s_diag diag = { 0 };
		uint8_t bytes[SIM_SECTOR];
		const uint64_t at = oracle_guest(&lab->oracle, i);
		char why[80];

		if (at >= lab->size)
			continue;
		if (lab->writer->read(self, at, bytes, sizeof(bytes), &diag) != Q2S_OK) {
			say_failed(lab, "reading back", &diag);
			return;
		}
		if (memcmp(bytes, oracle_latest(&lab->oracle, i), sizeof(bytes)) == 0)
			continue;
		snprintf(why, sizeof(why), "guest offset 0x%" PRIx64 " is not what was written",
			 at);
		lab_wrong(lab, "reading back", why);
		return;
	}
}

static bool
run_ops(struct lab *lab, void *self)
{
	for (size_t i = 0; i < lab->op_count; i++) {
		struct lab_mark *mark = &lab->marks[i];
		struct q2s_diag diag = { 0 };

		mark->start = lab->sim.count;
		mark->failed = perform(lab, self, (int)i, &diag) != Q2S_OK;
		mark->end = lab->sim.count;
		if (mark->failed && !lab->sim.failed)
			say_failed(lab, lab->ops[i].name, &diag);
		if (mark->failed) {
			lab->op_count = i + 1;
			return false;
		}
	}
	return true;
}

/* The disk as the writer left it, without a crash. */
static void
judge_end(struct lab *lab, bool fine)
{
	uint8_t *const bytes = lab->view.bytes;
	const uint64_t length = lab->view.length;
	char why[600];

	lab->view.bytes = lab->sim.bytes;
	lab->view.length = lab->sim.length;
	if (!lab_judge(lab, fine ? INT_MAX : 0, !fine, why, sizeof(why)))
		lab_wrong(lab, "at the end", why);
	lab->view.bytes = bytes;
	lab->view.length = length;
}

static bool
run(struct lab *lab)
{
	struct lab_mark *last;
	struct q2s_diag diag = { 0 };
	void *self = NULL;
	bool fine;

	lab->sequences++;
	oracle_reset(&lab->oracle);
	lab->size = lab->image->geom.size;
	lab->sub_size = lab->image->geom.sub_size;
	lab->version = lab->image->geom.version;
	lab->made = lab->kept_count = 0;
	if (lab->image->config->snapshot) {
		lab->snapshots[lab->made++] = (struct lab_snapshot){ "s", -1, -1, false, lab->size };
		lab->kept[lab->kept_count++] = 0;
	}
	if (lab->writer->open(lab->store, lab->image, &self, &diag) != Q2S_OK) {
		if (!lab->sim.failed)
			say_failed(lab, "opening", &diag);
		return false;
	}
	lab->writing = self;
	fine = run_ops(lab, self);
	lab->sim.meanwhile = NULL;
	if (fine && lab->writer->read)
		read_back(lab, self);
	last = &lab->marks[lab->op_count];
	last->start = lab->sim.count;
	last->failed = lab->writer->close(self, &diag) != Q2S_OK;
	last->end = lab->sim.count;
	if (last->failed && !lab->sim.failed)
		say_failed(lab, "closing", &diag);
	judge_end(lab, fine && !last->failed);
	return true;
}

void
lab_run(struct lab *lab)
{
	sim_reset(&lab->sim, lab->image->bytes, lab->image->length);
	if (run(lab))
		lab_crash(lab, lab->op_count > 0 ? lab->marks[lab->op_count - 1].start : 0);
}

void
lab_run_all(struct lab *lab, unsigned fail_at, int fail_errno)
{
	sim_reset(&lab->sim, lab->image->bytes, lab->image->length);
	lab->sim.fail_at = fail_at;
	lab->sim.fail_errno = fail_errno;
	lab->sim.fail_short = fail_at % 2;
	if (run(lab))
		lab_crash(lab, 0);
}

/* The write of the other thread. It is not acknowledged before the operation that it meets. */
static void
meanwhile(void *opaque)
{
	static uint8_t bytes[64 << 10];
	struct lab *lab = opaque;
	const struct lab_op *op = &lab->other;
	struct q2s_diag diag = { 0 };

	/* Beside a change of the whole image there is no other request. */
	if (lab->ops[lab->current].kind > LAB_FLUSH || op->at + op->len > lab->size)
		return;

	pattern(LAB_LONGEST, op->at, op->len, bytes);
	oracle_write(&lab->oracle, lab->current, op->at, op->len, bytes);
	if (lab->writer->write(lab->writing, op->at, bytes, op->len, &diag) != Q2S_OK)
		say_failed(lab, "the other thread", &diag);
}

void
lab_run_meanwhile(struct lab *lab)
{
	sim_reset(&lab->sim, lab->image->bytes, lab->image->length);
	lab->sim.meanwhile = meanwhile;
	lab->sim.opaque = lab;
	lab_image_other(lab->image, &lab->other);
	if (run(lab))
		lab_crash(lab, 0);
}

void
lab_open(struct lab *lab, const struct lab_writer *writer, const struct lab_image *image)
{
	char why[600];

	lab->writer = writer;
	lab->image = image;
	lab->sim = (struct sim){ .fail_errno = 0 };
	lab->store = sim_store(&lab->sim);
	lab->view = (struct sim_view){ image->bytes, image->length };
	lab->view_store = sim_view_store(&lab->view);
	lab->view_room = 0;
	lab->shown = malloc(image->sectors * SIM_SECTOR);
	if (!lab->shown || !lab_show(lab, NULL, why, sizeof(why))) {
		fprintf(stderr, "laboratory: %s: the image is wrong from the start: %s\n",
			image->config->name, lab->shown ? why : "no memory");
		exit(2);
	}
	lab->view.bytes = NULL;
	oracle_init(&lab->oracle, image, lab->shown);
	lab->saved = NULL;
	lab->saved_room = 0;
	lab->op_count = 0;
}

void
lab_close(struct lab *lab)
{
	q2s_store_unref(lab->store);
	q2s_store_unref(lab->view_store);
	sim_free(&lab->sim);
	free(lab->view.bytes);
	oracle_free(&lab->oracle);
	free(lab->shown);
	free(lab->saved);
}
