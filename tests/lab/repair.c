/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Repair under crashes: damaged images are repaired on a simulated disk, and each state in which a
 * crash may leave that is given to the same plan, which must finish it, and to the undo, which must
 * give back what was there, byte by byte.
 *
 *	repair short | full | mutation
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <q2s/repair.h>

#include "base/arith.h"
#include "sim.h"
#include "spec.h"

static const char *const geometries[] = {
	"", "cluster_size=512 size=64k", "refcount_bits=1", "refcount_bits=64",
	"version=2", "extended_l2=on cluster_size=16k", "cluster_size=4k",
};

static const char *const damages[] = {
	"set l2[0][0].copied = 0\nset refcount[6] = 0",
	"set l2[0][1].offset = @data[0]",
	"set l2[0][1].offset = @l1",
	"set l2[0][1] = old + 512",
	"set l2[0][1].offset = @end + 16M",
	"set refcount[3] = 0\nset refcount[9] = 0",
	"leak 3",
	"leak 3\nset l2[0][0].copied = 0",
	"set l1[0] = old | 1",
	"set l1[0].offset = @end + 1M",
	"set l1[0].offset = @data[0]",
	"set reftable[0] = 0",
	"set reftable[0] = @end + 1M",
	"set reftable[0] = @data[1]",
	"set header.refcount_table_offset = 0",
	"set header.l1_table_offset = @end + 1M",
	"file-size old - cluster",
	"set l2[0][8] = old | 0x8000000000000000",
	"snapshot one\nset refcount[6] = 1",
	"snapshot one\nset snapshot[0].l1_table_offset = @end + 1M",
	"snapshot one\nset l1[0].offset = @snapshot_l1[0]",
};

struct bytes {
	uint8_t *bytes;
	size_t len, room;
};

struct repair_lab {
	struct sim sim;
	struct q2s_store *disk;
	struct bytes image, text, undo;
	uint8_t *done; /* the image after the repair */
	uint64_t done_len;
	uint8_t *view;
	uint64_t view_len;
	size_t view_room;
	bool no_flush;
	uint64_t rng, states, wrong, images;
	char name[400];
};

static void *
room(void *list, size_t size)
{
	list = realloc(list, size);
	if (!list) {
		perror("laboratory");
		exit(2);
	}
	return list;
}

static uint64_t
random_bits(struct repair_lab *lab)
{
	lab->rng = lab->rng * 6364136223846793005u + 1442695040888963407u;
	return lab->rng >> 20;
}

static enum q2s_err
put_bytes(void *opaque, const void *data, size_t len)
{
	struct bytes *to = opaque;

	if (to->room < to->len + len) {
		to->room = 2 * (to->len + len);
		to->bytes = room(to->bytes, to->room);
	}
	memcpy(to->bytes + to->len, data, len);
	to->len += len;
	return Q2S_OK;
}

static enum q2s_err
put_text(void *opaque, const char *text, size_t len)
{
	return put_bytes(opaque, text, len);
}

static struct q2s_store *
store_of(const void *bytes, uint64_t len)
{
	struct q2s_diag diag = { 0 };
	struct q2s_store *store;

	if (q2s_store_memory(bytes, len, "memory", &store, &diag) != Q2S_OK)
		spec_die("store", &diag);
	return store;
}

/* ---- one state ----------------------------------------------------------------------------- */

static void
wrong(struct repair_lab *lab, const char *what, const struct q2s_diag *diag)
{
	char text[400] = "";

	if (diag)
		q2s_diag_format(diag, text, sizeof(text));
	if (lab->wrong++ == 0 && !lab->no_flush)
		fprintf(stderr, "%s: %s %s\n", lab->name, what, text);
}

static void
compare(struct repair_lab *lab, struct q2s_store *store, const uint8_t *want, uint64_t len,
	const char *what)
{
	uint8_t *const got = room(NULL, len + 1);
	struct q2s_diag diag = { 0 };

	if (q2s_store_size(store) != len)
		wrong(lab, "length after", NULL);
	else if (q2s_store_read(store, 0, got, len, &diag) != Q2S_OK)
		wrong(lab, what, &diag);
	else if (memcmp(got, want, len) != 0)
		wrong(lab, what, NULL);
	free(got);
}

static struct q2s_repair *
load(struct repair_lab *lab)
{
	struct q2s_store *const text = store_of(lab->text.bytes, lab->text.len);
	struct q2s_diag diag = { 0 };
	struct q2s_repair *repair;

	if (q2s_repair_load(text, &repair, &diag) != Q2S_OK)
		spec_die("the plan cannot be read", &diag);
	q2s_store_unref(text);
	return repair;
}

/* The plan finishes it, and the undo takes it back: before that, and after. */
static void
judge(struct repair_lab *lab)
{
	struct q2s_store *state = store_of(lab->view, lab->view_len);
	struct q2s_store *const undo = store_of(lab->undo.bytes, lab->undo.len);
	struct q2s_repair *const repair = load(lab);
	struct q2s_diag diag = { 0 };

	lab->states++;
	if (q2s_repair_revert(undo, state, &diag) != Q2S_OK)
		wrong(lab, "the undo does not fit", &diag);
	else
		compare(lab, state, lab->image.bytes, lab->image.len, "bytes after the undo");
	q2s_store_unref(state);
	state = store_of(lab->view, lab->view_len);
	diag = (struct q2s_diag){ 0 };
	if (q2s_repair_fits(repair, state, &diag) != Q2S_OK)
		wrong(lab, "the plan does not fit", &diag);
	else if (q2s_repair_apply(repair, state, &diag) != Q2S_OK)
		wrong(lab, "the plan cannot be applied", &diag);
	else
		compare(lab, state, lab->done, lab->done_len, "bytes after the plan");
	q2s_repair_free(repair);
	q2s_store_unref(undo);
	q2s_store_unref(state);
}

/* ---- all states ---------------------------------------------------------------------------- */

/* Some of the events of an epoch, on what was durable before; @torn: that one in part. */
static void
judge_some(struct repair_lab *lab, const struct sim_event *events, size_t count,
	   const bool *used, size_t torn)
{
	uint8_t *const before = room(NULL, lab->view_room);
	const uint64_t before_len = lab->view_len;

	memcpy(before, lab->view, lab->view_room);
	for (size_t i = 0; i < count; i++)
		if (used[i])
			sim_apply(&lab->sim, &events[i], i == torn ? random_bits(lab) : UINT64_MAX,
				  lab->view, lab->view_room, &lab->view_len);
	judge(lab);
	memcpy(lab->view, before, lab->view_room);
	lab->view_len = before_len;
	free(before);
}

static void
judge_epoch(struct repair_lab *lab, const struct sim_event *events, size_t count, unsigned random)
{
	bool *const used = room(NULL, count + 1);

	for (size_t n = 0; n <= count; n++) { /* a kill: all up to some write */
		memset(used, 0, count);
		memset(used, 1, n);
		judge_some(lab, events, count, used, SIZE_MAX);
		if (n > 0)
			judge_some(lab, events, count, used, n - 1);
		memset(used, 0, count);
		used[n ? n - 1 : 0] = n > 0;
		judge_some(lab, events, count, used, SIZE_MAX);
	}
	for (unsigned n = 0; n < random; n++) {
		for (size_t i = 0; i < count; i++)
			used[i] = random_bits(lab) & 1;
		judge_some(lab, events, count, used,
			   random_bits(lab) & 1 ? random_bits(lab) % (count + 1) : SIZE_MAX);
	}
	free(used);
}

static void
judge_all(struct repair_lab *lab, unsigned random)
{
	const struct sim *sim = &lab->sim;

	if (lab->view_room < sim->room) {
		lab->view = room(lab->view, sim->room);
		lab->view_room = sim->room;
	}
	memset(lab->view, 0, lab->view_room);
	memcpy(lab->view, lab->image.bytes, lab->image.len);
	lab->view_len = lab->image.len;
	for (size_t start = 0; start < sim->count;) {
		size_t end = start;

		while (end < sim->count && (lab->no_flush || sim->events[end].kind != SIM_FLUSH))
			end++;
		judge_epoch(lab, sim->events + start, end - start, random);
		for (size_t i = start; i < end; i++)
			sim_apply(sim, &sim->events[i], UINT64_MAX, lab->view, lab->view_room,
				  &lab->view_len);
		start = end + 1;
	}
}

/* ---- one image ----------------------------------------------------------------------------- */

static bool
make_image(struct repair_lab *lab, const char *geometry, const char *damage)
{
	const bool v2 = strncmp(geometry, "version=2", 9) == 0;
	char text[1000];
	uint64_t len = 0;

	snprintf(text, sizeof(text), "title x\n%s%s\ndata 0..2\n%scompressed 8\ndata 6\n%s\n",
		 *geometry ? "image " : "", geometry, v2 ? "" : "zero 3\nzero-alloc 4\n", damage);
	free(lab->image.bytes);
	lab->image.bytes = spec_image(text, &len);
	lab->image.len = len;
	return lab->image.bytes != NULL;
}

static void
one(struct repair_lab *lab, const char *geometry, const char *damage, unsigned random)
{
	struct q2s_repair_options options = Q2S_REPAIR_OPTIONS_INIT;
	struct q2s_diag diag = { 0 };
	struct q2s_repair *repair;

	if (!make_image(lab, geometry, damage))
		return;
	snprintf(lab->name, sizeof(lab->name), "[%s] %s", geometry, damage);
	sim_reset(&lab->sim, lab->image.bytes, lab->image.len);
	lab->disk = sim_store(&lab->sim);
	options.flags = Q2S_REPAIR_ALL | Q2S_REPAIR_DROP_SNAPSHOTS;
	if (q2s_repair_plan(lab->disk, &options, &repair, NULL, &diag) != Q2S_OK)
		spec_die(lab->name, &diag);
	lab->text.len = lab->undo.len = 0;
	if (q2s_repair_save(repair, put_text, &lab->text) != Q2S_OK ||
	    q2s_repair_undo(repair, lab->disk, put_bytes, &lab->undo, &diag) != Q2S_OK ||
	    q2s_repair_apply(repair, lab->disk, &diag) != Q2S_OK)
		spec_die(lab->name, &diag);
	if (q2s_repair_steps(repair) > 0) {
		lab->done_len = lab->sim.length;
		lab->done = room(lab->done, lab->done_len + 1);
		memcpy(lab->done, lab->sim.bytes, lab->done_len);
		lab->images++;
		judge_all(lab, random);
	}
	q2s_repair_free(repair);
	q2s_store_unref(lab->disk);
}

int
main(int argc, char **argv)
{
	const char *what = argc == 2 ? argv[1] : "";
	const bool full = strcmp(what, "full") == 0;
	struct repair_lab lab = { .no_flush = strcmp(what, "mutation") == 0, .rng = 1 };

	if (!full && !lab.no_flush && strcmp(what, "short") != 0) {
		fprintf(stderr, "usage: repair short|full|mutation\n");
		return 2;
	}
	for (size_t g = 0; g < sizeof(geometries) / sizeof(geometries[0]); g++)
		for (size_t d = 0; d < sizeof(damages) / sizeof(damages[0]); d++)
			one(&lab, geometries[g], damages[d], full ? 200 : 6);
	printf("%" PRIu64 " images, %" PRIu64 " states, %" PRIu64 " wrong\n", lab.images, lab.states,
	       lab.wrong);
	sim_free(&lab.sim);
	free(lab.image.bytes);
	free(lab.text.bytes);
	free(lab.undo.bytes);
	free(lab.done);
	free(lab.view);
	if (lab.no_flush) /* without flushes something has to be wrong, or this proves nothing */
		return lab.wrong == 0;
	return lab.wrong != 0 || lab.images == 0;
}
