/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Findings and counts as text and as JSON. */
#include "inspect/check_report.h"

#include <inttypes.h>

#include "inspect/show.h"

/* ---- JSON -------------------------------------------------------------------------------- */

json_t *
finding_json(const struct q2s_finding *finding, json_t *(*number)(uint64_t))
{
	json_t *object = json_pack("{s:s, s:s, s:s}", "id", finding->id, "severity",
				   q2s_severity_name(finding->severity), "structure",
				   finding->structure);

	if (finding->host.v != Q2S_NOWHERE.v)
		json_object_set_new(object, "host-offset", number(finding->host.v));
	if (finding->has_guest)
		json_object_set_new(object, "guest-offset", number(finding->guest.v));
	if (finding->has_values) {
		json_object_set_new(object, "found", number(finding->found));
		json_object_set_new(object, "expected", number(finding->expected));
	}
	json_object_set_new(object, "text", text_json(finding->text));
	return object;
}

/* As qemu-img does with its own: what is zero is left out, so that nothing is added to a sound
 * image. */
static void
value_if(struct jstream *stream, const char *key, uint64_t value)
{
	if (value)
		jstream_value(stream, key, u64_json(value));
}

static void
end_json(struct check_report *report, const struct q2s_check_result *result,
	 const struct q2s_diag *failure)
{
	struct jstream *stream = &report->stream;
	char text[512];

	jstream_close(stream);
	value_if(stream, "findings-omitted", report->omitted);
	if (failure) {
		q2s_diag_format(failure, text, sizeof(text));
		jstream_value(stream, "error", text_json(text));
	}
	jstream_value(stream, "check-errors", u64_json(result->check_errors));
	value_if(stream, "corruptions", result->corruptions);
	value_if(stream, "leaks", result->leaks);
	value_if(stream, "image-end-offset", result->image_end_offset);
	value_if(stream, "total-clusters", result->total_clusters);
	value_if(stream, "allocated-clusters", result->allocated_clusters);
	value_if(stream, "fragmented-clusters", result->fragmented_clusters);
	value_if(stream, "compressed-clusters", result->compressed_clusters);
	jstream_finish(stream);
}

/* ---- text -------------------------------------------------------------------------------- */

/* Offsets are best read in hexadecimal, counts in decimal. */
static void
print_value(FILE *out, const char *what, uint64_t value)
{
	if (value < 512)
		fprintf(out, "%s%" PRIu64, what, value);
	else
		fprintf(out, "%s0x%" PRIx64, what, value);
}

static void
finding_text(FILE *out, const struct q2s_finding *finding)
{
	static const char *const labels[] = {
		[Q2S_SEVERITY_CORRUPTION] = "ERROR",
		[Q2S_SEVERITY_LEAK] = "LEAK",
		[Q2S_SEVERITY_NOTE] = "NOTE",
		[Q2S_SEVERITY_UNREADABLE] = "UNREADABLE",
	};

	fprintf(out, "%s %s: %s (%s", labels[finding->severity], finding->id, finding->text,
		finding->structure);
	if (finding->host.v != Q2S_NOWHERE.v)
		fprintf(out, " at host offset 0x%" PRIx64, finding->host.v);
	if (finding->has_guest)
		fprintf(out, ", guest offset 0x%" PRIx64, finding->guest.v);
	if (finding->has_values) {
		print_value(out, "; found ", finding->found);
		print_value(out, ", expected ", finding->expected);
	}
	fputs(")\n", out);
}

static double
percent(uint64_t part, uint64_t whole)
{
	return whole ? (double)part * 100.0 / (double)whole : 0.0;
}

/* More leaks than mapped clusters are rarely waste: a table with zeros in it leaves just that. */
static const char *
leaks_mean(const struct q2s_check_result *result)
{
	if (result->leaks <= result->allocated_clusters)
		return "This means waste of disk space, but no harm to data.\n";
	return result->allocated_clusters
		       ? "That is more than the disk has mapped: an L1 or L2 table may have been\n"
			 "overwritten with zeros, and these clusters may be what is left of the data.\n"
			 "Do not free them before that is known.\n"
		       : "Nothing is mapped: if the disk is not meant to be empty, its L1 or L2 tables\n"
			 "were overwritten with zeros, and these clusters are what is left of the data.\n"
			 "Do not free them before that is known.\n";
}

static void
counts_text(FILE *out, const struct q2s_check_result *result)
{
	if (!result->corruptions && !result->leaks && !result->check_errors)
		fprintf(out, "No errors were found on the image.\n");
	if (result->corruptions)
		fprintf(out,
			"\n%" PRIu64 " %s found on the image.\n"
			"Data may be corrupted, or further writes to the image may corrupt it.\n",
			result->corruptions,
			show_plural(result->corruptions, "error was", "errors were"));
	if (result->leaks)
		fprintf(out,
			"\n%" PRIu64 " leaked %s found on the image.\n%s",
			result->leaks, show_plural(result->leaks, "cluster was", "clusters were"),
			leaks_mean(result));
	if (result->check_errors)
		fprintf(out, "\n%" PRIu64 " %s could not be read: the check is not complete.\n",
			result->check_errors,
			show_plural(result->check_errors, "structure", "structures"));
	if (result->notes)
		fprintf(out, "%" PRIu64 " %s: odd, but sound.\n", result->notes,
			show_plural(result->notes, "note", "notes"));
	if (result->total_clusters)
		fprintf(out,
			"%" PRIu64 "/%" PRIu64 " = %0.2f%% allocated, %0.2f%% fragmented, "
			"%0.2f%% compressed clusters\n",
			result->allocated_clusters, result->total_clusters,
			percent(result->allocated_clusters, result->total_clusters),
			percent(result->fragmented_clusters, result->allocated_clusters),
			percent(result->compressed_clusters, result->allocated_clusters));
	fprintf(out, "Image end offset: %" PRIu64 "\n", result->image_end_offset);
}

static void
end_text(struct check_report *report, const struct q2s_check_result *result,
	 const struct q2s_diag *failure)
{
	if (report->omitted)
		fprintf(report->out, "%" PRIu64 " more findings are not shown (--max-findings).\n",
			report->omitted);
	if (!failure)
		counts_text(report->out, result);
}

/* ---- both -------------------------------------------------------------------------------- */

void
check_report_begin(struct check_report *report)
{
	if (!report->json || report->quiet)
		return;
	jstream_begin(&report->stream, report->out);
	jstream_open_object(&report->stream, NULL);
	jstream_value(&report->stream, "filename", text_json(report->name));
	jstream_value(&report->stream, "format", text_json("qcow2"));
	jstream_open_array(&report->stream, "findings");
}

void
check_report_finding(void *opaque, const struct q2s_finding *finding)
{
	struct check_report *report = opaque;

	if (report->shown == report->max) {
		report->omitted++;
		return;
	}
	report->shown++;
	if (report->quiet)
		return;
	if (report->json)
		jstream_value(&report->stream, NULL, finding_json(finding, u64_json));
	else
		finding_text(report->out, finding);
}

void
check_report_end(struct check_report *report, const struct q2s_check_result *result,
		 const struct q2s_diag *failure)
{
	if (report->quiet)
		return;
	if (report->json)
		end_json(report, result, failure);
	else
		end_text(report, result, failure);
}
