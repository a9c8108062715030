/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Is a state of the disk good: a sound image that shows what it has to show? */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <q2s/check.h>
#include <q2s/edit.h>

#include "base/arith.h"
#include "lab.h"

/* What one operation may cost in clusters when a crash comes: copies, tables, a new refcount table.
 */
#define LEAKS_PER_OP 12

/* Of the states with COPIED flags that do not fit this one is written to. */
#define MISCOPIED_EVERY 4

static bool
said(const struct q2s_diag *diag, const char *doing, char *why, size_t size)
{
	char text[400];

	q2s_diag_format(diag, text, sizeof(text));
	snprintf(why, size, "%s: %s", doing, text);
	return false;
}

/* In the midst of work on a snapshot COPIED cannot fit: counts and flags are two writes. */
struct findings {
	char text[256]; /* the first one that is wrong */
	bool miscopied;
};

static void
on_finding(void *opaque, const struct q2s_finding *finding)
{
	struct findings *findings = opaque;
	char *text = findings->text;

	if (strcmp(finding->id + 2, "-copied-set") == 0 ||
	    strcmp(finding->id + 2, "-copied-clear") == 0) {
		findings->miscopied = true;
		return;
	}
	if (!text[0] && finding->severity != Q2S_SEVERITY_NOTE &&
	    finding->severity != Q2S_SEVERITY_LEAK)
		snprintf(text, 256, "%s: %s at host offset 0x%" PRIx64, finding->id, finding->text,
			 finding->host.v);
}

/* Is there an operation that counts, or gives up, all of the image at once? */
static bool
changes_the_whole(const struct lab *lab)
{
	for (size_t i = 0; i < lab->op_count; i++)
		if (lab->ops[i].kind > LAB_FLUSH)
			return true;
	return false;
}

/* While the bit is set nothing but it may have changed. */
static bool
autoclear_fine(const struct lab *lab, const struct q2s_image *image)
{
	const struct lab_image *from = lab->image;

	return !(q2s_image_header(image)->autoclear_features & LAB_AUTOCLEAR) ||
	       (lab->view.length >= from->length &&
		memcmp(lab->view.bytes + SIM_SECTOR, from->bytes + SIM_SECTOR,
		       from->length - SIM_SECTOR) == 0);
}

/* When all is moved all may be there twice. */
static uint64_t
leaks_allowed(const struct lab *lab)
{
	for (size_t i = 0; i < lab->op_count; i++)
		if (lab->ops[i].kind == LAB_COMPACT)
			return UINT64_MAX;
	return LEAKS_PER_OP * (lab->op_count + 1);
}

static bool
check(struct lab *lab, bool leaks, bool *miscopied, char *why, size_t size)
{
	struct findings findings = { .text = "" };
	const bool whole = changes_the_whole(lab);
	const struct q2s_check_options options = { .size = sizeof(options), .finding = on_finding,
						   .opaque = &findings,
						   .decode = true };
	struct q2s_check_result result = { 0 };
	struct q2s_image *image;
	struct q2s_diag diag = { 0 };
	enum q2s_err err = q2s_image_open(lab->view_store, Q2S_IMAGE_DAMAGED, &image, &diag);

	if (err != Q2S_OK)
		return said(&diag, "it does not open", why, size);
	if (!autoclear_fine(lab, image)) {
		q2s_image_close(image);
		snprintf(why, size, "an unknown autoclear bit is set in an image that was changed");
		return false;
	}
	err = q2s_check(image, &options, &result, &diag);
	q2s_image_close(image);
	if (err != Q2S_OK)
		return said(&diag, "it cannot be checked", why, size);
	lab->most_leaks = q2si_max(lab->most_leaks, result.leaks);
	*miscopied = findings.miscopied;
	if (findings.text[0] || result.check_errors || (findings.miscopied && !(whole && leaks))) {
		snprintf(why, size, "the check finds %s",
			 findings.text[0] ? findings.text : "COPIED where it does not fit");
		return false;
	}
	if (result.leaks > (leaks ? leaks_allowed(lab) : 0) && !(whole && leaks)) {
		snprintf(why, size, "%" PRIu64 " clusters have leaked", result.leaks);
		return false;
	}
	return true;
}

/* What is behind the end of the base reads as zero. */
static enum q2s_err
part_show(const struct lab_image *image, struct q2s_cursor *cursor, struct q2s_cursor *below,
	  uint64_t at, uint8_t *to, uint64_t len, struct q2s_diag *diag)
{
	const uint64_t base = image->base ? q2s_disk_size(image->base) : 0;
	const uint64_t there = base > at ? q2si_min(base - at, len) : 0;

	if (!below)
		return q2s_cursor_read(cursor, (q2s_guest){ at }, to, len, diag);
	memset(to + there, 0, len - there);
	return there ? q2s_cursor_read(below, (q2s_guest){ at }, to, there, diag) : Q2S_OK;
}

/* One window: what the image does not have comes from below. */
static enum q2s_err
show_window(const struct lab_image *image, struct q2s_cursor *cursor, struct q2s_cursor *below,
	    const struct lab_window *window, uint64_t disk, uint8_t *to, struct q2s_diag *diag)
{
	uint64_t at = window->start * SIM_SECTOR, left = window->count * SIM_SECTOR;

	memset(to, LAB_GONE, left);
	left = disk > at ? q2si_min(left, disk - at) : 0;
	while (left > 0) {
		struct q2s_extent extent;
		enum q2s_err err =
			q2s_cursor_extent(cursor, (q2s_guest){ at }, left, &extent, diag);

		if (err == Q2S_OK)
			err = part_show(image, cursor, extent.state == Q2S_ABSENT ? below : NULL,
					at, to, extent.len, diag);
		if (err != Q2S_OK)
			return err;
		at += extent.len;
		to += extent.len;
		left -= extent.len;
	}
	return Q2S_OK;
}

static enum q2s_err
show(struct lab *lab, struct q2s_disk *disk, struct q2s_diag *diag)
{
	const struct lab_image *image = lab->image;
	struct q2s_cursor *cursor = NULL, *below = NULL;
	uint8_t *to = lab->shown;
	enum q2s_err err = q2s_cursor_open(disk, &cursor, diag);

	if (err == Q2S_OK && image->base)
		err = q2s_cursor_open(image->base, &below, diag);
	for (size_t i = 0; err == Q2S_OK && i < image->window_count; i++) {
		err = show_window(image, cursor, below, &image->windows[i],
				  q2s_disk_size(disk), to, diag);
		to += image->windows[i].count * SIM_SECTOR;
	}
	q2s_cursor_close(below);
	q2s_cursor_close(cursor);
	return err;
}

static bool
show_store(struct lab *lab, struct q2s_store *store, const char *snapshot, char *why, size_t size)
{
	const struct q2s_disk_qcow2_options options = { .size = sizeof(options),
							.snapshot = snapshot };
	struct q2s_diag diag = { 0 };
	struct q2s_disk *disk;

	if (q2s_disk_qcow2(store, &options, &disk, &diag) != Q2S_OK)
		return said(&diag, "it does not open", why, size);
	const enum q2s_err err = show(lab, disk, &diag);

	q2s_disk_close(disk);
	return err == Q2S_OK || said(&diag, "it cannot be read", why, size);
}

/* What is behind the end has no bit; what came back as new, and was not written since, is clean. */
static bool
bitmap_knows(const struct lab *lab, size_t index, const uint8_t *shown)
{
	return !oracle_was_gone(&lab->oracle, index) ||
	       !(sector_is_full_of(shown, LAB_GONE) || sector_is_full_of(shown, 0));
}

/* Each sector that is not what it was is dirty; lab->shown says what it is. */
static bool
bitmap_covers(const struct lab *lab, struct q2s_bitmap_reader *reader, char *why, size_t size)
{
	for (size_t i = 0; i < lab->image->sectors; i++) {
		const uint64_t at = oracle_guest(&lab->oracle, i);
		struct q2s_diag diag = { 0 };
		struct q2s_bitmap_run run;

		if (memcmp(lab->shown + i * SIM_SECTOR, oracle_first(&lab->oracle, i),
			   SIM_SECTOR) == 0 ||
		    !bitmap_knows(lab, i, lab->shown + i * SIM_SECTOR))
			continue;
		if (q2s_bitmap_reader_run(reader, (q2s_guest){ at }, SIM_SECTOR, &run, &diag) !=
		    Q2S_OK)
			return said(&diag, "the bitmap cannot be read", why, size);
		if (!run.dirty) {
			snprintf(why, size, "guest offset 0x%" PRIx64 " changed, and is clean", at);
			return false;
		}
	}
	return true;
}

/* The bitmap says what changed, or that it does not know; that only after a crash. */
static bool
bitmap_fine(struct lab *lab, bool crashed, char *why, size_t size)
{
	const struct q2s_bytes name = { (const uint8_t *)LAB_BITMAP, strlen(LAB_BITMAP) };
	struct q2s_bitmap_reader *reader = NULL;
	struct q2s_diag diag = { 0 };
	struct q2s_image *image;
	bool fine;
	enum q2s_err err;

	if (!lab->image->config->bitmap)
		return true;
	err = q2s_image_open(lab->view_store, 0, &image, &diag);
	if (err != Q2S_OK)
		return said(&diag, "it does not open", why, size);
	err = q2s_bitmap_reader_open(image, name, &reader, &diag);
	if (err == Q2S_E_BITMAP && crashed && strstr(diag.text, "in use"))
		fine = true;
	else if (err != Q2S_OK)
		fine = said(&diag, "the bitmap does not open", why, size);
	else
		fine = bitmap_covers(lab, reader, why, size);
	q2s_bitmap_reader_close(reader);
	q2s_image_close(image);
	return fine;
}

bool
lab_show(struct lab *lab, const char *snapshot, char *why, size_t size)
{
	return show_store(lab, lab->view_store, snapshot, why, size);
}

/* ---- snapshots -------------------------------------------------------------------------------- */

/* Does @snapshot, in @store, hold what it held when it was made? */
static bool
snapshot_holds(struct lab *lab, struct q2s_store *store, const struct lab_snapshot *snapshot,
	       char *why, size_t size)
{
	if (!show_store(lab, store, snapshot->name, why, size))
		return false;
	for (size_t i = 0; i < lab->image->sectors; i++) {
		if (memcmp(oracle_before(&lab->oracle, i, snapshot->op), lab->shown + i * SIM_SECTOR,
			   SIM_SECTOR) == 0)
			continue;
		snprintf(why, size, "guest offset 0x%" PRIx64 " of snapshot %s has changed",
			 oracle_guest(&lab->oracle, i), snapshot->name);
		return false;
	}
	return true;
}

static bool
is_in(const struct q2s_snapshots *list, const char *name)
{
	for (uint32_t i = 0; i < list->count; i++)
		if (list->list[i].name_len == strlen(name) &&
		    memcmp(list->list[i].name, name, strlen(name)) == 0)
			return true;
	return false;
}

/* Each snapshot that has to be there is, with what it has to hold, and no other. */
static bool
snapshots_fine(struct lab *lab, struct q2s_store *store, int done, char *why, size_t size)
{
	struct q2s_snapshots list = { 0 };
	struct q2s_image *image;
	unsigned found = 0;
	bool fine = true;

	if (lab->made == 0)
		return true;
	if (q2s_image_open(store, 0, &image, NULL) != Q2S_OK ||
	    q2s_image_snapshots(image, &list, NULL) != Q2S_OK) {
		snprintf(why, size, "its snapshots cannot be read");
		return false;
	}
	q2s_image_close(image);
	for (unsigned i = 0; i < lab->made && fine; i++) {
		const struct lab_snapshot *snapshot = &lab->snapshots[i];
		const bool there = is_in(&list, snapshot->name);
		const bool must = snapshot->op < done && !snapshot->refused &&
				  snapshot->deleted < 0;
		const bool may = !snapshot->refused &&
				 (snapshot->deleted < 0 || snapshot->deleted >= done);

		found += there;
		if (there)
			fine = snapshot_holds(lab, store, snapshot, why, size);
		if (there ? may : !must)
			continue;
		snprintf(why, size, "snapshot %s is %s", snapshot->name, there ? "there" : "gone");
		fine = false;
	}
	if (fine && found != list.count) {
		snprintf(why, size, "there are snapshots that nobody made");
		fine = false;
	}
	q2s_snapshots_free(&list);
	return fine;
}

static enum q2s_err
write_everywhere(const struct lab *lab, struct q2s_edit *edit, struct q2s_diag *diag)
{
	uint8_t bytes[SIM_SECTOR];
	enum q2s_err err = Q2S_OK;

	memset(bytes, 0xa5, sizeof(bytes));
	for (size_t i = 0; i < lab->image->sectors && err == Q2S_OK; i++) {
		const q2s_guest at = { oracle_guest(&lab->oracle, i) };

		if (at.v < q2s_edit_size(edit))
			err = q2s_edit_write(edit, at, bytes, sizeof(bytes), diag);
	}
	return err;
}

/*
 * COPIED that does not fit harms nobody: who trusts it, and writes to all of the disk, changes no
 * snapshot.
 */
static bool
copied_is_harmless(struct lab *lab, int done, char *why, size_t size)
{
	struct q2s_edit_options options = Q2S_EDIT_OPTIONS_INIT;
	struct q2s_edit *edit = NULL;
	struct q2s_store *store;
	struct q2s_diag diag = { 0 };
	bool fine;

	options.base = lab->image->base;
	if (q2s_store_memory(lab->view.bytes, lab->view.length, "state", &store, &diag) != Q2S_OK)
		return said(&diag, "no copy of it", why, size);
	fine = q2s_edit_open(store, &options, &edit, &diag) == Q2S_OK &&
	       write_everywhere(lab, edit, &diag) == Q2S_OK;
	if (q2s_edit_close(edit, &diag) != Q2S_OK || !fine)
		fine = said(&diag, "it cannot be changed", why, size);
	else
		fine = snapshots_fine(lab, store, done, why, size);
	q2s_store_unref(store);
	return fine;
}

/* Another judge, for a few of the states. */
static bool
ask_qemu(struct lab *lab, char *why, size_t size)
{
	char path[512], command[1200];
	FILE *file;
	int got;

	snprintf(path, sizeof(path), "%s/state.qcow2", lab->qemu);
	file = fopen(path, "w");
	if (!file || fwrite(lab->view.bytes, lab->view.length, 1, file) != 1 || fclose(file) != 0) {
		perror(path);
		exit(2);
	}
	lab->judged_by_qemu++;
	snprintf(command, sizeof(command), "qemu-img check -q -f qcow2 '%s' >'%s/out' 2>&1", path,
		 lab->qemu);
	got = system(command);
	unlink(path);
	if (got == 0 || (got & 0xff) != 0 || got >> 8 == 3) /* 3: leaks */
		return (got & 0xff) == 0;
	snprintf(why, size, "qemu-img check ends with %d", got >> 8);
	return false;
}

bool
lab_judge(struct lab *lab, int done, bool leaks, char *why, size_t size)
{
	bool miscopied;

	lab->states++;
	if (!check(lab, leaks, &miscopied, why, size) ||
	    !snapshots_fine(lab, lab->view_store, done, why, size) ||
	    !lab_show(lab, NULL, why, size) || !bitmap_fine(lab, leaks, why, size))
		return false;
	for (size_t i = 0; i < lab->image->sectors; i++) {
		if (oracle_allows(&lab->oracle, i, done, lab->shown + i * SIM_SECTOR))
			continue;
		snprintf(why, size,
			 "guest offset 0x%" PRIx64 " holds neither old nor new bytes "
			 "(first ones %02x%02x%02x%02x %02x%02x%02x%02x)",
			 oracle_guest(&lab->oracle, i), lab->shown[i * SIM_SECTOR],
			 lab->shown[i * SIM_SECTOR + 1], lab->shown[i * SIM_SECTOR + 2],
			 lab->shown[i * SIM_SECTOR + 3], lab->shown[i * SIM_SECTOR + 4],
			 lab->shown[i * SIM_SECTOR + 5], lab->shown[i * SIM_SECTOR + 6],
			 lab->shown[i * SIM_SECTOR + 7]);
		return false;
	}
	lab->miscopied += miscopied;
	if (miscopied && lab->miscopied % MISCOPIED_EVERY == 0 &&
	    !copied_is_harmless(lab, done, why, size))
		return false;
	if (lab->qemu && !miscopied && lab->states % lab->qemu_every == 0)
		return ask_qemu(lab, why, size);
	return true;
}
