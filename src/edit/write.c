/* SPDX-License-Identifier: GPL-2.0-or-later */
/* q2s-edit write: what a machine does to its disk, by the command line. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <q2s/store.h>

#include "common/fault.h"
#include "common/guard.h"
#include "common/size.h"
#include "common/spec.h"
#include "common/tool.h"
#include "edit/options.h"
#include "edit/verbs.h"
#include "edit/work.h"

/* Bytes that are made, or read from --from, and written in one step. */
#define STEP (UINT64_C(1) << 20)

static const char help[] =
	"Usage: q2s-edit write [OPTIONS] FILE SPEC...\n"
	"       q2s-edit write [OPTIONS] --from=SOURCE --at=OFFSET FILE\n"
	"Write to the guest disk of FILE, as a machine would.\n"
	"\n"
	"      --write-file=LIST          more SPECs, one a line, behind those of the command line\n"
	"      --from=SOURCE              the bytes of the file SOURCE\n"
	"      --at=OFFSET                where they go\n"
	OPTIONS_COMMON_HELP
	"\n"
	"SPEC is KIND@OFFSET+LENGTH[:ARG], or several with commas, at any byte. They are done in\n"
	"order. KIND is data (ARG: a seed, or a byte 0xNN), zero (space is given back where that is\n"
	"possible), zero-alloc (zeros, space stays) or discard.\n";

enum { OPTION_FROM = OPTION_OWN, OPTION_AT, OPTION_WRITE_FILE };

static const struct option long_options[] = {
	{ "from", required_argument, NULL, OPTION_FROM },
	{ "at", required_argument, NULL, OPTION_AT },
	{ "write-file", required_argument, NULL, OPTION_WRITE_FILE },
	OPTIONS_COMMON
};

struct request {
	struct options options;
	const char *file;
	struct spec_list specs;
	const char *from;
	const char *at_word;
	uint64_t at;
};

/* ---- command line ------------------------------------------------------------------------ */

static int
take_option(struct request *out, int got, char **argv)
{
	struct q2s_diag diag = { 0 };
	const char *wrong;

	switch (got) {
	case OPTION_FROM:
		out->from = optarg;
		break;
	case OPTION_AT:
		out->at_word = optarg;
		wrong = size_parse(optarg, &out->at);
		if (wrong)
			return tool_usage_error("--at '%s': %s", optarg, wrong);
		break;
	case OPTION_WRITE_FILE:
		if (spec_add_file(&out->specs, optarg, &diag) != Q2S_OK)
			return diag.err == Q2S_E_USAGE ? tool_usage_fail(&diag)
						       : tool_fail(optarg, &diag);
		break;
	default:
		return options_take(&out->options, got, argv, long_options, help);
	}
	return OPTIONS_GO_ON;
}

static int
take_operands(struct request *out, char **operands, int count)
{
	struct q2s_diag diag = { 0 };

	if (count == 0)
		return tool_usage_error("FILE is missing");
	out->file = operands[0];
	for (int i = 1; i < count; i++)
		if (spec_add(&out->specs, operands[i], &diag) != Q2S_OK)
			return tool_usage_fail(&diag);
	if (!out->from != !out->at_word)
		return tool_usage_error("--from and --at need each other");
	if (out->from && out->specs.count)
		return tool_usage_error("--from and SPEC exclude each other");
	if (!out->from && !out->specs.count)
		return tool_usage_error("SPEC is missing");
	for (size_t i = 0; i < out->specs.count; i++) {
		const struct region *const region = &out->specs.items[i];

		if (region->kind != REGION_COMPRESSED)
			continue;
		(void)spec_fault(&diag, Q2S_E_USAGE, region, "cannot be done: a machine writes no "
				 "compressed clusters");
		return tool_usage_fail(&diag);
	}
	return OPTIONS_GO_ON;
}

static int
parse(struct request *out, int argc, char **argv)
{
	int got, status;

	while ((got = getopt_long(argc, argv, ":" OPTIONS_COMMON_LETTERS, long_options, NULL)) != -1) {
		status = take_option(out, got, argv);
		if (status != OPTIONS_GO_ON)
			return status;
	}
	return take_operands(out, argv + optind, argc - optind);
}

/* ---- work -------------------------------------------------------------------------------- */

/* All is looked at before anything is changed. */
static enum q2s_err
check_range(const struct q2s_edit *edit, uint64_t start, uint64_t len, const struct region *region,
	    struct q2s_diag *diag)
{
	const uint64_t size = q2s_edit_size(edit);

	if (start <= size && len <= size - start)
		return Q2S_OK;
	if (region)
		return spec_fault(diag, Q2S_E_USAGE, region,
				  "ends behind the disk, which has %" PRIu64 " bytes", size);
	return fault(diag, Q2S_E_USAGE, "--at", "%" PRIu64 " bytes there end behind the disk, which "
		     "has %" PRIu64, len, size);
}

/* Write what @cursor has at each offset of the guest disk, less @shift. */
static enum q2s_err
copy(struct q2s_edit *edit, struct q2s_cursor *cursor, uint64_t start, uint64_t len,
     uint64_t shift, struct q2s_diag *diag)
{
	uint8_t *const buf = malloc(len < STEP ? len : STEP);
	enum q2s_err err = Q2S_OK;

	if (!buf)
		return fault_nomem(diag, "write");
	for (uint64_t done = 0; done < len && err == Q2S_OK; done += STEP) {
		const size_t n = len - done < STEP ? len - done : STEP;

		err = q2s_cursor_read(cursor, (q2s_guest){ start + done - shift }, buf, n, diag);
		if (err == Q2S_OK)
			err = q2s_edit_write(edit, (q2s_guest){ start + done }, buf, n, diag);
	}
	free(buf);
	return err;
}

static enum q2s_err
copy_disk(struct q2s_edit *edit, struct q2s_disk *disk, uint64_t start, uint64_t len,
	  uint64_t shift, struct q2s_diag *diag)
{
	struct q2s_cursor *cursor;
	enum q2s_err err = q2s_cursor_open(disk, &cursor, diag);

	if (err != Q2S_OK)
		return err;
	err = copy(edit, cursor, start, len, shift, diag);
	q2s_cursor_close(cursor);
	return err;
}

/* The same bytes as q2s-create -w makes of this SPEC. */
static enum q2s_err
write_data(struct q2s_edit *edit, const struct region *region, struct q2s_diag *diag)
{
	const struct q2s_pattern pattern = {
		.start = { region->start },
		.len = region->len,
		.state = Q2S_DATA,
		.seeded = region->seeded,
		.seed = region->seed,
		.fill = region->fill,
	};
	struct q2s_disk *disk;
	enum q2s_err err = q2s_disk_pattern(q2s_edit_size(edit), &pattern, 1, &disk, diag);

	if (err != Q2S_OK)
		return err;
	err = copy_disk(edit, disk, region->start, region->len, 0, diag);
	q2s_disk_close(disk);
	return err;
}

static enum q2s_err
write_region(struct q2s_edit *edit, const struct region *region, struct q2s_diag *diag)
{
	const q2s_guest at = { region->start };

	switch (region->kind) {
	case REGION_DATA:
		return write_data(edit, region, diag);
	case REGION_ZERO:
		return q2s_edit_zero(edit, at, region->len, Q2S_EDIT_MAY_DISCARD, diag);
	case REGION_ZERO_ALLOC:
		return q2s_edit_zero(edit, at, region->len, 0, diag);
	default:
		return q2s_edit_discard(edit, at, region->len, diag);
	}
}

static enum q2s_err
write_specs(struct q2s_edit *edit, const struct spec_list *specs, struct q2s_diag *diag)
{
	enum q2s_err err = Q2S_OK;

	for (size_t i = 0; i < specs->count && err == Q2S_OK; i++)
		err = check_range(edit, specs->items[i].start, specs->items[i].len,
				  &specs->items[i], diag);
	for (size_t i = 0; i < specs->count && err == Q2S_OK; i++)
		err = write_region(edit, &specs->items[i], diag);
	return err;
}

static enum q2s_err
write_from(const struct request *request, struct q2s_edit *edit, struct q2s_diag *diag)
{
	struct q2s_store *source;
	struct q2s_disk *disk = NULL;
	uint64_t len;
	enum q2s_err err = q2s_store_open(request->from, &source, diag);

	if (err != Q2S_OK)
		return fault_in(diag, err, request->from);
	len = q2s_store_size(source);
	err = guard_read_store(source, diag);
	if (err == Q2S_OK)
		err = guard_edit(request->file, diag);
	if (err == Q2S_OK)
		err = check_range(edit, request->at, len, NULL, diag);
	if (err == Q2S_OK && len > 0) {
		err = q2s_disk_raw(source, &disk, diag);
		if (err == Q2S_OK)
			err = copy_disk(edit, disk, request->at, len, request->at, diag);
	}
	q2s_disk_close(disk);
	q2s_store_unref(source);
	return err;
}

static enum q2s_err
write_all(struct q2s_edit *edit, void *opaque, struct q2s_diag *diag)
{
	const struct request *const request = opaque;

	return request->from ? write_from(request, edit, diag)
			     : write_specs(edit, &request->specs, diag);
}

int
write_main(int argc, char **argv)
{
	struct request request = { .specs = { .word = "SPEC" } };
	int status = parse(&request, argc, argv);

	const struct work work = { .file = request.file,
				   .options = &request.options,
				   .usage = true,
				   .edit = write_all,
				   .opaque = &request };

	if (status == OPTIONS_GO_ON)
		status = work_do(&work);
	spec_free(&request.specs);
	options_free(&request.options);
	return status;
}
