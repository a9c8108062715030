/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* q2s._q2s.Disk: guest content, read at offsets by any number of threads at the same time. */
#include "module.h"

#include <stdlib.h>

/* A cursor that no thread uses. */
struct idle {
	struct idle *next;
	struct q2s_cursor *cursor;
};

/*
 * All of it is looked at and changed with the interpreter's lock held.
 *
 * @users   calls that use @disk without the lock
 * @closed  the last of them closes it
 */
struct disk {
	PyObject_HEAD
	struct q2s_disk *disk;
	struct idle *idle;
	size_t users;
	bool closed;
};

static PyTypeObject *disk_type;

/* ---- opening and closing ----------------------------------------------------------------- */

static void
disk_end(struct disk *self)
{
	struct q2s_disk *const disk = self->disk;
	struct idle *idle = self->idle;

	self->disk = NULL;
	self->idle = NULL;
	Py_BEGIN_ALLOW_THREADS
	while (idle) {
		struct idle *const next = idle->next;

		q2s_cursor_close(idle->cursor);
		free(idle);
		idle = next;
	}
	q2s_disk_close(disk);
	Py_END_ALLOW_THREADS
}

struct q2s_disk *
disk_use(PyObject *object)
{
	struct disk *const self = (struct disk *)object;

	if (!PyObject_TypeCheck(object, disk_type)) {
		PyErr_SetString(PyExc_TypeError, "not a disk");
		return NULL;
	}
	if (self->closed) {
		PyErr_SetString(PyExc_ValueError, "I/O operation on a closed disk");
		return NULL;
	}
	self->users++;
	return self->disk;
}

void
disk_unuse(PyObject *object)
{
	struct disk *const self = (struct disk *)object;

	if (--self->users == 0 && self->closed)
		disk_end(self);
}

static PyObject *
disk_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
	struct source source = { 0 };
	struct q2s_diag diag = { 0 };
	struct q2s_disk *disk = NULL;
	struct disk *self;
	enum q2s_err err;

	(void)kwargs;
	if (!PyArg_ParseTuple(args, "yzipzz#", &source.name, &source.format, &source.follow,
			      &source.force_share, &source.snapshot, &source.key,
			      &source.key_len))
		return NULL;
	Py_BEGIN_ALLOW_THREADS
	err = source_disk(&source, &disk, &diag);
	Py_END_ALLOW_THREADS
	if (err != Q2S_OK)
		return error_raise(&diag, source.name);
	self = PyObject_New(struct disk, type);
	if (!self) {
		q2s_disk_close(disk);
		return NULL;
	}
	self->disk = disk;
	self->idle = NULL;
	self->users = 0;
	self->closed = false;
	return (PyObject *)self;
}

static PyObject *
disk_close(PyObject *object, PyObject *unused)
{
	struct disk *const self = (struct disk *)object;
	const bool was_closed = self->closed;

	(void)unused;
	self->closed = true;
	if (!was_closed && self->users == 0)
		disk_end(self);
	Py_RETURN_NONE;
}

static void
disk_dealloc(PyObject *object)
{
	PyTypeObject *const type = Py_TYPE(object);

	if (((struct disk *)object)->disk)
		disk_end((struct disk *)object);
	PyObject_Free(object);
	Py_DECREF(type);
}

/* ---- cursors ----------------------------------------------------------------------------- */

/* A cursor for this call, which uses the disk; NULL with an exception. */
static struct idle *
take_cursor(struct disk *self)
{
	struct q2s_disk *const disk = disk_use((PyObject *)self);
	struct idle *idle = self->idle;
	struct q2s_diag diag = { 0 };
	enum q2s_err err = Q2S_E_NOMEM;

	if (!disk)
		return NULL;
	if (idle) {
		self->idle = idle->next;
		return idle;
	}
	idle = malloc(sizeof(*idle));
	Py_BEGIN_ALLOW_THREADS
	if (idle)
		err = q2s_cursor_open(disk, &idle->cursor, &diag);
	Py_END_ALLOW_THREADS
	if (err == Q2S_OK)
		return idle;
	if (idle)
		error_raise(&diag, q2s_disk_name(disk));
	else
		PyErr_NoMemory();
	free(idle);
	disk_unuse((PyObject *)self);
	return NULL;
}

static void
put_cursor(struct disk *self, struct idle *idle)
{
	idle->next = self->idle;
	self->idle = idle;
	disk_unuse((PyObject *)self);
}

/* ---- reading ----------------------------------------------------------------------------- */

/* @len bytes at @at, which are on the disk. */
static bool
read_at(struct disk *self, uint64_t at, void *buf, size_t len)
{
	struct idle *const idle = take_cursor(self);
	struct q2s_diag diag = { 0 };
	enum q2s_err err;

	if (!idle)
		return false;
	Py_BEGIN_ALLOW_THREADS
	err = q2s_cursor_read(idle->cursor, (q2s_guest){ at }, buf, len, &diag);
	Py_END_ALLOW_THREADS
	if (err != Q2S_OK)
		error_raise(&diag, q2s_disk_name(self->disk));
	put_cursor(self, idle);
	return err == Q2S_OK;
}

/* How many of @len bytes at @at are on the disk; -1 if it is closed. */
static Py_ssize_t
bytes_there(struct disk *self, uint64_t at, Py_ssize_t len)
{
	struct q2s_disk *const disk = disk_use((PyObject *)self);
	uint64_t size;

	if (!disk)
		return -1;
	size = q2s_disk_size(disk);
	disk_unuse((PyObject *)self);
	if (at >= size || len <= 0)
		return 0;
	return (uint64_t)len < size - at ? len : (Py_ssize_t)(size - at);
}

static PyObject *
disk_read(PyObject *object, PyObject *args)
{
	struct disk *const self = (struct disk *)object;
	Py_ssize_t len;
	PyObject *bytes;
	uint64_t at;

	if (!PyArg_ParseTuple(args, "O&n", convert_u64, &at, &len))
		return NULL;
	len = bytes_there(self, at, len);
	bytes = len < 0 ? NULL : PyBytes_FromStringAndSize(NULL, len);
	if (bytes && len > 0 && !read_at(self, at, PyBytes_AsString(bytes), (size_t)len))
		Py_CLEAR(bytes);
	return bytes;
}

static PyObject *
disk_readinto(PyObject *object, PyObject *args)
{
	struct disk *const self = (struct disk *)object;
	Py_ssize_t len;
	Py_buffer buf;
	uint64_t at;

	if (!PyArg_ParseTuple(args, "O&w*", convert_u64, &at, &buf))
		return NULL;
	len = bytes_there(self, at, buf.len);
	if (len > 0 && !read_at(self, at, buf.buf, (size_t)len))
		len = -1;
	PyBuffer_Release(&buf);
	return len < 0 ? NULL : PyLong_FromSsize_t(len);
}

/* ---- extents ----------------------------------------------------------------------------- */

/* Growing, without the interpreter's lock. */
struct extents {
	struct q2s_extent *list;
	size_t count, room;
};

static bool
continues(const struct q2s_extent *a, const struct q2s_extent *b)
{
	return a->state == b->state && a->file == b->file &&
	       (!a->file || a->at + a->len == b->at);
}

static enum q2s_err
extents_add(struct extents *extents, const struct q2s_extent *extent, struct q2s_diag *diag)
{
	struct q2s_extent *list;

	if (extents->count && continues(&extents->list[extents->count - 1], extent)) {
		extents->list[extents->count - 1].len += extent->len;
		return Q2S_OK;
	}
	if (extents->count == extents->room) {
		extents->room = extents->room ? 2 * extents->room : 64;
		list = realloc(extents->list, extents->room * sizeof(*list));
		if (!list)
			return error_fill(diag, Q2S_E_NOMEM, "extents", "out of memory");
		extents->list = list;
	}
	extents->list[extents->count++] = *extent;
	return Q2S_OK;
}

static enum q2s_err
find_extents(struct q2s_cursor *cursor, uint64_t at, uint64_t end, struct extents *out,
	     struct q2s_diag *diag)
{
	struct q2s_extent extent;
	enum q2s_err err = Q2S_OK;

	for (; err == Q2S_OK && at < end; at += extent.len) {
		err = q2s_cursor_extent(cursor, (q2s_guest){ at }, end - at, &extent, diag);
		if (err == Q2S_OK)
			err = extents_add(out, &extent, diag);
	}
	return err;
}

static PyObject *
extent_dict(uint64_t start, const struct q2s_extent *extent)
{
	static const char *const states[] = {
		[Q2S_ABSENT] = "unallocated",
		[Q2S_ZERO] = "zero",
		[Q2S_DATA] = "data",
	};
	PyObject *dict = Py_BuildValue("{sKsKss}", "start", (unsigned long long)start, "length",
				       (unsigned long long)extent->len, "state",
				       states[extent->state]);

	if (dict && extent->file &&
	    (dict_take(dict, "filename",
		       PyUnicode_DecodeFSDefault(q2s_store_name(extent->file))) != 0 ||
	     dict_u64(dict, "offset", extent->at) != 0))
		Py_CLEAR(dict);
	return dict;
}

static PyObject *
extents_list(uint64_t start, const struct extents *extents)
{
	PyObject *list = PyList_New(0);

	for (size_t i = 0; list && i < extents->count; i++) {
		if (list_take(list, extent_dict(start, &extents->list[i])) != 0)
			Py_CLEAR(list);
		start += extents->list[i].len;
	}
	return list;
}

static PyObject *
disk_extents(PyObject *object, PyObject *args)
{
	struct disk *const self = (struct disk *)object;
	struct extents extents = { 0 };
	struct q2s_diag diag = { 0 };
	uint64_t start, len, size;
	struct idle *idle;
	PyObject *list;
	enum q2s_err err;

	if (!PyArg_ParseTuple(args, "O&O&", convert_u64, &start, convert_u64, &len))
		return NULL;
	idle = take_cursor(self);
	if (!idle)
		return NULL;
	size = q2s_disk_size(self->disk);
	start = start < size ? start : size;
	len = len < size - start ? len : size - start;
	Py_BEGIN_ALLOW_THREADS
	err = find_extents(idle->cursor, start, start + len, &extents, &diag);
	Py_END_ALLOW_THREADS
	list = err == Q2S_OK ? extents_list(start, &extents)
			     : error_raise(&diag, q2s_disk_name(self->disk));
	free(extents.list);
	put_cursor(self, idle);
	return list;
}

/* ---- the type ---------------------------------------------------------------------------- */

static PyObject *
disk_size(PyObject *object, void *unused)
{
	struct q2s_disk *const disk = disk_use(object);
	PyObject *size;

	(void)unused;
	if (!disk)
		return NULL;
	size = PyLong_FromUnsignedLongLong(q2s_disk_size(disk));
	disk_unuse(object);
	return size;
}

/* clang-format off */
static PyMethodDef methods[] = {
	{ "close", disk_close, METH_NOARGS, NULL },
	{ "extents", disk_extents, METH_VARARGS, NULL },
	{ "read", disk_read, METH_VARARGS, NULL },
	{ "readinto", disk_readinto, METH_VARARGS, NULL },
	{ NULL, NULL, 0, NULL },
};
static PyGetSetDef properties[] = {
	{ "size", disk_size, NULL, NULL, NULL },
	{ NULL, NULL, NULL, NULL, NULL },
};
static PyType_Slot slots[] = {
	{ Py_tp_new, (void *)disk_new },
	{ Py_tp_dealloc, (void *)disk_dealloc },
	{ Py_tp_methods, methods },
	{ Py_tp_getset, properties },
	{ 0, NULL },
};
static PyType_Spec spec = {
	.name = "q2s._q2s.Disk",
	.basicsize = sizeof(struct disk),
	.flags = Py_TPFLAGS_DEFAULT,
	.slots = slots,
};
/* clang-format on */

int
disk_init(PyObject *module)
{
	disk_type = (PyTypeObject *)PyType_FromSpec(&spec);
	return disk_type ? PyModule_AddObjectRef(module, "Disk", (PyObject *)disk_type) : -1;
}
