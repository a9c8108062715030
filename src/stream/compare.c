/* SPDX-License-Identifier: GPL-2.0-or-later */
/* q2s-stream --compare. */
#include "stream/compare.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/json.h"
#include "common/progress.h"
#include "common/tool.h"
#include "stream/source.h"

/* What is compared, and what came out. */
struct pair {
	struct source a, b;
	struct q2s_comparison result;
};

/* The same keys for all results, so that a script needs no cases. */
static int
print_json(const struct pair *pair)
{
	const struct q2s_comparison *result = &pair->result;
	json_t *const object = json_object();

	(void)json_object_set_new(object, "same", json_boolean(result->same));
	(void)json_object_set_new(object, "offset",
				  result->same ? json_null() : u64_json(result->at.v));
	(void)json_object_set_new(object, "virtual-size-a", u64_json(q2s_disk_size(pair->a.disk)));
	(void)json_object_set_new(object, "virtual-size-b", u64_json(q2s_disk_size(pair->b.disk)));
	return output_json(stdout, object) == 0 || tool_reader_is_gone() ?
		       0 :
		       tool_error("cannot print the result");
}

static int
print(const struct stream_options *options, const struct pair *pair)
{
	const uint64_t a = q2s_disk_size(pair->a.disk), b = q2s_disk_size(pair->b.disk);
	int status = 0;

	if (options->json)
		status = print_json(pair);
	else if (pair->result.same)
		(void)printf("The disks are the same.\n");
	else
		(void)printf("The disks differ at offset %" PRIu64 ".\n", pair->result.at.v);
	if (a != b && pair->result.same)
		tool_warn("the sizes differ, %" PRIu64 " and %" PRIu64
			  " bytes; what only one of them has is zero", a, b);
	if (status == 0 && !pair->result.same)
		status = COMPARE_DIFFER;
	return tool_finish(status);
}

static enum q2s_err
run(const struct stream_options *options, struct pair *pair, const char **name,
    struct q2s_diag *diag)
{
	struct stream_options other = *options;
	enum q2s_err err = progress_start(options->progress, diag);

	other.layers = NULL;
	other.source = options->other;
	other.format = options->other_format;
	other.follow = options->other_follow;
	other.snapshot = NULL;
	other.has_size = false;
	if (err == Q2S_OK)
		err = source_open(options, &pair->a, diag);
	if (err == Q2S_OK) {
		*name = other.source;
		err = source_open(&other, &pair->b, diag);
	}
	source_warn_keys(options, pair->a.disk, pair->b.disk);
	if (err == Q2S_OK)
		err = q2s_disk_compare(pair->a.disk, pair->b.disk, progress_observer(),
				       &pair->result, diag);
	source_warn_cut(&pair->a);
	source_warn_cut(&pair->b);
	return err;
}

int
compare(const struct stream_options *options)
{
	const char *name = options->source; /* whose failure it is, if the diagnostic names none */
	struct pair pair = { 0 };
	struct q2s_diag diag = { 0 };
	const enum q2s_err err = run(options, &pair, &name, &diag);
	int status;

	progress_stop();
	status = err == Q2S_OK ? print(options, &pair) : tool_fail(source_shown(name), &diag);
	source_close(&pair.a);
	source_close(&pair.b);
	return status;
}
