/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `map --raw-entries`: the L2 tables of one image, a subcluster at a time and unmerged. */
#include <inttypes.h>

#include "base/arith.h"
#include "inspect/map.h"
#include "inspect/show.h"

/** One line of the view: a subcluster, or the whole span of an L1 entry without a table. */
struct raw_entry {
	uint64_t start;
	uint64_t length;
	uint64_t l1;
	bool in_table;
	uint32_t l2;
	uint32_t sub;
	const char *state;
	bool has_host;
	q2s_host host;
	bool copied;
	uint32_t comp_bytes;
	const char *fault; /* name of the error code, or NULL */
};

struct raw_printer {
	FILE *out;
	const struct map_view *view;
	const struct q2s_geom *geom;
	bool started;
};

static void
print_json(struct raw_printer *printer, const struct raw_entry *it)
{
	fprintf(printer->out,
		"%s{ \"start\": %" PRIu64 ", \"length\": %" PRIu64 ", \"l1\": %" PRIu64,
		printer->started ? ",\n" : "[", it->start, it->length, it->l1);
	if (it->in_table)
		fprintf(printer->out, ", \"l2\": %" PRIu32 ", \"subcluster\": %" PRIu32, it->l2,
			it->sub);
	fprintf(printer->out, ", \"state\": \"%s\"", it->state);
	if (it->has_host)
		fprintf(printer->out, ", \"offset\": %" PRIu64 ", \"copied\": %s", it->host.v,
			it->copied ? "true" : "false");
	if (it->comp_bytes)
		fprintf(printer->out, ", \"compressed-bytes\": %" PRIu32, it->comp_bytes);
	if (it->fault)
		fprintf(printer->out, ", \"error\": \"%s\"", it->fault);
	fputc('}', printer->out);
	printer->started = true;
}

static void
print_text(struct raw_printer *printer, const struct raw_entry *it)
{
	char start[SHOW_HEX], length[SHOW_HEX], host[SHOW_HEX];

	if (!printer->started)
		fputs("    guest offset          length      L1      L2  sub  state              "
		      "    host offset\n",
		      printer->out);
	printer->started = true;
	fprintf(printer->out, "%16s  %14s  %6" PRIu64, show_hex(it->start, start),
		show_hex(it->length, length), it->l1);
	if (it->in_table)
		fprintf(printer->out, "  %6" PRIu32 "  %3" PRIu32, it->l2, it->sub);
	else
		fprintf(printer->out, "       -    -");
	fprintf(printer->out, it->has_host ? "  %-17s" : "  %s", it->state);
	if (it->has_host)
		fprintf(printer->out, " %15s%s", show_hex(it->host.v, host),
			it->copied ? " copied" : "");
	if (it->comp_bytes)
		fprintf(printer->out, " up to %" PRIu32 " bytes", it->comp_bytes);
	if (it->fault)
		fprintf(printer->out, " %s", it->fault);
	fputc('\n', printer->out);
}

static void
print_entry(struct raw_printer *printer, const struct raw_entry *it)
{
	if (it->start + it->length <= printer->view->start || it->start >= printer->view->end)
		return;
	if (printer->view->json)
		print_json(printer, it);
	else
		print_text(printer, it);
}

/* QEMU's names for the kinds of subclusters (block/qcow2.h), in words. */
static const char *
sub_state(const struct q2s_l2_entry *entry, uint32_t sub)
{
	switch (q2s_l2_state(entry, sub)) {
	case Q2S_DATA:
		return "normal";
	case Q2S_ZERO:
		return entry->has_host ? "zero-alloc" : "zero-plain";
	default:
		return entry->has_host ? "unallocated-alloc" : "unallocated";
	}
}

/* A cluster whose subclusters cannot be told apart: compressed, or not to be understood. */
static void
print_whole(struct raw_printer *printer, struct raw_entry *it, const struct q2s_l2_entry *entry)
{
	if (entry) {
		it->state = "compressed";
		it->has_host = true;
		it->host = entry->comp_at;
		it->comp_bytes = entry->comp_bytes;
	} else {
		it->state = "invalid";
	}
	print_entry(printer, it);
}

static void
print_cluster(struct raw_printer *printer, uint64_t l1, uint32_t l2, const uint8_t *raw,
	      uint64_t start)
{
	const struct q2s_geom *const geom = printer->geom;
	const uint64_t size = geom->size - start;
	struct raw_entry it = { .start = start,
				.length = q2si_min(geom->cluster_size, size),
				.l1 = l1,
				.in_table = true,
				.l2 = l2 };
	struct q2s_l2_entry entry;
	const enum q2s_err err = q2s_l2_decode_lenient(geom, raw, Q2S_NOWHERE, &entry, NULL);

	if (err != Q2S_OK || entry.compressed) {
		it.fault = err != Q2S_OK ? q2s_err_name(err) : NULL;
		print_whole(printer, &it, err == Q2S_OK ? &entry : NULL);
		return;
	}
	for (; it.sub < geom->sub_count && it.start < geom->size; it.sub++) {
		it.length = q2si_min(geom->sub_size, geom->size - it.start);
		it.state = sub_state(&entry, it.sub);
		it.has_host = entry.has_host;
		it.host.v = entry.host.v + it.sub * geom->sub_size;
		it.copied = entry.copied;
		print_entry(printer, &it);
		it.start += geom->sub_size;
	}
}

static void
print_table(struct raw_printer *printer, uint64_t l1, const uint8_t *table)
{
	const struct q2s_geom *const geom = printer->geom;

	for (uint32_t l2 = 0; l2 < geom->l2_entries; l2++) {
		const uint64_t start = l1 * geom->l2_span + ((uint64_t)l2 << geom->cluster_bits);

		if (start >= q2si_min(geom->size, printer->view->end))
			break;
		if (start + geom->cluster_size > printer->view->start)
			print_cluster(printer, l1, l2, table + (size_t)l2 * geom->l2_entry_size,
				      start);
	}
}

/* L1 entries without a table, from @from up to @to: one line for each stretch. */
static void
print_gap(struct raw_printer *printer, uint64_t from, uint64_t to)
{
	const struct q2s_geom *const geom = printer->geom;
	const uint64_t start = from * geom->l2_span;

	if (from < to)
		print_entry(printer, &(struct raw_entry){
					     .start = start,
					     .length = q2si_min((to - from) * geom->l2_span,
								geom->size - start),
					     .l1 = from,
					     .state = "no-l2-table",
				     });
}

static void
print_bad_table(struct raw_printer *printer, uint64_t l1, enum q2s_err err)
{
	const struct q2s_geom *const geom = printer->geom;
	const uint64_t start = l1 * geom->l2_span;

	print_entry(printer, &(struct raw_entry){
				     .start = start,
				     .length = q2si_min(geom->l2_span, geom->size - start),
				     .l1 = l1,
				     .state = "invalid",
				     .fault = q2s_err_name(err),
			     });
}

static enum q2s_err
print_tables(struct raw_printer *printer, struct q2s_map *map, struct q2s_diag *diag)
{
	const struct q2s_geom *const geom = printer->geom;
	const uint64_t end = q2si_div_up(printer->view->end, geom->l2_span);
	uint64_t l1 = printer->view->start / geom->l2_span;

	while (l1 < end) {
		struct q2s_l1_entry entry;
		const uint8_t *table = NULL;
		uint64_t next;
		enum q2s_err err = q2s_map_next_table(map, l1, &next, diag);

		if (err != Q2S_OK)
			return err;
		print_gap(printer, l1, q2si_min(next, end));
		if (next >= end)
			break;
		err = q2s_map_l2_table(map, next, &entry, &table, NULL);
		if (err != Q2S_OK)
			print_bad_table(printer, next, err);
		else if (table)
			print_table(printer, next, table);
		l1 = next + 1;
	}
	return Q2S_OK;
}

enum q2s_err
map_raw_entries(FILE *out, struct q2s_image *image, const struct map_view *view,
		struct q2s_diag *diag)
{
	struct raw_printer printer = { .out = out, .view = view, .geom = q2s_image_geom(image) };
	const struct q2s_l1_table l1 = q2s_image_active_l1(image);
	struct q2s_map *map = NULL;
	enum q2s_err err = q2s_map_open(image, &l1, &map, diag);

	if (err == Q2S_OK) {
		err = print_tables(&printer, map, diag);
		if (view->json) /* whole, however far it came */
			fputs(printer.started ? "]\n" : "[]\n", out);
	}
	q2s_map_close(map);
	return err;
}
