/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "edit/repair_report.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/fault.h"
#include "common/guard.h"
#include "common/json.h"
#include "common/output.h"
#include "common/tool.h"

#define STEPS_SHOWN 1000u

enum { EXIT_SOUND = 0, EXIT_CORRUPT = 2, EXIT_LEAKS = 3 };

static enum q2s_err
put_text(void *opaque, const char *text, size_t len)
{
	return q2s_sink_write(opaque, text, len, NULL);
}

enum q2s_err
repair_write_plan(const struct q2s_repair *repair, const char *path, bool force,
		  struct q2s_diag *diag)
{
	struct output output = { 0 };
	enum q2s_err err = guard_output(path, "--plan", diag);

	if (err == Q2S_OK)
		err = output_open(&output, path, force ? Q2S_SINK_REPLACE : 0, 0, diag);
	if (err == Q2S_E_EXISTS) {
		*diag = (struct q2s_diag){ 0 };
		(void)fault(diag, err, "--plan", "exists already; --force replaces it");
	}
	if (err != Q2S_OK)
		return fault_in(diag, err, path);
	err = q2s_repair_save(repair, put_text, output.sink);
	if (err == Q2S_OK)
		return fault_in(diag, output_commit(&output, diag), path);
	output_abort(&output);
	(void)fault(diag, err, "plan", "cannot be written");
	return fault_in(diag, err, path);
}

int
repair_exit_code(const struct q2s_check_result *result)
{
	if (result->check_errors)
		return TOOL_FAILED;
	if (result->corruptions)
		return EXIT_CORRUPT;
	return result->leaks ? EXIT_LEAKS : EXIT_SOUND;
}

void
repair_print_steps(const struct q2s_repair *repair)
{
	const uint64_t steps = q2s_repair_steps(repair);

	for (uint64_t i = 0; i < steps && i < STEPS_SHOWN; i++) {
		struct q2s_repair_step step;

		q2s_repair_step(repair, i, &step);
		printf("%s: %s (%s at host offset 0x%" PRIx64, step.id, step.why, step.structure,
		       step.host.v);
		if (step.has_guest)
			printf(", guest offset 0x%" PRIx64, step.guest.v);
		puts(step.sure == Q2S_SURE_LIKELY    ? "; likely)"
		     : step.sure == Q2S_SURE_UNKNOWN ? "; may be wrong)"
						     : ")");
		if (step.candidate.v)
			printf("    The leaked cluster at host offset 0x%" PRIx64 " is kept: it may be "
			       "the data of guest offset 0x%" PRIx64 ".\n", step.candidate.v,
			       step.candidate_guest.v);
	}
	if (steps > STEPS_SHOWN)
		printf("%" PRIu64 " more steps are not shown.\n", steps - STEPS_SHOWN);
}

static const char *
plural(uint64_t n, const char *one, const char *many)
{
	return n == 1 ? one : many;
}

static void
print_kept(const struct q2s_repair_result *result)
{
	if (result->lost)
		printf("\n%" PRIu64 " %s of the image led to data that could not be found: it reads "
		       "as zeros.\n", result->lost, plural(result->lost, "entry", "entries"));
	if (result->leaks_kept)
		printf("\n%" PRIu64 " leaked %s kept, as %s may be the last copy of guest data. "
		       "q2s-edit salvage looks for\nwhere it belongs; --drop=orphans gives up what is "
		       "not wanted.\n", result->leaks_kept,
		       plural(result->leaks_kept, "cluster is", "clusters are"),
		       plural(result->leaks_kept, "it", "they"));
	if (result->leaks_unknown)
		printf("\nThe refcounts are made anew from what refers to what. %" PRIu64 " %s of the file %s "
		       "referred to by nothing: whether\n%s leaked cannot be known, and the next write "
		       "may take %s. Before that q2s-edit salvage looks for\nlost data there.\n",
		       result->leaks_unknown, plural(result->leaks_unknown, "cluster", "clusters"),
		       plural(result->leaks_unknown, "is", "are"),
		       plural(result->leaks_unknown, "it has", "they have"),
		       plural(result->leaks_unknown, "it", "them"));
	if (result->drop & Q2S_REPAIR_DROP_BITMAPS)
		puts("\nMalformed persistent bitmaps stay as they are; --drop=bitmaps gives them up.");
	if (result->drop & Q2S_REPAIR_DROP_SNAPSHOTS)
		puts("\nMalformed snapshots stay as they are; --drop=snapshots gives them up.");
}

static void
print_check(const struct q2s_check_result *now)
{
	if (!now->corruptions && !now->leaks && !now->check_errors)
		puts("No errors were found on the image.");
	if (now->corruptions)
		printf("\n%" PRIu64 " %s found on the image.\n"
		       "Data may be corrupted, or further writes to the image may corrupt it.\n",
		       now->corruptions, plural(now->corruptions, "error was", "errors were"));
	if (now->leaks)
		printf("\n%" PRIu64 " leaked %s found on the image.\n"
		       "This means waste of disk space, but no harm to data.\n",
		       now->leaks, plural(now->leaks, "cluster was", "clusters were"));
	if (now->check_errors)
		printf("\n%" PRIu64 " %s could not be read: nothing is repaired while it is not "
		       "known what refers to what.\n",
		       now->check_errors, plural(now->check_errors, "structure", "structures"));
	if (now->total_clusters)
		printf("%" PRIu64 "/%" PRIu64 " clusters are allocated.\n", now->allocated_clusters,
		       now->total_clusters);
	printf("Image end offset: %" PRIu64 "\n", now->image_end_offset);
}

void
repair_print_plan(const struct q2s_repair *repair, const struct q2s_repair_result *result)
{
	printf("The plan has %" PRIu64 " %s; it repairs\n\n    %" PRIu64 " leaked clusters\n    %"
	       PRIu64 " corruptions\n",
	       q2s_repair_steps(repair), plural(q2s_repair_steps(repair), "step", "steps"),
	       result->leaks_fixed, result->corruptions_fixed);
	if (q2s_repair_steps_struck(repair))
		printf("\n%" PRIu64 " more %s struck out in it: see there.\n",
		       q2s_repair_steps_struck(repair),
		       plural(q2s_repair_steps_struck(repair), "step is", "steps are"));
	print_kept(result);
	if (result->after.corruptions || result->after.leaks || result->after.check_errors) {
		puts("\nThen there will be:");
		print_check(&result->after);
	}
}

void
repair_print_result(const struct q2s_repair_result *fixed, const struct q2s_repair *applied,
		    const struct q2s_check_result *now)
{
	const uint64_t steps = applied ? q2s_repair_steps(applied) : 0;
	const uint64_t struck = applied ? q2s_repair_steps_struck(applied) : 0;

	if (applied)
		printf("%" PRIu64 " %s done.\n", steps, plural(steps, "step was", "steps were"));
	if (struck)
		printf("%" PRIu64 " %s struck out, and %s not.\n", struck,
		       plural(struck, "step is", "steps are"), plural(struck, "was", "were"));

	if (fixed && (fixed->leaks_fixed || fixed->corruptions_fixed))
		printf("The following inconsistencies were found and repaired:\n\n"
		       "    %" PRIu64 " leaked clusters\n"
		       "    %" PRIu64 " corruptions\n\n"
		       "Double checking the fixed image now...\n",
		       fixed->leaks_fixed, fixed->corruptions_fixed);
	if (fixed)
		print_kept(fixed);
	print_check(now);
}

/* As qemu-img does with its own: what is zero is left out. */
static void
value_if(struct jstream *stream, const char *key, uint64_t value)
{
	if (value)
		jstream_value(stream, key, u64_json(value));
}

int
repair_print_json(const char *name, const struct q2s_repair_result *fixed,
		  const struct q2s_repair *applied, const struct q2s_check_result *now)
{
	struct jstream stream;

	jstream_begin(&stream, stdout);
	jstream_open_object(&stream, NULL);
	jstream_value(&stream, "filename", text_json(name));
	jstream_value(&stream, "format", text_json("qcow2"));
	jstream_value(&stream, "check-errors", u64_json(now->check_errors));
	if (applied) {
		jstream_value(&stream, "steps", u64_json(q2s_repair_steps(applied)));
		value_if(&stream, "steps-struck", q2s_repair_steps_struck(applied));
	}
	value_if(&stream, "corruptions-fixed", fixed ? fixed->corruptions_fixed : 0);
	value_if(&stream, "leaks-fixed", fixed ? fixed->leaks_fixed : 0);
	value_if(&stream, "leaks-kept", fixed ? fixed->leaks_kept : 0);
	value_if(&stream, "leaks-unknown", fixed ? fixed->leaks_unknown : 0);
	value_if(&stream, "lost", fixed ? fixed->lost : 0);
	value_if(&stream, "corruptions", now->corruptions);
	value_if(&stream, "leaks", now->leaks);
	value_if(&stream, "image-end-offset", now->image_end_offset);
	value_if(&stream, "total-clusters", now->total_clusters);
	value_if(&stream, "allocated-clusters", now->allocated_clusters);
	value_if(&stream, "fragmented-clusters", now->fragmented_clusters);
	value_if(&stream, "compressed-clusters", now->compressed_clusters);
	jstream_close(&stream);
	return jstream_finish(&stream);
}
