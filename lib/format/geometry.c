/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Geometry: every number that follows from a handful of header fields, derived in one place. */
#include <q2s/format.h>

#include "base/arith.h"
#include "base/diag.h"

static enum q2s_err
refuse(struct q2s_diag *diag, enum q2s_err err, const char *what, uint64_t value, const char *rule)
{
	return q2si_fail(diag, err, what, Q2S_NOWHERE, value, "%s", rule);
}

/* What one parameter says by itself; must come before anything is shifted. */
static enum q2s_err
check_ranges(const struct q2s_geom_params *p, struct q2s_diag *diag)
{
	if (p->version != 2 && p->version != 3)
		return refuse(diag, Q2S_E_UNSUPPORTED, "version", p->version, "not 2 or 3");
	if (p->cluster_bits < Q2S_CLUSTER_BITS_MIN || p->cluster_bits > Q2S_CLUSTER_BITS_MAX)
		return refuse(diag, Q2S_E_USAGE, "cluster_bits", p->cluster_bits, "not in 9..21");
	if (p->refcount_order > Q2S_REFCOUNT_ORDER_MAX)
		return refuse(diag, Q2S_E_USAGE, "refcount_order", p->refcount_order, "over 6");
	if (p->size > Q2S_SIZE_LIMIT - Q2S_SECTOR)
		return refuse(diag, Q2S_E_LIMIT, "size", p->size, "2^63 bytes or more");
	return Q2S_OK;
}

/* What the parameters say about each other. */
static enum q2s_err
check_features(const struct q2s_geom_params *p, struct q2s_diag *diag)
{
	const bool v2 = p->version == 2;

	if (v2 && p->extended)
		return refuse(diag, Q2S_E_CONFLICT, "version", 2, "extended L2 needs version 3");
	if (v2 && p->data_file)
		return refuse(diag, Q2S_E_CONFLICT, "version", 2,
			      "an external data file needs version 3");
	if (v2 && p->refcount_order != Q2S_REFCOUNT_ORDER_DEFAULT)
		return refuse(diag, Q2S_E_CONFLICT, "refcount_order", p->refcount_order,
			      "version 2 has 16-bit refcounts only");
	if (p->extended && p->cluster_bits < Q2S_CLUSTER_BITS_MIN_EXTENDED)
		return refuse(diag, Q2S_E_CONFLICT, "cluster_bits", p->cluster_bits,
			      "extended L2 needs clusters of 16 KiB or more");
	return Q2S_OK;
}

static void
derive_mapping(struct q2s_geom *g)
{
	g->cluster_size = 1u << g->cluster_bits;
	g->sub_count = g->extended ? Q2S_SUBCLUSTERS : 1;
	g->sub_mask = g->extended ? UINT32_MAX : 1;
	g->sub_bits = g->cluster_bits - (g->extended ? 5 : 0);
	g->sub_size = 1u << g->sub_bits;
	g->l2_entry_size = g->extended ? Q2S_L2X_ENTRY_SIZE : Q2S_L2_ENTRY_SIZE;
	g->l2_bits = g->cluster_bits - (g->extended ? 4 : 3);
	g->l2_entries = 1u << g->l2_bits;
	g->l2_span = (uint64_t)g->l2_entries << g->cluster_bits;
	g->clusters = q2si_div_up(g->size, g->cluster_size);
	g->l1_entries = q2si_div_up(g->clusters, g->l2_entries);
}

static void
derive_refcounts(struct q2s_geom *g)
{
	g->refcount_bits = 1u << g->refcount_order;
	g->refcount_max = UINT64_MAX >> (64 - g->refcount_bits);
	g->block_bits = g->cluster_bits + 3 - g->refcount_order;
	g->block_entries = 1u << g->block_bits;
}

enum q2s_err
q2s_geom_init(const struct q2s_geom_params *params, struct q2s_geom *out, struct q2s_diag *diag)
{
	struct q2s_geom geom = {
		.version = params->version,
		.cluster_bits = params->cluster_bits,
		.extended = params->extended,
		.data_file = params->data_file,
		.refcount_order = params->refcount_order,
	};

	Q2SI_TRY(check_ranges(params, diag));
	Q2SI_TRY(check_features(params, diag));
	geom.size = q2si_round_up(params->size, Q2S_SECTOR);
	derive_mapping(&geom);
	derive_refcounts(&geom);
	if (geom.l1_entries > Q2S_L1_MAX_BYTES / Q2S_L1_ENTRY_SIZE)
		return refuse(diag, Q2S_E_LIMIT, "size", params->size,
			      "needs an L1 table over 32 MiB at this cluster size");
	*out = geom;
	return Q2S_OK;
}

enum q2s_err
q2s_geom_resize(const struct q2s_geom *geom, uint64_t size, struct q2s_geom *out,
		struct q2s_diag *diag)
{
	const struct q2s_geom_params params = {
		.version = geom->version,
		.cluster_bits = geom->cluster_bits,
		.refcount_order = geom->refcount_order,
		.extended = geom->extended,
		.data_file = geom->data_file,
		.size = size,
	};

	return q2s_geom_init(&params, out, diag);
}

uint64_t
q2s_geom_size_max(const struct q2s_geom *geom)
{
	const uint64_t tables = Q2S_L1_MAX_BYTES / Q2S_L1_ENTRY_SIZE;
	const uint64_t limit = Q2S_SIZE_LIMIT - Q2S_SECTOR;

	return geom->l2_span > limit / tables ? limit : geom->l2_span * tables;
}
