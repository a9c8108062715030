/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Plans: where everything lies, and that the metadata says just that, read back by the codecs. */
#include "base/zero.h"
#include "plan/plan.h"

#include "plans.h"

/* Bytes of the data area, which is left out of what metadata_of() makes. */
static uint64_t
data_len(const struct planned *p)
{
	return p->layout->data_clusters << p->geom.cluster_bits;
}

/* All metadata of a plan in one buffer, without a gap for the data; free() it. */
static uint8_t *
metadata_of(const struct planned *p)
{
	const uint64_t data = p->layout->data.v, end = data + data_len(p);
	const size_t before = (size_t)data, behind = (size_t)(p->layout->length - end);
	struct q2s_pieces *pieces = NULL;
	uint8_t *buf = malloc(before + behind);

	assert_ok(q2s_pieces_open(p->plan, (q2s_host){ 0 }, false, &pieces, &diag));
	assert_ok(q2s_pieces_metadata(pieces, (q2s_host){ 0 }, buf, before, &diag));
	assert_ok(q2s_pieces_metadata(pieces, (q2s_host){ end }, buf + before, behind, &diag));
	q2s_pieces_close(pieces);
	return buf;
}

/* Where in that buffer the metadata at @at is. */
static uint64_t
in(const struct planned *p, uint64_t at)
{
	return at < p->layout->data.v ? at : at - data_len(p);
}

/* Where the data comes first: the clusters behind the header that wait for the L1 table. */
static uint64_t
front(const struct planned *p)
{
	return q2s_plan_spec(p->plan)->data_first ? q2si_front_clusters(&p->geom) : 0;
}

/* Is this one of them, and not needed? */
static bool
is_free(const struct planned *p, uint64_t cluster)
{
	const struct q2s_layout *l = p->layout;
	const uint64_t l1 = l->l1_clusters <= front(p) ? l->l1_clusters : 0;

	return cluster >= 1 + l1 && cluster < 1 + front(p);
}

/* Header, refcount table, refcount blocks, L1, L2 tables: one behind the other. */
static void
assert_in_order(const struct planned *p)
{
	const struct q2s_layout *l = p->layout;
	const uint64_t cs = p->geom.cluster_size;
	const bool first = q2s_plan_spec(p->plan)->data_first;
	const uint64_t tables = first ? l->data.v + data_len(p) : cs;
	const bool l1_first = first && l->l1_clusters <= front(p);
	const uint64_t blocks_end = l->refcount_blocks.v + l->refcount_block_count * cs;

	ck_assert_uint_eq(l->refcount_table.v, tables);
	ck_assert_uint_eq(l->refcount_blocks.v, l->refcount_table.v + l->refcount_table_clusters * cs);
	ck_assert_uint_eq(l->l1.v, l1_first ? cs : blocks_end);
	ck_assert_uint_eq(l->l2.v, l1_first ? blocks_end : l->l1.v + l->l1_clusters * cs);
	ck_assert_uint_eq(l->data.v, first ? (1 + front(p)) * cs : l->l2.v + l->l2_tables * cs);
	ck_assert_uint_eq(l->length, first ? l->l2.v + l->l2_tables * cs : l->data.v + data_len(p));
	ck_assert_uint_ge(l->l1_clusters * cs, p->geom.l1_entries * 8);
	ck_assert_uint_lt(l->l1_clusters * cs, p->geom.l1_entries * 8 + cs);
}

static void
assert_header(const struct planned *p, const uint8_t *metadata)
{
	const struct q2s_layout *l = p->layout;
	struct q2s_header header;
	struct q2s_geom geom;

	assert_ok(q2s_header_decode(metadata, p->geom.cluster_size, &header, &diag));
	assert_ok(q2s_header_check_tables(&header, &diag));
	assert_ok(q2s_header_geom(&header, &geom, &diag));
	ck_assert_uint_eq(geom.size, p->geom.size);
	ck_assert_uint_eq(geom.cluster_bits, p->geom.cluster_bits);
	ck_assert_uint_eq(geom.refcount_order, p->geom.refcount_order);
	ck_assert_int_eq(geom.extended, p->geom.extended);
	ck_assert_int_eq(geom.data_file, p->geom.data_file);
	ck_assert_uint_eq(header.version, p->geom.version);
	ck_assert_uint_eq(header.l1_size, p->geom.l1_entries);
	ck_assert_uint_eq(header.l1_table_offset.v, p->geom.l1_entries ? l->l1.v : 0);
	ck_assert_uint_eq(header.refcount_table_offset.v, l->refcount_table.v);
	ck_assert_uint_eq(header.refcount_table_clusters, l->refcount_table_clusters);
}

static void
assert_zeros(const uint8_t *buf, uint64_t from, uint64_t end)
{
	ck_assert(q2si_is_zero(buf + from, (size_t)(end - from)));
}

/* Every cluster of the file is counted once, and none that is not there. */
static void
assert_refcounts(const struct planned *p, const uint8_t *metadata)
{
	const struct q2s_layout *l = p->layout;
	const uint64_t total = l->length >> p->geom.cluster_bits;
	const uint8_t *table = metadata + in(p, l->refcount_table.v);
	uint64_t counted = 0;

	for (uint64_t i = 0; i < l->refcount_block_count; i++) {
		q2s_host block = { 0 };
		uint32_t k = 0;

		assert_ok(q2s_reftable_decode(&p->geom, table + 8 * i, Q2S_NOWHERE, &block, &diag));
		ck_assert_uint_eq(block.v, l->refcount_blocks.v + (i << p->geom.cluster_bits));
		const uint8_t *counts = metadata + in(p, block.v);

		for (; k < p->geom.block_entries && counted < total; k++, counted++)
			if (q2s_refcount_get(&p->geom, counts, k) != !is_free(p, counted))
				ck_abort_msg("count of cluster %" PRIu64, counted);
		for (; k < p->geom.block_entries && k % 64; k++)
			ck_assert_uint_eq(q2s_refcount_get(&p->geom, counts, k), 0);
		assert_zeros(counts, (uint64_t)k * p->geom.refcount_bits / 8,
			     p->geom.cluster_size);
	}
	ck_assert_uint_eq(counted, total);
	assert_zeros(table, 8 * l->refcount_block_count,
		     l->refcount_table_clusters * p->geom.cluster_size);
}

static void
assert_entry(const struct planned *p, uint64_t cluster, const struct q2s_l2_entry *entry,
	     uint64_t *next)
{
	const struct q2s_slot *slot = &p->slots[cluster];
	const uint64_t host = p->geom.data_file ? cluster << p->geom.cluster_bits : *next;
	/* zeros at the start of a data file read back as zeros without a host cluster */
	const bool plain = p->geom.data_file && cluster == 0 && !p->geom.extended && slot->zero;
	const bool has_host = slot->host && !plain;

	if (entry->compressed || entry->has_host != has_host || entry->copied != has_host ||
	    entry->host.v != (slot->host ? host : 0) || entry->alloc != slot->alloc ||
	    entry->zero != slot->zero)
		ck_abort_msg("L2 entry of cluster %" PRIu64 ": 0x%" PRIx64 " %x %x", cluster,
			     entry->host.v, entry->alloc, entry->zero);
	*next += slot->host ? p->geom.cluster_size : 0;
}

static bool
table_is_empty(const struct planned *p, uint64_t index)
{
	for (uint64_t i = index << p->geom.l2_bits;
	     i < (index + 1) << p->geom.l2_bits && i < p->geom.clusters; i++)
		if (p->slots[i].host || p->slots[i].zero)
			return false;
	return true;
}

static void
assert_l2_table(const struct planned *p, uint64_t index, const uint8_t *table, uint64_t *next)
{
	const uint64_t first = index << p->geom.l2_bits, left = p->geom.clusters - first;
	const uint32_t used = left < p->geom.l2_entries ? (uint32_t)left : p->geom.l2_entries;

	for (uint32_t k = 0; k < used; k++) {
		struct q2s_l2_entry entry;

		if (q2s_l2_decode(&p->geom, table + k * p->geom.l2_entry_size, Q2S_NOWHERE, &entry,
				  NULL) != Q2S_OK)
			ck_abort_msg("L2 entry of cluster %" PRIu64, first + k);
		assert_entry(p, first + k, &entry, next);
	}
	assert_zeros(table, used * p->geom.l2_entry_size, p->geom.cluster_size);
}

/* L1 and L2 say of each guest cluster what its slot says; data lies in guest order. */
static void
assert_mapping(const struct planned *p, const uint8_t *metadata)
{
	const uint8_t *l1_table = metadata + in(p, p->layout->l1.v);
	uint64_t next = p->layout->data.v, table = p->layout->l2.v;

	for (uint64_t index = 0; index < p->geom.l1_entries; index++) {
		const bool empty = table_is_empty(p, index);
		struct q2s_l1_entry l1;

		assert_ok(q2s_l1_decode(&p->geom, l1_table + 8 * index, Q2S_NOWHERE, &l1, &diag));
		ck_assert_uint_eq(l1.l2.v, empty ? 0 : table);
		ck_assert_int_eq(l1.copied, !empty);
		if (empty)
			continue;
		assert_l2_table(p, index, metadata + in(p, table), &next);
		table += p->geom.cluster_size;
	}
	assert_zeros(l1_table, 8 * p->geom.l1_entries, p->layout->l1_clusters * p->geom.cluster_size);
	ck_assert_uint_eq(table, p->layout->l2.v + p->layout->l2_tables * p->geom.cluster_size);
	if (!p->geom.data_file)
		ck_assert_uint_eq(next, p->layout->data.v + data_len(p));
}

START_TEST(the_metadata_says_what_was_planned)
{
	uint64_t seed = 41;
	struct planned p;

	for (unsigned index = 0; index < GEOMS; index++) {
		if (!planned_make(&p, index, &seed))
			continue;
		uint8_t *metadata = metadata_of(&p);

		assert_in_order(&p);
		assert_header(&p, metadata);
		assert_refcounts(&p, metadata);
		assert_mapping(&p, metadata);
		free(metadata);
		planned_free(&p);
	}
}
END_TEST

/* ---- cluster 0 and its names --------------------------------------------------------------- */

static struct q2s_bytes
text(const char *chars)
{
	return (struct q2s_bytes){ (const uint8_t *)chars, strlen(chars) };
}

static struct q2s_spec
spec_for(uint32_t version, uint32_t bits, bool data_file)
{
	const struct q2s_geom_params params = { .version = version, .cluster_bits = bits,
						.refcount_order = 4, .data_file = data_file,
						.size = 1 << 20 };
	struct q2s_spec spec = { 0 };

	assert_ok(q2s_geom_init(&params, &spec.geom, &diag));
	return spec;
}

/* Plan an empty image of this kind and return its first cluster; free() it. */
static uint8_t *
cluster0(const struct q2s_spec *spec, struct q2s_header *header)
{
	struct planned p = { .geom = spec->geom };
	struct q2s_alloc *alloc = NULL;

	assert_ok(q2s_alloc_new(&spec->geom, &alloc, &diag));
	assert_ok(q2s_plan_new(spec, alloc, &p.plan, &diag));
	p.layout = q2s_plan_layout(p.plan);
	uint8_t *metadata = metadata_of(&p);

	assert_ok(q2s_header_decode(metadata, spec->geom.cluster_size, header, &diag));
	planned_free(&p);
	return metadata;
}

/* The record of this type must hold these bytes; NULL: there must be none. */
static void
assert_record(const uint8_t *buf, const struct q2s_header *header, uint32_t type, const char *want)
{
	const q2s_host end = q2s_ext_area_end(header);
	uint64_t pos = header->header_length;
	struct q2s_ext ext;

	do {
		assert_ok(q2s_ext_next(buf, 1u << header->cluster_bits, end, &pos, &ext, &diag));
		if (ext.type == type && type != Q2S_EXT_END) {
			ck_assert_msg(want != NULL, "a record 0x%x", type);
			ck_assert_uint_eq(ext.len, strlen(want));
			ck_assert_mem_eq(ext.data, want, ext.len);
			return;
		}
	} while (ext.type != Q2S_EXT_END);
	ck_assert_msg(want == NULL, "no record 0x%x", type);
}

static bool
has_feature_names(const uint8_t *buf, const struct q2s_header *header)
{
	const q2s_host end = q2s_ext_area_end(header);
	uint64_t pos = header->header_length;
	struct q2s_ext ext;

	do {
		assert_ok(q2s_ext_next(buf, 1u << header->cluster_bits, end, &pos, &ext, &diag));
	} while (ext.type != Q2S_EXT_FEATURE_NAMES && ext.type != Q2S_EXT_END);
	return ext.type == Q2S_EXT_FEATURE_NAMES;
}

START_TEST(names_are_stored)
{
	for (uint32_t version = 2; version <= 3; version++) {
		struct q2s_spec spec = spec_for(version, 16, false);
		struct q2s_header header;

		spec.backing_name = text("base.raw");
		spec.backing_format = text("raw");
		uint8_t *buf = cluster0(&spec, &header);

		ck_assert_uint_eq(header.backing_file_size, 8);
		ck_assert_mem_eq(buf + header.backing_file_offset.v, "base.raw", 8);
		assert_record(buf, &header, Q2S_EXT_BACKING_FORMAT, "raw");
		assert_record(buf, &header, Q2S_EXT_DATA_FILE, NULL);
		ck_assert_int_eq(has_feature_names(buf, &header), version == 3);
		free(buf);
	}
	struct q2s_spec spec = spec_for(3, 16, true);
	struct q2s_header header;

	spec.data_file_name = text("a name, with comma");
	spec.data_file_raw = true;
	uint8_t *buf = cluster0(&spec, &header);

	ck_assert_uint_eq(header.backing_file_offset.v, 0);
	ck_assert_uint_eq(header.incompatible_features, Q2S_INCOMPAT_DATA_FILE);
	ck_assert_uint_eq(header.autoclear_features, Q2S_AUTOCLEAR_DATA_FILE_RAW);
	assert_record(buf, &header, Q2S_EXT_DATA_FILE, "a name, with comma");
	assert_record(buf, &header, Q2S_EXT_BACKING_FORMAT, NULL);
	free(buf);
}
END_TEST

static void
assert_mark(const uint8_t *buf, const struct q2s_header *header, const struct q2s_mark *want)
{
	const q2s_host end = q2s_ext_area_end(header);
	uint64_t pos = header->header_length;
	struct q2s_mark mark;
	struct q2s_ext ext;

	do
		assert_ok(q2s_ext_next(buf, 1u << header->cluster_bits, end, &pos, &ext, &diag));
	while (ext.type != Q2S_EXT_MARK && ext.type != Q2S_EXT_END);
	ck_assert_int_eq(ext.type == Q2S_EXT_MARK, want != NULL);
	ck_assert_int_eq((header->autoclear_features & Q2S_AUTOCLEAR_MARK) != 0, want != NULL);
	if (!want)
		return;
	assert_ok(q2s_ext_mark_decode(&ext, &mark, &diag));
	ck_assert(q2s_id_equal(&mark.id, &want->id) && q2s_id_equal(&mark.parent, &want->parent));
}

START_TEST(a_mark_is_stored)
{
	for (uint32_t bits = 9; bits <= 16; bits++) {
		struct q2s_spec spec = spec_for(3, bits, false);
		struct q2s_header header;
		uint8_t *buf = cluster0(&spec, &header);

		assert_mark(buf, &header, NULL);
		free(buf);
		spec.mark = (struct q2s_mark){ .id = { { 1, [15] = 2 } }, .parent = { { 3 } } };
		spec.backing_name = text("base.raw");
		buf = cluster0(&spec, &header);
		assert_mark(buf, &header, &spec.mark);
		free(buf);
	}
	struct q2s_spec spec = spec_for(3, 16, false);

	spec.mark.parent.bytes[3] = 1;
	ck_assert_int_eq(q2s_spec_check(&spec, NULL), Q2S_E_USAGE);
	spec.mark.id.bytes[3] = 1;
	ck_assert_int_eq(q2s_spec_check(&spec, NULL), Q2S_E_CONFLICT);
	spec.mark.id.bytes[4] = 1;
	assert_ok(q2s_spec_check(&spec, &diag));
	spec.geom = spec_for(2, 16, false).geom;
	ck_assert_int_eq(q2s_spec_check(&spec, NULL), Q2S_E_CONFLICT);
	spec.geom = spec_for(3, 16, true).geom;
	ck_assert_int_eq(q2s_spec_check(&spec, NULL), Q2S_E_CONFLICT);
}
END_TEST

/* 512 bytes: header 112, record head 8, end record 8. What is left is for the name. */
START_TEST(a_name_fits_or_is_refused)
{
	char name[600];

	for (size_t len = 300; len < 512; len++) {
		struct q2s_spec spec = spec_for(3, 9, true);
		const bool fits = 112 + 8 + (len + 7) / 8 * 8 + 8 <= 512;
		struct q2s_diag why = { 0 };

		memset(name, 'n', len);
		name[len] = '\0';
		spec.data_file_name = text(name);
		ck_assert_int_eq(q2s_spec_check(&spec, &why), fits ? Q2S_OK : Q2S_E_LIMIT);
		if (!fits)
			continue;
		struct q2s_header header;
		uint8_t *buf = cluster0(&spec, &header);

		assert_record(buf, &header, Q2S_EXT_DATA_FILE, name);
		ck_assert(!has_feature_names(buf, &header));
		free(buf);
	}
}
END_TEST

START_TEST(what_qemu_refuses_is_refused)
{
	struct q2s_spec spec = spec_for(2, 16, false);
	char name[1025];

	spec.lazy_refcounts = true;
	ck_assert_int_eq(q2s_spec_check(&spec, NULL), Q2S_E_CONFLICT);
	spec = spec_for(2, 16, false);
	spec.compression_type = Q2S_COMPRESSION_ZSTD;
	ck_assert_int_eq(q2s_spec_check(&spec, NULL), Q2S_E_CONFLICT);
	spec = spec_for(3, 16, false);
	spec.compression_type = 2;
	ck_assert_int_eq(q2s_spec_check(&spec, NULL), Q2S_E_UNSUPPORTED);
	spec = spec_for(3, 16, false);
	spec.data_file_raw = true;
	ck_assert_int_eq(q2s_spec_check(&spec, NULL), Q2S_E_CONFLICT);
	spec = spec_for(3, 16, true);
	spec.data_file_raw = true;
	spec.backing_name = text("base");
	ck_assert_int_eq(q2s_spec_check(&spec, NULL), Q2S_E_CONFLICT);
	spec = spec_for(3, 16, false);
	spec.backing_format = text("raw");
	ck_assert_int_eq(q2s_spec_check(&spec, NULL), Q2S_E_CONFLICT);
	spec.backing_name = text("");
	ck_assert_int_eq(q2s_spec_check(&spec, NULL), Q2S_E_USAGE);
	memset(name, 'n', 1024);
	name[1024] = '\0';
	spec.backing_name = text(name);
	assert_refused(Q2S_E_LIMIT, NOWHERE, 1024, q2s_spec_check(&spec, &diag));
	name[1023] = '\0';
	spec.backing_name = text(name);
	assert_ok(q2s_spec_check(&spec, &diag));
	spec.backing_format = text("sixteen letters!");
	assert_refused(Q2S_E_LIMIT, NOWHERE, 16, q2s_spec_check(&spec, &diag));
}
END_TEST

/* 512-byte clusters and 64-bit counts: the table is full at 2^26 clusters, that is 32 GiB. */
START_TEST(a_refcount_table_that_qemu_refuses_is_not_planned)
{
	const struct q2s_geom_params params = { .version = 3, .cluster_bits = 9,
						.refcount_order = 6, .size = 33ull << 30 };
	const struct q2s_slot data = { .host = true, .alloc = 1 };
	struct q2s_spec spec = { 0 };
	struct q2s_alloc *alloc = NULL;
	struct q2s_plan *plan = NULL;
	struct q2s_diag why = { 0 };

	assert_ok(q2s_geom_init(&params, &spec.geom, &diag));
	assert_ok(q2s_alloc_new(&spec.geom, &alloc, &diag));
	assert_ok(q2s_alloc_add(alloc, &data, spec.geom.clusters, &diag));
	ck_assert_int_eq(q2s_plan_new(&spec, alloc, &plan, &why), Q2S_E_LIMIT);
	ck_assert_ptr_null(plan);
	q2s_alloc_free(alloc); /* a plan that fails takes nothing */
}
END_TEST

/* A copy of the plan's own: the caller's strings may go. */
START_TEST(a_plan_keeps_its_strings)
{
	struct q2s_spec spec = spec_for(3, 16, false);
	struct q2s_alloc *alloc = NULL;
	struct q2s_plan *plan = NULL;
	char name[] = "base", format[] = "raw";

	spec.backing_name = text(name);
	spec.backing_format = text(format);
	assert_ok(q2s_alloc_new(&spec.geom, &alloc, &diag));
	assert_ok(q2s_plan_new(&spec, alloc, &plan, &diag));
	memset(name, 0, sizeof(name));
	memset(format, 0, sizeof(format));
	ck_assert_mem_eq(q2s_plan_spec(plan)->backing_name.data, "base", 4);
	ck_assert_mem_eq(q2s_plan_spec(plan)->backing_format.data, "raw", 3);
	ck_assert_ptr_null(q2s_plan_spec(plan)->data_file_name.data);
	q2s_plan_free(plan);
}
END_TEST

UNIT_MAIN("plan", the_metadata_says_what_was_planned, names_are_stored, a_mark_is_stored, a_name_fits_or_is_refused,
	  what_qemu_refuses_is_refused, a_refcount_table_that_qemu_refuses_is_not_planned,
	  a_plan_keeps_its_strings)
