/* SPDX-License-Identifier: GPL-2.0-or-later */
/* q2s-inspect explain: how a guest offset becomes bytes of a file, and back. */
#include "inspect/explain.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/fault.h"
#include "common/json.h"
#include "common/remote.h"
#include "common/tool.h"
#include "inspect/subject.h"
#include "inspect/options.h"
#include "inspect/show.h"
#include "inspect/verbs.h"


struct explain_options {
	struct options common;
	bool host;
	uint64_t offset;
	const char *name;
};

/** One run: @root is the JSON object, NULL for people. */
struct telling {
	const struct explain_options *options;
	struct story story;
	json_t *root;
	bool invalid; /* the way ends in damage */
};

/* ---- guest to host ----------------------------------------------------------------------- */

/* One layer of the chain, raw or qcow2. */
static enum q2s_err
tell_layer(struct telling *telling, const struct q2s_layer *layer, q2s_guest guest,
	   struct explained *out, struct q2s_diag *diag)
{
	struct story *const story = &telling->story;
	struct explained_layer it = { .file = layer->file, .image = layer->image };
	uint8_t bytes[EXPLAIN_BYTES];

	if (layer->image) {
		it.header = q2s_image_header(layer->image);
		it.geom = q2s_image_geom(layer->image);
		it.data_file_name = q2s_image_data_file_name(layer->image);
		return explain_layer(story, &it, guest, out, diag);
	}
	*out = (struct explained){ .word = "data", .has_host = true, .host = { guest.v } };
	story_step(story, "raw", "A raw file: host offset and guest offset are the same");
	return explain_read(story, layer->file, "data", out->host, bytes, sizeof(bytes), diag);
}

static void
open_layer(struct telling *telling, size_t depth, const struct q2s_layer *layer)
{
	FILE *const out = telling->story.out;

	if (!out)
		return;
	fprintf(out, depth ? "\nLayer %zu: " : "Layer %zu: ", depth);
	show_name(out, q2s_store_name(layer->file));
	fprintf(out, ", %s, %" PRIu64 " bytes of disk\n", layer->image ? "qcow2" : "raw",
		layer->size);
}

static void
close_layer(struct telling *telling, size_t depth, const struct q2s_layer *layer,
	    const struct explained *got)
{
	json_t *const steps = story_take(&telling->story);

	if (!telling->root)
		return;
	json_array_append_new(json_object_get(telling->root, "layers"),
			      json_pack("{s:I, s:o, s:s, s:s, s:o}", "depth", (json_int_t)depth,
					"filename", text_json(q2s_store_name(layer->file)),
					"format", layer->image ? "qcow2" : "raw", "outcome",
					got->word, "steps", steps));
}

/* The last sentence. @word: how the guest sees it in the end. */
static void
conclude(struct telling *telling, size_t depth, const char *word, const struct explained *got,
	 const char *why)
{
	FILE *const out = telling->story.out;
	json_t *result;

	telling->invalid = strcmp(word, "invalid") == 0;
	if (out) {
		fprintf(out, "\nGuest offset 0x%" PRIx64 ": %s", telling->options->offset, word);
		if (got->has_host)
			fprintf(out, ", at host offset 0x%" PRIx64 " of layer %zu", got->host.v,
				depth);
		fprintf(out, "%s\n", why);
		return;
	}
	result = json_pack("{s:s, s:I}", "state", word, "depth", (json_int_t)depth);
	if (result && got->has_host)
		json_object_set_new(result, "host-offset", u64_json(got->host.v));
	json_object_set_new(telling->root, "result", result);
}

/* What is unallocated in the last layer. */
static void
conclude_last(struct telling *telling, const struct q2s_chain *chain, const struct explained *got)
{
	const bool cut = q2s_chain_end(chain, NULL) != Q2S_OK;

	conclude(telling, q2s_chain_count(chain) - 1, cut ? "unallocated" : "zero", got,
		 cut ? " here; its backing file was not opened (--follow)"
		     : ", as there is no backing file");
}

static enum q2s_err
tell_guest(struct telling *telling, const struct q2s_chain *chain, struct q2s_diag *diag)
{
	const q2s_guest guest = { telling->options->offset };
	const size_t count = q2s_chain_count(chain);
	struct explained got = { .word = "unallocated" };

	for (size_t depth = 0; depth < count; depth++) {
		const struct q2s_layer *const layer = q2s_chain_layer(chain, depth);
		const bool last = depth + 1 == count;
		enum q2s_err err;

		open_layer(telling, depth, layer);
		err = tell_layer(telling, layer, guest, &got, diag);
		if (err != Q2S_OK)
			return fault_in(diag, err, q2s_store_name(layer->file));
		close_layer(telling, depth, layer, &got);
		if (got.word[0] != 'u') {
			conclude(telling, depth, got.word, &got, "");
			return Q2S_OK;
		}
		if (!last && guest.v >= q2s_chain_layer(chain, depth + 1)->size) {
			conclude(telling, depth, "zero", &got, ": the backing file ends before");
			return Q2S_OK;
		}
		if (last) {
			conclude_last(telling, chain, &got);
			/* With --follow it had to be opened. */
			if (telling->options->common.follow != Q2S_FOLLOW_NONE)
				return q2s_chain_end(chain, diag);
		}
	}
	return Q2S_OK;
}

static enum q2s_err
run_guest(struct telling *telling, const struct subject *subject, struct q2s_diag *diag)
{
	struct q2s_chain *chain = NULL;
	enum q2s_err err = subject_chain(subject, &telling->options->common, &chain, diag);
	const uint64_t size = err == Q2S_OK ? q2s_chain_layer(chain, 0)->size : 0;

	if (err == Q2S_OK && telling->options->offset >= size) {
		err = fault(diag, Q2S_E_USAGE, "OFFSET",
			    "0x%" PRIx64 " is not on the disk, which has %" PRIu64 " bytes",
			    telling->options->offset, size);
	} else if (err == Q2S_OK) {
		if (telling->root) {
			json_object_set_new(telling->root, "guest-offset",
					    u64_json(telling->options->offset));
			json_object_set_new(telling->root, "layers", json_array());
		}
		err = tell_guest(telling, chain, diag);
	}
	q2s_chain_unref(chain);
	return err;
}

/* ---- host to guest ----------------------------------------------------------------------- */

static enum q2s_err
run_host(struct telling *telling, const struct subject *subject, struct q2s_diag *diag)
{
	const q2s_host host = { telling->options->offset };
	FILE *const out = telling->story.out;
	uint64_t owners = 0;
	enum q2s_err err;

	if (host.v >= q2s_store_size(subject->file))
		return fault(diag, Q2S_E_USAGE, "OFFSET",
			     "0x%" PRIx64 " is past the end of the file, which has %" PRIu64
			     " bytes",
			     host.v, q2s_store_size(subject->file));
	if (out)
		fprintf(out, "Who owns host offset 0x%" PRIx64 "?\n", host.v);
	err = explain_host(&telling->story, subject, host, &owners, diag);
	if (err != Q2S_OK || !telling->root)
		return err;
	json_object_set_new(telling->root, "host-offset", u64_json(host.v));
	json_object_set_new(telling->root, "owners", u64_json(owners));
	json_object_set_new(telling->root, "steps", story_take(&telling->story));
	return Q2S_OK;
}

/* ---- the verb ---------------------------------------------------------------------------- */

static enum q2s_err
run(struct telling *telling, struct q2s_diag *diag)
{
	const struct explain_options *const options = telling->options;
	struct subject subject = { 0 };
	enum q2s_err err;

	if (options->host) {
		struct options as_qcow2 = options->common;

		as_qcow2.format = "qcow2";
		err = subject_open(options->name, &as_qcow2, &subject, diag);
	} else {
		err = subject_open_sound(options->name, &options->common, &subject, diag);
	}

	if (err == Q2S_OK && options->host && !subject.has_geom) {
		*diag = subject.fault;
		err = diag->err;
	}
	if (err == Q2S_OK)
		err = options->host ? run_host(telling, &subject, diag)
				    : run_guest(telling, &subject, diag);
	subject_close(&subject);
	return err;
}

static int
explain_run(const struct explain_options *options)
{
	struct q2s_diag diag = { 0 };
	struct telling telling = { .options = options };
	int status = 0;

	if (options->common.json)
		telling.root = json_pack("{s:o}", "filename", text_json(remote_shown(options->name)));
	story_begin(&telling.story, options->common.json ? NULL : stdout);
	if (run(&telling, &diag) != Q2S_OK)
		status = tool_fail(options->name, &diag);
	else if (options->common.json && output_json(stdout, json_incref(telling.root)) != 0 &&
		 !tool_reader_is_gone())
		status = tool_error("standard output: cannot write the JSON");
	else if (telling.invalid)
		status = tool_error("guest offset 0x%" PRIx64
				    " cannot be read, as its entry is damaged",
				    options->offset);
	json_decref(telling.root);
	json_decref(telling.story.list);
	return tool_finish(status);
}

static const struct option_row rows[] = {
	{ .name = "host",
	  .help = "OFFSET is a byte of FILE: who owns it?",
	  .kind = OPTION_FLAG,
	  .offset = offsetof(struct explain_options, host) },
};
static const struct option_rows own = OPTION_ROWS(rows);

static const char usage[] =
	"Usage: q2s-inspect explain [OPTIONS] OFFSET FILE\n"
	"The way of one guest offset through the tables to host bytes: each step with the bytes\n"
	"read, the calculation and the rule.\n\n";

static const struct option_table table = {
	.usage = usage,
	.parts = { &own, &options_follow, &options_common },
};

int
explain_main(int argc, char **argv)
{
	struct explain_options options = { 0 };
	int status = options_read(&table, argc, argv, &options, 2, "OFFSET or FILE");

	if (status == OPTIONS_GO_ON)
		status = options_size("OFFSET", argv[optind], &options.offset);
	if (status != OPTIONS_GO_ON)
		return status;
	options.name = argv[optind + 1];
	return explain_run(&options);
}
