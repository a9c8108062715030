/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stream/salvage.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/fault.h"
#include "common/json.h"
#include "common/output.h"
#include "common/tool.h"
#include "stream/other_output.h"

static const char *const words[] = {
	[Q2S_SALVAGE_SURE] = "sure",
	[Q2S_SALVAGE_ZERO_FILLED] = "zero-filled",
	[Q2S_SALVAGE_LOST] = "lost",
};

bool
salvage_check(const struct stream_options *options)
{
	if (!options->salvage)
		return true;
	if (options->compare)
		(void)tool_usage_error("--salvage: what cannot be read cannot be compared");
	else if (options->data_file)
		(void)tool_usage_error("--salvage: with -d nothing is copied out of SOURCE");
	else if (options->plan || options->save_plan)
		(void)tool_usage_error("--salvage: a plan is about a SOURCE that can be read");
	else if (options->range.kind != RANGE_ALL)
		(void)tool_usage_error("--salvage tells of all of the disk; --range, --resume and --part "
				       "read but some of it, and may find another state each time");
	else if (options->measure && options->salvage_map)
		(void)tool_usage_error("--salvage=MAP is about what was written; --measure writes "
				       "nothing");
	else if (options->salvage_map && !options->salvage_map[0])
		(void)tool_usage_error("--salvage=: the name of the map is empty");
	else
		return true;
	return false;
}

enum q2s_err
salvage_check_map(const struct stream_options *options, struct q2s_diag *diag)
{
	if (!options->salvage_map)
		return Q2S_OK;
	const enum q2s_err err =
		other_output_check(options->salvage_map, options->dest, "--salvage", diag);

	return err == Q2S_OK ? output_check(options->salvage_map, Q2S_SINK_REPLACE, diag) : err;
}

/* ---- stretches --------------------------------------------------------------------------- */

/* What is at *@at, with all of the same state behind it; *@at becomes its end. */
static struct q2s_salvaged
next_stretch(struct q2s_disk *disk, uint64_t *at)
{
	struct q2s_salvaged all = { 0 }, next;

	while (*at < q2s_disk_size(disk) &&
	       q2s_salvage_look(disk, (q2s_guest){ *at }, &next, NULL) == Q2S_OK &&
	       (all.len == 0 || next.state == all.state)) {
		all.state = next.state;
		all.len += next.len;
		*at += next.len;
	}
	return all;
}

/* Bytes in each state. */
static void
count(struct q2s_disk *disk, uint64_t bytes[3])
{
	for (uint64_t at = 0; at < q2s_disk_size(disk);) {
		const struct q2s_salvaged stretch = next_stretch(disk, &at);

		bytes[stretch.state] += stretch.len;
	}
}

/* ---- telling ----------------------------------------------------------------------------- */

static int
print_map(FILE *out, struct q2s_disk *disk)
{
	struct jstream stream;

	jstream_begin(&stream, out);
	jstream_open_array(&stream, NULL);
	for (uint64_t at = 0; at < q2s_disk_size(disk);) {
		const uint64_t start = at;
		const struct q2s_salvaged stretch = next_stretch(disk, &at);
		json_t *const object = json_object();

		(void)json_object_set_new(object, "start", u64_json(start));
		(void)json_object_set_new(object, "length", u64_json(stretch.len));
		(void)json_object_set_new(object, "state", json_string(words[stretch.state]));
		jstream_value(&stream, NULL, object);
	}
	jstream_close(&stream);
	return jstream_finish(&stream);
}

static enum q2s_err
write_map(const char *path, struct q2s_disk *disk, struct q2s_diag *diag)
{
	struct output output = { 0 };
	char *text = NULL;
	size_t len = 0;
	FILE *const out = open_memstream(&text, &len);
	enum q2s_err err = Q2S_OK;

	if (!out)
		return fault_nomem(diag, "--salvage");
	if (print_map(out, disk) != 0)
		err = fault_nomem(diag, "--salvage");
	if (fclose(out) != 0 && err == Q2S_OK)
		err = fault_nomem(diag, "--salvage");
	if (err == Q2S_OK)
		err = output_open(&output, path, Q2S_SINK_REPLACE, len, diag);
	if (err == Q2S_OK)
		err = q2s_sink_write(output.sink, text, len, diag);
	if (err == Q2S_OK)
		err = output_commit(&output, diag);
	else
		output_abort(&output);
	free(text);
	return fault_in(diag, err, path);
}

/* Each stretch that is not sure. */
static void
print_ranges(struct q2s_disk *disk)
{
	for (uint64_t at = 0; at < q2s_disk_size(disk);) {
		const uint64_t start = at;
		const struct q2s_salvaged stretch = next_stretch(disk, &at);

		if (stretch.state != Q2S_SALVAGE_SURE)
			tool_warn("%s: %" PRIu64 " bytes at guest offset %" PRIu64 " are %s",
				  q2s_disk_name(disk), stretch.len, start, words[stretch.state]);
	}
}

int
salvage_tell(const struct stream_options *options, struct q2s_disk *disk)
{
	uint64_t bytes[3] = { 0 };
	struct q2s_diag diag = { 0 };

	count(disk, bytes);
	if (options->salvage_map && write_map(options->salvage_map, disk, &diag) != Q2S_OK) {
		(void)tool_fail(options->salvage_map, &diag);
		return tool_error("the output is complete, but nobody knows what of it is sure");
	}
	if (bytes[Q2S_SALVAGE_ZERO_FILLED] == 0 && bytes[Q2S_SALVAGE_LOST] == 0)
		return 0;
	if (!options->salvage_map)
		print_ranges(disk);
	tool_warn("%s: of %" PRIu64 " bytes %" PRIu64 " are sure, %" PRIu64 " could not be read and "
		  "are zero-filled, and %" PRIu64 " are lost, as the tables that map them are damaged",
		  q2s_disk_name(disk), q2s_disk_size(disk), bytes[Q2S_SALVAGE_SURE],
		  bytes[Q2S_SALVAGE_ZERO_FILLED], bytes[Q2S_SALVAGE_LOST]);
	return SALVAGE_INCOMPLETE;
}
