/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `dump`: what lies in cluster 0, and the encryption header. */
#include "inspect/dump.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "inspect/extensions.h"
#include "inspect/show.h"

#define NAME_WIDTH 24

/* ---- header ------------------------------------------------------------------------------ */

static void
show_field(struct dump *dump, const struct q2s_field *field)
{
	const uint64_t value = q2s_field_get(field, dump->subject->head);
	char hex[SHOW_HEX];

	sheet_fact(&dump->sheet, field->name, u64_json(value));
	if (dump->sheet.json)
		return;
	show_hex(value, hex);
	fprintf(dump->sheet.out, "  %3" PRIu32 "  %4" PRIu32 "  %-*s %20s", field->at, field->size,
		NAME_WIDTH, field->name, hex);
	if (!field_is_hex(field))
		fprintf(dump->sheet.out, "  %20" PRIu64, value);
	else
		fprintf(dump->sheet.out, "  %20s", "");
	fprintf(dump->sheet.out, "  %s\n", field->meaning);
}

/* The name of the backing file, if it lies in what was read of cluster 0. */
static void
show_backing_name(struct dump *dump)
{
	const struct subject *const it = dump->subject;
	const uint64_t at = it->header->backing_file_offset.v;
	const struct q2s_bytes name = { it->head + at, it->header->backing_file_size };

	if (at == 0 || at > it->head_size || name.len > it->head_size - at)
		return;
	sheet_fact(&dump->sheet, "backing_file_name", utf8_json(name.data, name.len));
	if (dump->sheet.json)
		return;
	fprintf(dump->sheet.out, "  backing file name at 0x%" PRIx64 ", %zu bytes: ", at, name.len);
	show_quoted(dump->sheet.out, name);
	fputc('\n', dump->sheet.out);
}

enum q2s_err
dump_header(struct dump *dump, struct q2s_diag *diag)
{
	const struct subject *const subject = dump->subject;
	const struct q2s_field *fields;
	const size_t count = header_fields(&fields, subject->header->header_length);
	struct q2s_diag tables = { 0 };

	(void)diag;
	sheet_title(&dump->sheet, "Header: %" PRIu32 " bytes", subject->header->header_length);
	sheet_note(&dump->sheet, "   at  size  %-*s %20s  %20s  meaning", NAME_WIDTH - 4, "field",
		   "value", "decimal");
	sheet_open(&dump->sheet, "header");
	for (size_t i = 0; i < count; i++)
		show_field(dump, &fields[i]);
	show_backing_name(dump);
	if (subject->fault.err != Q2S_OK)
		sheet_fault(&dump->sheet, &subject->fault);
	else if (q2s_header_check_tables(subject->header, &tables) != Q2S_OK)
		sheet_fault(&dump->sheet, &tables);
	sheet_close(&dump->sheet);
	return Q2S_OK;
}

/* ---- extensions -------------------------------------------------------------------------- */

static void
show_extension(struct dump *dump, const struct q2s_ext *ext)
{
	const struct q2s_header *const header = dump->subject->header;
	const struct q2s_geom *const geom = dump->subject->geom;
	char *text, hex[SHOW_HEX];

	if (dump->sheet.json) {
		jstream_value(&dump->sheet.stream, NULL, extension_json(header, geom, ext));
		return;
	}
	text = extension_text(header, geom, ext);
	fprintf(dump->sheet.out, "  %10s  0x%08" PRIx32 "  %6" PRIu32 "  %s%s%s\n",
		show_hex(ext->at.v, hex), ext->type, ext->len, extension_name(ext->type),
		text && *text ? ": " : "", text ? text : "");
	free(text);
}

/* What lies behind a record that is malformed cannot be told; say so in its place. */
static void
show_bad_extension(struct dump *dump, const struct q2s_diag *fault)
{
	sheet_open(&dump->sheet, NULL);
	sheet_fault(&dump->sheet, fault);
	sheet_close(&dump->sheet);
}

enum q2s_err
dump_extensions(struct dump *dump, struct q2s_diag *diag)
{
	const struct subject *const subject = dump->subject;
	struct q2s_extensions walk =
		q2s_image_extensions(subject->opened);
	struct q2s_diag fault = { 0 };
	struct q2s_ext ext;

	(void)diag;
	sheet_title(&dump->sheet, "Header extensions: from 0x%" PRIx32 ", up to 0x%" PRIx64,
		    subject->header->header_length, walk.end.v);
	sheet_note(&dump->sheet, "      at        type   bytes  content");
	sheet_open_list(&dump->sheet, "extensions");
	while (q2s_extensions_next(&walk, &ext, &fault))
		show_extension(dump, &ext);
	if (fault.err != Q2S_OK)
		show_bad_extension(dump, &fault);
	sheet_close(&dump->sheet);
	return Q2S_OK;
}

/* ---- encryption header ------------------------------------------------------------------- */

static const struct column slot_columns[] = {
	{ "slot", "slot", CELL_COUNT, 4 },
	{ "active", "active", CELL_FLAG, 6 },
	{ "iterations", "iterations", CELL_COUNT, 10 },
	{ "stripes", "stripes", CELL_COUNT, 7 },
	{ "key-offset", "key material at", CELL_OFFSET, 15 },
};
#define SLOT_COLUMNS (sizeof(slot_columns) / sizeof(slot_columns[0]))

static void
show_luks(struct dump *dump, const struct q2s_luks *luks)
{
	struct sheet *const sheet = &dump->sheet;

	sheet_fact(sheet, "cipher-name", text_json(luks->cipher_name));
	sheet_fact(sheet, "cipher-mode", text_json(luks->cipher_mode));
	sheet_fact(sheet, "hash", text_json(luks->hash));
	sheet_fact(sheet, "uuid", text_json(luks->uuid));
	sheet_fact(sheet, "key-bytes", u64_json(luks->key_bytes));
	sheet_fact(sheet, "payload-offset", u64_json(luks->payload_offset));
	sheet_fact(sheet, "master-key-iterations", u64_json(luks->master_iterations));
	if (!sheet->json) {
		fputs("  cipher ", sheet->out);
		show_name(sheet->out, luks->cipher_name);
		fputc('-', sheet->out);
		show_name(sheet->out, luks->cipher_mode);
		fprintf(sheet->out, ", %" PRIu32 " key bytes, hash ", luks->key_bytes);
		show_name(sheet->out, luks->hash);
		fprintf(sheet->out, ", %" PRIu32 " iterations, UUID ", luks->master_iterations);
		show_name(sheet->out, luks->uuid);
		fputc('\n', sheet->out);
	}
	sheet_table(sheet, "slots", slot_columns, SLOT_COLUMNS);
	for (uint32_t i = 0; i < Q2S_LUKS_SLOTS; i++) {
		const struct q2s_luks_slot *const slot = &luks->slots[i];
		const struct cell cells[SLOT_COLUMNS] = {
			CELL_N(i),
			CELL_N(slot->active),
			CELL_N(slot->iterations),
			CELL_N(slot->stripes),
			CELL_N(slot->key_offset),
		};

		sheet_row(sheet, cells, NULL);
	}
	sheet_table_end(sheet);
}

enum q2s_err
dump_luks(struct dump *dump, struct q2s_diag *diag)
{
	const struct subject *const subject = dump->subject;
	struct q2s_ext_crypto crypto;
	struct q2s_diag fault = { 0 };
	uint8_t raw[Q2S_LUKS_SIZE];
	struct q2s_luks luks;
	enum q2s_err err = Q2S_OK;
	const bool found = q2s_image_find_crypto(subject->opened, &crypto, &fault);

	if (!found && fault.err == Q2S_OK)
		return Q2S_OK;
	sheet_open(&dump->sheet, "luks");
	if (found) {
		sheet_title(&dump->sheet, "LUKS header at 0x%" PRIx64 ", %" PRIu64 " bytes",
			    crypto.offset.v, crypto.length);
		sheet_fact(&dump->sheet, "offset", u64_json(crypto.offset.v));
		sheet_fact(&dump->sheet, "length", u64_json(crypto.length));
		err = q2s_store_read(subject->file, crypto.offset.v, raw, sizeof(raw), diag);
		if (err == Q2S_OK && q2s_luks_decode(raw, crypto.offset, &luks, &fault) == Q2S_OK)
			show_luks(dump, &luks);
	}
	if (err == Q2S_E_SHORT) {
		fault = *diag;
		*diag = (struct q2s_diag){ 0 };
		err = Q2S_OK;
	}
	if (fault.err != Q2S_OK)
		sheet_fault(&dump->sheet, &fault);
	sheet_close(&dump->sheet);
	return err;
}
