/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `info` for people: the facts in groups, with the format's own words. */
#include "inspect/info.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "common/escape.h"
#include "common/size.h"
#include "inspect/extensions.h"
#include "inspect/show.h"

#define NSEC_PER_SEC 1000000000u

static void
label(FILE *out, const char *name)
{
	fprintf(out, "  %-22s ", name);
}

static void
line(FILE *out, const char *name, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void
line(FILE *out, const char *name, const char *fmt, ...)
{
	va_list args;

	label(out, name);
	va_start(args, fmt);
	vfprintf(out, fmt, args);
	va_end(args);
	fputc('\n', out);
}

static void
size_line(FILE *out, const char *name, uint64_t bytes)
{
	char text[SIZE_TEXT];

	line(out, name, "%s (%" PRIu64 " bytes)", size_human(bytes, text), bytes);
}

/* ---- groups ------------------------------------------------------------------------------ */

static void
disk_group(FILE *out, const struct info *info)
{
	const struct q2s_geom *const geom = q2s_image_geom(info->image);

	fputs("Disk\n", out);
	size_line(out, "virtual size", geom->size);
	size_line(out, "file length", q2s_store_size(info->file));
	size_line(out, "space on disk", q2s_store_allocated(info->file));
}

static void
geometry_group(FILE *out, const struct q2s_geom *geom, const struct q2s_header *header)
{
	char a[SIZE_TEXT], b[SIZE_TEXT];

	fputs("\nGeometry\n", out);
	line(out, "cluster", "%s, 1 << %u bytes; the disk has %" PRIu64,
	     size_human(geom->cluster_size, a), geom->cluster_bits, geom->clusters);
	if (geom->extended)
		line(out, "subcluster", "%s, %u in a cluster (extended L2)",
		     size_human(geom->sub_size, a), geom->sub_count);
	line(out, "L2 table", "one cluster, %u entries of %u bytes, maps %s", geom->l2_entries,
	     geom->l2_entry_size, size_human(geom->l2_span, a));
	line(out, "L1 table", "%" PRIu32 " %s; the disk needs %" PRIu64, header->l1_size,
	     show_plural(header->l1_size, "entry", "entries"), geom->l1_entries);
	line(out, "refcount", "%u bit%s; a block of one cluster holds %u, for %s of the file",
	     geom->refcount_bits, show_plural(geom->refcount_bits, "", "s"), geom->block_entries,
	     size_human((uint64_t)geom->block_entries << geom->cluster_bits, b));
}

static void
feature_line(FILE *out, const char *title, unsigned kind, uint64_t bits)
{
	const char *separator = "";

	label(out, title);
	if (!bits)
		fputs("none", out);
	for (unsigned bit = 0; bit < 64; bit++) {
		const char *const name = q2s_feature_name(kind, bit);

		if (!(bits >> bit & 1))
			continue;
		fprintf(out, "%s%s (bit %u)", separator, name ? name : "unknown", bit);
		separator = ", ";
	}
	fputc('\n', out);
}

static void
feature_group(FILE *out, const struct q2s_header *header)
{
	const uint64_t incompatible = header->incompatible_features;

	fputs("\nFeatures\n", out);
	line(out, "compression", "%s", compression_name(header->compression_type));
	line(out, "encryption", "%s", crypt_name(header->crypt_method));
	if (header->version < 3)
		return;
	feature_line(out, "incompatible", 0, incompatible);
	feature_line(out, "compatible", 1, header->compatible_features);
	feature_line(out, "autoclear", 2, header->autoclear_features);
	if (incompatible & Q2S_INCOMPAT_DIRTY)
		line(out, "dirty", "refcounts may be stale; a writer repairs them first");
	if (incompatible & Q2S_INCOMPAT_CORRUPT)
		line(out, "corrupt", "QEMU found damage, and refuses to write");
}

static void
encryption_group(FILE *out, const struct q2s_luks *luks)
{
	struct q2s_luks_words words;
	char slots[Q2S_LUKS_SLOTS + 1] = "";

	q2s_luks_words(luks, &words);
	for (size_t i = 0; i < Q2S_LUKS_SLOTS; i++)
		slots[i] = luks->slots[i].active ? (char)('0' + i) : '-';
	fputs("\nEncryption (LUKS)\n", out);
	label(out, "cipher");
	show_name(out, words.alg);
	fputc(' ', out);
	show_name(out, luks->cipher_mode);
	fputc('\n', out);
	label(out, "hash");
	show_name(out, luks->hash);
	fputc('\n', out);
	label(out, "UUID");
	show_name(out, luks->uuid);
	fputc('\n', out);
	line(out, "key slots in use", "%s", slots);
}

static void
reference_group(FILE *out, const struct info *info)
{
	const struct q2s_bytes backing = q2s_image_backing_name(info->image);
	const struct q2s_bytes format = q2s_image_backing_format(info->image);
	const struct q2s_bytes data_file = q2s_image_data_file_name(info->image);
	const struct q2s_header *const header = q2s_image_header(info->image);

	if (!backing.len && !q2s_image_geom(info->image)->data_file)
		return;
	fputs("\nOther files that it refers to (none was opened for this)\n", out);
	if (backing.len) {
		label(out, "backing file");
		show_quoted(out, backing);
		fputs(format.len ? ", format " : ", no format recorded", out);
		escape_print(out, format.data, format.len);
		fputc('\n', out);
	}
	if (backing.len && info->full_backing) {
		label(out, "  seen from here");
		show_quoted(out, (struct q2s_bytes){ (const uint8_t *)info->full_backing,
						     strlen(info->full_backing) });
		fputc('\n', out);
	}
	if (!q2s_image_geom(info->image)->data_file)
		return;
	label(out, "external data file");
	show_quoted(out, data_file);
	fputs(header->autoclear_features & Q2S_AUTOCLEAR_DATA_FILE_RAW
		      ? ", a valid raw image by itself\n"
		      : "\n",
	      out);
}

static void
mark_group(FILE *out, const struct info *info)
{
	bool valid;
	const struct q2s_mark *const mark = q2s_image_mark(info->image, &valid);

	if (!mark)
		return;
	fputs("\nMark of the layer (private to q2s)\n", out);
	label(out, "id");
	mark_text(out, mark, valid);
	fputc('\n', out);
}

static void
place_group(FILE *out, const struct info *info)
{
	struct info_place places[INFO_PLACES];
	const size_t count = info_places(info, places);
	char at[SHOW_HEX];

	fputs("\nWhere it lies           host offset          length\n", out);
	for (size_t i = 0; i < count; i++)
		fprintf(out, "  %-20s %12s %15" PRIu64 "\n", places[i].structure,
			show_hex(places[i].at.v, at), places[i].len);
	fprintf(out, "  %-20s %12s\n", "end of the file", show_hex(q2s_store_size(info->file), at));
}

static void
date(FILE *out, uint32_t seconds)
{
	const time_t at = (time_t)seconds;
	struct tm parts;
	char text[32];

	if (gmtime_r(&at, &parts) && strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &parts))
		fputs(text, out);
}

static void
snapshot_group(FILE *out, const struct info *info)
{
	char size[SIZE_TEXT], state[SIZE_TEXT];

	if (!info->snapshots.count)
		return;
	fputs("\nSnapshots\n  ID    taken (UTC)           disk size    VM state   VM clock s  "
	      "name\n",
	      out);
	for (uint32_t i = 0; i < info->snapshots.count; i++) {
		const struct q2s_snapshot *const it = &info->snapshots.list[i];

		fputs("  ", out);
		escape_print(out, it->id, it->id_len);
		fprintf(out, "%*s", it->id_len < 6 ? 6 - it->id_len : 1, "");
		date(out, it->date_sec);
		fprintf(out, " %11s %11s %8" PRIu64 ".%03u  ",
			it->has_disk_size ? size_human(it->disk_size, size) : "as now",
			size_human(it->vm_state_size, state), it->vm_clock_nsec / NSEC_PER_SEC,
			(unsigned)(it->vm_clock_nsec % NSEC_PER_SEC / 1000000));
		show_quoted(out, (struct q2s_bytes){ it->name, it->name_len });
		fputc('\n', out);
	}
}

static void
bitmap_group(FILE *out, const struct info *info)
{
	char size[SIZE_TEXT];

	if (!info->bitmaps.count)
		return;
	fputs("\nBitmaps\n  granularity  flags         name\n", out);
	for (uint32_t i = 0; i < info->bitmaps.count; i++) {
		const struct q2s_bitmap *const it = &info->bitmaps.list[i];

		fprintf(out, "  %11s  %-6s %-6s ", size_human(1ull << it->granularity_bits, size),
			it->flags & Q2S_BITMAP_IN_USE ? "in-use" : "",
			it->flags & Q2S_BITMAP_AUTO ? "auto" : "");
		show_quoted(out, (struct q2s_bytes){ it->name, it->name_len });
		fputc('\n', out);
	}
}

static void
raw_group(FILE *out, const struct info *info)
{
	fputs("Disk\n", out);
	size_line(out, "virtual size", info_file_size(info->file));
	size_line(out, "file length", q2s_store_size(info->file));
	size_line(out, "space on disk", q2s_store_allocated(info->file));
}

void
info_human(FILE *out, const struct info *info)
{
	const struct q2s_header *header;

	show_name(out, q2s_store_name(info->file));
	if (!info->image) {
		fputs(": raw\n\n", out);
		raw_group(out, info);
		return;
	}
	header = q2s_image_header(info->image);
	fprintf(out, ": qcow2 version %" PRIu32 " (compat %s)\n\n", header->version,
		header->version == 2 ? "0.10" : "1.1");
	disk_group(out, info);
	geometry_group(out, q2s_image_geom(info->image), header);
	feature_group(out, header);
	if (info->has_luks)
		encryption_group(out, &info->luks);
	reference_group(out, info);
	mark_group(out, info);
	place_group(out, info);
	snapshot_group(out, info);
	bitmap_group(out, info);
}
