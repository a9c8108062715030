/* SPDX-License-Identifier: GPL-2.0-or-later */
/* q2s-inspect bitmap: which bitmaps there are, or which guest ranges one of them calls dirty. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/fault.h"
#include "common/json.h"
#include "common/size.h"
#include "common/tool.h"
#include "inspect/info.h"
#include "inspect/options.h"
#include "inspect/show.h"
#include "inspect/subject.h"
#include "inspect/verbs.h"

/** Printing in progress. @count: ranges so far. */
struct bitmap_printer {
	bool json;
	uint64_t count;
	uint64_t dirty, clean; /* bytes */
};

static void
print_range(struct bitmap_printer *printer, uint64_t start, const struct q2s_bitmap_run *run)
{
	const char *const state = run->dirty ? "dirty" : "clean";
	char offset[SHOW_HEX], length[SHOW_HEX], size[SIZE_TEXT];

	if (printer->json)
		printf("%s{ \"offset\": %" PRIu64 ", \"length\": %" PRIu64
		       ", \"type\": %d, \"description\": \"%s\"}",
		       printer->count ? ",\n" : "[\n", start, run->len, run->dirty, state);
	else
		printf("%16s  %14s %10s  %s\n", show_hex(start, offset), show_hex(run->len, length),
		       size_human(run->len, size), state);
	*(run->dirty ? &printer->dirty : &printer->clean) += run->len;
	printer->count++;
}

static void
print_head(const struct bitmap_printer *printer, const struct q2s_bitmap *record)
{
	char size[SIZE_TEXT];

	if (printer->json)
		return;
	fputs("bitmap ", stdout);
	show_quoted(stdout, (struct q2s_bytes){ record->name, record->name_len });
	printf(": granularity %s, %s\n\n", size_human(1ull << record->granularity_bits, size),
	       record->flags & Q2S_BITMAP_AUTO ? "enabled" : "disabled");
	printf("    guest offset          length             state\n");
}

static void
print_end(const struct bitmap_printer *printer)
{
	char dirty[SIZE_TEXT], clean[SIZE_TEXT];

	if (printer->json)
		fputs(printer->count ? "\n]\n" : "[]\n", stdout);
	else
		printf("\ndirty %s (%" PRIu64 " bytes), clean %s\n",
		       size_human(printer->dirty, dirty), printer->dirty,
		       size_human(printer->clean, clean));
}

static enum q2s_err
print_bitmap(const struct q2s_image *image, const char *name, bool json, struct q2s_diag *diag)
{
	const struct q2s_bytes wanted = { (const uint8_t *)name, strlen(name) };
	const uint64_t size = q2s_image_geom(image)->size;
	struct bitmap_printer printer = { .json = json };
	struct q2s_bitmap_reader *reader;
	struct q2s_bitmap_run run;
	enum q2s_err err = q2s_bitmap_reader_open(image, wanted, &reader, diag);

	if (err != Q2S_OK)
		return err;
	print_head(&printer, q2s_bitmap_reader_record(reader));
	for (uint64_t at = 0; at < size && err == Q2S_OK; at += run.len) {
		err = q2s_bitmap_reader_run(reader, (q2s_guest){ at }, UINT64_MAX, &run, diag);
		if (err != Q2S_OK)
			break;
		print_range(&printer, at, &run);
	}
	if (err == Q2S_OK || json)
		print_end(&printer);
	q2s_bitmap_reader_close(reader);
	return err;
}

/* ---- all bitmaps --------------------------------------------------------------------------- */

static enum q2s_err
count_dirty(const struct q2s_image *image, const struct q2s_bitmap *record, uint64_t *out,
	    struct q2s_diag *diag)
{
	const uint64_t size = q2s_image_geom(image)->size;
	struct q2s_bitmap_reader *reader;
	struct q2s_bitmap_run run;
	enum q2s_err err = q2s_bitmap_reader_open(
		image, (struct q2s_bytes){ record->name, record->name_len }, &reader, diag);

	*out = 0;
	if (err != Q2S_OK)
		return err;
	for (uint64_t at = 0; at < size && err == Q2S_OK; at += run.len) {
		err = q2s_bitmap_reader_run(reader, (q2s_guest){ at }, UINT64_MAX, &run, diag);
		if (err != Q2S_OK)
			break;
		*out += run.dirty ? run.len : 0;
	}
	q2s_bitmap_reader_close(reader);
	return err;
}

static void
print_row(const struct q2s_bitmap *record, uint64_t dirty)
{
	const bool in_use = record->flags & Q2S_BITMAP_IN_USE;
	char granularity[SIZE_TEXT], size[SIZE_TEXT];

	printf("%11s  %10s  %-6s %-6s ", size_human(1ull << record->granularity_bits, granularity),
	       in_use ? "unknown" : size_human(dirty, size), in_use ? "in-use" : "",
	       record->flags & Q2S_BITMAP_AUTO ? "auto" : "");
	show_quoted(stdout, (struct q2s_bytes){ record->name, record->name_len });
	putchar('\n');
}

/* Into @rows, or NULL: for people. */
static enum q2s_err
list_one(const struct q2s_image *image, const struct q2s_bitmap *record, json_t *rows,
	 struct q2s_diag *diag)
{
	const bool in_use = record->flags & Q2S_BITMAP_IN_USE;
	uint64_t dirty = 0;
	const enum q2s_err err = in_use ? Q2S_OK : count_dirty(image, record, &dirty, diag);
	json_t *row;

	if (err != Q2S_OK)
		return err;
	if (!rows) {
		print_row(record, dirty);
		return Q2S_OK;
	}
	row = info_bitmap_json(record);
	json_object_set_new(row, "dirty-bytes", in_use ? json_null() : u64_json(dirty));
	json_array_append_new(rows, row);
	return Q2S_OK;
}

static enum q2s_err
list_bitmaps(const struct q2s_image *image, bool json, struct q2s_diag *diag)
{
	json_t *const rows = json ? json_array() : NULL;
	struct q2s_bitmaps bitmaps = { 0 };
	enum q2s_err err = Q2S_OK;

	if (q2s_image_has_stale_bitmaps(image))
		err = fault(diag, Q2S_E_BITMAP, "bitmaps",
			    "a program without support for bitmaps wrote to this image, so that none "
			    "of them can be trusted");
	else if (q2s_image_bitmaps(image))
		err = q2s_image_bitmap_directory(image, &bitmaps, diag);
	if (err == Q2S_OK && !json)
		puts(bitmaps.count ? "granularity       dirty  flags         name" : "no bitmaps");
	for (uint32_t i = 0; err == Q2S_OK && i < bitmaps.count; i++)
		err = list_one(image, &bitmaps.list[i], rows, diag);
	if (json && err == Q2S_OK)
		(void)output_json(stdout, rows);
	else
		json_decref(rows);
	q2s_bitmaps_free(&bitmaps);
	return err;
}

static const char usage[] =
	"Usage: q2s-inspect bitmap [OPTIONS] [NAME] FILE\n"
	"Which ranges of the guest disk the persistent bitmap NAME calls dirty. The JSON is that\n"
	"of `nbdinfo --map --json`. Without NAME, which bitmaps there are: granularity, bytes that\n"
	"are dirty, flags. What a bitmap in use says may be wrong, and is not counted.\n\n";

static const struct option_table table = {
	.usage = usage,
	.parts = { &options_common },
};

int
bitmap_main(int argc, char **argv)
{
	struct options options = { 0 };
	struct q2s_diag diag = { 0 };
	struct subject subject = { 0 };
	const char *name, *file;
	enum q2s_err err;
	int status = options_parse(&table, argc, argv, &options);

	if (status != OPTIONS_GO_ON)
		return status;
	name = argc - optind > 1 ? argv[optind] : NULL;
	status = options_operands(argc, argv, name ? 2 : 1, "FILE");
	if (status != OPTIONS_GO_ON)
		return status;
	file = argv[optind + (name ? 1 : 0)];
	err = subject_open_image(file, &options, &subject, &diag);
	if (err == Q2S_OK)
		err = name ? print_bitmap(subject.image, name, options.json, &diag) :
			     list_bitmaps(subject.image, options.json, &diag);
	status = err == Q2S_OK ? 0 : tool_fail(file, &diag);
	subject_close(&subject);
	return tool_finish(status);
}
