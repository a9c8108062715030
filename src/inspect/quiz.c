/* SPDX-License-Identifier: GPL-2.0-or-later */
/* q2s-inspect quiz: a random extended L2 entry to decode by hand, and whether one was right. */
#include "inspect/quiz.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/size.h"
#include "common/tool.h"
#include "inspect/options.h"
#include "inspect/show.h"
#include "inspect/verbs.h"

#define QUIZ_WRONG 2 /* the exit code */


/** What the user said. @parts: 0 for nothing, 1 for the state alone, 3. */
struct answer {
	int parts;
	const char *state;
	bool none;
	uint64_t host;
	bool copied;
};

struct quiz_options {
	struct options common;
	bool solution;
	uint64_t seed;
	struct answer answer;
};

/* ---- the question ------------------------------------------------------------------------ */

static void
print_question(const struct quiz *quiz, uint64_t seed)
{
	printf("An extended L2 entry of an image with clusters of %" PRIu32 " bytes (0x%" PRIx32
	       "):\n\n%010" PRIx64 " ",
	       quiz->geom.cluster_size, quiz->geom.cluster_size, quiz->at.v);
	for (size_t i = 0; i < sizeof(quiz->raw); i++)
		printf(" %02x", quiz->raw[i]);
	printf("\n\nIt maps guest bytes 0x%" PRIx64 "..0x%" PRIx64 ". Of guest byte 0x%" PRIx64
	       ":\n",
	       quiz->guest.v, quiz->guest.v + quiz->geom.cluster_size - 1, quiz->byte.v);
	printf("  1. How does it read: data, zero, unallocated, compressed, or is the entry "
	       "invalid?\n"
	       "  2. Where does it lie in the file, or would it lie? (compressed: the stream; or "
	       "none)\n"
	       "  3. Is the cluster copied or not-copied?\n\n"
	       "Answer: q2s-inspect quiz %" PRIu64 " STATE HOST COPIED\n",
	       seed);
}

static json_t *
question_json(const struct quiz *quiz, uint64_t seed)
{
	char hex[2 * Q2S_L2X_ENTRY_SIZE + 1] = "";

	for (size_t i = 0; i < sizeof(quiz->raw); i++)
		snprintf(hex + 2 * i, 3, "%02x", quiz->raw[i]);
	return json_pack("{s:o, s:I, s:s, s:o, s:o, s:o}", "seed", u64_json(seed), "cluster-size",
			 (json_int_t)quiz->geom.cluster_size, "entry", hex, "entry-offset",
			 u64_json(quiz->at.v), "guest-cluster", u64_json(quiz->guest.v),
			 "guest-offset", u64_json(quiz->byte.v));
}

/* ---- the answer -------------------------------------------------------------------------- */

/* Of an invalid entry nothing else counts, and nobody need say it. */
static bool
is_complete(const struct quiz *quiz, const struct answer *answer)
{
	return answer->parts == 3 || strcmp(quiz->state, "invalid") == 0 ||
	       strcmp(answer->state, "invalid") == 0;
}

struct verdict {
	bool state, host, copied;
};

static struct verdict
judge(const struct quiz *quiz, const struct answer *answer)
{
	const bool invalid = strcmp(quiz->state, "invalid") == 0;
	const bool none = quiz->host.v == Q2S_NOWHERE.v;

	return (struct verdict){
		.state = strcmp(quiz->state, answer->state) == 0,
		.host = invalid ||
			(none ? answer->none : !answer->none && answer->host == quiz->host.v),
		.copied = invalid || answer->copied == quiz->copied,
	};
}

static void
print_verdict(const struct quiz *quiz, const struct verdict *verdict)
{
	char host[SHOW_HEX];

	printf("state: %s%s\n", verdict->state ? "right, " : "wrong, it is ", quiz->state);
	if (strcmp(quiz->state, "invalid") == 0)
		return;
	printf("host: %s%s\n", verdict->host ? "right, " : "wrong, it is ",
	       quiz->host.v == Q2S_NOWHERE.v ? "none" : show_hex(quiz->host.v, host));
	printf("copied: %s%s\n", verdict->copied ? "right, " : "wrong, it is ",
	       quiz->copied ? "copied" : "not-copied");
}

static void
add_verdict(json_t *root, const struct quiz *quiz, const struct verdict *verdict)
{
	json_object_set_new(root, "right",
			    json_pack("{s:b, s:b, s:b}", "state", verdict->state, "host",
				      verdict->host, "copied", verdict->copied));
	json_object_set_new(root, "state", json_string(quiz->state));
	json_object_set_new(root, "copied", json_boolean(quiz->copied));
	if (quiz->host.v != Q2S_NOWHERE.v)
		json_object_set_new(root, "host-offset", u64_json(quiz->host.v));
}

/* The same words as for an entry of an image. */
static enum q2s_err
explain_it(const struct quiz *quiz, json_t *root, struct q2s_diag *diag)
{
	struct explained_layer layer = { .header = &quiz->header, .geom = &quiz->geom };
	struct explained got;
	struct story story;
	enum q2s_err err = quiz_image(quiz, &layer.file, diag);

	if (err != Q2S_OK)
		return err;
	story_begin(&story, root ? NULL : stdout);
	err = explain_layer(&story, &layer, quiz->byte, &got, diag);
	if (err == Q2S_OK && root)
		json_object_set(root, "steps", story.list);
	json_decref(story.list);
	q2s_store_unref(layer.file);
	return err;
}

/* ---- the verb ---------------------------------------------------------------------------- */

static int
run(const struct quiz_options *options, const struct quiz *quiz)
{
	const struct answer *const answer = &options->answer;
	json_t *const root = options->common.json ? question_json(quiz, options->seed) : NULL;
	struct verdict verdict = { true, true, true };
	struct q2s_diag diag = { 0 };
	int status = 0;

	if (answer->parts) {
		verdict = judge(quiz, answer);
		if (root)
			add_verdict(root, quiz, &verdict);
		else
			print_verdict(quiz, &verdict);
		status = verdict.state && verdict.host && verdict.copied ? 0 : QUIZ_WRONG;
	} else if (!root) {
		print_question(quiz, options->seed);
	}
	if ((options->solution || status) && explain_it(quiz, root, &diag) != Q2S_OK)
		status = tool_fail("quiz", &diag);
	if (options->common.json && output_json(stdout, root) != 0 && !tool_reader_is_gone())
		status = tool_error("standard output: cannot write the JSON");
	return tool_finish(status);
}

static int
take_answer(char *const *words, int count, struct answer *out)
{
	static const char *const states[] = { "data", "zero", "unallocated", "compressed",
					      "invalid" };
	bool known = false;

	if (count == 0)
		return OPTIONS_GO_ON;
	out->parts = count;
	out->state = words[0];
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
		known = known || strcmp(states[i], words[0]) == 0;
	if (!known)
		return tool_usage_error(
			"STATE '%s': must be data, zero, unallocated, compressed or "
			"invalid",
			words[0]);
	if (count == 1)
		return OPTIONS_GO_ON;
	if (count == 2)
		return tool_usage_error("COPIED is missing: copied or not-copied");
	out->copied = strcmp(words[2], "copied") == 0;
	if (!out->copied && strcmp(words[2], "not-copied") != 0)
		return tool_usage_error("COPIED '%s': must be copied or not-copied", words[2]);
	out->none = strcmp(words[1], "none") == 0;
	return out->none ? OPTIONS_GO_ON : options_size("HOST", words[1], &out->host);
}

static int
take_operands(int argc, char **argv, struct quiz_options *options)
{
	const char *wrong;

	if (argc - optind < 1)
		return tool_usage_error("SEED is missing");
	if (argc - optind > 4)
		return tool_usage_error("too many words: '%s'", argv[optind + 4]);
	wrong = size_parse_number(argv[optind], &options->seed);
	if (wrong)
		return tool_usage_error("SEED '%s': %s", argv[optind], wrong);
	return take_answer(argv + optind + 1, argc - optind - 1, &options->answer);
}

static const struct option_row rows[] = {
	{ .name = "solution",
	  .help = "show the way to it",
	  .kind = OPTION_FLAG,
	  .offset = offsetof(struct quiz_options, solution) },
	{ .name = "output",
	  .arg = "human|json",
	  .help = "how to say it (default: human)",
	  .kind = OPTION_TAKE,
	  .take = options_take_output },
};
static const struct option_rows own = OPTION_ROWS(rows);

static const char usage[] =
	"Usage: q2s-inspect quiz [OPTIONS] SEED [STATE [HOST COPIED]]\n"
	"A random extended L2 entry, the one of SEED, to decode by hand; with an answer, whether\n"
	"that is right (exit code 0) or wrong (2), and why.\n\n"
	"STATE   how the guest byte reads: data, zero, unallocated, compressed, or invalid\n"
	"        (alone, where the entry breaks a rule)\n"
	"HOST    the host offset of that byte, or where it would lie; of compressed data, where\n"
	"        the stream begins; none, where there is no host cluster\n"
	"COPIED  copied or not-copied\n\n";

static const struct option_table table = {
	.usage = usage,
	.parts = { &own, &options_end },
};

int
quiz_main(int argc, char **argv)
{
	struct quiz_options options = { 0 };
	struct q2s_diag diag = { 0 };
	struct quiz quiz;
	int status = options_parse(&table, argc, argv, &options);

	if (status == OPTIONS_GO_ON)
		status = take_operands(argc, argv, &options);
	if (status != OPTIONS_GO_ON)
		return status;
	if (quiz_make(options.seed, &quiz, &diag) != Q2S_OK)
		return tool_finish(tool_fail("quiz", &diag));
	if (options.answer.parts && !is_complete(&quiz, &options.answer))
		return tool_usage_error("HOST and COPIED are missing");
	return run(&options, &quiz);
}
