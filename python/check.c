/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* q2s.check: findings and counts, as in the JSON of `q2s-inspect check`. */
#include "module.h"

#include <string.h>

/** @list receives up to @max findings; NULL after an exception, which waits. */
struct findings {
	PyObject *list;
	uint64_t max, omitted;
};

static PyObject *
finding_dict(const struct q2s_finding *finding)
{
	static const char *const severities[] = {
		[Q2S_SEVERITY_CORRUPTION] = "corruption",
		[Q2S_SEVERITY_LEAK] = "leak",
		[Q2S_SEVERITY_NOTE] = "note",
		[Q2S_SEVERITY_UNREADABLE] = "unreadable",
	};
	PyObject *dict = Py_BuildValue("{ssssss}", "id", finding->id, "severity",
				       severities[finding->severity], "structure",
				       finding->structure);

	if (dict && ((finding->host.v != Q2S_NOWHERE.v &&
		      dict_u64(dict, "host-offset", finding->host.v) != 0) ||
		     (finding->has_guest &&
		      dict_u64(dict, "guest-offset", finding->guest.v) != 0) ||
		     (finding->has_values && (dict_u64(dict, "found", finding->found) != 0 ||
					      dict_u64(dict, "expected", finding->expected) != 0)) ||
		     dict_text(dict, "text", finding->text, strlen(finding->text)) != 0))
		Py_CLEAR(dict);
	return dict;
}

/* From within the check, which does not hold the interpreter's lock. */
static void
take_finding(void *opaque, const struct q2s_finding *finding)
{
	struct findings *const findings = opaque;
	PyGILState_STATE state;

	if (findings->max == 0) {
		findings->omitted++;
		return;
	}
	findings->max--;
	state = PyGILState_Ensure();
	if (!PyErr_Occurred())
		(void)list_take(findings->list, finding_dict(finding));
	PyGILState_Release(state);
}

static enum q2s_err
check(const struct source *source, const struct q2s_check_options *options,
      struct q2s_check_result *result, struct q2s_diag *diag)
{
	struct q2s_image *image = NULL;
	struct q2s_store *file;
	enum q2s_err err = source_file(source, &file, diag);

	if (err != Q2S_OK)
		return err;
	err = q2s_image_open(file, Q2S_IMAGE_DAMAGED, &image, diag);
	if (err == Q2S_OK)
		err = q2s_check(image, options, result, diag);
	if (err == Q2S_OK)
		err = q2s_store_verify(file, diag);
	q2s_image_close(image);
	q2s_store_unref(file);
	return err;
}

static PyObject *
result_dict(const char *name, const struct findings *findings,
	    const struct q2s_check_result *result)
{
	const struct {
		const char *key;
		uint64_t value;
	} counts[] = {
		{ "findings-omitted", findings->omitted },
		{ "check-errors", result->check_errors },
		{ "corruptions", result->corruptions },
		{ "leaks", result->leaks },
		{ "image-end-offset", result->image_end_offset },
		{ "total-clusters", result->total_clusters },
		{ "allocated-clusters", result->allocated_clusters },
		{ "fragmented-clusters", result->fragmented_clusters },
		{ "compressed-clusters", result->compressed_clusters },
	};
	PyObject *dict = Py_BuildValue("{sNsssO}", "filename", PyUnicode_DecodeFSDefault(name),
				       "format", "qcow2", "findings", findings->list);

	for (size_t i = 0; dict && i < sizeof(counts) / sizeof(counts[0]); i++)
		if (dict_u64(dict, counts[i].key, counts[i].value) != 0)
			Py_CLEAR(dict);
	return dict;
}

PyObject *
call_check(PyObject *module, PyObject *args)
{
	struct findings findings = { 0 };
	struct q2s_check_options options = {
		.size = sizeof(options),
		.finding = take_finding,
		.opaque = &findings,
		.observer = &interrupt_observer,
	};
	struct source source = { .format = "qcow2" };
	struct q2s_check_result result = { 0 };
	struct q2s_diag diag = { 0 };
	PyObject *dict = NULL;
	int decode;
	enum q2s_err err;

	(void)module;
	if (!PyArg_ParseTuple(args, "yppO&", &source.name, &source.force_share, &decode,
			      convert_u64, &findings.max))
		return NULL;
	findings.list = PyList_New(0);
	if (!findings.list)
		return NULL;
	options.decode = decode;
	Py_BEGIN_ALLOW_THREADS
	err = check(&source, &options, &result, &diag);
	Py_END_ALLOW_THREADS
	if (err != Q2S_OK)
		error_raise(&diag, source.name);
	else if (!PyErr_Occurred())
		dict = result_dict(source.name, &findings, &result);
	Py_DECREF(findings.list);
	return dict;
}
