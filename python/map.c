/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* q2s.map: which layer holds what, as `qemu-img map` says it. */
#include "module.h"

#include <stdio.h>
#include <stdlib.h>

/** Guest bytes that are of one kind; as in the JSON. */
struct range {
	uint64_t start, length, offset;
	size_t depth;
	bool present, zero, data, compressed, has_offset;
};

/**
 * One layer in a walk.
 *
 * @map    NULL: raw
 * @run    was looked up last, from @run_at on
 * @holes  of a raw layer's file
 */
struct level {
	const struct q2s_layer *layer;
	struct q2s_map *map;
	uint64_t run_at;
	struct q2s_run run;
	struct q2s_stretch_walk holes;
};

/** Without the interpreter's lock. @list grows. */
struct walk {
	struct q2s_chain *chain;
	struct level *levels;
	size_t depth; /* of the chain */
	struct range *list;
	size_t count, room;
};

static uint64_t
min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static enum q2s_err
no_memory(struct q2s_diag *diag)
{
	return error_fill(diag, Q2S_E_NOMEM, "map", "out of memory");
}

static enum q2s_err
walk_open(const struct source *source, struct walk *walk, struct q2s_diag *diag)
{
	enum q2s_err err = source_chain(source, &walk->chain, diag);

	if (err != Q2S_OK)
		return err;
	walk->depth = q2s_chain_count(walk->chain);
	walk->levels = calloc(walk->depth, sizeof(*walk->levels));
	if (!walk->levels)
		return no_memory(diag);
	for (size_t i = 0; err == Q2S_OK && i < walk->depth; i++) {
		struct level *const level = &walk->levels[i];
		struct q2s_l1_table l1;

		level->layer = q2s_chain_layer(walk->chain, i);
		if (!level->layer->image)
			continue;
		l1 = q2s_image_active_l1(level->layer->image);
		err = q2s_map_open(level->layer->image, &l1, &level->map, diag);
	}
	return err;
}

static void
walk_close(struct walk *walk)
{
	for (size_t i = 0; walk->levels && i < walk->depth; i++)
		q2s_map_close(walk->levels[i].map);
	free(walk->levels);
	free(walk->list);
	q2s_chain_unref(walk->chain);
}

/* A hole that reaches the end of the file goes on behind it, and the last sector is cut there. */
static enum q2s_err
look_raw(struct level *level, struct range *range, struct q2s_diag *diag)
{
	const uint64_t size = q2s_store_size(level->layer->file);
	struct q2s_stretch stretch = { .hole = true, .len = range->length };
	enum q2s_err err = Q2S_OK;

	if (range->start < size) {
		range->length = min(range->length, size - range->start);
		err = q2s_store_stretch_on(level->layer->file, &level->holes, range->start,
					   &stretch, diag);
		if (err == Q2S_OK)
			range->length = min(range->length, stretch.len);
	}
	range->present = range->has_offset = true;
	range->offset = range->start;
	range->zero = stretch.hole;
	range->data = !stretch.hole;
	return err;
}

static enum q2s_err
look_image(struct level *level, struct range *range, struct q2s_diag *diag)
{
	const struct q2s_header *const header = q2s_image_header(level->layer->image);
	const struct q2s_run *const run = &level->run;
	uint64_t in_run = range->start - level->run_at;

	if (range->start < level->run_at || in_run >= run->len) {
		const enum q2s_err err =
			q2s_map_run(level->map, (q2s_guest){ range->start },
				    level->layer->size - range->start, &level->run, diag);

		if (err != Q2S_OK)
			return err;
		level->run_at = range->start;
		in_run = 0;
	}
	range->length = min(range->length, run->len - in_run);
	range->present = run->state != Q2S_ABSENT;
	range->zero = run->state == Q2S_ZERO;
	range->data = run->state == Q2S_DATA;
	range->compressed = run->compressed;
	/* what lies at the offset of an encrypted cluster is not what the guest sees */
	range->has_offset = run->has_host && !run->compressed &&
			    header->crypt_method == Q2S_CRYPT_NONE;
	range->offset = range->has_offset ? run->host.v + in_run : 0;
	return Q2S_OK;
}

/* What is at @at: each layer is asked in turn, until one says it. */
static enum q2s_err
walk_next(struct walk *walk, uint64_t at, uint64_t max, struct range *out, struct q2s_diag *diag)
{
	for (size_t depth = 0;; depth++) {
		struct level *const level = &walk->levels[depth];
		const bool last = depth + 1 == walk->depth;
		enum q2s_err err;

		max = min(max, level->layer->size - at);
		*out = (struct range){ .start = at, .length = max, .depth = depth };
		err = level->map ? look_image(level, out, diag) : look_raw(level, out, diag);
		if (err != Q2S_OK) {
			if (!diag->file[0])
				snprintf(diag->file, sizeof(diag->file), "%s",
					 q2s_store_name(level->layer->file));
			return err;
		}
		if (out->present)
			return Q2S_OK;
		/* nothing below, or behind its end: zero, and that is certain */
		out->zero = last ? q2s_chain_end(walk->chain, NULL) == Q2S_OK
				 : at >= walk->levels[depth + 1].layer->size;
		if (out->zero || last)
			return Q2S_OK;
		max = out->length;
	}
}

static bool
continues(const struct range *a, const struct range *b)
{
	return a->depth == b->depth && a->present == b->present && a->zero == b->zero &&
	       a->data == b->data && a->compressed == b->compressed &&
	       a->has_offset == b->has_offset &&
	       (!a->has_offset || a->offset + a->length == b->offset);
}

static enum q2s_err
add(struct walk *walk, const struct range *range, struct q2s_diag *diag)
{
	struct range *list;

	if (walk->count && continues(&walk->list[walk->count - 1], range)) {
		walk->list[walk->count - 1].length += range->length;
		return Q2S_OK;
	}
	if (walk->count == walk->room) {
		walk->room = walk->room ? 2 * walk->room : 64;
		list = realloc(walk->list, walk->room * sizeof(*list));
		if (!list)
			return no_memory(diag);
		walk->list = list;
	}
	walk->list[walk->count++] = *range;
	return Q2S_OK;
}

static enum q2s_err
walk_all(const struct source *source, struct walk *walk, struct q2s_diag *diag)
{
	enum q2s_err err = walk_open(source, walk, diag);
	struct range range;

	if (err != Q2S_OK)
		return err;
	for (uint64_t at = 0, size = walk->levels[0].layer->size; err == Q2S_OK && at < size;
	     at += range.length) {
		err = walk_next(walk, at, size - at, &range, diag);
		if (err == Q2S_OK)
			err = add(walk, &range, diag);
	}
	return err;
}

static PyObject *
range_dict(const struct range *range)
{
	PyObject *dict = Py_BuildValue("{sKsKsn}", "start", (unsigned long long)range->start,
				       "length", (unsigned long long)range->length, "depth",
				       (Py_ssize_t)range->depth);

	if (dict && (dict_bool(dict, "present", range->present) != 0 ||
		     dict_bool(dict, "zero", range->zero) != 0 ||
		     dict_bool(dict, "data", range->data) != 0 ||
		     dict_bool(dict, "compressed", range->compressed) != 0 ||
		     (range->has_offset && dict_u64(dict, "offset", range->offset) != 0)))
		Py_CLEAR(dict);
	return dict;
}

PyObject *
call_map(PyObject *module, PyObject *args)
{
	struct source source = { 0 };
	struct q2s_diag diag = { 0 };
	struct walk walk = { 0 };
	PyObject *list = NULL;
	enum q2s_err err;

	(void)module;
	if (!PyArg_ParseTuple(args, "yzip", &source.name, &source.format, &source.follow,
			      &source.force_share))
		return NULL;
	Py_BEGIN_ALLOW_THREADS
	err = walk_all(&source, &walk, &diag);
	Py_END_ALLOW_THREADS
	if (err == Q2S_OK)
		list = PyList_New(0);
	else
		error_raise(&diag, source.name);
	for (size_t i = 0; list && i < walk.count; i++)
		if (list_take(list, range_dict(&walk.list[i])) != 0)
			Py_CLEAR(list);
	walk_close(&walk);
	return list;
}
