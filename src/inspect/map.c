/* SPDX-License-Identifier: GPL-2.0-or-later */
/* q2s-inspect map: which ranges of the guest disk hold what, and where. */
#include "inspect/map.h"

#include <inttypes.h>

#include "base/arith.h"
#include "common/size.h"
#include "common/tool.h"
#include "inspect/options.h"
#include "inspect/show.h"
#include "inspect/subject.h"
#include "inspect/verbs.h"


struct map_options {
	struct options common;
	bool raw_entries;
	uint64_t start;
	uint64_t max;
	const char *name;
};

/** What the table ends with: bytes of each kind. */
struct totals {
	uint64_t data;
	uint64_t compressed;
	uint64_t zero;
	uint64_t unallocated;
};

/** Printing in progress. @started: a range is printed (JSON). */
struct printer {
	FILE *out;
	bool json;
	bool started;
	const struct q2s_chain *chain;
	bool chained; /* it has more than one layer */
	bool cut;     /* the backing file of the last one is not open */
	struct totals totals;
};

/* ---- text -------------------------------------------------------------------------------- */

static const char *
state_text(const struct range *range, bool cut)
{
	if (range->compressed)
		return "data, compressed";
	if (range->data)
		return range->zero ? "data, still a hole" : "data";
	if (range->present)
		return range->has_offset ? "zero, preallocated" : "zero";
	if (cut && !range->zero)
		return range->has_offset ? "unallocated here, preallocated" : "unallocated here";
	return range->has_offset ? "unallocated, preallocated" : "unallocated";
}

static void
print_row(struct printer *printer, const struct range *range)
{
	char start[SHOW_HEX], length[SHOW_HEX], offset[SHOW_HEX], size[SIZE_TEXT];

	fprintf(printer->out, "%16s  %14s %10s  ", show_hex(range->start, start),
		show_hex(range->length, length), size_human(range->length, size));
	if (range->has_offset || printer->chained)
		fprintf(printer->out, "%-30s  %14s", state_text(range, printer->cut),
			range->has_offset ? show_hex(range->offset, offset) : "");
	else
		fputs(state_text(range, printer->cut), printer->out);
	if (printer->chained) {
		fprintf(printer->out, "  %zu ", range->depth);
		show_name(printer->out, q2s_store_name(q2s_chain_layer(printer->chain, range->depth)->file));
	}
	fputc('\n', printer->out);
}

static void
count_range(struct totals *totals, const struct range *range)
{
	if (range->compressed)
		totals->compressed += range->length;
	else if (range->data)
		totals->data += range->length;
	else if (range->present)
		totals->zero += range->length;
	else
		totals->unallocated += range->length;
}

static void
print_head(const struct printer *printer)
{
	if (printer->json)
		return;
	fprintf(printer->out,
		"    guest offset          length             state"
		"                             host offset%s\n",
		printer->chained ? "  layer" : "");
}

static void
print_totals(const struct printer *printer)
{
	const struct totals *const totals = &printer->totals;
	const size_t last = q2s_chain_count(printer->chain) - 1;
	const struct q2s_image *const image = q2s_chain_layer(printer->chain, 0)->image;
	char a[SIZE_TEXT], b[SIZE_TEXT], c[SIZE_TEXT], d[SIZE_TEXT];

	fprintf(printer->out, "\ndata %s, compressed %s, zero %s, unallocated %s\n",
		size_human(totals->data, a), size_human(totals->compressed, b),
		size_human(totals->zero, c), size_human(totals->unallocated, d));
	if (image && q2s_image_geom(image)->data_file) {
		fputs("host offsets of layer 0 lie in its external data file ", printer->out);
		show_quoted(printer->out, q2s_image_data_file_name(image));
		fputc('\n', printer->out);
	}
	if (!printer->cut)
		return;
	fputs("what is unallocated here is in the backing file ", printer->out);
	show_quoted(printer->out,
		    q2s_image_backing_name(q2s_chain_layer(printer->chain, last)->image));
	fputs(", which was not opened (--follow)\n", printer->out);
}

/* ---- JSON -------------------------------------------------------------------------------- */

static const char *
truth(bool is)
{
	return is ? "true" : "false";
}

/* Byte for byte what qemu-img prints. */
static void
print_json(struct printer *printer, const struct range *range)
{
	fprintf(printer->out,
		"%s{ \"start\": %" PRIu64 ", \"length\": %" PRIu64 ", \"depth\": %zu, "
		"\"present\": %s, \"zero\": %s, \"data\": %s, \"compressed\": %s",
		printer->started ? ",\n" : "[", range->start, range->length, range->depth,
		truth(range->present), truth(range->zero), truth(range->data),
		truth(range->compressed));
	if (range->has_offset)
		fprintf(printer->out, ", \"offset\": %" PRIu64, range->offset);
	fputc('}', printer->out);
	printer->started = true;
}

/* ---- the walk ---------------------------------------------------------------------------- */

static bool
continues(const struct range *a, const struct range *b)
{
	return a->length && a->depth == b->depth && a->present == b->present &&
	       a->zero == b->zero && a->data == b->data && a->compressed == b->compressed &&
	       a->has_offset == b->has_offset &&
	       (!a->has_offset || a->offset + a->length == b->offset);
}

static void
print_range(struct printer *printer, const struct range *range)
{
	if (printer->json) {
		print_json(printer, range);
		return;
	}
	count_range(&printer->totals, range);
	if (range->length)
		print_row(printer, range);
}

/* The ranges up to where the walk fails, if it does; JSON is whole all the same. */
static enum q2s_err
print_merged(struct printer *printer, struct walk *walk, const struct map_view *view,
	     struct q2s_diag *diag)
{
	struct range now = { .start = view->start }, next;
	enum q2s_err err = Q2S_OK;

	while (now.start + now.length < view->end) {
		const uint64_t at = now.start + now.length;

		err = walk_next(walk, at, view->end - at, &next, diag);
		if (err != Q2S_OK)
			break;
		if (continues(&now, &next)) {
			now.length += next.length;
			continue;
		}
		if (now.length)
			print_range(printer, &now);
		now = next;
	}
	/* An empty stretch gives one range of length 0, as in QEMU. */
	if (err == Q2S_OK || now.length)
		print_range(printer, &now);
	return err;
}

static enum q2s_err
print_ranges(struct printer *printer, struct walk *walk, const struct map_view *view,
	     struct q2s_diag *diag)
{
	enum q2s_err err;

	print_head(printer);
	err = print_merged(printer, walk, view, diag);
	if (printer->json)
		fputs(printer->started ? "]\n" : "[]\n", printer->out);
	else if (err == Q2S_OK)
		print_totals(printer);
	return err;
}

/* With --follow the layers that cannot be opened are an error, after what the others show. */
static enum q2s_err
map_chain(const struct map_options *options, const struct subject *subject, struct map_view *view,
	  struct q2s_diag *diag)
{
	const enum q2s_follow follow = options->common.follow;
	struct q2s_chain *chain = NULL;
	struct walk walk = { 0 };
	enum q2s_err err = subject_chain(subject, &options->common, &chain, diag);

	if (err == Q2S_OK)
		err = walk_open(chain, follow, &walk, diag);
	if (err == Q2S_OK) {
		struct printer printer = { .out = stdout,
					   .json = view->json,
					   .chain = chain,
					   .chained = q2s_chain_count(chain) > 1,
					   .cut = q2s_chain_end(chain, NULL) != Q2S_OK };

		err = print_ranges(&printer, &walk, view, diag);
	}
	if (err == Q2S_OK && follow != Q2S_FOLLOW_NONE)
		err = q2s_chain_end(chain, diag);
	walk_close(&walk);
	q2s_chain_unref(chain);
	return err;
}

static int
map_run(const struct map_options *options)
{
	struct map_view view = { .json = options->common.json, .start = options->start };
	struct q2s_diag diag = { 0 };
	struct subject subject = { 0 };
	uint64_t size;
	int status = 0;
	enum q2s_err err =
		options->raw_entries
			? subject_open_image(options->name, &options->common, &subject, &diag)
			: subject_open_sound(options->name, &options->common, &subject, &diag);

	if (err == Q2S_OK) {
		size = subject.image ? q2s_image_geom(subject.image)->size
				     : q2si_round_up(q2s_store_size(subject.file), Q2S_SECTOR);
		view.end = size;
		if (options->start < size)
			view.end = options->start + q2si_min(options->max, size - options->start);
		err = options->raw_entries ? map_raw_entries(stdout, subject.image, &view, &diag)
					   : map_chain(options, &subject, &view, &diag);
	}
	if (err != Q2S_OK)
		status = tool_fail(options->name, &diag);
	subject_close(&subject);
	return tool_finish(status);
}

static const struct option_row rows[] = {
	{ .name = "start-offset",
	  .letter = 's',
	  .arg = "OFFSET",
	  .help = "start here",
	  .kind = OPTION_SIZE,
	  .offset = offsetof(struct map_options, start) },
	{ .name = "max-length",
	  .letter = 'l',
	  .arg = "LEN",
	  .help = "and look at no more than this",
	  .kind = OPTION_SIZE,
	  .offset = offsetof(struct map_options, max) },
	{ .name = "raw-entries",
	  .help = "each subcluster of this file's L2 tables by itself",
	  .kind = OPTION_FLAG,
	  .offset = offsetof(struct map_options, raw_entries) },
};
static const struct option_rows own = OPTION_ROWS(rows);

static const char usage[] =
	"Usage: q2s-inspect map [OPTIONS] FILE\n"
	"Which ranges of the guest disk hold what, and where. The JSON is that of\n"
	"`qemu-img map`.\n\n";

static const struct option_table table = {
	.usage = usage,
	.parts = { &own, &options_follow, &options_common },
};

int
map_main(int argc, char **argv)
{
	struct map_options options = { .max = UINT64_MAX };
	int status = options_read(&table, argc, argv, &options, 1, "FILE");

	if (status != OPTIONS_GO_ON)
		return status;
	options.name = argv[optind];
	return map_run(&options);
}
