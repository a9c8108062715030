/* SPDX-License-Identifier: GPL-2.0-or-later */
/* q2s-inspect hex: the metadata byte by byte, in the order of the file, each byte named. */
#include "inspect/hex.h"

#include <inttypes.h>

#include "base/arith.h"
#include "common/tool.h"
#include "inspect/options.h"
#include "inspect/show.h"
#include "inspect/verbs.h"

/* clang-format off */
static const char help_text[] =
	"Usage: q2s-inspect hex [OPTIONS] FILE\n"
	"The metadata of the image byte by byte, in the order of the file, each byte named.\n"
	"Equal and consecutive entries are told together; guest data is left out, and clusters\n"
	"that belong to nothing are named so.\n\n"
	OPTIONS_COMMON_HELP;
/* clang-format on */

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
	const struct region *region;
};

/* ---- gaps -------------------------------------------------------------------------------- */

/* Bytes between structures, up to @end. */
static enum q2s_err
tell_gap(struct hex *hex, uint64_t end, struct q2s_diag *diag)
{
	const uint32_t bits = hex->printer.subject->geom.cluster_bits;
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
	return hex_span(&hex->printer, region_name(hex->region->kind), span, diag);
}

/* @region starts where something else was told already: no byte is told twice. */
static void
tell_conflict(struct hex *hex, const struct region *region)
{
	const struct region *const other = hex->region;
	const bool is_same = other && other->at.v == region->at.v && other->kind == region->kind;
	char at[SHOW_HEX];

	if (is_same) /* an L2 table or a block that several entries share */
		return;
	hex->conflict_count++;
	if (!hex->printer.json)
		fprintf(hex->printer.out, "\nwrong: the %s at %s lies over the %s before it\n",
			region_name(region->kind), show_hex(region->at.v, at),
			other ? region_name(other->kind) : "structure");
	else if (hex->conflict_count <= CONFLICTS_LISTED)
		json_array_append_new(hex->conflicts, json_pack("{s:s, s:o, s:o}", "structure",
								region_name(region->kind), "offset",
								json_u64(region->at.v), "length",
								json_u64(region->len)));
}

static enum q2s_err
tell_region(struct hex *hex, const struct region *region, struct q2s_diag *diag)
{
	enum q2s_err err;

	if (region->at.v < hex->at) {
		tell_conflict(hex, region);
		return Q2S_OK;
	}
	err = tell_gap(hex, region->at.v, diag);
	if (err != Q2S_OK)
		return err;
	hex->region = region;
	hex_title(&hex->printer, region);
	return spans_visit(hex->printer.subject, region, tell_span, hex, diag);
}

static enum q2s_err
tell_file(struct hex *hex, struct q2s_diag *diag)
{
	struct region_list regions = { 0 };
	enum q2s_err err = region_list_fill(hex->printer.subject, &regions, diag);

	hex_begin(&hex->printer);
	for (size_t i = 0; i < regions.count && err == Q2S_OK; i++)
		err = tell_region(hex, &regions.list[i], diag);
	if (err == Q2S_OK)
		err = tell_gap(hex, q2s_file_size(hex->printer.subject->file), diag);
	region_list_free(&regions);
	return err;
}

/* ---- the verb ---------------------------------------------------------------------------- */

static int
finish(struct hex *hex)
{
	struct json_stream *const stream = &hex->printer.stream;

	if (!hex->printer.json) {
		fprintf(hex->printer.out,
			"\nmetadata %" PRIu64 " bytes, guest data %" PRIu64 ", nothing %" PRIu64
			"\n",
			hex->metadata, hex->data, hex->nothing);
		return hex_end(&hex->printer);
	}
	json_stream_close(stream); /* ranges */
	json_stream_value(stream, "conflicts", hex->conflicts);
	hex->conflicts = NULL;
	json_stream_value(stream, "conflict-count", json_u64(hex->conflict_count));
	json_stream_value(stream, "metadata-bytes", json_u64(hex->metadata));
	json_stream_value(stream, "data-bytes", json_u64(hex->data));
	json_stream_value(stream, "nothing-bytes", json_u64(hex->nothing));
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
hex_run(const char *name, bool json)
{
	struct q2s_diag diag = { 0 };
	struct subject subject = { 0 };
	struct hex hex = { .printer = { .subject = &subject, .out = stdout, .json = json },
			   .conflicts = json ? json_array() : NULL };
	enum q2s_err err = subject_open(name, SUBJECT_QCOW2, &subject, &diag);
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
	else if (finish(&hex) != 0)
		status = tool_error("standard output: cannot write all");
	else
		status = verdict(&hex, name);
	json_decref(hex.conflicts);
	used_map_close(&hex.used);
	subject_close(&subject);
	return tool_finish(status);
}

int
hex_main(int argc, char **argv)
{
	static const struct option longs[] = { OPTIONS_COMMON };
	struct options options = { 0 };
	int got, status;

	while ((got = getopt_long(argc, argv, ":", longs, NULL)) != -1) {
		status = options_take(&options, got, argv, help_text);
		if (status != OPTIONS_GO_ON)
			return status;
	}
	status = options_operands(argc, argv, 1, "FILE");
	if (status != OPTIONS_GO_ON)
		return status;
	return hex_run(argv[optind], options.json);
}
