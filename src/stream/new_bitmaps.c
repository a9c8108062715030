/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stream/new_bitmaps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/fault.h"
#include "common/keyval.h"
#include "common/tool.h"

bool
bitmaps_check(const struct stream_options *options)
{
	const bool carried = options->bitmaps && strcmp(options->bitmaps, "none") != 0;

	if (!carried && options->bitmap_granularity_bits) {
		(void)tool_usage_error("--bitmap-granularity is for bitmaps that are carried over; it "
				       "needs --bitmaps");
		return false;
	}
	if (!carried && options->new_bitmaps.count == 0)
		return true;
	if (options->raw_output || options->compare || options->plan)
		(void)tool_usage_error("--bitmap and --bitmaps are for a new qcow2 image; -O raw, "
				       "--compare and --plan contradict them");
	else if (carried && options->snapshot)
		(void)tool_usage_error("--bitmaps: the bitmaps of SOURCE say nothing of a snapshot");
	else if (carried && (q2s_nbd_is_uri(options->source) ||
			     (options->format && strcmp(options->format, "qcow2") != 0)))
		(void)tool_usage_error("--bitmaps: only a qcow2 SOURCE has bitmaps");
	else
		return true;
	return false;
}

/* ---- which ones ---------------------------------------------------------------------------- */

/* What the words of --bitmaps ask for. @granularity_bits: 0, or of the new bitmaps. */
struct wanted {
	bool all, skip_broken;
	const char *words;
	uint32_t granularity_bits;
};

/* Is @name among the words? Sets *@err without memory. */
static bool
has_word(const char *words, struct q2s_bytes name, enum q2s_err *err, struct q2s_diag *diag)
{
	bool found = false;

	for (const char *at = words; *err == Q2S_OK && !found;) {
		char *const word = keyval_take_value(&at);

		if (!word)
			*err = fault_nomem(diag, "--bitmaps");
		else
			found = strlen(word) == name.len && memcmp(word, name.data, name.len) == 0;
		free(word);
		if (*at++ == '\0')
			break;
	}
	return found;
}

static enum q2s_err
get_wanted(const struct stream_options *options, struct wanted *out, struct q2s_diag *diag)
{
	static const struct q2s_bytes all = { (const uint8_t *)"all", 3 };
	static const struct q2s_bytes skip = { (const uint8_t *)"skip-broken", 11 };
	enum q2s_err err = Q2S_OK;

	out->words = options->bitmaps;
	out->granularity_bits = options->bitmap_granularity_bits;
	out->skip_broken = has_word(options->bitmaps, skip, &err, diag);
	out->all = strcmp(options->bitmaps, "skip-broken") == 0 ||
		   has_word(options->bitmaps, all, &err, diag);
	return err;
}

static bool
is_in(const struct q2s_bitmaps *directory, const char *word)
{
	const size_t len = strlen(word);

	for (uint32_t i = 0; i < directory->count; i++)
		if (directory->list[i].name_len == len &&
		    memcmp(directory->list[i].name, word, len) == 0)
			return true;
	return false;
}

/* Each name must be that of a bitmap. */
static enum q2s_err
check_words(const struct wanted *wanted, const struct q2s_bitmaps *directory,
	    struct q2s_diag *diag)
{
	enum q2s_err err = Q2S_OK;

	for (const char *at = wanted->words; err == Q2S_OK;) {
		char *const word = keyval_take_value(&at);

		if (!word)
			err = fault_nomem(diag, "--bitmaps");
		else if (strcmp(word, "all") != 0 && strcmp(word, "skip-broken") != 0 &&
			 !is_in(directory, word))
			err = fault(diag, Q2S_E_USAGE, "--bitmaps", "there is none called '%.128s'",
				    word);
		free(word);
		if (*at++ == '\0')
			break;
	}
	return err;
}

/* ---- carried over -------------------------------------------------------------------------- */

/* The bits of one bitmap, for the new disk; a granule is dirty if anything in it was. */
static enum q2s_err
read_bits(struct q2s_store *file, const struct q2s_bitmap *record, const struct q2s_geom *geom,
	  uint32_t granularity_bits, struct q2s_bits **out, struct q2s_diag *diag)
{
	const struct q2s_bytes name = { record->name, record->name_len };
	struct q2s_disk *map;
	enum q2s_err err;

	if (record->extra_size > 0 || record->flags & Q2S_BITMAP_EXTRA_COMPATIBLE)
		return fault(diag, Q2S_E_BITMAP, "bitmap",
			     "'%.*s' has extra data, for which QEMU refuses an image",
			     (int)(name.len < 128 ? name.len : 128), (const char *)name.data);
	err = q2s_disk_bitmap(file, name, &map, diag);
	if (err != Q2S_OK)
		return err;
	err = q2s_bits_from_map(map, geom->size, granularity_bits, out, diag);
	q2s_disk_close(map);
	return err;
}

static void
warn_skipped(const struct q2s_diag *why)
{
	char text[Q2S_DIAG_TEXT + Q2S_DIAG_WHAT + 64];

	q2s_diag_format(why, text, sizeof(text));
	tool_warn("left out: %s", text);
}

static enum q2s_err
carry_one(struct q2s_store *file, const struct q2s_bitmap *record, const struct q2s_geom *geom,
	  const struct wanted *wanted, struct bitmaps *out, struct q2s_diag *diag)
{
	struct q2s_spec_bitmap *const to = &out->list[out->count];
	const uint32_t granularity_bits = wanted->granularity_bits ? wanted->granularity_bits :
								     record->granularity_bits;
	struct q2s_diag why = { 0 };
	const enum q2s_err err = read_bits(file, record, geom, granularity_bits, &to->bits, &why);

	if (err != Q2S_OK && wanted->skip_broken && q2s_err_class(err) == Q2S_CLASS_CORRUPT) {
		warn_skipped(&why);
		return Q2S_OK;
	}
	if (err != Q2S_OK) {
		*diag = why;
		return err;
	}
	to->name = (struct q2s_bytes){ record->name, record->name_len };
	to->granularity_bits = granularity_bits;
	to->enabled = record->flags & Q2S_BITMAP_AUTO;
	out->count++;
	return Q2S_OK;
}

static enum q2s_err
carry(struct q2s_store *file, const struct wanted *wanted, const struct q2s_geom *geom,
      struct bitmaps *out, struct q2s_diag *diag)
{
	const struct q2s_bitmaps *const directory = &out->directory;
	enum q2s_err err = Q2S_OK;

	for (uint32_t i = 0; i < directory->count && err == Q2S_OK; i++) {
		const struct q2s_bitmap *const record = &directory->list[i];
		const struct q2s_bytes name = { record->name, record->name_len };

		if (wanted->all || has_word(wanted->words, name, &err, diag))
			err = carry_one(file, record, geom, wanted, out, diag);
	}
	return err;
}

/* All that lost their autoclear bit are broken together. */
static enum q2s_err
read_directory(const struct q2s_image *image, const struct wanted *wanted, struct bitmaps *out,
	       struct q2s_diag *diag)
{
	struct q2s_diag why = { 0 };

	if (!q2s_image_has_stale_bitmaps(image))
		return q2s_image_bitmap_directory(image, &out->directory, diag);
	(void)fault(&why, Q2S_E_BITMAP, "bitmaps",
		    "a program without support for bitmaps wrote to this image, so that none of "
		    "them can be trusted");
	if (!wanted->skip_broken) {
		*diag = why;
		return why.err;
	}
	warn_skipped(&why);
	return Q2S_OK;
}

/* Of what could be left out: how. */
static void
advise(struct q2s_diag *diag)
{
	const size_t len = strlen(diag->text);

	(void)snprintf(diag->text + len, sizeof(diag->text) - len,
		       "; --bitmaps=skip-broken leaves such bitmaps out");
}

static enum q2s_err
open_carried(const struct stream_options *options, const struct q2s_disk *disk,
	     const struct q2s_geom *geom, struct bitmaps *out, struct q2s_diag *diag)
{
	struct q2s_store *const file = q2s_disk_file(disk, 0);
	struct wanted wanted = { 0 };
	struct q2s_image *image = NULL;
	enum q2s_err err;

	if (!file || !q2s_image_probe(file))
		return fault(diag, Q2S_E_USAGE, "--bitmaps", "only a qcow2 SOURCE has bitmaps");
	err = get_wanted(options, &wanted, diag);
	if (err == Q2S_OK)
		err = q2s_image_open(file, 0, &image, diag);
	if (err == Q2S_OK)
		err = read_directory(image, &wanted, out, diag);
	if (err == Q2S_OK && !(wanted.skip_broken && q2s_image_has_stale_bitmaps(image)))
		err = check_words(&wanted, &out->directory, diag);
	if (err == Q2S_OK) {
		out->list = calloc(out->directory.count + options->new_bitmaps.count + 1,
				   sizeof(*out->list));
		err = out->list ? carry(file, &wanted, geom, out, diag) :
				  fault_nomem(diag, "--bitmaps");
	}
	if (err == Q2S_E_BITMAP && !wanted.skip_broken)
		advise(diag);
	q2s_image_close(image);
	return fault_in(diag, err, q2s_store_name(file));
}

enum q2s_err
bitmaps_open(const struct stream_options *options, const struct q2s_disk *disk,
	     const struct q2s_geom *geom, struct bitmaps *out, struct q2s_diag *diag)
{
	const struct bitmap_options *const fresh = &options->new_bitmaps;
	enum q2s_err err = Q2S_OK;

	if (options->bitmaps && strcmp(options->bitmaps, "none") != 0)
		err = open_carried(options, disk, geom, out, diag);
	if (err == Q2S_OK && !out->list)
		out->list = calloc(fresh->count + 1, sizeof(*out->list));
	if (err == Q2S_OK && !out->list)
		err = fault_nomem(diag, "--bitmap");
	for (size_t i = 0; err == Q2S_OK && i < fresh->count; i++) {
		struct q2s_spec_bitmap *const to = &out->list[out->count++];

		*to = fresh->list[i];
		if (to->granularity_bits == 0)
			to->granularity_bits = bitmap_default_granularity(geom);
	}
	return err;
}

void
bitmaps_close(struct bitmaps *bitmaps)
{
	for (size_t i = 0; i < bitmaps->count; i++)
		q2s_bits_unref(bitmaps->list[i].bits);
	free(bitmaps->list);
	q2s_bitmaps_free(&bitmaps->directory);
	*bitmaps = (struct bitmaps){ 0 };
}
