/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two images that change together, and what changes more than a sector of the header: a commit, a
 * rebase, other versions of an image with a long backing name, the mending of a dirty image. They run
 * on simulated disks, and each state in which a crash may leave both disks is judged: sound images, the
 * same guest bytes as before, and the same command again completes the work.
 *
 *	layers short | full | mutation
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <q2s/check.h>
#include <q2s/edit.h>

#include "base/arith.h"
#include "sim.h"
#include "spec.h"

#define DISKS 2u
#define CLUSTERS "title x\nimage size=200k "
#define UPPER "\ndata 0..2\ncompressed 8\ndata 6\n"
#define ZEROS "zero 3\nzero-alloc 4\n"
#define AGAIN_EVERY 4 /* states of which one is given to the same command again */

struct lab;

/** A simulated disk whose events have a place among those of the others. */
struct disk {
	struct lab *lab;
	struct sim sim;
	struct q2s_store *inner, *store;
	size_t seen;
	bool deaf; /* flushes do nothing: what a mutation is */
	uint8_t *first;
	uint64_t first_len;
	struct sim_view view;
	struct q2s_store *view_store;
};

/**
 * @specs   of the images
 * @name    the backing file's name that the first one gets at the start, or NULL
 * @run     the command
 * @done    has it done its work?
 * @dirty   the first one is marked dirty, and then its refcounts say nothing
 */
struct task {
	const char *what, *specs[DISKS], *name;
	enum q2s_err (*run)(struct lab *lab, struct q2s_store *const stores[DISKS],
			    struct q2s_diag *diag);
	bool (*done)(struct lab *lab, struct q2s_store *const stores[DISKS]);
	bool dirty;
};

struct lab {
	const struct task *task;
	struct disk disks[DISKS];
	uint8_t *order; /* the disk of each event */
	size_t events, room;
	struct q2s_disk *old, *new; /* what may lie below */
	uint8_t *expected, *shown;
	uint64_t size;
	uint64_t rng, states, wrong;
	bool quiet;
	char text[500];
};

static void
die(const char *what, const struct q2s_diag *diag)
{
	fprintf(stderr, "laboratory: %s: %s\n", what, diag ? diag->text : "no memory");
	exit(2);
}

static uint64_t
draw(struct lab *lab)
{
	uint64_t z = lab->rng += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* ---- disks ------------------------------------------------------------------------------------ */

static void
note(struct disk *disk)
{
	struct lab *const lab = disk->lab;

	for (; disk->seen < disk->sim.count; disk->seen++) {
		if (lab->events == lab->room) {
			lab->room = 2 * lab->room + 256;
			lab->order = realloc(lab->order, lab->room);
			if (!lab->order)
				die("order", NULL);
		}
		lab->order[lab->events++] = (uint8_t)(disk - lab->disks);
	}
}

static enum q2s_err
disk_read(void *self, uint64_t at, void *buf, size_t len, size_t *got, struct q2s_diag *diag)
{
	return q2s_store_read_padded(((struct disk *)self)->inner, at, buf, len, got, diag);
}

static uint64_t
disk_length(void *self)
{
	return ((struct disk *)self)->sim.length;
}

static enum q2s_err
disk_write(void *self, uint64_t at, const void *buf, size_t len, struct q2s_diag *diag)
{
	const enum q2s_err err = q2s_store_write(((struct disk *)self)->inner, at, buf, len, diag);

	note(self);
	return err;
}

static enum q2s_err
disk_zero(void *self, uint64_t at, uint64_t len, struct q2s_diag *diag)
{
	const enum q2s_err err = q2s_store_zero(((struct disk *)self)->inner, at, len, diag);

	note(self);
	return err;
}

static enum q2s_err
disk_discard(void *self, uint64_t at, uint64_t len, struct q2s_diag *diag)
{
	const enum q2s_err err = q2s_store_discard(((struct disk *)self)->inner, at, len, diag);

	note(self);
	return err;
}

static enum q2s_err
disk_flush(void *self, struct q2s_diag *diag)
{
	struct disk *const disk = self;
	enum q2s_err err = Q2S_OK;

	if (!disk->deaf)
		err = q2s_store_flush(disk->inner, diag);
	note(disk);
	return err;
}

static enum q2s_err
disk_set_length(void *self, uint64_t length, struct q2s_diag *diag)
{
	const enum q2s_err err = q2s_store_set_length(((struct disk *)self)->inner, length, diag);

	note(self);
	return err;
}

static void
disk_begin(struct lab *lab, unsigned index, const char *spec)
{
	static const struct q2s_store_ops ops = {
		.size = sizeof(ops),
		.read = disk_read,
		.length = disk_length,
		.write = disk_write,
		.zero = disk_zero,
		.discard = disk_discard,
		.flush = disk_flush,
		.set_length = disk_set_length,
	};
	struct disk *const disk = &lab->disks[index];

	if (!spec)
		return;
	disk->lab = lab;
	disk->first = spec_image(spec, &disk->first_len);
	if (!disk->first)
		die("spec", NULL);
	disk->inner = sim_store(&disk->sim);
	disk->view_store = sim_view_store(&disk->view);
	if (q2s_store_new(&ops, disk, "simulated", &disk->store, NULL) != Q2S_OK)
		die("store", NULL);
}

static void
disk_end(struct disk *disk)
{
	q2s_store_unref(disk->store);
	q2s_store_unref(disk->inner);
	q2s_store_unref(disk->view_store);
	sim_free(&disk->sim);
	free(disk->view.bytes);
	free(disk->first);
}

/* ---- the guest's bytes ------------------------------------------------------------------------ */

static enum q2s_err
edit_open(struct q2s_store *store, struct q2s_disk *base, unsigned flags, struct q2s_edit **out,
	  struct q2s_diag *diag)
{
	struct q2s_edit_options options = Q2S_EDIT_OPTIONS_INIT;

	options.base = base;
	options.flags = flags | (base ? 0 : Q2S_EDIT_NO_BASE);
	options.cache = 1;
	return q2s_edit_open(store, &options, out, diag);
}

/* A disk of random bytes in which some clusters are zero. */
static struct q2s_disk *
below_make(struct lab *lab, uint64_t size)
{
	uint8_t *const bytes = calloc(1, size);
	struct q2s_store *store;
	struct q2s_disk *disk;

	if (!bytes)
		die("disk", NULL);
	for (uint64_t at = 0; at < size; at++)
		bytes[at] = at / 8192 % 3 == 2 ? 0 : (uint8_t)draw(lab);
	if (q2s_store_memory(bytes, size, "below", &store, NULL) != Q2S_OK ||
	    q2s_disk_raw(store, &disk, NULL) != Q2S_OK)
		die("disk", NULL);
	q2s_store_unref(store);
	free(bytes);
	return disk;
}

/* Which of the two lies below, by the name in the header. */
static struct q2s_disk *
below_of(struct lab *lab, struct q2s_store *store)
{
	struct q2s_image *image;
	struct q2s_disk *disk = NULL;

	if (q2s_image_open(store, 0, &image, NULL) != Q2S_OK)
		return NULL;
	const struct q2s_bytes name = q2s_image_backing_name(image);

	if (lab->task->name && name.len == strlen(lab->task->name) &&
	    memcmp(name.data, lab->task->name, name.len) == 0)
		disk = lab->old;
	else if (name.len == 1 && name.data[0] == 'n')
		disk = lab->new;
	q2s_image_close(image);
	return disk;
}

static bool
show_over(struct lab *lab, struct q2s_store *store, struct q2s_disk *below)
{
	struct q2s_edit *edit;
	bool fine;

	if (edit_open(store, below, Q2S_EDIT_READ_ONLY, &edit, NULL) != Q2S_OK)
		return false;
	fine = q2s_edit_size(edit) == lab->size &&
	       q2s_edit_read(edit, (q2s_guest){ 0 }, lab->shown, lab->size, NULL) == Q2S_OK;
	q2s_edit_unref(edit);
	return fine;
}

/* What the guest sees: the first image over the second, or over what it names. */
static bool
show(struct lab *lab, struct q2s_store *const stores[DISKS])
{
	struct q2s_disk *below = NULL;
	bool fine;

	if (!stores[1]) {
		below = below_of(lab, stores[0]);
		return below ? show_over(lab, stores[0], below) : !lab->task->name &&
									  show_over(lab, stores[0], NULL);
	}
	if (q2s_disk_qcow2(stores[1], NULL, &below, NULL) != Q2S_OK)
		return false;
	fine = show_over(lab, stores[0], below);
	q2s_disk_close(below);
	return fine;
}

/* ---- what is done ----------------------------------------------------------------------------- */

static enum q2s_err
upper_commit(struct q2s_store *const stores[DISKS], struct q2s_disk *upper, struct q2s_diag *diag)
{
	struct q2s_commit how = { .size = sizeof(how) };
	enum q2s_err err = edit_open(stores[1], NULL, 0, &how.base, diag), closed;

	if (err != Q2S_OK)
		return err;
	err = q2s_commit_layers(upper, &how, diag);
	closed = q2s_edit_close(how.base, diag);
	return err == Q2S_OK ? closed : err;
}

static enum q2s_err
commit_run(struct lab *lab, struct q2s_store *const stores[DISKS], struct q2s_diag *diag)
{
	struct q2s_disk *upper;
	struct q2s_edit *top;
	enum q2s_err err = q2s_disk_qcow2(stores[0], NULL, &upper, diag);

	(void)lab;
	if (err == Q2S_OK) {
		err = upper_commit(stores, upper, diag);
		q2s_disk_close(upper);
	}
	if (err == Q2S_OK)
		err = edit_open(stores[0], NULL, 0, &top, diag);
	if (err != Q2S_OK)
		return err;
	err = q2s_edit_empty(top, diag);
	if (q2s_edit_close(top, diag) != Q2S_OK && err == Q2S_OK)
		err = Q2S_E_IO;
	return err;
}

static bool
commit_done(struct lab *lab, struct q2s_store *const stores[DISKS])
{
	return show_over(lab, stores[1], NULL) && memcmp(lab->shown, lab->expected, lab->size) == 0;
}

static enum q2s_err
rebase_run(struct lab *lab, struct q2s_store *const stores[DISKS], struct q2s_diag *diag)
{
	const struct q2s_bytes name = { (const uint8_t *)"n", 1 }, raw = { (const uint8_t *)"raw", 3 };
	struct q2s_disk *const old = below_of(lab, stores[0]);
	struct q2s_disk *diff;
	struct q2s_edit *edit;
	enum q2s_err err = q2s_disk_diff(old, lab->new, lab->size, 512, &diff, diag);

	if (err == Q2S_OK)
		err = edit_open(stores[0], diff, 0, &edit, diag);
	if (err != Q2S_OK)
		return err;
	err = q2s_edit_fill(edit, NULL, diag);
	if (err == Q2S_OK)
		err = q2s_edit_set_backing(edit, name, raw, diag);
	if (q2s_edit_close(edit, diag) != Q2S_OK && err == Q2S_OK)
		err = Q2S_E_IO;
	q2s_disk_close(diff);
	return err;
}

static bool
rebase_done(struct lab *lab, struct q2s_store *const stores[DISKS])
{
	return below_of(lab, stores[0]) == lab->new;
}

/* Down and up again: the header is another one of another length, twice. */
static enum q2s_err
versions_run(struct lab *lab, struct q2s_store *const stores[DISKS], struct q2s_diag *diag)
{
	struct q2s_edit_features features = { .set_version = true, .version = 2 };
	struct q2s_edit *edit;
	enum q2s_err err = edit_open(stores[0], lab->old, 0, &edit, diag);

	if (err != Q2S_OK)
		return err;
	err = q2s_edit_set_features(edit, &features, diag);
	features.version = 3;
	if (err == Q2S_OK)
		err = q2s_edit_set_features(edit, &features, diag);
	if (q2s_edit_close(edit, diag) != Q2S_OK && err == Q2S_OK)
		err = Q2S_E_IO;
	return err;
}

static uint32_t
byte_at(struct q2s_store *store, uint64_t at)
{
	uint8_t byte = 0xff;

	(void)q2s_store_read(store, at, &byte, 1, NULL);
	return byte;
}

static bool
versions_done(struct lab *lab, struct q2s_store *const stores[DISKS])
{
	(void)lab;
	return byte_at(stores[0], 7) == 3;
}

/* Opening mends it. */
static enum q2s_err
dirty_run(struct lab *lab, struct q2s_store *const stores[DISKS], struct q2s_diag *diag)
{
	struct q2s_edit *edit;
	const enum q2s_err err = edit_open(stores[0], NULL, 0, &edit, diag);

	(void)lab;
	return err == Q2S_OK ? q2s_edit_close(edit, diag) : err;
}

static bool
is_dirty(struct q2s_store *store)
{
	return byte_at(store, 79) & 1;
}

static bool
dirty_done(struct lab *lab, struct q2s_store *const stores[DISKS])
{
	(void)lab;
	return !is_dirty(stores[0]);
}

/* ---- judging ---------------------------------------------------------------------------------- */

static void
on_finding(void *opaque, const struct q2s_finding *finding)
{
	struct lab *const lab = opaque;

	if (!lab->text[0] && finding->severity != Q2S_SEVERITY_NOTE &&
	    finding->severity != Q2S_SEVERITY_LEAK)
		snprintf(lab->text, sizeof(lab->text), "%s: %s at 0x%" PRIx64, finding->id,
			 finding->text, finding->host.v);
}

static bool
is_sound(struct lab *lab, struct q2s_store *store)
{
	const struct q2s_check_options options = { .size = sizeof(options),
						   .finding = on_finding, .opaque = lab };
	struct q2s_check_result result = { 0 };
	struct q2s_diag diag = { 0 };
	struct q2s_image *image;
	enum q2s_err err = q2s_image_open(store, Q2S_IMAGE_DAMAGED, &image, &diag);

	lab->text[0] = '\0';
	if (err == Q2S_OK) {
		err = q2s_check(image, &options, &result, &diag);
		q2s_image_close(image);
	}
	if (err != Q2S_OK)
		snprintf(lab->text, sizeof(lab->text), "it does not open: %s", diag.text);
	return !lab->text[0];
}

static bool
state_is_good(struct lab *lab, struct q2s_store *const stores[DISKS])
{
	for (unsigned i = 0; i < DISKS && stores[i]; i++)
		if (!(lab->task->dirty && is_dirty(stores[i])) && !is_sound(lab, stores[i]))
			return false;
	snprintf(lab->text, sizeof(lab->text), "the guest sees something else");
	return show(lab, stores) && memcmp(lab->shown, lab->expected, lab->size) == 0;
}

/* The same command once more, on copies. */
static bool
again_is_good(struct lab *lab)
{
	struct q2s_store *stores[DISKS] = { NULL };
	struct q2s_diag diag = { 0 };
	bool fine = true;

	for (unsigned i = 0; i < DISKS && lab->disks[i].store; i++)
		if (q2s_store_memory(lab->disks[i].view.bytes, lab->disks[i].view.length, "copy",
				     &stores[i], NULL) != Q2S_OK)
			die("copy", NULL);
	if (lab->task->run(lab, stores, &diag) != Q2S_OK) {
		snprintf(lab->text, sizeof(lab->text), "again: %.400s", diag.text);
		fine = false;
	}
	fine = fine && state_is_good(lab, stores);
	if (fine && !lab->task->done(lab, stores)) {
		snprintf(lab->text, sizeof(lab->text), "again, and it is not complete");
		fine = false;
	}
	for (unsigned i = 0; i < DISKS; i++)
		q2s_store_unref(stores[i]);
	return fine;
}

static void
judge(struct lab *lab, size_t moment)
{
	struct q2s_store *const stores[DISKS] = { lab->disks[0].view_store, lab->disks[1].view_store };
	bool fine = state_is_good(lab, stores);

	if (fine && lab->states % AGAIN_EVERY == 0)
		fine = again_is_good(lab);
	lab->states++;
	if (fine)
		return;
	if (lab->wrong++ < 3 && !lab->quiet)
		printf("WRONG: %s, crash after event %zu: %s\n", lab->task->what, moment, lab->text);
}

/* ---- crash states ------------------------------------------------------------------------------ */

enum left { LEFT_NONE, LEFT_ALL, LEFT_SOME, LEFT_ALL_BUT_ONE, LEFT_ONE, LEFT_TORN, LEFTS };

/* Of the first @count events of @disk: those before its last flush, and of the rest what @left says. */
static void
disk_state(struct lab *lab, struct disk *disk, size_t count, enum left left)
{
	const struct sim *const sim = &disk->sim;
	size_t durable = count, chosen;

	while (durable > 0 && sim->events[durable - 1].kind != SIM_FLUSH)
		durable--;
	chosen = count > durable ? durable + draw(lab) % (count - durable) : 0;
	disk->view.bytes = realloc(disk->view.bytes, sim->room);
	if (!disk->view.bytes)
		die("state", NULL);
	memset(disk->view.bytes, 0, sim->room);
	memcpy(disk->view.bytes, disk->first, disk->first_len);
	disk->view.length = disk->first_len;
	for (size_t i = 0; i < count; i++) {
		const bool one = i == chosen;
		uint64_t mask = UINT64_MAX;

		if (i >= durable &&
		    (left == LEFT_NONE || (left == LEFT_SOME && draw(lab) % 2) ||
		     (left == LEFT_ALL_BUT_ONE && one) || (left == LEFT_ONE && !one)))
			continue;
		if (i >= durable && left == LEFT_TORN && one)
			mask = draw(lab) >> 1;
		sim_apply(sim, &sim->events[i], mask, disk->view.bytes, sim->room,
			  &disk->view.length);
	}
}

static void
crash(struct lab *lab, unsigned random)
{
	size_t count[DISKS] = { 0 };

	for (size_t moment = 0; moment < lab->events; moment++) {
		count[lab->order[moment]]++;
		for (unsigned i = 0; i < 4 + random; i++) {
			for (unsigned k = 0; k < DISKS && lab->disks[k].store; k++)
				disk_state(lab, &lab->disks[k], count[k],
					   i < 4 ? (enum left)(i >> k & 1)
						 : (enum left)(draw(lab) % LEFTS));
			judge(lab, moment);
		}
	}
}

/* ---- tasks ------------------------------------------------------------------------------------- */

#define N50 "oooooooooooooooooooooooooooooooooooooooooooooooooo"
#define LONG_NAME N50 N50 N50 N50 N50 N50 N50 N50 N50 N50 N50 N50

static const struct task tasks[] = {
	{ "commit 4k", { CLUSTERS "cluster_size=4k" UPPER ZEROS, CLUSTERS "cluster_size=4k\ndata 1..9\n" },
	  NULL, commit_run, commit_done, false },
	{ "commit 512 into 4k",
	  { CLUSTERS "cluster_size=512" UPPER ZEROS, CLUSTERS "cluster_size=4k\ndata 0..1\nzero 2\n" },
	  NULL, commit_run, commit_done, false },
	{ "commit extended into version 2",
	  { CLUSTERS "extended_l2=on cluster_size=16k\ndata 0..2\nzero 3\n",
	    CLUSTERS "version=2 cluster_size=4k\ndata 1..9\n" },
	  NULL, commit_run, commit_done, false },
	{ "rebase 4k", { CLUSTERS "cluster_size=4k" UPPER ZEROS, NULL }, "old", rebase_run, rebase_done,
	  false },
	{ "rebase extended", { CLUSTERS "extended_l2=on cluster_size=16k\ndata 0..2\nzero 3\n", NULL },
	  "old", rebase_run, rebase_done, false },
	{ "rebase, a name behind the first sector", { CLUSTERS "cluster_size=4k" UPPER, NULL },
	  LONG_NAME, rebase_run, rebase_done, false },
	{ "versions, a name behind the first sector", { CLUSTERS "cluster_size=4k" UPPER ZEROS, NULL },
	  LONG_NAME, versions_run, versions_done, false },
	{ "dirty",
	  { CLUSTERS "cluster_size=4k" UPPER ZEROS "set refcount[5] = 0\nset refcount[6] = 0\n"
	  "set refcount[7] = 3\nset refcount[8] = 0\n", NULL },
	  NULL, dirty_run, dirty_done, true },
	{ "dirty 512",
	  { CLUSTERS "cluster_size=512 refcount_bits=64" UPPER "set refcount[9] = 0\n", NULL },
	  NULL, dirty_run, dirty_done, true },
};
#define TASKS (sizeof(tasks) / sizeof(tasks[0]))

/* What the image is when the work begins: with its name, or marked. */
static void
prepare(struct lab *lab)
{
	const struct task *const task = lab->task;
	struct disk *const disk = &lab->disks[0];
	struct q2s_diag diag = { 0 };
	struct q2s_store *store;
	struct q2s_edit *edit;

	if (task->dirty)
		disk->first[79] |= 1;
	if (!task->name)
		return;
	if (q2s_store_memory(disk->first, disk->first_len, "first", &store, &diag) != Q2S_OK ||
	    edit_open(store, NULL, 0, &edit, &diag) != Q2S_OK ||
	    q2s_edit_set_backing(edit,
				 (struct q2s_bytes){ (const uint8_t *)task->name, strlen(task->name) },
				 (struct q2s_bytes){ (const uint8_t *)"raw", 3 }, &diag) != Q2S_OK ||
	    q2s_edit_close(edit, &diag) != Q2S_OK ||
	    q2s_store_read(store, 0, disk->first, disk->first_len, &diag) != Q2S_OK)
		die("name", &diag);
	q2s_store_unref(store);
}

/* @deaf: the disk that ignores flushes, or DISKS. */
static bool
run(const struct task *task, unsigned random, unsigned deaf, struct lab *lab)
{
	struct q2s_store *stores[DISKS];
	struct q2s_diag diag = { 0 };

	*lab = (struct lab){ .task = task, .rng = 1, .size = 200 << 10, .quiet = deaf < DISKS };
	lab->expected = malloc(lab->size);
	lab->shown = malloc(lab->size);
	lab->old = below_make(lab, lab->size);
	lab->new = below_make(lab, lab->size - 10240);
	for (unsigned i = 0; i < DISKS; i++)
		disk_begin(lab, i, task->specs[i]);
	prepare(lab);
	for (unsigned i = 0; i < DISKS; i++) {
		if (lab->disks[i].store)
			sim_reset(&lab->disks[i].sim, lab->disks[i].first, lab->disks[i].first_len);
		lab->disks[i].deaf = i == deaf;
		stores[i] = lab->disks[i].store;
	}
	if (!lab->expected || !lab->shown || !show(lab, stores))
		die("the image at the start", NULL);
	memcpy(lab->expected, lab->shown, lab->size);
	if (task->run(lab, stores, &diag) != Q2S_OK)
		die(task->what, &diag);
	if (!task->done(lab, stores))
		die("it is not done", NULL);
	crash(lab, random);
	for (unsigned i = 0; i < DISKS; i++)
		disk_end(&lab->disks[i]);
	q2s_disk_close(lab->old);
	q2s_disk_close(lab->new);
	free(lab->order);
	free(lab->expected);
	free(lab->shown);
	return lab->wrong == 0;
}

/* Each disk of each task without its flushes: that has to be found. */
static bool
mutations(void)
{
	bool fine = true;
	struct lab lab;

	for (size_t i = 0; i < TASKS; i++) {
		for (unsigned deaf = 0; deaf < DISKS && tasks[i].specs[deaf]; deaf++) {
			const bool found = !run(&tasks[i], 16, deaf, &lab);

			printf("%s, disk %u without flushes: %s in %" PRIu64 " states\n",
			       tasks[i].what, deaf, found ? "found" : "NOT FOUND", lab.states);
			fine = fine && found;
		}
	}
	return fine;
}

int
main(int argc, char **argv)
{
	const char *const what = argc > 1 ? argv[1] : "";
	bool fine = true;
	struct lab lab;

	if (strcmp(what, "mutation") == 0)
		return mutations() ? 0 : 1;
	if (strcmp(what, "short") != 0 && strcmp(what, "full") != 0) {
		printf("usage: layers short | full | mutation\n");
		return 2;
	}
	for (size_t i = 0; i < TASKS; i++) {
		fine = run(&tasks[i], *what == 's' ? 8 : 60, DISKS, &lab) && fine;
		printf("%s: %" PRIu64 " crash states, %" PRIu64 " wrong\n", tasks[i].what, lab.states,
		       lab.wrong);
	}
	return fine ? 0 : 1;
}
