/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* q2s.info: what an image is, with keys of `qemu-img info`, and geometry. */
#include "module.h"

#define NSEC_PER_SEC 1000000000u

static PyObject *
text(const void *data, size_t len)
{
	return PyUnicode_DecodeUTF8(data, (Py_ssize_t)len, "replace");
}

static unsigned long long
ull(uint64_t value)
{
	return value;
}

/* ---- tables ------------------------------------------------------------------------------ */

static PyObject *
snapshot_dict(const struct q2s_snapshot *snapshot)
{
	PyObject *dict = Py_BuildValue(
		"{sNsNsKsKsKsKsK}", "id", text(snapshot->id, snapshot->id_len), "name",
		text(snapshot->name, snapshot->name_len), "vm-state-size",
		ull(snapshot->vm_state_size), "date-sec", ull(snapshot->date_sec), "date-nsec",
		ull(snapshot->date_nsec), "vm-clock-sec",
		ull(snapshot->vm_clock_nsec / NSEC_PER_SEC), "vm-clock-nsec",
		ull(snapshot->vm_clock_nsec % NSEC_PER_SEC));

	if (dict && snapshot->has_icount && dict_u64(dict, "icount", snapshot->icount) != 0)
		Py_CLEAR(dict);
	return dict;
}

static PyObject *
snapshot_list(const struct q2s_snapshots *snapshots)
{
	PyObject *list = PyList_New(0);

	for (uint32_t i = 0; list && i < snapshots->count; i++)
		if (list_take(list, snapshot_dict(&snapshots->list[i])) != 0)
			Py_CLEAR(list);
	return list;
}

static PyObject *
bitmap_dict(const struct q2s_bitmap *bitmap)
{
	PyObject *flags = PyList_New(0);

	if (flags &&
	    ((bitmap->flags & Q2S_BITMAP_IN_USE &&
	      list_take(flags, PyUnicode_FromString("in-use")) != 0) ||
	     (bitmap->flags & Q2S_BITMAP_AUTO && list_take(flags, PyUnicode_FromString("auto")) != 0)))
		Py_CLEAR(flags);
	return Py_BuildValue("{sNsKsN}", "name", text(bitmap->name, bitmap->name_len),
			     "granularity", 1ull << bitmap->granularity_bits, "flags", flags);
}

static PyObject *
bitmap_list(const struct q2s_bitmaps *bitmaps)
{
	PyObject *list = PyList_New(0);

	for (uint32_t i = 0; list && i < bitmaps->count; i++)
		if (list_take(list, bitmap_dict(&bitmaps->list[i])) != 0)
			Py_CLEAR(list);
	return list;
}

/* ---- the image --------------------------------------------------------------------------- */

/** What was read without the interpreter's lock. @image is NULL for a raw disk. */
struct gathered {
	struct q2s_chain *chain;
	const struct q2s_layer *top;
	const struct q2s_image *image;
	struct q2s_snapshots snapshots;
	struct q2s_bitmaps bitmaps;
};

static enum q2s_err
gather(const struct source *source, struct gathered *out, struct q2s_diag *diag)
{
	enum q2s_err err = source_chain(source, &out->chain, diag);

	if (err != Q2S_OK)
		return err;
	out->top = q2s_chain_layer(out->chain, 0);
	out->image = out->top->image;
	if (out->image)
		err = q2s_image_snapshots(out->image, &out->snapshots, diag);
	if (err == Q2S_OK && out->image && q2s_image_bitmaps(out->image))
		err = q2s_image_bitmap_directory(out->image, &out->bitmaps, diag);
	return err;
}

static void
gathered_free(struct gathered *gathered)
{
	q2s_snapshots_free(&gathered->snapshots);
	q2s_bitmaps_free(&gathered->bitmaps);
	q2s_chain_unref(gathered->chain);
}

/* What only version 3 can say. */
static int
set_v3(PyObject *data, const struct gathered *it)
{
	const struct q2s_header *const header = q2s_image_header(it->image);
	const struct q2s_bytes data_file = q2s_image_data_file_name(it->image);

	if (dict_bool(data, "lazy-refcounts",
		      header->compatible_features & Q2S_COMPAT_LAZY_REFCOUNTS) != 0 ||
	    dict_bool(data, "corrupt", header->incompatible_features & Q2S_INCOMPAT_CORRUPT) != 0 ||
	    dict_bool(data, "extended-l2", q2s_image_geom(it->image)->extended) != 0)
		return -1;
	if (it->bitmaps.count && dict_take(data, "bitmaps", bitmap_list(&it->bitmaps)) != 0)
		return -1;
	if (!q2s_image_geom(it->image)->data_file)
		return 0;
	if (data_file.data && dict_text(data, "data-file", data_file.data, data_file.len) != 0)
		return -1;
	return dict_bool(data, "data-file-raw",
			 header->autoclear_features & Q2S_AUTOCLEAR_DATA_FILE_RAW);
}

static PyObject *
format_specific(const struct gathered *it)
{
	const struct q2s_header *const header = q2s_image_header(it->image);
	PyObject *data = Py_BuildValue(
		"{sssssI}", "compat", header->version == 2 ? "0.10" : "1.1", "compression-type",
		header->compression_type == Q2S_COMPRESSION_ZSTD ? "zstd" : "zlib",
		"refcount-bits", (unsigned)q2s_image_geom(it->image)->refcount_bits);

	if (data && header->version >= 3 && set_v3(data, it) != 0)
		Py_CLEAR(data);
	return Py_BuildValue("{sssN}", "type", "qcow2", "data", data);
}

static PyObject *
geometry(const struct q2s_geom *geom)
{
	return Py_BuildValue("{sIsIsKsIsIsIsIsKsKsIsI}", "cluster-bits",
			     (unsigned)geom->cluster_bits, "cluster-size",
			     (unsigned)geom->cluster_size, "clusters", ull(geom->clusters),
			     "subclusters-per-cluster", (unsigned)geom->sub_count,
			     "subcluster-size", (unsigned)geom->sub_size, "l2-entry-size",
			     (unsigned)geom->l2_entry_size, "l2-entries",
			     (unsigned)geom->l2_entries, "l2-span", ull(geom->l2_span),
			     "l1-entries", ull(geom->l1_entries), "refcount-bits",
			     (unsigned)geom->refcount_bits, "refcount-block-entries",
			     (unsigned)geom->block_entries);
}

static int
set_image(PyObject *dict, const struct gathered *it)
{
	const struct q2s_bytes name = q2s_image_backing_name(it->image);
	const struct q2s_bytes format = q2s_image_backing_format(it->image);
	const struct q2s_header *const header = q2s_image_header(it->image);

	if (dict_u64(dict, "cluster-size", q2s_image_geom(it->image)->cluster_size) != 0 ||
	    dict_take(dict, "format-specific", format_specific(it)) != 0)
		return -1;
	if (header->crypt_method != Q2S_CRYPT_NONE && dict_bool(dict, "encrypted", true) != 0)
		return -1;
	if (it->snapshots.count && dict_take(dict, "snapshots", snapshot_list(&it->snapshots)) != 0)
		return -1;
	if (name.len && dict_text(dict, "backing-filename", name.data, name.len) != 0)
		return -1;
	if (name.len && format.len &&
	    dict_text(dict, "backing-filename-format", format.data, format.len) != 0)
		return -1;
	return dict_take(dict, "q2s",
			 Py_BuildValue("{sKsIsN}", "file-size",
				       ull(q2s_store_size(it->top->file)), "version",
				       (unsigned)header->version, "geometry",
				       geometry(q2s_image_geom(it->image))));
}

static PyObject *
info_dict(const struct gathered *it)
{
	PyObject *dict = Py_BuildValue(
		"{sKsNsssK}", "virtual-size", ull(it->top->size), "filename",
		PyUnicode_DecodeFSDefault(q2s_store_name(it->top->file)), "format",
		it->image ? "qcow2" : "raw", "actual-size",
		ull(q2s_store_allocated(it->top->file)));
	const bool dirty = it->image && q2s_image_header(it->image)->incompatible_features &
						Q2S_INCOMPAT_DIRTY;

	if (dict && (dict_bool(dict, "dirty-flag", dirty) != 0 ||
		     (it->image && set_image(dict, it) != 0)))
		Py_CLEAR(dict);
	return dict;
}

PyObject *
call_info(PyObject *module, PyObject *args)
{
	struct source source = { .follow = Q2S_FOLLOW_NONE };
	struct gathered gathered = { 0 };
	struct q2s_diag diag = { 0 };
	PyObject *dict;
	enum q2s_err err;

	(void)module;
	if (!PyArg_ParseTuple(args, "yzp", &source.name, &source.format, &source.force_share))
		return NULL;
	Py_BEGIN_ALLOW_THREADS
	err = gather(&source, &gathered, &diag);
	Py_END_ALLOW_THREADS
	dict = err == Q2S_OK ? info_dict(&gathered) : error_raise(&diag, source.name);
	gathered_free(&gathered);
	return dict;
}
