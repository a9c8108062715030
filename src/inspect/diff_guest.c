/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which guest operations make of the L2 entries of one state those of the other. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/arith.h"
#include "common/fault.h"
#include "common/json.h"
#include "inspect/diff.h"

/* What an operation is called, and what the entries say of it. */
static const struct {
	const char *id;
	const char *text;
} operations[OP_COUNT] = {
	[OP_WRITE] = { "write", "write, to what had no cluster" },
	[OP_FILL] = { "write", "write, into a cluster that was there" },
	[OP_IN_PLACE] = { "write", "write, in place" },
	[OP_COPY] = { "write", "write, to a new cluster: the old one was shared, and was copied" },
	[OP_MOVE] = { "write", "write, to a new cluster, though the old one was not shared: it was "
			       "given back before, or moved" },
	[OP_COMPRESS] = { "write-compressed", "compressed write" },
	[OP_UNCOMPRESS] = { "write", "write, over compressed data" },
	[OP_ZERO] = { "write-zeroes", "write of zeroes, the cluster stays" },
	[OP_DISCARD] = { "discard",
			 "discard, or write of zeroes that may unmap: the cluster is given "
			 "back" },
	[OP_ZERO_PLAIN] = { "write-zeroes", "write of zeroes or discard, without a cluster" },
	[OP_UNALLOCATE] = { "unallocate", "given up: reads from the backing file, or as zero" },
	[OP_PREALLOCATE] = { "preallocate", "preallocation: a cluster that nothing reads from" },
	[OP_DAMAGE] = { "damage", "no guest operation: an entry breaks a rule" },
};

/** How one subcluster reads in one state. */
enum reads { READS_BELOW, READS_ZERO, READS_DATA, READS_COMPRESSED };

static enum reads
reads(const struct q2s_l2_entry *entry, uint32_t sub)
{
	if (entry->compressed)
		return READS_COMPRESSED;
	switch (q2s_l2_state(entry, sub)) {
	case Q2S_DATA:
		return READS_DATA;
	case Q2S_ZERO:
		return READS_ZERO;
	default:
		return READS_BELOW;
	}
}

static bool
same_host(const struct q2s_l2_entry *a, const struct q2s_l2_entry *b)
{
	return a->has_host && b->has_host && a->host.v == b->host.v;
}

/* It is data now. */
static enum diff_op
to_data(const struct diff_pair *pair, enum reads was)
{
	if (was == READS_COMPRESSED)
		return OP_UNCOMPRESS;
	if (!pair->before.has_host)
		return OP_WRITE;
	if (!same_host(&pair->before, &pair->after))
		return pair->before.copied ? OP_MOVE : OP_COPY;
	return was == READS_DATA ? OP_IN_PLACE : OP_FILL;
}

static enum diff_op
to_zero(const struct diff_pair *pair, enum reads was)
{
	const bool had = pair->before.has_host || pair->before.compressed;

	if (was == READS_ZERO && pair->before.has_host == pair->after.has_host)
		return OP_NONE;
	if (pair->after.has_host)
		return OP_ZERO;
	return had ? OP_DISCARD : OP_ZERO_PLAIN;
}

static enum diff_op
classify(const struct diff_pair *pair, uint32_t sub)
{
	enum reads was, is;

	if (!pair->after_ok)
		return OP_DAMAGE;
	is = reads(&pair->after, sub);
	was = pair->before_ok ? reads(&pair->before, sub) : READS_BELOW;
	if (is == READS_DATA)
		return to_data(pair, was);
	if (is == READS_ZERO)
		return to_zero(pair, was);
	if (is == READS_COMPRESSED)
		return was == READS_COMPRESSED && pair->before.comp_at.v == pair->after.comp_at.v &&
				       pair->before.comp_bytes == pair->after.comp_bytes
			       ? OP_NONE
			       : OP_COMPRESS;
	if (was != READS_BELOW)
		return OP_UNALLOCATE;
	/* A write nearby gives the whole entry a cluster; alone it is preallocation. */
	return pair->after.has_host && !pair->before.has_host &&
			       !(pair->after.alloc | pair->after.zero)
		       ? OP_PREALLOCATE
		       : OP_NONE;
}

/* ---- which bytes ------------------------------------------------------------------------- */

/* Where the bytes of a subcluster lie; false when they are not plainly in the file. */
static bool
bytes_of(const struct subject *subject, const struct q2s_l2_entry *entry, bool ok, uint32_t sub,
	 q2s_host *out)
{
	const struct q2s_geom *const geom = subject->geom;
	const enum reads how = ok ? reads(entry, sub) : READS_COMPRESSED;

	if (geom->data_file)
		return false;
	*out = Q2S_NOWHERE;
	if (how == READS_DATA)
		out->v = entry->host.v + (uint64_t)sub * geom->sub_size;
	return how == READS_DATA || how == READS_ZERO ||
	       (how == READS_BELOW && subject->header->backing_file_offset.v == 0);
}

/* Then bytes say something only about the same place: what differs there was written. */
static bool
is_encrypted(const struct diff *diff)
{
	return diff->before->header->crypt_method != Q2S_CRYPT_NONE ||
	       diff->after->header->crypt_method != Q2S_CRYPT_NONE;
}

/* Fill in which bytes of @it, one subcluster, read differently. */
static enum q2s_err
look_closer(struct diff *diff, const struct diff_pair *pair, uint32_t sub,
	    struct diff_operation *it, struct q2s_diag *diag)
{
	uint32_t first = 0, last = 0;
	bool differ = false;
	q2s_host a, b;
	enum q2s_err err;

	if (diff->no_data || (is_encrypted(diff) && it->op != OP_IN_PLACE) ||
	    !bytes_of(diff->before, &pair->before, pair->before_ok, sub, &a) ||
	    !bytes_of(diff->after, &pair->after, pair->after_ok, sub, &b))
		return Q2S_OK;
	err = diff_range(diff, a, b, (uint32_t)it->len, &differ, &first, &last, diag);
	it->known = true;
	it->first = differ ? it->guest + first : UINT64_MAX;
	it->last = differ ? it->guest + last : 0;
	return err;
}

/* ---- growing ----------------------------------------------------------------------------- */

static enum q2s_err
keep(struct diff *diff, struct q2s_diag *diag)
{
	const size_t cap = diff->operations_cap ? 2 * diff->operations_cap : 16;
	struct diff_operation *more;

	if (diff->operation.op == OP_NONE || diff->operations_all++ >= diff->out.limit)
		return Q2S_OK;
	if (diff->operations_count == diff->operations_cap) {
		more = realloc(diff->operations, cap * sizeof(*more));
		if (!more)
			return fault_nomem(diag, "list of operations");
		diff->operations = more;
		diff->operations_cap = cap;
	}
	diff->operations[diff->operations_count++] = diff->operation;
	return Q2S_OK;
}

enum q2s_err
diff_guest_end(struct diff *diff, struct q2s_diag *diag)
{
	const enum q2s_err err = keep(diff, diag);

	diff->operation = (struct diff_operation){ 0 };
	return err;
}

static enum q2s_err
grow(struct diff *diff, const struct diff_operation *it, struct q2s_diag *diag)
{
	struct diff_operation *const last = &diff->operation;

	if (last->op == it->op && last->guest + last->len == it->guest &&
	    last->known == it->known) {
		last->len += it->len;
		last->first = q2si_min(last->first, it->first);
		last->last = q2si_max(last->last, it->last);
		return Q2S_OK;
	}
	const enum q2s_err err = diff_guest_end(diff, diag);

	diff->operation = *it;
	return err;
}

/* Bytes that read the same are no write in place. */
static bool
is_nothing(const struct diff_operation *it)
{
	return it->op == OP_NONE || (it->op == OP_IN_PLACE && (!it->known || it->first > it->last));
}

/* What was copied along with a write to its cluster reads the same, and is not worth a line. */
static bool
is_copied_along(const struct diff_operation *it, bool written)
{
	return written && it->known && it->first > it->last &&
	       (it->op == OP_COPY || it->op == OP_MOVE || it->op == OP_WRITE || it->op == OP_FILL);
}

enum q2s_err
diff_guest(struct diff *diff, const struct diff_pair *pair, struct q2s_diag *diag)
{
	const struct q2s_geom *const geom = diff->after->geom;
	struct diff_operation all[Q2S_SUBCLUSTERS];
	enum q2s_err err = Q2S_OK;
	bool written = false;

	for (uint32_t sub = 0; sub < geom->sub_count && err == Q2S_OK; sub++) {
		struct diff_operation *const it = &all[sub];

		*it = (struct diff_operation){ .op = classify(pair, sub),
					       .guest =
						       pair->guest + (uint64_t)sub * geom->sub_size,
					       .len = geom->sub_size };
		if (it->op != OP_NONE)
			err = look_closer(diff, pair, sub, it, diag);
		written = written || (it->known && it->first <= it->last);
	}
	for (uint32_t sub = 0; sub < geom->sub_count && err == Q2S_OK; sub++) {
		if (!is_nothing(&all[sub]) && !is_copied_along(&all[sub], written))
			err = grow(diff, &all[sub], diag);
	}
	return err;
}

/* ---- shown ------------------------------------------------------------------------------- */

static void
show_operation(struct diff *diff, const struct diff_operation *it)
{
	char bytes[80] = "", range[48];
	json_t *const object = json_pack("{s:s, s:o, s:o, s:s}", "operation", operations[it->op].id,
					 "guest-offset", u64_json(it->guest), "length",
					 u64_json(it->len), "text", operations[it->op].text);

	if (it->known && it->first <= it->last)
		snprintf(bytes, sizeof(bytes), ": bytes 0x%" PRIx64 "..0x%" PRIx64 " differ",
			 it->first, it->last);
	else if (it->known)
		snprintf(bytes, sizeof(bytes), ": reads the same");
	if (object && it->known)
		json_object_set_new(object, "reads-the-same", json_boolean(it->first > it->last));
	if (object && it->known && it->first <= it->last) {
		json_object_set_new(object, "first-byte", u64_json(it->first));
		json_object_set_new(object, "last-byte", u64_json(it->last));
	}
	snprintf(range, sizeof(range), "0x%" PRIx64 "+0x%" PRIx64, it->guest, it->len);
	diff_item(&diff->out, object, "guest %-19s %s%s", range, operations[it->op].text, bytes);
}

void
diff_show_operations(struct diff *diff)
{
	diff_section(&diff->out, "operations", "What explains it");
	for (size_t i = 0; i < diff->event_count; i++)
		diff_item(&diff->out,
			  json_pack("{s:s, s:o}", "operation", diff->events[i].id, "text",
				    text_json(diff->events[i].text)),
			  "%s", diff->events[i].text);
	diff->out.all += diff->events_all - diff->event_count;
	for (size_t i = 0; i < diff->operations_count && !diff->replaced; i++)
		show_operation(diff, &diff->operations[i]);
	if (!diff->replaced)
		diff->out.all += diff->operations_all - diff->operations_count;
	diff_section_end(&diff->out);
}
