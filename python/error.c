/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the library reports, as an exception. */
#include "module.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ERROR_LINE 1024

static PyObject *error_type;

int
error_init(PyObject *module)
{
	error_type = PyErr_NewExceptionWithDoc(
		"q2s.Error",
		"An image that cannot be read, or a request that cannot be carried out.\n\n"
		"code: the kind of error, such as 'subcluster', 'short' or 'key'\n"
		"structure: the structure or field, in the format's own term, or ''\n"
		"offset: host offset of the structure, or None\n"
		"value: the value that is wrong, or None\n"
		"message: the rule that was broken\n"
		"follow: the least value of follow= that would allow it ('beside', 'any'), or None",
		PyExc_OSError, NULL);
	return error_type ? PyModule_AddObjectRef(module, "Error", error_type) : -1;
}

static int
error_number(const struct q2s_diag *diag)
{
	if (diag->sys_errno)
		return diag->sys_errno;
	switch (diag->err) {
	case Q2S_E_USAGE:
	case Q2S_E_CONFLICT:
		return EINVAL;
	case Q2S_E_POLICY:
		return EPERM;
	case Q2S_E_EXISTS:
		return EEXIST;
	case Q2S_E_NOMEM:
		return ENOMEM;
	case Q2S_E_BUSY:
		return EBUSY;
	case Q2S_E_UNSUPPORTED:
	case Q2S_E_MISSING:
		return EOPNOTSUPP;
	case Q2S_E_KEY:
		return EACCES;
	case Q2S_E_CANCELLED:
		return ECANCELED;
	default: /* what lies in the image is wrong, or changed */
		return EIO;
	}
}

/* The attribute @name is @value, which is taken over. */
static int
set(PyObject *error, const char *name, PyObject *value)
{
	const int status = value ? PyObject_SetAttrString(error, name, value) : -1;

	Py_XDECREF(value);
	return status;
}

static PyObject *
number_or_none(bool is, uint64_t value)
{
	return is ? PyLong_FromUnsignedLongLong(value) : Py_NewRef(Py_None);
}

static PyObject *
decode(const char *text)
{
	return PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace");
}

static PyObject *
follow_name(const struct q2s_diag *diag)
{
	if (diag->err != Q2S_E_POLICY || diag->follow == Q2S_FOLLOW_NONE)
		return Py_NewRef(Py_None);
	return PyUnicode_FromString(diag->follow == Q2S_FOLLOW_BESIDE ? "beside" : "any");
}

static int
set_all(PyObject *error, const struct q2s_diag *diag)
{
	if (set(error, "code", PyUnicode_FromString(q2s_err_name(diag->err))) == 0 &&
	    set(error, "structure", decode(diag->what)) == 0 &&
	    set(error, "offset", number_or_none(diag->at.v != Q2S_NOWHERE.v, diag->at.v)) == 0 &&
	    set(error, "value", number_or_none(diag->has_value, diag->value)) == 0 &&
	    set(error, "message", decode(diag->text)) == 0)
		return set(error, "follow", follow_name(diag));
	return -1;
}

PyObject *
error_raise(const struct q2s_diag *diag, const char *file)
{
	char line[ERROR_LINE];
	PyObject *error, *text, *name;

	if (PyErr_Occurred())
		return NULL;
	q2s_diag_format(diag, line, sizeof(line));
	text = decode(line);
	name = PyUnicode_DecodeFSDefault(diag->file[0] ? diag->file : file);
	error = text && name ? PyObject_CallFunction(error_type, "iOO", error_number(diag), text,
						     name)
			     : NULL;
	Py_XDECREF(text);
	Py_XDECREF(name);
	if (error && set_all(error, diag) == 0)
		PyErr_SetObject(error_type, error);
	Py_XDECREF(error);
	return NULL;
}

enum q2s_err
error_fill(struct q2s_diag *diag, enum q2s_err err, const char *what, const char *text)
{
	diag->err = err;
	diag->at = Q2S_NOWHERE;
	snprintf(diag->what, sizeof(diag->what), "%s", what);
	snprintf(diag->text, sizeof(diag->text), "%s", text);
	return err;
}

/* Signals are the main thread's; where another one steps, nothing happens. */
static bool
step(void *opaque, enum q2s_phase phase, uint64_t done, uint64_t total)
{
	const PyGILState_STATE state = PyGILState_Ensure();
	const bool go_on = PyErr_CheckSignals() == 0;

	(void)opaque, (void)phase, (void)done, (void)total;
	PyGILState_Release(state);
	return go_on;
}

const struct q2s_observer interrupt_observer = { .step = step };
