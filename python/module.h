/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * q2s._q2s, the part of the Python package that is in C: what the library does, without the
 * interpreter's lock while it does it. Names and defaults of arguments are q2s/__init__.py's.
 */
#ifndef PYTHON_MODULE_H
#define PYTHON_MODULE_H

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000 /* buffers are part of it since 3.11 */
#include <Python.h>

#include <q2s/q2s.h>

/* ---- errors ------------------------------------------------------------------------------ */

/** Make q2s.Error, and put it into @module. 0, or -1 with an exception. */
int error_init(PyObject *module);

/** Raise @diag as q2s.Error, unless an exception is there already. Always NULL. @file: its name, if
 * @diag has none. */
PyObject *error_raise(const struct q2s_diag *diag, const char *file);

/** Fill @diag, and return @err. */
enum q2s_err error_fill(struct q2s_diag *diag, enum q2s_err err, const char *what,
			const char *text);

/** Lets Ctrl-C end long work: Q2S_E_CANCELLED, with the exception set. */
extern const struct q2s_observer interrupt_observer;

/* ---- what is read ------------------------------------------------------------------------ */

/**
 * An image, and how it is opened. Borrowed from the arguments of the call.
 *
 * @key  passphrase of encrypted layers, or NULL
 */
struct source {
	const char *name;
	const char *format;
	int follow;
	int force_share;
	const char *snapshot;
	const char *key;
	Py_ssize_t key_len;
};

/** Open the file, locked as QEMU locks what it reads; refuse what is no disk without @format. */
enum q2s_err source_file(const struct source *source, struct q2s_store **out,
			 struct q2s_diag *diag);
/** Open the image and what lies below it. Without following any, the chain may end early. */
enum q2s_err source_chain(const struct source *source, struct q2s_chain **out,
			  struct q2s_diag *diag);
/** Open the content, also of an NBD URI. */
enum q2s_err source_disk(const struct source *source, struct q2s_disk **out,
			 struct q2s_diag *diag);

/* ---- objects ----------------------------------------------------------------------------- */

/** Converter of PyArg_ParseTuple() to uint64_t, which raises OverflowError. */
int convert_u64(PyObject *object, void *out);

/** @key of @dict is @value, which is taken over; NULL stands for an exception. 0 or -1. */
int dict_take(PyObject *dict, const char *key, PyObject *value);
int dict_u64(PyObject *dict, const char *key, uint64_t value);
int dict_text(PyObject *dict, const char *key, const void *text, size_t len); /* UTF-8, perhaps */
int dict_bool(PyObject *dict, const char *key, bool value);

/** Append @item to @list and drop the reference; NULL stands for an exception. 0 or -1. */
int list_take(PyObject *list, PyObject *item);

/** Make q2s._q2s.Disk. */
int disk_init(PyObject *module);

/** The disk of @object, in use until disk_unuse(); NULL with an exception if it is none, or closed. */
struct q2s_disk *disk_use(PyObject *object);
void disk_unuse(PyObject *object);

/* ---- functions of the module ------------------------------------------------------------- */

PyObject *call_check(PyObject *module, PyObject *args);
PyObject *call_explain(PyObject *module, PyObject *args);
PyObject *call_info(PyObject *module, PyObject *args);
PyObject *call_map(PyObject *module, PyObject *args);
PyObject *call_stream(PyObject *module, PyObject *args);

#endif
