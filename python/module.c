/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The module's table, and small helpers for its objects. */
#include "module.h"

int
convert_u64(PyObject *object, void *out)
{
	const unsigned long long value = PyLong_AsUnsignedLongLong(object);

	if (value == (unsigned long long)-1 && PyErr_Occurred())
		return 0;
	*(uint64_t *)out = value;
	return 1;
}

int
dict_take(PyObject *dict, const char *key, PyObject *value)
{
	const int status = value ? PyDict_SetItemString(dict, key, value) : -1;

	Py_XDECREF(value);
	return status;
}

int
dict_u64(PyObject *dict, const char *key, uint64_t value)
{
	return dict_take(dict, key, PyLong_FromUnsignedLongLong(value));
}

int
dict_text(PyObject *dict, const char *key, const void *text, size_t len)
{
	return dict_take(dict, key, PyUnicode_DecodeUTF8(text, (Py_ssize_t)len, "replace"));
}

int
dict_bool(PyObject *dict, const char *key, bool value)
{
	return dict_take(dict, key, PyBool_FromLong(value));
}

int
list_take(PyObject *list, PyObject *item)
{
	const int status = item ? PyList_Append(list, item) : -1;

	Py_XDECREF(item);
	return status;
}

/* clang-format off */
static PyMethodDef methods[] = {
	{ "check", call_check, METH_VARARGS, NULL },
	{ "explain", call_explain, METH_VARARGS, NULL },
	{ "info", call_info, METH_VARARGS, NULL },
	{ "map", call_map, METH_VARARGS, NULL },
	{ "stream", call_stream, METH_VARARGS, NULL },
	{ NULL, NULL, 0, NULL },
};
/* clang-format on */

static struct PyModuleDef definition = {
	PyModuleDef_HEAD_INIT,
	.m_name = "_q2s",
	.m_doc = "libq2s for the package q2s, which has the documentation.",
	.m_size = -1,
	.m_methods = methods,
};

PyMODINIT_FUNC PyInit__q2s(void);

PyMODINIT_FUNC
PyInit__q2s(void)
{
	PyObject *const module = PyModule_Create(&definition);

	if (module && error_init(module) == 0 && disk_init(module) == 0 &&
	    PyModule_AddStringConstant(module, "version", q2s_version()) == 0)
		return module;
	Py_XDECREF(module);
	return NULL;
}
