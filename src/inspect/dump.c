/* SPDX-License-Identifier: GPL-2.0-or-later */
/* q2s-inspect dump: every structure, decoded; what cannot be decoded is shown as it is. */
#include "inspect/dump.h"

#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "common/escape.h"
#include "common/size.h"
#include "common/tool.h"
#include "common/words.h"
#include "inspect/options.h"
#include "inspect/show.h"
#include "inspect/verbs.h"


/** @geom: needs the geometry, so it is left out when the header does not give one. */
static const struct {
	const char *name;
	dump_section show;
	bool needs_geom;
} sections[] = {
	{ "header", dump_header, false },
	{ "extensions", dump_extensions, true },
	{ "luks", dump_luks, true },
	{ "l1", dump_l1, true },
	{ "l2", dump_l2, true },
	{ "reftable", dump_reftable, true },
	{ "refcounts", dump_refcounts, true },
	{ "snapshots", dump_snapshots, true },
	{ "bitmaps", dump_bitmaps, true },
};
#define SECTION_COUNT (sizeof(sections) / sizeof(sections[0]))

struct dump_options {
	struct options common;
	unsigned only; /* bit i: section i; 0: all */
	uint64_t guest;
	uint64_t guest_len;
	const char *name;
};

/* ---- options ----------------------------------------------------------------------------- */

static int
take_section(struct dump_options *options, const char *word, size_t len)
{
	const char *names[SECTION_COUNT + 1] = { NULL };
	char known[WORDS_LIST], hint[WORDS_HINT], *shown;

	for (size_t i = 0; i < SECTION_COUNT; i++) {
		if (strlen(sections[i].name) == len && strncmp(word, sections[i].name, len) == 0) {
			options->only |= 1u << i;
			return OPTIONS_GO_ON;
		}
	}
	shown = escape_bytes(word, len);
	for (size_t i = 0; i < SECTION_COUNT; i++)
		names[i] = sections[i].name;
	tool_usage_error("--only: unknown section '%s'; known: %s%s", shown ? shown : "?",
			 words_list(names, known), words_hint(shown ? shown : "", names, hint));
	free(shown);
	return TOOL_FAILED;
}

static int
take_only(void *options, const char *words)
{
	for (;;) {
		const size_t len = strcspn(words, ",");
		const int status = take_section(options, words, len);

		if (status != OPTIONS_GO_ON || words[len] == '\0')
			return status;
		words += len + 1;
	}
}

static int
take_guest(void *chosen, const char *text)
{
	struct dump_options *const options = chosen;
	const char *const plus = strchr(text, '+');
	char *const start = plus ? strndup(text, (size_t)(plus - text)) : strdup(text);
	int status = start ? options_size("--guest", start, &options->guest)
			   : tool_error("out of memory");

	free(start);
	options->guest_len = 1;
	if (status == OPTIONS_GO_ON && plus)
		status = options_size("--guest", plus + 1, &options->guest_len);
	return status;
}

/* ---- running ----------------------------------------------------------------------------- */

static void
begin(struct dump *dump, const struct dump_options *options)
{
	const struct subject *const subject = dump->subject;
	char *const shown = escape_text(subject->name);

	sheet_begin(&dump->sheet, stdout, options->common.json);
	sheet_fact(&dump->sheet, "filename", text_json(subject->name));
	sheet_fact(&dump->sheet, "file-size", u64_json(q2s_store_size(subject->file)));
	if (!options->common.json)
		printf("%s: %llu bytes\n", shown ? shown : "?",
		       (unsigned long long)q2s_store_size(subject->file));
	free(shown);
}

static int
report_faults(const struct dump *dump, const char *name)
{
	const unsigned long long faults = dump->sheet.faults;
	char *const shown = escape_text(name);

	if (dump->subject->fault.err != Q2S_OK)
		tool_fail(name, &dump->subject->fault);
	tool_error("%s: %llu %s, marked in the output", shown ? shown : "?", faults,
		   show_plural(faults, "fault", "faults"));
	free(shown);
	return TOOL_FAILED;
}

static int
dump_run(const struct dump_options *options)
{
	struct subject subject = { 0 };
	struct q2s_diag diag = { 0 };
	struct dump dump = { .subject = &subject,
			     .guest = options->guest,
			     .guest_end = options->guest_len > UINT64_MAX - options->guest
						  ? UINT64_MAX
						  : options->guest + options->guest_len };
	const unsigned only = options->only ? options->only : ~0u;
	enum q2s_err err = subject_open(options->name, &options->common, &subject, &diag);
	int status = 0;

	if (err != Q2S_OK)
		return tool_fail(options->name, &diag);
	begin(&dump, options);
	for (size_t i = 0; i < SECTION_COUNT && err == Q2S_OK; i++) {
		if (only >> i & 1 && (subject.has_geom || !sections[i].needs_geom))
			err = sections[i].show(&dump, &diag);
	}
	if (err == Q2S_OK)
		sheet_fact(&dump.sheet, "faults", u64_json(dump.sheet.faults));
	if (sheet_end(&dump.sheet) != 0 && !tool_reader_is_gone())
		status = TOOL_FAILED;
	if (err != Q2S_OK)
		status = tool_fail(options->name, &diag);
	else if (dump.sheet.faults > 0)
		status = report_faults(&dump, options->name);
	subject_close(&subject);
	return tool_finish(status);
}

static const struct option_row rows[] = {
	{ .name = "only",
	  .arg = "SECTION[,...]",
	  .help = "of: header extensions luks l1 l2 reftable refcounts\n"
		  "snapshots bitmaps",
	  .kind = OPTION_TAKE,
	  .take = take_only },
	{ .name = "guest",
	  .arg = "OFFSET[+LEN]",
	  .help = "of L1 and L2 only the entries for these guest bytes",
	  .kind = OPTION_TAKE,
	  .take = take_guest },
};
static const struct option_rows own = OPTION_ROWS(rows);

static const char usage[] =
	"Usage: q2s-inspect dump [OPTIONS] FILE\n"
	"Every structure of the image, decoded. Entries that are all zeros are left out. What is\n"
	"damaged is shown as far as possible, with what is wrong beside it (and exit code 1).\n\n";

static const struct option_table table = {
	.usage = usage,
	.parts = { &own, &options_common },
};

int
dump_main(int argc, char **argv)
{
	struct dump_options options = { .common = { .format = "qcow2" }, .guest_len = UINT64_MAX };
	int status = options_read(&table, argc, argv, &options, 1, "FILE");

	if (status != OPTIONS_GO_ON)
		return status;
	options.name = argv[optind];
	return dump_run(&options);
}
