/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * q2s.explain: the way of a guest offset through the tables of each layer. The keys and values are
 * those of `q2s-inspect explain`; its sentences are the tool's alone.
 */
#include "module.h"

#include <stdio.h>
#include <string.h>

/* Guest bytes that are shown. */
#define BYTES_SHOWN 16u
#define HEX_SIZE (2 * BYTES_SHOWN + 1)

/** Bytes of a file that a step is about. @len 0: the step was not made. */
struct bytes_read {
	const char *what;
	q2s_host at;
	uint8_t raw[BYTES_SHOWN];
	size_t len;
};

/** What was found in one layer. */
struct way {
	const char *outcome;
	struct bytes_read l1, l2, host;
	q2s_host table; /* the L2 table */
	bool has_host, compressed;
	q2s_host at; /* of the guest's byte */
	struct q2s_l2_entry entry;
};

static enum q2s_err
read_bytes(struct q2s_store *file, const char *what, q2s_host at, size_t len,
	   struct bytes_read *out, struct q2s_diag *diag)
{
	out->what = what;
	out->at = at;
	out->len = len;
	return q2s_store_read_padded(file, at.v, out->raw, len, NULL, diag);
}

/* The bytes of a cluster of data, as far as its subcluster goes. */
static enum q2s_err
find_data(const struct q2s_layer *layer, q2s_guest guest, struct way *way, struct q2s_diag *diag)
{
	const struct q2s_geom *const geom = q2s_image_geom(layer->image);
	const uint32_t left = geom->sub_size - q2s_in_cluster(geom, guest) % geom->sub_size;

	way->outcome = "data";
	way->has_host = true;
	way->at.v = way->entry.host.v + q2s_in_cluster(geom, guest);
	if (geom->data_file)
		return Q2S_OK;
	if (way->at.v >= q2s_store_size(layer->file)) {
		way->outcome = "invalid";
		return Q2S_OK;
	}
	return read_bytes(layer->file, "data", way->at, left < BYTES_SHOWN ? left : BYTES_SHOWN,
			  &way->host, diag);
}

static enum q2s_err
find_entry(const struct q2s_layer *layer, q2s_guest guest, struct way *way, struct q2s_diag *diag)
{
	const struct q2s_geom *const geom = q2s_image_geom(layer->image);
	const q2s_host at = { way->table.v + (uint64_t)q2s_l2_index(geom, guest) *
						     geom->l2_entry_size };
	enum q2s_err err = read_bytes(layer->file, "L2 entry", at, geom->l2_entry_size, &way->l2,
				      diag);

	if (err != Q2S_OK)
		return err;
	if (q2s_l2_decode_lenient(geom, way->l2.raw, at, &way->entry, NULL) != Q2S_OK) {
		way->outcome = "invalid";
		return Q2S_OK;
	}
	way->compressed = way->entry.compressed;
	if (way->compressed) {
		way->outcome = "compressed";
		return Q2S_OK;
	}
	switch (q2s_l2_state(&way->entry, q2s_sub_index(geom, guest))) {
	case Q2S_DATA:
		return find_data(layer, guest, way, diag);
	case Q2S_ZERO:
		way->outcome = "zero";
		return Q2S_OK;
	default:
		return Q2S_OK;
	}
}

static enum q2s_err
find_way(const struct q2s_layer *layer, q2s_guest guest, struct way *way, struct q2s_diag *diag)
{
	const struct q2s_header *header;
	const struct q2s_geom *geom;
	struct q2s_l1_entry entry;
	q2s_host at;
	enum q2s_err err;

	*way = (struct way){ .outcome = "unallocated" };
	if (!layer->image) {
		way->outcome = "data";
		way->has_host = true;
		way->at.v = guest.v;
		return read_bytes(layer->file, "data", way->at, BYTES_SHOWN, &way->host, diag);
	}
	header = q2s_image_header(layer->image);
	geom = q2s_image_geom(layer->image);
	at.v = header->l1_table_offset.v + q2s_l1_index(geom, guest) * Q2S_L1_ENTRY_SIZE;
	err = read_bytes(layer->file, "L1 entry", at, Q2S_L1_ENTRY_SIZE, &way->l1, diag);
	if (err != Q2S_OK)
		return err;
	err = q2s_l1_decode(geom, way->l1.raw, at, &entry, diag);
	if (err != Q2S_OK)
		return err;
	way->table = entry.l2;
	if (way->table.v == 0)
		return Q2S_OK;
	if (way->table.v >= q2s_store_size(layer->file)) {
		way->outcome = "invalid";
		return Q2S_OK;
	}
	return find_entry(layer, guest, way, diag);
}

/* ---- as objects -------------------------------------------------------------------------- */

static int
add_step(PyObject *steps, const char *id, const struct bytes_read *bytes, const char *key,
	 q2s_host value)
{
	char hex[HEX_SIZE] = "";
	PyObject *step = Py_BuildValue("{ss}", "id", id);

	for (size_t i = 0; i < bytes->len; i++)
		snprintf(hex + 2 * i, 3, "%02x", bytes->raw[i]);
	if (step && bytes->len &&
	    dict_take(step, "read",
		      Py_BuildValue("[{sssKss}]", "what", bytes->what, "offset",
				    (unsigned long long)bytes->at.v, "hex", hex)) != 0)
		Py_CLEAR(step);
	if (step && key && dict_u64(step, key, value.v) != 0)
		Py_CLEAR(step);
	return list_take(steps, step);
}

static PyObject *
compressed_step(const struct q2s_l2_entry *entry)
{
	return Py_BuildValue("{sssKsI}", "id", "compressed", "stream-offset",
			     (unsigned long long)entry->comp_at.v, "stream-bytes",
			     (unsigned)entry->comp_bytes);
}

static PyObject *
way_steps(const struct q2s_layer *layer, const struct way *way)
{
	PyObject *steps = PyList_New(0);

	if (!steps || (way->l1.len && add_step(steps, "l1", &way->l1, "l2-table", way->table) != 0) ||
	    (way->l2.len && add_step(steps, "l2", &way->l2, NULL, way->at) != 0) ||
	    (way->compressed && list_take(steps, compressed_step(&way->entry)) != 0) ||
	    (way->has_host && add_step(steps, layer->image ? "host" : "raw", &way->host,
				       layer->image ? "host-offset" : NULL, way->at) != 0))
		Py_CLEAR(steps);
	return steps;
}

static PyObject *
layer_dict(size_t depth, const struct q2s_layer *layer, const struct way *way)
{
	return Py_BuildValue("{snsNsssssN}", "depth", (Py_ssize_t)depth, "filename",
			     PyUnicode_DecodeFSDefault(q2s_store_name(layer->file)), "format",
			     layer->image ? "qcow2" : "raw", "outcome", way->outcome, "steps",
			     way_steps(layer, way));
}

static PyObject *
result_dict(const char *state, size_t depth, const struct way *way)
{
	PyObject *dict = Py_BuildValue("{sssn}", "state", state, "depth", (Py_ssize_t)depth);

	if (dict && way->has_host && dict_u64(dict, "host-offset", way->at.v) != 0)
		Py_CLEAR(dict);
	return dict;
}

/* What is unallocated at @depth, and in all layers above: is that the last word? NULL if not. */
static const char *
end_of_chain(const struct q2s_chain *chain, size_t depth, q2s_guest guest)
{
	if (depth + 1 < q2s_chain_count(chain))
		return guest.v >= q2s_chain_layer(chain, depth + 1)->size ? "zero" : NULL;
	return q2s_chain_end(chain, NULL) == Q2S_OK ? "zero" : "unallocated";
}

/* Layer by layer; the result, or NULL with an exception. */
static PyObject *
explain(const struct q2s_chain *chain, q2s_guest guest, PyObject *layers)
{
	for (size_t depth = 0;; depth++) {
		const struct q2s_layer *const layer = q2s_chain_layer(chain, depth);
		struct q2s_diag diag = { 0 };
		const char *state;
		struct way way;
		enum q2s_err err;

		Py_BEGIN_ALLOW_THREADS
		err = find_way(layer, guest, &way, &diag);
		Py_END_ALLOW_THREADS
		if (err != Q2S_OK)
			return error_raise(&diag, q2s_store_name(layer->file));
		if (list_take(layers, layer_dict(depth, layer, &way)) != 0)
			return NULL;
		state = strcmp(way.outcome, "unallocated") != 0 ? way.outcome
								: end_of_chain(chain, depth, guest);
		if (state)
			return result_dict(state, depth, &way);
	}
}

static PyObject *
explain_dict(const char *name, const struct q2s_chain *chain, q2s_guest guest)
{
	const uint64_t size = q2s_chain_layer(chain, 0)->size;
	PyObject *layers, *result;

	if (guest.v >= size)
		return PyErr_Format(PyExc_ValueError, "offset %llu is not on the disk of %llu bytes",
				    (unsigned long long)guest.v, (unsigned long long)size);
	layers = PyList_New(0);
	result = layers ? explain(chain, guest, layers) : NULL;
	if (!result) {
		Py_XDECREF(layers);
		return NULL;
	}
	return Py_BuildValue("{sNsKsNsN}", "filename", PyUnicode_DecodeFSDefault(name),
			     "guest-offset", (unsigned long long)guest.v, "layers", layers,
			     "result", result);
}

PyObject *
call_explain(PyObject *module, PyObject *args)
{
	struct source source = { 0 };
	struct q2s_chain *chain = NULL;
	struct q2s_diag diag = { 0 };
	q2s_guest guest;
	PyObject *dict;
	enum q2s_err err;

	(void)module;
	if (!PyArg_ParseTuple(args, "yO&zip", &source.name, convert_u64, &guest.v, &source.format,
			      &source.follow, &source.force_share))
		return NULL;
	Py_BEGIN_ALLOW_THREADS
	err = source_chain(&source, &chain, &diag);
	Py_END_ALLOW_THREADS
	dict = err == Q2S_OK ? explain_dict(source.name, chain, guest)
			     : error_raise(&diag, source.name);
	q2s_chain_unref(chain);
	return dict;
}
