/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names for the bytes of cluster 0. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arith.h"
#include "common/escape.h"
#include "inspect/extensions.h"
#include "inspect/show.h"
#include "inspect/spans.h"

#define PADDING_FROM 105u /* behind compression_type */

/* ---- fixed header ------------------------------------------------------------------------ */

static enum q2s_err
put_field(struct spans *spans, const struct q2s_field *field, struct q2s_diag *diag)
{
	const uint64_t value = q2s_field_get(field, spans->subject->head);
	char name[SPAN_NAME];

	snprintf(name, sizeof(name), "header field %s", field->name);
	return span_put(spans, field->size, diag, name,
			field_is_hex(field) ? "0x%" PRIx64 : "%" PRIu64, value);
}

static enum q2s_err
put_fixed(struct spans *spans, struct q2s_diag *diag)
{
	const uint32_t length = spans->subject->header->header_length;
	const struct q2s_field *fields;
	const size_t count = header_fields(&fields, length);
	enum q2s_err err = Q2S_OK;

	for (size_t i = 0; i < count && err == Q2S_OK; i++)
		err = put_field(spans, &fields[i], diag);
	if (err == Q2S_OK && spans->at == PADDING_FROM)
		err = span_put_until(spans, q2si_min(length, Q2S_HEADER_V3_SIZE), diag,
				     "padding of the header");
	if (err == Q2S_OK)
		err = span_put_until(spans, length, diag, "header field that is not known");
	return err;
}

/* ---- extensions -------------------------------------------------------------------------- */

static enum q2s_err
put_feature_name(struct spans *spans, const struct q2s_ext *ext, uint32_t index,
		 struct q2s_diag *diag)
{
	static const char *const kinds[] = { "incompatible", "compatible", "autoclear" };
	struct q2s_feature_item item;
	char name[SPAN_NAME], *shown;
	enum q2s_err err;

	snprintf(name, sizeof(name), "feature name %" PRIu32, index);
	if (q2s_feature_item_decode(ext, index, &item, NULL) != Q2S_OK)
		return span_put(spans, Q2S_FEATURE_NAME_SIZE, diag, name, "malformed");
	shown = escape_text(item.name);
	err = span_put(spans, Q2S_FEATURE_NAME_SIZE, diag, name, "%s bit %u: %s", kinds[item.kind],
		       item.bit, shown ? shown : "?");
	free(shown);
	return err;
}

static enum q2s_err
put_feature_names(struct spans *spans, const struct q2s_ext *ext, struct q2s_diag *diag)
{
	const uint32_t count = ext->len / Q2S_FEATURE_NAME_SIZE;
	enum q2s_err err = Q2S_OK;

	for (uint32_t i = 0; i < count && err == Q2S_OK; i++)
		err = put_feature_name(spans, ext, i, diag);
	return err;
}

static enum q2s_err
put_id(struct spans *spans, const struct q2s_id *id, const char *name, struct q2s_diag *diag)
{
	char text[Q2S_ID_TEXT];

	return span_put(spans, sizeof(id->bytes), diag, name, "%s",
			q2s_id_is_none(id) ? "none" : q2s_id_text(id, text));
}

static enum q2s_err
put_mark(struct spans *spans, const struct q2s_ext *ext, struct q2s_diag *diag)
{
	const uint64_t features = spans->subject->header->autoclear_features;
	const bool valid = features & Q2S_AUTOCLEAR_MARK;
	struct q2s_mark mark;
	enum q2s_err err;

	if (q2s_ext_mark_decode(ext, &mark, NULL) != Q2S_OK)
		return Q2S_OK;
	err = put_id(spans, &mark.id,
		     valid ? "mark, id of the layer" : "mark that is not valid, id of the layer", diag);
	return err == Q2S_OK ? put_id(spans, &mark.parent, "mark, id of the parent", diag) : err;
}

static enum q2s_err
put_data(struct spans *spans, const struct q2s_ext *ext, struct q2s_diag *diag)
{
	const struct q2s_bytes bytes = { ext->data, ext->len };

	switch (ext->type) {
	case Q2S_EXT_BACKING_FORMAT:
		return span_put_bytes(spans, bytes, diag, "backing format");
	case Q2S_EXT_DATA_FILE:
		return span_put_bytes(spans, bytes, diag, "external data file name");
	case Q2S_EXT_FEATURE_NAMES:
		return put_feature_names(spans, ext, diag);
	case Q2S_EXT_BITMAPS:
		return ext->len != Q2S_EXT_BITMAPS_SIZE
			       ? Q2S_OK
			       : span_put_fields(spans, "bitmaps", Q2S_RECORD_EXT_BITMAPS,
						 ext->len, ext->data, diag);
	case Q2S_EXT_CRYPTO:
		return ext->len != Q2S_EXT_CRYPTO_SIZE
			       ? Q2S_OK
			       : span_put_fields(spans, "encryption", Q2S_RECORD_EXT_CRYPTO,
						 ext->len, ext->data, diag);
	case Q2S_EXT_MARK:
		return put_mark(spans, ext, diag);
	default:
		return Q2S_OK;
	}
}

static enum q2s_err
put_extension(struct spans *spans, const struct q2s_ext *ext, uint64_t next, struct q2s_diag *diag)
{
	enum q2s_err err = span_put(spans, 4, diag, "extension type", "0x%08" PRIx32 ": %s",
				    ext->type, extension_name(ext->type));

	if (err == Q2S_OK)
		err = span_put(spans, 4, diag, "extension length", "%" PRIu32, ext->len);
	if (err == Q2S_OK)
		err = put_data(spans, ext, diag);
	if (err == Q2S_OK)
		err = span_put_until(spans, ext->at.v + Q2S_EXT_HEAD_SIZE + ext->len, diag,
				     "extension data");
	if (err == Q2S_OK)
		err = span_put_until(spans, next, diag, "padding of the extension");
	return err;
}

static enum q2s_err
put_extensions(struct spans *spans, struct q2s_diag *diag)
{
	const struct subject *const subject = spans->subject;
	struct q2s_extensions walk =
		q2s_image_extensions(subject->opened);
	struct q2s_diag fault = { 0 };
	struct q2s_ext ext = { 0 };
	enum q2s_err err = Q2S_OK;

	while (err == Q2S_OK && q2s_extensions_next(&walk, &ext, &fault))
		err = put_extension(spans, &ext, walk.pos, diag);
	if (err != Q2S_OK)
		return err;
	if (fault.err != Q2S_OK)
		return span_put_until(spans, walk.end.v, diag, "malformed extension");
	return span_put_until(spans, q2si_min(walk.pos, walk.end.v), diag, "end of extensions");
}

/* ---- the whole --------------------------------------------------------------------------- */

enum q2s_err
spans_header(struct spans *spans, struct q2s_diag *diag)
{
	const struct subject *const subject = spans->subject;
	const uint64_t at = subject->header->backing_file_offset.v;
	const uint32_t len = subject->header->backing_file_size;
	enum q2s_err err = put_fixed(spans, diag);

	if (err == Q2S_OK)
		err = put_extensions(spans, diag);
	if (err == Q2S_OK && at >= spans->at && at < spans->end && len <= spans->end - at) {
		err = span_put_until(spans, at, diag, "unused");
		if (err == Q2S_OK)
			err = span_put_bytes(spans, (struct q2s_bytes){ subject->head + at, len },
					     diag, "backing file name");
	}
	if (err == Q2S_OK)
		err = span_put_until(spans, spans->end, diag, "unused");
	return err;
}
