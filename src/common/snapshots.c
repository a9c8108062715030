/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/snapshots.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/escape.h"
#include "common/json.h"
#include "common/size.h"

#define NSEC_PER_SEC 1000000000u

static json_t *
snapshot_node(const struct q2s_snapshot *snapshot)
{
	json_t *const node = json_pack(
		"{s:o, s:o, s:o, s:I, s:I, s:o, s:I}", "id",
		utf8_json(snapshot->id, snapshot->id_len), "name",
		utf8_json(snapshot->name, snapshot->name_len), "vm-state-size",
		u64_json(snapshot->vm_state_size), "date-sec", (json_int_t)snapshot->date_sec,
		"date-nsec", (json_int_t)snapshot->date_nsec, "vm-clock-sec",
		u64_json(snapshot->vm_clock_nsec / NSEC_PER_SEC), "vm-clock-nsec",
		(json_int_t)(snapshot->vm_clock_nsec % NSEC_PER_SEC));

	if (node && snapshot->has_icount)
		json_object_set_new(node, "icount", u64_json(snapshot->icount));
	return node;
}

json_t *
snapshots_json(const struct q2s_snapshots *snapshots)
{
	json_t *const list = json_array();

	for (uint32_t i = 0; i < snapshots->count; i++)
		json_array_append_new(list, snapshot_node(&snapshots->list[i]));
	return list;
}

/* Bytes of an image, escaped, and filled up to a column. */
static void
column(FILE *out, const void *data, size_t len, int width)
{
	char *const text = escape_bytes(data, len);

	fprintf(out, "%-*s ", width, text ? text : "?");
	free(text);
}

static void
print_one(FILE *out, const struct q2s_snapshot *snapshot)
{
	const uint64_t seconds = snapshot->vm_clock_nsec / NSEC_PER_SEC;
	const time_t taken = (time_t)snapshot->date_sec;
	char size[SIZE_TEXT], date[32] = "", clock[32], icount[24] = "";
	struct tm parts;

	if (localtime_r(&taken, &parts))
		(void)strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &parts);
	snprintf(clock, sizeof(clock), "%02" PRIu64 ":%02u:%02u.%03u", seconds / 3600,
		 (unsigned)(seconds / 60 % 60), (unsigned)(seconds % 60),
		 (unsigned)(snapshot->vm_clock_nsec % NSEC_PER_SEC / 1000000));
	if (snapshot->has_icount)
		snprintf(icount, sizeof(icount), "%" PRIu64, snapshot->icount);
	column(out, snapshot->id, snapshot->id_len, 9);
	column(out, snapshot->name, snapshot->name_len, 16);
	fprintf(out, "%8s%20s%13s%11s\n", size_human(snapshot->vm_state_size, size), date, clock,
		icount);
}

void
snapshots_print(FILE *out, const struct q2s_snapshots *snapshots)
{
	if (snapshots->count == 0)
		return;
	fprintf(out, "Snapshot list:\n%-9s %-16s %8s%20s%13s%11s\n", "ID", "TAG", "VM SIZE", "DATE",
		"VM CLOCK", "ICOUNT");
	for (uint32_t i = 0; i < snapshots->count; i++)
		print_one(out, &snapshots->list[i]);
}
