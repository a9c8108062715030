/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A plan as a text (doc/repair-plan): for people, and read by repair_load.c. */
#include "edit/repair.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/diag.h"

struct text_writer {
	enum q2s_err (*put)(void *opaque, const char *text, size_t len);
	void *opaque;
};

static enum q2s_err __attribute__((format(printf, 2, 3)))
say(struct text_writer *writer, const char *fmt, ...)
{
	char line[600];
	va_list args;
	int len;

	va_start(args, fmt);
	len = vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	if (len >= (int)sizeof(line))
		len = sizeof(line) - 1;
	return writer->put(writer->opaque, line, (size_t)len);
}

static enum q2s_err
say_hex(struct text_writer *writer, const uint8_t *bytes, uint64_t len)
{
	static const char digits[] = "0123456789abcdef";
	char piece[512];
	size_t used = 0;

	for (uint64_t i = 0; i < len; i++) {
		piece[used++] = digits[bytes[i] >> 4];
		piece[used++] = digits[bytes[i] & 15];
		if (used == sizeof(piece) || i + 1 == len) {
			Q2SI_TRY(writer->put(writer->opaque, piece, used));
			used = 0;
		}
	}
	return Q2S_OK;
}

static enum q2s_err
say_change(struct text_writer *writer, const struct q2si_change *change)
{
	const char *stage = q2si_stage_names[change->stage];

	switch (change->kind) {
	case Q2SI_CHANGE_BYTES:
		Q2SI_TRY(say(writer, "  bytes %s at 0x%" PRIx64 " old ", stage, change->at));
		Q2SI_TRY(say_hex(writer, q2si_change_old(change), change->len));
		Q2SI_TRY(say(writer, " new "));
		Q2SI_TRY(say_hex(writer, q2si_change_new(change), change->len));
		return say(writer, "\n");
	case Q2SI_CHANGE_COUNTS:
		return say(writer, "  counts %s block 0x%" PRIx64 " index %" PRIu64 " number %" PRIu64
			   " old %" PRIu64 " new %" PRIu64 "\n", stage, change->at, change->from,
			   change->len, change->old, change->fresh);
	case Q2SI_CHANGE_COPY:
		return say(writer, "  copy %s to 0x%" PRIx64 " from 0x%" PRIx64 " length %" PRIu64
			   "\n", stage, change->at, change->from, change->len);
	default:
		return say(writer, "  zero %s at 0x%" PRIx64 " length %" PRIu64 "\n", stage,
			   change->at, change->len);
	}
}

static enum q2s_err
say_step(struct text_writer *writer, const struct q2s_repair *repair, size_t index, size_t number)
{
	static const char *const sure[] = { "certain", "likely", "unknown" };
	const struct q2si_step *step = &repair->steps[index];

	Q2SI_TRY(say(writer, "\n%sstep %zu %s\n  where %s, host offset 0x%" PRIx64,
		     step->kept ? "# " : "", number, step->id, step->structure, step->host));
	if (step->has_guest)
		Q2SI_TRY(say(writer, ", guest offset 0x%" PRIx64, step->guest));
	Q2SI_TRY(say(writer, "\n  why   %s\n", step->why));
	if (step->also)
		Q2SI_TRY(say(writer, "  also  %s\n", step->also));
	if (step->kept)
		Q2SI_TRY(say(writer, "  kept  may be the last copy of guest data: %s\n",
			     step->kept));
	if (step->candidate)
		Q2SI_TRY(say(writer, "  may   be that the leaked cluster at host offset 0x%" PRIx64
			     " is the data of guest offset 0x%" PRIx64 "\n", step->candidate,
			     step->candidate_guest));
	Q2SI_TRY(say(writer, "  loss  %s\n  sure  %s\n", step->loss, sure[step->sure]));
	for (size_t i = 0; i < step->count; i++)
		Q2SI_TRY(say_change(writer, &repair->changes[step->first + i]));
	return Q2S_OK;
}

enum q2s_err
q2s_repair_save(const struct q2s_repair *repair,
		enum q2s_err (*put)(void *opaque, const char *text, size_t len), void *opaque)
{
	struct text_writer writer = { put, opaque };

	Q2SI_TRY(say(&writer,
		     "q2s-repair-plan 1\n"
		     "# Nothing has been written yet. To strike out a step, put a # in front of its\n"
		     "# first line, or delete all of it. Change nothing else.\n"
		     "length old 0x%" PRIx64 " new 0x%" PRIx64 "\n"
		     "clusters bits %u refcount-order %u\n"
		     "digest %016" PRIx64 "\n"
		     "steps %" PRIu64 "\n",
		     repair->old_length, repair->new_length, repair->cluster_bits,
		     repair->refcount_order, repair->digest, repair->total));
	for (size_t i = 0; i < repair->step_count; i++)
		Q2SI_TRY(say_step(&writer, repair, i, i + 1));
	for (size_t i = 0; repair->aside && i < repair->aside->step_count; i++)
		Q2SI_TRY(say_step(&writer, repair->aside, i, repair->step_count + i + 1));
	return say(&writer, "\nend\n");
}
