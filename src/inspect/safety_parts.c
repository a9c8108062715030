/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rules of `safety` on header extensions, and on where tables lie. */
#include "inspect/safety.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/arith.h"
#include "inspect/extensions.h"
#include "inspect/show.h"

/* ---- places ------------------------------------------------------------------------------ */

/* An extension may point anywhere: the end of what it points to need not fit. */
static uint64_t
end_of(q2s_host at, uint64_t len)
{
	uint64_t end;

	return q2si_add(at.v, len, &end) ? end : UINT64_MAX;
}

static bool
overlap(q2s_host a, uint64_t a_len, q2s_host b, uint64_t b_len)
{
	return a_len && b_len && a.v < end_of(b, b_len) && b.v < end_of(a, a_len);
}

/* Whole clusters: what shares one with something else is as bad as what lies over it. */
static uint64_t
whole(const struct q2s_geom *geom, uint64_t len)
{
	return q2si_round_up(len, geom->cluster_size);
}

static void
judge_place(const struct safety_input *input, const struct q2s_geom *geom,
	    const struct safety_table *table, struct verdict *verdict)
{
	const uint64_t end = q2si_round_up(input->file_size, geom->cluster_size);
	uint64_t behind;

	if (overlap(table->at, whole(geom, table->len), (q2s_host){ 0 }, geom->cluster_size))
		safety_add(verdict, "tables-overlap", true, table->structure, table->at, NULL,
			   "lies over the header");
	if (table->len == 0 || !input->size_known)
		return;
	if (!q2si_add(table->at.v, table->len, &behind) || behind > end)
		safety_add(verdict, table->past_end_id, true, table->structure, table->at,
			   &table->len,
			   "lies past the end of the file, which has %" PRIu64 " bytes",
			   input->file_size);
}

void
safety_judge_places(const struct safety_input *input, const struct q2s_geom *geom,
		    const struct safety_table *tables, size_t count, struct verdict *verdict)
{
	for (size_t i = 0; i < count; i++) {
		judge_place(input, geom, &tables[i], verdict);
		for (size_t k = 0; k < i; k++) {
			if (overlap(tables[i].at, whole(geom, tables[i].len), tables[k].at,
				    whole(geom, tables[k].len)))
				safety_add(verdict, "tables-overlap", true, tables[i].structure,
					   tables[i].at, NULL, "lies over the %s",
					   tables[k].structure);
		}
	}
}

/* ---- extensions -------------------------------------------------------------------------- */

/** What the walk over the extensions has seen so far. */
struct seen {
	bool format;
	bool data_file;
	bool bitmaps;
	bool crypto;
	uint64_t unknown;
};

static bool *
seen_flag(struct seen *seen, uint32_t type)
{
	switch (type) {
	case Q2S_EXT_BACKING_FORMAT:
		return &seen->format;
	case Q2S_EXT_DATA_FILE:
		return &seen->data_file;
	case Q2S_EXT_BITMAPS:
		return &seen->bitmaps;
	case Q2S_EXT_CRYPTO:
		return &seen->crypto;
	default:
		return NULL;
	}
}

static void
add_fault(struct verdict *verdict, const char *id, const struct q2s_diag *diag)
{
	safety_add(verdict, id, true, diag->what, diag->at, diag->has_value ? &diag->value : NULL,
		   "%s", diag->text);
}

static void
judge_data_file(const struct q2s_geom *geom, const struct q2s_ext *ext, struct verdict *verdict)
{
	const struct q2s_bytes name = { ext->data, ext->len };

	if (geom->data_file)
		safety_judge_name(verdict, "data-file-name", "data-file-json", "data-file-protocol",
				  "external data file name", ext->at, name);
	else
		safety_add(verdict, "data-file-name-unused", false, "external data file name",
			   ext->at, NULL, "is ignored, as the feature bit is clear");
}

static void
judge_bitmaps(const struct safety_input *input, const struct q2s_geom *geom,
	      const struct q2s_ext *ext, struct verdict *verdict)
{
	struct q2s_diag diag = { 0 };
	struct q2s_ext_bitmaps it;

	if (q2s_ext_bitmaps_decode(geom, ext, &it, &diag) != Q2S_OK) {
		add_fault(verdict, "extension", &diag);
		return;
	}
	safety_judge_places(input, geom,
			    &(struct safety_table){ "bitmap directory", "bitmap-directory-past-end",
						    it.directory_offset, it.directory_size },
			    1, verdict);
}

static void
judge_crypto(const struct safety_input *input, const struct q2s_geom *geom,
	     const struct q2s_header *header, const struct q2s_ext *ext, struct verdict *verdict)
{
	struct q2s_diag diag = { 0 };
	struct q2s_ext_crypto it;

	if (header->crypt_method != Q2S_CRYPT_LUKS)
		safety_add(verdict, "extension", true, "encryption header pointer", ext->at, NULL,
			   "without LUKS encryption");
	if (q2s_ext_crypto_decode(geom, ext, &it, &diag) != Q2S_OK) {
		add_fault(verdict, "extension", &diag);
		return;
	}
	safety_judge_places(input, geom,
			    &(struct safety_table){ "encryption header",
						    "encryption-header-past-end", it.offset,
						    it.length },
			    1, verdict);
}

/* Worth a word, as other programs do not know it; never a danger. */
static void
judge_mark(const struct q2s_header *header, const struct q2s_geom *geom,
	   const struct q2s_ext *ext, struct verdict *verdict)
{
	char *const text = extension_text(header, geom, ext);

	safety_add(verdict, "mark", false, "mark extension", ext->at, NULL,
		   "private to q2s, other programs ignore it: %s",
		   text && text[0] ? text : "malformed");
	free(text);
}

static void
judge_record(const struct safety_input *input, const struct q2s_header *header,
	     const struct q2s_geom *geom, const struct q2s_ext *ext, struct seen *seen,
	     struct verdict *verdict)
{
	bool *const flag = seen_flag(seen, ext->type);

	if (flag && *flag)
		safety_add(verdict, "extension-twice", true, extension_name(ext->type), ext->at,
			   NULL, "comes twice: programs differ in which one they believe");
	if (flag)
		*flag = true;
	else if (ext->type != Q2S_EXT_FEATURE_NAMES && ext->type != Q2S_EXT_MARK)
		seen->unknown++;
	if (ext->type == Q2S_EXT_BACKING_FORMAT && ext->len > Q2S_FORMAT_NAME_MAX)
		safety_add(verdict, "extension", true, "backing format", ext->at,
			   &(uint64_t){ ext->len }, "over 15 bytes");
	else if (ext->type == Q2S_EXT_DATA_FILE)
		judge_data_file(geom, ext, verdict);
	else if (ext->type == Q2S_EXT_BITMAPS)
		judge_bitmaps(input, geom, ext, verdict);
	else if (ext->type == Q2S_EXT_CRYPTO)
		judge_crypto(input, geom, header, ext, verdict);
	else if (ext->type == Q2S_EXT_MARK)
		judge_mark(header, geom, ext, verdict);
}

/* What must have been there, or must not be there alone. */
static void
judge_missing(const struct q2s_header *header, const struct seen *seen, struct verdict *verdict)
{
	if (header->backing_file_offset.v && !seen->format)
		safety_add(verdict, "backing-format-missing", true, "backing format",
			   (q2s_host){ header->header_length }, NULL,
			   "not recorded, so a hypervisor would guess it from the file's bytes");
	if (header->crypt_method == Q2S_CRYPT_LUKS && !seen->crypto)
		safety_add(verdict, "extension", true, "encryption header pointer",
			   (q2s_host){ header->header_length }, NULL,
			   "missing, though the image is encrypted");
	if (seen->unknown)
		safety_add(verdict, "extension-unknown", false, "header extensions",
			   (q2s_host){ header->header_length }, &seen->unknown,
			   "records of unknown type, which may be ignored");
}

void
safety_judge_extensions(const struct safety_input *input, const struct q2s_header *header,
			const struct q2s_geom *geom, struct verdict *verdict)
{
	struct q2s_extensions walk = q2s_extensions_begin(header, input->head, input->cap);
	struct q2s_diag diag = { 0 };
	struct seen seen = { 0 };
	struct q2s_ext ext;

	while (q2s_extensions_next(&walk, &ext, &diag))
		judge_record(input, header, geom, &ext, &seen, verdict);
	if (diag.err != Q2S_OK)
		add_fault(verdict, "extension", &diag);
	judge_missing(header, &seen, verdict);
}
