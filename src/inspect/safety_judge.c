/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rules of `safety` on the header. */
#include "inspect/safety.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "common/escape.h"
#include "format/header.h"
#include "inspect/show.h"
#include "inspect/subject.h"

#define FEATURE_NAMES 256

void
safety_add(struct verdict *verdict, const char *id, bool unsafe, const char *structure, q2s_host at,
	   const uint64_t *value, const char *fmt, ...)
{
	struct safety_finding *it;
	va_list args;

	verdict->unsafe |= unsafe;
	if (verdict->count == SAFETY_FINDINGS)
		return;
	it = &verdict->list[verdict->count++];
	*it = (struct safety_finding){ .id = id, .unsafe = unsafe, .at = at };
	snprintf(it->structure, sizeof(it->structure), "%s", structure);
	if (value) {
		it->has_value = true;
		it->value = *value;
	}
	va_start(args, fmt);
	vsnprintf(it->text, sizeof(it->text), fmt, args);
	va_end(args);
}

static void
add_field(struct verdict *verdict, const char *id, bool unsafe, const char *field, uint64_t at,
	  uint64_t value, const char *text)
{
	safety_add(verdict, id, unsafe, field, (q2s_host){ at }, &value, "%s", text);
}

size_t
safety_bytes_needed(const uint8_t *head, size_t len)
{
	uint32_t bits;

	if (len < Q2S_HEADER_V2_SIZE || q2si_get_be32(head) != Q2S_MAGIC)
		return len;
	bits = q2si_get_be32(head + AT_CLUSTER_BITS);
	if (bits < Q2S_CLUSTER_BITS_MIN || bits > Q2S_CLUSTER_BITS_MAX)
		return len;
	return (size_t)1 << bits;
}

/* ---- names ------------------------------------------------------------------------------- */

/* PROTOCOL: in front of the first slash, as QEMU has it. */
static bool
has_protocol(struct q2s_bytes name)
{
	const uint8_t *const colon = memchr(name.data, ':', name.len);
	const uint8_t *const slash = memchr(name.data, '/', name.len);

	return colon && (!slash || colon < slash);
}

void
safety_judge_name(struct verdict *verdict, const char *id, const char *id_in_json,
		  const char *protocol_id, const char *structure, q2s_host at,
		  struct q2s_bytes name)
{
	static const char json[] = "json:";
	char *const shown = name.len ? escape_bytes(name.data, name.len) : NULL;

	safety_add(verdict, id, true, structure, at, NULL,
		   "a hypervisor would open another file: \"%.300s\"", shown ? shown : "");
	if (name.len >= strlen(json) && memcmp(name.data, json, strlen(json)) == 0)
		safety_add(verdict, id_in_json, true, structure, at, NULL,
			   "the name is a json: description, which may ask for any driver");
	else if (name.len && has_protocol(name))
		safety_add(verdict, protocol_id, true, structure, at, NULL,
			   "the name is not a plain file name, but names a protocol");
	free(shown);
}

/* The name itself only where it lies in what was read; the reference counts in any case. */
static void
judge_backing(const struct safety_input *input, const struct q2s_header *header,
	      struct verdict *verdict)
{
	const uint64_t at = header->backing_file_offset.v;
	struct q2s_bytes name = { NULL, 0 };

	if (at == 0)
		return;
	if (at < input->cap && header->backing_file_size <= input->cap - at)
		name = (struct q2s_bytes){ input->head + at, header->backing_file_size };
	safety_judge_name(verdict, "backing-file", "backing-json", "backing-protocol",
			  "backing file name", header->backing_file_offset, name);
}

/* ---- features ---------------------------------------------------------------------------- */

/* What the image's own table calls the @unknown bits: 'name' (bit N), or bit N. */
static const char *
feature_names(const struct safety_input *input, unsigned kind, uint64_t unknown,
	      char names[FEATURE_NAMES])
{
	struct q2s_feature_item item;
	size_t used = 0;

	names[0] = '\0';
	for (unsigned bit = 0; bit < 64 && used < FEATURE_NAMES; bit++) {
		const char *const comma = used ? ", " : "";
		char *shown = NULL;
		int wrote;

		if (!(unknown >> bit & 1))
			continue;
		if (q2s_feature_find(input->head, input->cap, kind, bit, &item) && item.name[0])
			shown = escape_text(item.name);
		wrote = shown ? snprintf(names + used, FEATURE_NAMES - used, "%s'%s' (bit %u)",
					 comma, shown, bit)
			      : snprintf(names + used, FEATURE_NAMES - used, "%sbit %u", comma, bit);
		free(shown);
		used += wrote > 0 ? (size_t)wrote : 0;
	}
	return names;
}

static void
judge_incompatible(const struct safety_input *input, const struct q2s_header *header,
		   struct verdict *verdict)
{
	char names[FEATURE_NAMES];
	const uint64_t bits = header->incompatible_features;
	const uint64_t unknown = bits & ~Q2S_INCOMPAT_KNOWN;

	if (unknown)
		safety_add(verdict, "incompatible-unknown", true, "incompatible_features",
			   (q2s_host){ AT_INCOMPATIBLE_FEATURES }, &unknown,
			   "unknown features that forbid opening the image: %s",
			   feature_names(input, 0, unknown, names));
	if (bits & Q2S_INCOMPAT_DIRTY)
		add_field(verdict, "dirty", true, "incompatible_features", AT_INCOMPATIBLE_FEATURES,
			  bits, "dirty: refcounts may be wrong, a hypervisor would repair them");
	if (bits & Q2S_INCOMPAT_CORRUPT)
		add_field(verdict, "corrupt", true, "incompatible_features",
			  AT_INCOMPATIBLE_FEATURES, bits, "marked corrupt by QEMU");
}

static void
judge_other_features(const struct safety_input *input, const struct q2s_header *header,
		     struct verdict *verdict)
{
	char names[FEATURE_NAMES];
	const uint64_t compatible = header->compatible_features & ~Q2S_COMPAT_LAZY_REFCOUNTS;
	const uint64_t autoclear = header->autoclear_features & ~Q2S_AUTOCLEAR_KNOWN;

	if (compatible)
		safety_add(verdict, "compatible-unknown", false, "compatible_features",
			   (q2s_host){ AT_COMPATIBLE_FEATURES }, &compatible,
			   "unknown, may be ignored: %s",
			   feature_names(input, 1, compatible, names));
	if (autoclear)
		safety_add(verdict, "autoclear-unknown", false, "autoclear_features",
			   (q2s_host){ AT_AUTOCLEAR_FEATURES }, &autoclear,
			   "unknown, a writer clears them: %s",
			   feature_names(input, 2, autoclear, names));
}

/* What QEMU reads, and others do not: doc/readers. */
static void
judge_readers(const struct q2s_header *header, struct verdict *verdict)
{
	const uint64_t bits = header->incompatible_features;

	if (bits & Q2S_INCOMPAT_EXTENDED_L2)
		add_field(verdict, "readers-extended-l2", false, "incompatible_features",
			  AT_INCOMPATIBLE_FEATURES, bits,
			  "extended L2 entries: oslo.utils, Cloud Hypervisor, nbdkit qcow2dec, 7-Zip "
			  "and libqcow refuse the image, xmount shows wrong data");
	if (header->compression_type == Q2S_COMPRESSION_ZSTD)
		add_field(verdict, "readers-zstd", false, "incompatible_features",
			  AT_INCOMPATIBLE_FEATURES, bits,
			  "zstd: 7-Zip, libqcow and imago do not read it");
}

static void
judge_encryption(const struct q2s_header *header, struct verdict *verdict)
{
	if (header->crypt_method != Q2S_CRYPT_NONE)
		add_field(verdict, "encrypted", true, "crypt_method", AT_CRYPT_METHOD,
			  header->crypt_method,
			  "encrypted: its content cannot be looked at without the secret");
}

/* ---- sizes and places -------------------------------------------------------------------- */

static void
judge_sizes(const struct safety_input *input, const struct q2s_header *header,
	    const struct q2s_geom *geom, struct verdict *verdict)
{
	const uint64_t vm_state = header->l1_size > geom->l1_entries && header->nb_snapshots == 0;

	if (header->size > input->max_size)
		add_field(verdict, "virtual-size", true, "size", AT_SIZE, header->size,
			  "the disk is absurdly large (--max-size)");
	if (header->size % Q2S_SECTOR)
		add_field(verdict, "size-unaligned", false, "size", AT_SIZE, header->size,
			  "not a multiple of 512; QEMU rounds it down");
	if (vm_state)
		add_field(verdict, "l1-oversized", false, "l1_size", AT_L1_SIZE, header->l1_size,
			  "more entries than the disk needs");
	if (header->version >= 3 && header->header_length % 8)
		add_field(verdict, "header-length-unaligned", false, "header_length",
			  AT_HEADER_LENGTH, header->header_length, "not a multiple of 8");
}

static void
judge_snapshots(const struct q2s_header *header, struct verdict *verdict)
{
	if (header->nb_snapshots == 0)
		return;
	if (header->incompatible_features & Q2S_INCOMPAT_DATA_FILE)
		add_field(verdict, "snapshots-with-data-file", true, "nb_snapshots",
			  AT_NB_SNAPSHOTS, header->nb_snapshots,
			  "snapshots cannot be with an external data file");
	else
		add_field(verdict, "snapshots", false, "nb_snapshots", AT_NB_SNAPSHOTS,
			  header->nb_snapshots, "holds internal snapshots");
}

static void
judge_tables(const struct safety_input *input, const struct q2s_header *header,
	     const struct q2s_geom *geom, struct verdict *verdict)
{
	const struct safety_table tables[] = {
		{ "L1 table", "l1-past-end", header->l1_table_offset,
		  (uint64_t)header->l1_size * Q2S_L1_ENTRY_SIZE },
		{ "refcount table", "refcount-table-past-end", header->refcount_table_offset,
		  (uint64_t)header->refcount_table_clusters << geom->cluster_bits },
		{ "snapshot table", "snapshot-table-past-end", header->snapshots_offset,
		  (uint64_t)header->nb_snapshots * Q2S_SNAPSHOT_FIXED_SIZE },
	};

	safety_judge_places(input, geom, tables, sizeof(tables) / sizeof(tables[0]), verdict);
}

/* ---- the whole --------------------------------------------------------------------------- */

static void
add_fault(struct verdict *verdict, const char *id, const struct q2s_diag *diag)
{
	safety_add(verdict, id, true, diag->what, diag->at, diag->has_value ? &diag->value : NULL,
		   "%s", diag->text);
}

/* What can be said of the fields as they are, whether the header is legal or not. */
static void
judge_stored(const struct safety_input *input, const struct q2s_header *header,
	     struct verdict *verdict)
{
	judge_incompatible(input, header, verdict);
	judge_encryption(header, verdict);
	judge_backing(input, header, verdict);
	if (header->incompatible_features & Q2S_INCOMPAT_DATA_FILE)
		add_field(verdict, "data-file", true, "incompatible_features",
			  AT_INCOMPATIBLE_FEATURES, header->incompatible_features,
			  "guest data lies in another file, which a hypervisor would open");
}

/* What the library says of the header, unknown features left aside, as they are a finding by now.
 */
static bool
is_header_legal(const struct safety_input *input, struct q2s_header *header,
		struct verdict *verdict)
{
	const uint64_t known = header->incompatible_features & Q2S_INCOMPAT_KNOWN;
	uint8_t raw[Q2S_HEADER_V3_SIZE];
	struct q2s_diag diag = { 0 };

	memcpy(raw, input->head, sizeof(raw));
	if (header->version >= 3)
		q2si_put_be64(raw + AT_INCOMPATIBLE_FEATURES, known);
	if (q2s_header_decode(raw, q2si_min_size(input->len, sizeof(raw)), header, &diag) == Q2S_OK)
		return true;
	add_fault(verdict, diag.err == Q2S_E_SHORT ? "header-truncated" : "header-field", &diag);
	return false;
}

void
safety_judge(const struct safety_input *input, struct verdict *out)
{
	struct q2s_diag diag = { 0 };
	struct q2s_header header;
	struct q2s_geom geom;

	*out = (struct verdict){ .is_qcow2 = input->len >= 4 &&
					     q2si_get_be32(input->head) == Q2S_MAGIC };
	if (!out->is_qcow2) {
		safety_add(out, "not-qcow2", true, "magic", (q2s_host){ 0 }, NULL,
			   "not a qcow2 image; a raw disk is safe only where its format is named");
		return;
	}
	q2s_header_as_stored(input->head, &header);
	out->virtual_size = header.size;
	if (header.version == 2 || header.version == 3) /* of others nobody knows the fields */
		judge_stored(input, &header, out);
	if (!is_header_legal(input, &header, out))
		return;
	judge_other_features(input, &header, out);
	judge_readers(&header, out);
	judge_snapshots(&header, out);
	if (q2s_header_geom(&header, &geom, &diag) != Q2S_OK ||
	    q2s_header_check_tables(&header, &diag) != Q2S_OK) {
		add_fault(out, "header-field", &diag);
		return;
	}
	judge_sizes(input, &header, &geom, out);
	judge_tables(input, &header, &geom, out);
	safety_judge_extensions(input, &header, &geom, out);
}
