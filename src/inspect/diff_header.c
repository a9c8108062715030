/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What changed in the header, and in the records to which it leads. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "common/escape.h"
#include "common/fault.h"
#include "common/json.h"
#include "common/size.h"
#include "inspect/diff.h"
#include "inspect/extensions.h"
#include "inspect/show.h"

/* ---- fields ------------------------------------------------------------------------------ */

static void
diff_fields(struct diff *diff)
{
	const struct subject *const a = diff->before, *const b = diff->after;

	const struct q2s_field *fields;
	const size_t in_a = header_fields(&fields, a->header->header_length);
	const size_t in_b = header_fields(&fields, b->header->header_length);

	for (size_t i = 0; i < q2si_max(in_a, in_b); i++) {
		const struct q2s_field *const field = &fields[i];
		const uint64_t old = i < in_a ? q2s_field_get(field, a->head) : 0;
		const uint64_t new = i < in_b ? q2s_field_get(field, b->head) : 0;

		if (old == new)
			continue;
		diff_item(&diff->out,
			  json_pack("{s:s, s:I, s:o, s:o}", "field", field->name, "host-offset",
				    (json_int_t)field->at, "before", u64_json(old), "after",
				    u64_json(new)),
			  field_is_hex(field) ? "0x%02" PRIx32 " %-24s 0x%" PRIx64 " -> 0x%" PRIx64
					      : "0x%02" PRIx32 " %-24s %" PRIu64 " -> %" PRIu64,
			  field->at, field->name, old, new);
	}
}

/* ---- lists of records -------------------------------------------------------------------- */

/** Records of one kind: what is the same in both states is found by its key. */
struct record_text {
	char *key;
	char *text;
};

struct record_list {
	struct record_text *list;
	size_t count;
	size_t cap;
};

static void
list_free(struct record_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free(list->list[i].key);
		free(list->list[i].text);
	}
	free(list->list);
}

/* @key and @text are taken over. */
static enum q2s_err
list_add(struct record_list *list, char *key, char *text, struct q2s_diag *diag)
{
	const size_t cap = list->cap ? 2 * list->cap : 16;
	struct record_text *more = list->list;

	if (list->count == list->cap) {
		more = realloc(list->list, cap * sizeof(*more));
		if (more) {
			list->list = more;
			list->cap = cap;
		}
	}
	if (!more || !key || !text) {
		free(key);
		free(text);
		return fault_nomem(diag, "list of records");
	}
	list->list[list->count++] = (struct record_text){ key, text };
	return Q2S_OK;
}

static int
by_key(const void *a, const void *b)
{
	const struct record_text *const x = a, *const y = b;
	const int order = strcmp(x->key, y->key);

	return order ? order : strcmp(x->text, y->text);
}

static void
show_record(struct diff *diff, const char *kind, const struct record_text *a,
	    const struct record_text *b)
{
	json_t *const object =
		json_pack("{s:s, s:o}", "field", kind, "name", text_json(a ? a->key : b->key));

	if (object && a)
		json_object_set_new(object, "before", text_json(a->text));
	if (object && b)
		json_object_set_new(object, "after", text_json(b->text));
	if (a && b)
		diff_item(&diff->out, object, "%s %s: %s -> %s", kind, a->key, a->text, b->text);
	else
		diff_item(&diff->out, object, "%s %s %s: %s", kind, a ? a->key : b->key,
			  a ? "removed" : "added", a ? a->text : b->text);
}

/* What is in one list alone, or in both with another text. @added and @removed: the event, or NULL.
 */
static void
diff_lists(struct diff *diff, const char *kind, struct record_list lists[2], const char *added,
	   const char *removed)
{
	size_t i = 0, j = 0;

	for (int side = 0; side < 2; side++) {
		if (lists[side].count)
			qsort(lists[side].list, lists[side].count, sizeof(*lists[side].list),
			      by_key);
	}
	while (i < lists[0].count || j < lists[1].count) {
		const struct record_text *a = i < lists[0].count ? &lists[0].list[i] : NULL;
		const struct record_text *b = j < lists[1].count ? &lists[1].list[j] : NULL;
		const int order = !a ? 1 : !b ? -1 : strcmp(a->key, b->key);

		i += order <= 0;
		j += order >= 0;
		a = order <= 0 ? a : NULL;
		b = order >= 0 ? b : NULL;
		if (!a || !b || strcmp(a->text, b->text) != 0)
			show_record(diff, kind, a, b);
		if (!a && added)
			diff_event(diff, added, "%s %s", added, b->key);
		if (!b && removed)
			diff_event(diff, removed, "%s %s", removed, a->key);
	}
	list_free(&lists[0]);
	list_free(&lists[1]);
}

/* ---- kinds of records -------------------------------------------------------------------- */

__attribute__((format(printf, 1, 2))) static char *
text_of(const char *fmt, ...)
{
	char buf[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(buf, sizeof(buf), fmt, args);
	va_end(args);
	return strdup(buf);
}

static enum q2s_err
list_extensions(const struct subject *subject, struct record_list *out, struct q2s_diag *diag)
{
	struct q2s_extensions walk =
		q2s_image_extensions(subject->opened);
	enum q2s_err err = Q2S_OK;
	struct q2s_ext ext;

	while (err == Q2S_OK && q2s_extensions_next(&walk, &ext, NULL)) {
		if (ext.type != Q2S_EXT_END)
			err = list_add(
				out,
				text_of("0x%08" PRIx32 " (%s)", ext.type, extension_name(ext.type)),
				extension_text(subject->header, subject->geom, &ext), diag);
	}
	return err;
}

/* "1 'name'", for the eyes of people. */
static char *
quoted(const uint8_t *id, size_t id_len, const uint8_t *name, size_t name_len)
{
	char *const first = escape_bytes(id, id_len), *const second = escape_bytes(name, name_len);
	char *const key = first && second
				  ? text_of("%s%s\"%.300s\"", first, id_len ? " " : "", second)
				  : NULL;

	free(first);
	free(second);
	return key;
}

static enum q2s_err
list_snapshots(const struct subject *subject, struct record_list *out, struct q2s_diag *diag)
{
	struct q2s_records walk = q2s_records_snapshots(subject->opened);
	struct q2s_snapshot it;
	struct q2s_stored_record record;
	enum q2s_err err = Q2S_OK, read = Q2S_OK;

	while (err == Q2S_OK && q2s_records_next_snapshot(&walk, &record, &it, &read, diag)) {
		if (record.fault.err == Q2S_OK)
			err = list_add(out, quoted(it.id, it.id_len, it.name, it.name_len),
				       text_of("L1 table of %" PRIu32 " entries at 0x%" PRIx64
					       ", VM state %" PRIu64 " bytes",
					       it.l1_entries, it.l1_offset.v, it.vm_state_size),
				       diag);
	}
	q2s_records_end(&walk);
	return err != Q2S_OK ? err : read;
}

static enum q2s_err
list_directory(const struct subject *subject, const struct q2s_ext_bitmaps *bitmaps,
	       struct record_list *out, struct q2s_diag *diag)
{
	struct q2s_records walk = q2s_records_bitmaps(subject->opened, bitmaps);
	struct q2s_bitmap it;
	struct q2s_stored_record record;
	enum q2s_err err = Q2S_OK, read = Q2S_OK;

	while (err == Q2S_OK && q2s_records_next_bitmap(&walk, &record, &it, &read, diag)) {
		if (record.fault.err == Q2S_OK)
			err = list_add(out, quoted(NULL, 0, it.name, it.name_len),
				       text_of("table of %" PRIu32 " entries at 0x%" PRIx64
					       ", flags 0x%" PRIx32 "%s%s",
					       it.table_entries, it.table_offset.v, it.flags,
					       it.flags & Q2S_BITMAP_IN_USE ? " in use" : "",
					       it.flags & Q2S_BITMAP_AUTO ? " enabled" : ""),
				       diag);
	}
	q2s_records_end(&walk);
	return err != Q2S_OK ? err : read;
}

static enum q2s_err
list_bitmaps(const struct subject *subject, struct record_list *out, struct q2s_diag *diag)
{
	struct q2s_extensions walk =
		q2s_image_extensions(subject->opened);
	struct q2s_ext_bitmaps bitmaps;
	enum q2s_err err = Q2S_OK;
	struct q2s_ext ext;

	while (err == Q2S_OK && q2s_extensions_next(&walk, &ext, NULL)) {
		if (ext.type == Q2S_EXT_BITMAPS &&
		    q2s_ext_bitmaps_decode(subject->geom, &ext, &bitmaps, NULL) == Q2S_OK)
			err = list_directory(subject, &bitmaps, out, diag);
	}
	return err;
}

typedef enum q2s_err (*list_fn)(const struct subject *subject, struct record_list *out,
				struct q2s_diag *diag);

static enum q2s_err
diff_records(struct diff *diff, const char *kind, list_fn list, const char *added,
	     const char *removed, struct q2s_diag *diag)
{
	struct record_list lists[2] = { 0 };
	enum q2s_err err = list(diff->before, &lists[0], diag);

	if (err == Q2S_OK)
		err = list(diff->after, &lists[1], diag);
	if (err != Q2S_OK) {
		list_free(&lists[0]);
		list_free(&lists[1]);
		return err;
	}
	diff_lists(diff, kind, lists, added, removed);
	return Q2S_OK;
}

/* ---- what the header says as a whole ----------------------------------------------------- */

/* The name of the backing file, escaped; "" without one. To free. */
static char *
backing_of(const struct subject *subject)
{
	const struct q2s_header *const header = subject->header;
	const uint64_t at = header->backing_file_offset.v;

	if (at == 0 || at > subject->head_size ||
	    header->backing_file_size > subject->head_size - at)
		return strdup("");
	return escape_bytes(subject->head + at, header->backing_file_size);
}

static enum q2s_err
diff_backing(struct diff *diff, struct q2s_diag *diag)
{
	char *const a = backing_of(diff->before), *const b = backing_of(diff->after);
	const bool ok = a && b;

	if (ok && strcmp(a, b) != 0) {
		diff_item(&diff->out,
			  json_pack("{s:s, s:o, s:o}", "field", "backing file name", "before",
				    text_json(a), "after", text_json(b)),
			  "backing file name \"%s\" -> \"%s\"", a, b);
		if (a[0] && b[0])
			diff_event(diff, "rebase", "rebase from \"%.300s\" to \"%.300s\"", a, b);
		else
			diff_event(diff, "rebase", "rebase: the backing file \"%.300s\" is %s",
				   a[0] ? a : b, a[0] ? "gone" : "new");
	}
	free(a);
	free(b);
	return ok ? Q2S_OK : fault_nomem(diag, "backing file name");
}

static void
diff_features(struct diff *diff)
{
	const struct q2s_header *const a = diff->before->header, *const b = diff->after->header;
	const uint64_t set = b->incompatible_features & ~a->incompatible_features;
	const uint64_t cleared = a->incompatible_features & ~b->incompatible_features;
	char old[SIZE_TEXT], new[SIZE_TEXT];

	if (a->size != b->size)
		diff_event(diff, "resize", "resize from %s to %s (%" PRIu64 " -> %" PRIu64 ")",
			   size_human(a->size, old), size_human(b->size, new), a->size, b->size);
	if (set & Q2S_INCOMPAT_DIRTY)
		diff_event(diff, "dirty",
			   "opened for writing with lazy refcounts, and not closed: the dirty bit");
	if (cleared & Q2S_INCOMPAT_DIRTY)
		diff_event(diff, "closed", "closed or repaired: the dirty bit is gone");
	if (set & Q2S_INCOMPAT_CORRUPT)
		diff_event(diff, "corrupt", "a program found damage: the corrupt bit");
	if ((set | cleared) & Q2S_INCOMPAT_EXTENDED_L2)
		diff_event(diff, "amend", "amend: the L2 entries have another size");
	if (a->refcount_order != b->refcount_order)
		diff_event(diff, "amend", "amend: refcount_order %" PRIu32 " -> %" PRIu32,
			   a->refcount_order, b->refcount_order);
	if (a->version != b->version)
		diff_event(diff, "amend", "amend: version %" PRIu32 " -> %" PRIu32, a->version,
			   b->version);
}

enum q2s_err
diff_header(struct diff *diff, struct q2s_diag *diag)
{
	const uint64_t old = q2s_store_size(diff->before->file);
	const uint64_t new = q2s_store_size(diff->after->file);
	enum q2s_err err;

	diff_section(&diff->out, "header", "Header");
	diff_fields(diff);
	diff_features(diff);
	err = diff_backing(diff, diag);
	if (err == Q2S_OK)
		err = diff_records(diff, "extension", list_extensions, NULL, NULL, diag);
	if (err == Q2S_OK)
		err = diff_records(diff, "snapshot", list_snapshots, "snapshot create",
				   "snapshot delete", diag);
	if (err == Q2S_OK)
		err = diff_records(diff, "bitmap", list_bitmaps, "bitmap add", "bitmap remove",
				   diag);
	if (old != new)
		diff_item(&diff->out,
			  json_pack("{s:s, s:o, s:o}", "field", "length of the file", "before",
				    u64_json(old), "after", u64_json(new)),
			  "length of the file 0x%" PRIx64 " -> 0x%" PRIx64, old, new);
	diff_section_end(&diff->out);
	return err;
}
