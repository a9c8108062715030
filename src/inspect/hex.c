/* SPDX-License-Identifier: GPL-2.0-or-later */
/* q2s-inspect hex: the metadata byte by byte, in the order of the file, each byte named. */
#include "inspect/hex.h"

#include <inttypes.h>

#include "base/arith.h"
#include "common/tool.h"
#include "inspect/options.h"
#include "inspect/show.h"
#include "inspect/verbs.h"


/** What was claimed twice, as far as it is listed. */
#define CONFLICTS_LISTED 1000u

/**
 * One run.
 *
 * @at         bytes up to here are told
 * @metadata, @data, @nothing  bytes of each kind
 * @conflicts  JSON list of what lies over something else; NULL for people
 */
struct hex {
	struct hex_printer printer;
	struct used_map used;
	uint64_t at;
	uint64_t metadata;
	uint64_t data;
	uint64_t nothing;
	uint64_t conflict_count;
	json_t *conflicts;
	const struct q2s_structure *last;
};

/* ---- gaps -------------------------------------------------------------------------------- */

/* Bytes between structures, up to @end. */
static enum q2s_err
tell_gap(struct hex *hex, uint64_t end, struct q2s_diag *diag)
{
	const uint32_t bits = hex->printer.subject->geom->cluster_bits;
	const uint64_t last = q2si_div_up(end, 1ull << bits);

	while (hex->at < end) {
		uint64_t run_end, len;
		bool used;
		const enum q2s_err err =
			used_map_run(&hex->used, hex->at >> bits, last, &used, &run_end, diag);

		if (err != Q2S_OK)
			return err;
		len = q2si_min(run_end << bits, end) - hex->at;
		hex_stretch(&hex->printer, used ? "guest data" : "nothing", hex->at, len,
			    used ? "not metadata" : "belongs to no structure and to no guest data");
		*(used ? &hex->data : &hex->nothing) += len;
		hex->at += len;
	}
	return Q2S_OK;
}

/* ---- structures -------------------------------------------------------------------------- */

static enum q2s_err
tell_span(void *opaque, const struct span *span, struct q2s_diag *diag)
{
	struct hex *const hex = opaque;

	hex->metadata += span->len;
	hex->at = span->at.v + span->len;
	return hex_span(&hex->printer, q2s_structure_name(hex->last->kind), span, diag);
}

/* @it starts where something else was told already: no byte is told twice. */
static void
tell_conflict(struct hex *hex, const struct q2s_structure *it)
{
	const struct q2s_structure *const other = hex->last;
	const bool is_same = other && other->at.v == it->at.v && other->kind == it->kind;
	char at[SHOW_HEX];

	if (is_same) /* an L2 table or a block that several entries share */
		return;
	hex->conflict_count++;
	if (!hex->printer.json)
		fprintf(hex->printer.out, "\nwrong: the %s at %s lies over the %s before it\n",
			q2s_structure_name(it->kind), show_hex(it->at.v, at),
			other ? q2s_structure_name(other->kind) : "structure");
	else if (hex->conflict_count <= CONFLICTS_LISTED)
		json_array_append_new(hex->conflicts,
				      json_pack("{s:s, s:o, s:o}", "structure",
						q2s_structure_name(it->kind), "offset",
						u64_json(it->at.v), "length", u64_json(it->len)));
}

static enum q2s_err
tell_structure(struct hex *hex, const struct q2s_structure *it, struct q2s_diag *diag)
{
	enum q2s_err err;

	if (it->at.v < hex->at) {
		tell_conflict(hex, it);
		return Q2S_OK;
	}
	err = tell_gap(hex, it->at.v, diag);
	if (err != Q2S_OK)
		return err;
	hex->last = it;
	hex_title(&hex->printer, it);
	return spans_visit(hex->printer.subject, it, tell_span, hex, diag);
}

static enum q2s_err
tell_file(struct hex *hex, struct q2s_diag *diag)
{
	struct structure_list structures = { 0 };
	enum q2s_err err = structure_list_fill(hex->printer.subject, &structures, diag);

	hex_begin(&hex->printer);
	for (size_t i = 0; i < structures.count && err == Q2S_OK; i++)
		err = tell_structure(hex, &structures.list[i], diag);
	if (err == Q2S_OK)
		err = tell_gap(hex, q2s_store_size(hex->printer.subject->file), diag);
	structure_list_free(&structures);
	return err;
}

/* ---- the verb ---------------------------------------------------------------------------- */

static int
finish(struct hex *hex)
{
	struct jstream *const stream = &hex->printer.stream;

	if (!hex->printer.json) {
		fprintf(hex->printer.out,
			"\nmetadata %" PRIu64 " bytes, guest data %" PRIu64 ", nothing %" PRIu64
			"\n",
			hex->metadata, hex->data, hex->nothing);
		return hex_end(&hex->printer);
	}
	jstream_close(stream); /* ranges */
	jstream_value(stream, "conflicts", hex->conflicts);
	hex->conflicts = NULL;
	jstream_value(stream, "conflict-count", u64_json(hex->conflict_count));
	jstream_value(stream, "metadata-bytes", u64_json(hex->metadata));
	jstream_value(stream, "data-bytes", u64_json(hex->data));
	jstream_value(stream, "nothing-bytes", u64_json(hex->nothing));
	return hex_end(&hex->printer);
}

/* The header is refused, but it gives a geometry: what was told is right as far as it goes. */
static int
verdict(const struct hex *hex, const char *name)
{
	const struct subject *const subject = hex->printer.subject;

	if (subject->fault.err != Q2S_OK)
		return tool_fail(name, &subject->fault);
	if (hex->conflict_count)
		return tool_error("structures lie over each other: %" PRIu64, hex->conflict_count);
	return 0;
}

static int
hex_run(const char *name, const struct options *options)
{
	const bool json = options->json;
	struct q2s_diag diag = { 0 };
	struct subject subject = { 0 };
	struct hex hex = { .printer = { .subject = &subject, .out = stdout, .json = json },
			   .conflicts = json ? json_array() : NULL };
	enum q2s_err err = subject_open(name, options, &subject, &diag);
	int status = 0;

	if (err == Q2S_OK && !subject.has_geom) {
		diag = subject.fault;
		err = diag.err;
	}
	if (err == Q2S_OK)
		err = used_map_open(&subject, &hex.used, &diag);
	if (err == Q2S_OK)
		err = tell_file(&hex, &diag);
	if (err != Q2S_OK)
		status = tool_fail(name, &diag);
	else if (finish(&hex) != 0 && !tool_reader_is_gone())
		status = tool_error("standard output: cannot write all");
	else
		status = verdict(&hex, name);
	json_decref(hex.conflicts);
	used_map_close(&hex.used);
	subject_close(&subject);
	return tool_finish(status);
}

static const char usage[] =
	"Usage: q2s-inspect hex [OPTIONS] FILE\n"
	"The metadata of the image byte by byte, in the order of the file, each byte named.\n"
	"Equal and consecutive entries are told together; guest data is left out, and clusters\n"
	"that belong to nothing are named so.\n\n";

static const struct option_table table = {
	.usage = usage,
	.parts = { &options_common },
};

int
hex_main(int argc, char **argv)
{
	struct options options = { .format = "qcow2" };
	int status = options_read(&table, argc, argv, &options, 1, "FILE");

	if (status != OPTIONS_GO_ON)
		return status;
	return hex_run(argv[optind], &options);
}
