/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The map is read item by item: those of large disks have millions, of which nothing but where the
 * state changes has to be kept.
 */
#include "stream/extents.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/fault.h"

/* An item is a line of some numbers and a file name; more than this is something else. */
#define ITEM_MAX (64u << 10)
/* A disk of 1 TiB where every other cluster of 64 KiB is in use has half as many. */
#define HINTS_MAX ((size_t)1 << 24)

struct map {
	FILE *file;
	const char *option; /* for messages */
	bool gaps;          /* what is left out is zero */
	bool any;           /* item at all */
	size_t index;       /* of the item that is being read */
	size_t item_bytes;  /* of it, so far */
	struct q2s_hint *hints;
	size_t count, room;
	uint64_t end;       /* of what is told so far */
};

static enum q2s_err
wrong_item(const struct map *map, const char *why, struct q2s_diag *diag)
{
	return fault(diag, Q2S_E_USAGE, map->option, "item %zu: %s", map->index, why);
}

/* ---- what an item says --------------------------------------------------------------------- */

static enum q2s_err
get_number(const struct map *map, const json_t *item, const char *key, uint64_t *out,
	   struct q2s_diag *diag)
{
	const json_t *const value = json_object_get(item, key);

	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return fault(diag, Q2S_E_USAGE, map->option,
			     "item %zu: \"%s\" is missing or no number from 0 up", map->index, key);
	*out = (uint64_t)json_integer_value(value);
	return Q2S_OK;
}

static enum q2s_err
get_flag(const struct map *map, const json_t *item, const char *key, bool *out,
	 struct q2s_diag *diag)
{
	const json_t *const value = json_object_get(item, key);

	if (!json_is_boolean(value))
		return fault(diag, Q2S_E_USAGE, map->option,
			     "item %zu: \"%s\" is missing, or neither true nor false", map->index,
			     key);
	*out = json_is_true(value);
	return Q2S_OK;
}

#define NBD_STATE_ZERO 2 /* of base:allocation; 1: a hole, whatever it reads as */
#define NBD_STATES 4

/* nbdinfo: the map of a dirty bitmap looks much the same. */
static enum q2s_err
read_nbdinfo(const struct map *map, const json_t *item, struct q2s_hint *out,
	     struct q2s_diag *diag)
{
	const char *const what = json_string_value(json_object_get(item, "description"));
	uint64_t type;
	enum q2s_err err = get_number(map, item, "type", &type, diag);

	if (err != Q2S_OK)
		return err;
	if (type >= NBD_STATES ||
	    (what && (strcmp(what, "dirty") == 0 || strcmp(what, "clean") == 0)))
		return wrong_item(map, "it is not of base:allocation, the map that nbdinfo --map "
				       "prints", diag);
	out->state = type & NBD_STATE_ZERO ? Q2S_ZERO : Q2S_DATA;
	return Q2S_OK;
}

/* rbd diff: "true" is a string there. */
static enum q2s_err
read_rbd(struct map *map, const json_t *item, struct q2s_hint *out, struct q2s_diag *diag)
{
	const json_t *const exists = json_object_get(item, "exists");
	const char *const word = json_string_value(exists);
	const bool yes = json_is_true(exists) || (word && strcmp(word, "true") == 0);

	if (!yes && !json_is_false(exists) && !(word && strcmp(word, "false") == 0))
		return wrong_item(map, "\"exists\" is neither true nor false", diag);
	map->gaps = true;
	out->state = yes ? Q2S_DATA : Q2S_ZERO;
	return Q2S_OK;
}

static enum q2s_err
read_other(struct map *map, const json_t *item, struct q2s_hint *out, struct q2s_diag *diag)
{
	enum q2s_err err = get_number(map, item, "offset", &out->start.v, diag);

	if (err == Q2S_OK)
		err = get_number(map, item, "length", &out->len, diag);
	if (err != Q2S_OK)
		return err;
	return json_object_get(item, "exists") ? read_rbd(map, item, out, diag) :
						 read_nbdinfo(map, item, out, diag);
}

/* Data that QEMU does not know to be zero has to be read, whether it calls it data or not. */
static enum q2s_err
read_item(struct map *map, const json_t *item, struct q2s_hint *out, struct q2s_diag *diag)
{
	bool zero = false, data = false, present = true;
	enum q2s_err err;

	if (!json_object_get(item, "start") && json_object_get(item, "offset"))
		return read_other(map, item, out, diag);
	err = get_number(map, item, "start", &out->start.v, diag);

	if (err == Q2S_OK)
		err = get_number(map, item, "length", &out->len, diag);
	if (err == Q2S_OK)
		err = get_flag(map, item, "zero", &zero, diag);
	if (err == Q2S_OK)
		err = get_flag(map, item, "data", &data, diag);
	if (err == Q2S_OK && json_object_get(item, "present")) /* newer than QEMU 6.1 */
		err = get_flag(map, item, "present", &present, diag);
	if (err != Q2S_OK)
		return err;
	if (data && !present)
		return wrong_item(map, "it is data, and not present", diag);
	out->state = zero ? Q2S_ZERO : Q2S_DATA;
	return Q2S_OK;
}

static enum q2s_err
append(struct map *map, const struct q2s_hint *hint, struct q2s_diag *diag)
{
	struct q2s_hint *last = map->count > 0 ? &map->hints[map->count - 1] : NULL;

	if (last && last->state == hint->state) {
		last->len += hint->len;
		return Q2S_OK;
	}
	if (map->count == HINTS_MAX)
		return fault(diag, Q2S_E_LIMIT, map->option,
			     "item %zu: the state changes more than %zu times", map->index,
			     HINTS_MAX);
	if (map->count == map->room) {
		const size_t room = map->room ? 2 * map->room : 1024;
		struct q2s_hint *const grown = reallocarray(map->hints, room, sizeof(*grown));

		if (!grown)
			return fault_nomem(diag, map->option);
		map->hints = grown;
		map->room = room;
	}
	map->hints[map->count++] = *hint;
	return Q2S_OK;
}

/* What the map leaves out, up to @end, is zero. */
static enum q2s_err
skip_to(struct map *map, uint64_t end, struct q2s_diag *diag)
{
	const struct q2s_hint gap = { .start = { map->end },
				      .len = end - map->end,
				      .state = Q2S_ZERO };

	map->end = end;
	return append(map, &gap, diag);
}

static enum q2s_err
add_item(struct map *map, const json_t *item, struct q2s_diag *diag)
{
	struct q2s_hint hint;
	enum q2s_err err = read_item(map, item, &hint, diag);

	map->any = true;
	if (err != Q2S_OK)
		return err;
	if (map->gaps && hint.start.v > map->end)
		err = skip_to(map, hint.start.v, diag);
	if (err != Q2S_OK)
		return err;
	if (hint.start.v != map->end)
		return fault(diag, Q2S_E_USAGE, map->option,
			     "item %zu: it starts at %" PRIu64 ", where %" PRIu64 " is expected",
			     map->index, hint.start.v, map->end);
	if (hint.len == 0) /* of an empty disk QEMU tells this much */
		return Q2S_OK;
	map->end += hint.len; /* both are below 2^63 */
	if (map->end > INT64_MAX)
		return wrong_item(map, "it ends behind 2^63", diag);
	return append(map, &hint, diag);
}

/* ---- the array ----------------------------------------------------------------------------- */

/* One byte at a time, so that jansson never takes more than its item. */
static size_t
next_byte(void *buffer, size_t size, void *opaque)
{
	struct map *const map = opaque;
	const int byte = size > 0 && map->item_bytes < ITEM_MAX ? getc(map->file) : EOF;

	if (byte == EOF)
		return 0;
	map->item_bytes++;
	*(char *)buffer = (char)byte;
	return 1;
}

static int
next_mark(struct map *map)
{
	int byte;

	do
		byte = getc(map->file);
	while (byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r');
	return byte;
}

static enum q2s_err
parse_item(struct map *map, struct q2s_diag *diag)
{
	json_error_t error;
	json_t *item;
	enum q2s_err err;

	map->item_bytes = 0;
	item = json_load_callback(next_byte, map, JSON_DISABLE_EOF_CHECK | JSON_REJECT_DUPLICATES,
				  &error);
	if (!item)
		return wrong_item(map, map->item_bytes == ITEM_MAX ? "it is too long" : error.text,
				  diag);
	err = json_is_object(item) ? add_item(map, item, diag) :
				     wrong_item(map, "it is no object", diag);
	json_decref(item);
	return err;
}

static enum q2s_err
parse_items(struct map *map, struct q2s_diag *diag)
{
	int mark = next_mark(map);

	if (mark == ']')
		return Q2S_OK;
	(void)ungetc(mark, map->file);
	for (;;) {
		const enum q2s_err err = parse_item(map, diag);

		if (err != Q2S_OK)
			return err;
		mark = next_mark(map);
		if (mark == ']')
			return Q2S_OK;
		if (mark != ',')
			return wrong_item(map, "neither ',' nor ']' behind it", diag);
		map->index++;
	}
}

static enum q2s_err
parse(struct map *map, struct q2s_diag *diag)
{
	enum q2s_err err;

	if (next_mark(map) != '[')
		err = fault(diag, Q2S_E_USAGE, map->option,
			    "no array, as qemu-img map --output=json, nbdinfo --map --json and "
			    "rbd diff --format json print it");
	else
		err = parse_items(map, diag);
	if (err == Q2S_OK && next_mark(map) != EOF)
		err = fault(diag, Q2S_E_USAGE, map->option, "something follows the array");
	if (!ferror(map->file))
		return err;
	errno = EIO; /* why it could not be read is more than that JSON ended there */
	if (diag)
		*diag = (struct q2s_diag){ 0 };
	return fault_errno(diag, map->option, "reading failed");
}

/* ---- on the disk --------------------------------------------------------------------------- */

/* QEMU counts in sectors: what it tells of behind the end of the disk is dropped. */
static enum q2s_err
fit(struct map *map, uint64_t size, struct q2s_diag *diag)
{
	const uint64_t rounded = (size + Q2S_SECTOR - 1) / Q2S_SECTOR * Q2S_SECTOR;

	/* an empty array is that of rbd diff, as the others tell of what is zero too */
	if ((map->gaps || !map->any) && map->end < size) {
		const enum q2s_err err = skip_to(map, size, diag);

		if (err != Q2S_OK)
			return err;
	}
	if (map->end != size && map->end != rounded)
		return fault(diag, Q2S_E_USAGE, map->option,
			     "it tells of %" PRIu64 " bytes, but the disk has %" PRIu64, map->end,
			     size);
	while (map->count > 0 && map->hints[map->count - 1].start.v >= size)
		map->count--;
	if (map->count > 0)
		map->hints[map->count - 1].len = size - map->hints[map->count - 1].start.v;
	return Q2S_OK;
}

enum q2s_err
extents_apply(const char *path, const char *option, struct q2s_disk **disk,
	      struct q2s_diag *diag)
{
	struct map map = { .file = fopen(path, "re"), .option = option };
	enum q2s_err err;

	if (!map.file)
		return fault_in(diag, fault_errno(diag, option, "cannot be opened"), path);
	err = parse(&map, diag);
	if (err == Q2S_OK)
		err = fit(&map, q2s_disk_size(*disk), diag);
	if (err == Q2S_OK)
		err = q2s_disk_hinted(*disk, map.hints, map.count, disk, diag);
	fclose(map.file);
	free(map.hints);
	return fault_in(diag, err, path);
}
