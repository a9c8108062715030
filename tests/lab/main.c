/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The laboratory's command line: what is run, how much of it, and what came of it. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "edit/order.h"
#include "lab.h"

#define MUTANT_STATES 300000 /* in which a rule that is off has to be found: a minute */

static const char *const rule_names[Q2SI_RULES] = {
	[Q2SI_DATA_BEFORE_L2] = "data before L2",
	[Q2SI_REFCOUNTS_BEFORE_L2] = "refcounts before L2",
	[Q2SI_BLOCKS_BEFORE_TABLE] = "refcount blocks before table",
	[Q2SI_TABLE_BEFORE_L2] = "refcount table before L2",
	[Q2SI_L2_BEFORE_L1] = "L2 before L1",
	[Q2SI_DATA_FILE_BEFORE_L2] = "data file before L2",
	[Q2SI_FREE_AFTER_UNMAP] = "free after unmap",
	[Q2SI_PUNCH_BEFORE_REUSE] = "punch before reuse",
	[Q2SI_PUNCH_AFTER_UNMAP] = "punch after unmap",
	[Q2SI_ZERO_NEW_TABLES] = "zero new tables",
	[Q2SI_ZERO_NEW_DATA] = "zero new data",
	[Q2SI_TABLE_BEFORE_HEADER] = "refcount table before header",
	[Q2SI_AUTOCLEAR_FIRST] = "autoclear bits first",
	[Q2SI_WAIT_FOR_CONFLICTS] = "wait for conflicts",
	[Q2SI_COPY_SHARED] = "copy what is shared",
	[Q2SI_CHECK_OVERLAP] = "check for overlaps",
	[Q2SI_BITMAP_MARK_FIRST] = "bitmaps in use first",
	[Q2SI_FLUSH_AT_END] = "flush at the end",
	[Q2SI_TABLES_BEFORE_HEADER] = "new tables before the header",
	[Q2SI_ZERO_BEFORE_SIZE] = "zeros before a larger size",
	[Q2SI_SIZE_BEFORE_CUT] = "smaller size before the cut",
	[Q2SI_COUNT_SNAPSHOT] = "counts before a snapshot",
};

static double
cpu_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static struct lab lab;
static struct lab_image image;
static struct lab_op alphabet[LAB_OPS];
static size_t letters;

/* The naive writer does not know all of it. */
static bool
is_for(const struct lab_writer *writer, const char *name)
{
	return writer == &lab_engine ||
	       (strcmp(name, "compact") != 0 && !strstr(name, "compressed") && !strstr(name, "border") && !strstr(name, "last") &&
		!strstr(name, "free") && !strstr(name, "discard-part") &&
		!strstr(name, "size") && !strstr(name, "grow") && !strstr(name, "shrink") &&
		!strstr(name, "create") && !strstr(name, "apply") && !strstr(name, "delete") &&
		!strstr(name, "extended") && !strstr(name, "standard") &&
		!strstr(name, "wider") && !strstr(name, "narrow") && !strstr(name, "version"));
}

static void
begin(const struct lab_writer *writer, const struct lab_config *config)
{
	struct lab_op all[LAB_OPS];
	size_t count;

	lab_image_make(config, &image);
	lab_open(&lab, writer, &image);
	count = lab_alphabet(&image, all);
	letters = 0;
	for (size_t i = 0; i < count; i++)
		if (is_for(writer, all[i].name))
			alphabet[letters++] = all[i];
}

static void
end(void)
{
	lab_close(&lab);
	lab_image_free(&image);
}

/* Sequence @number of length @len. */
static void
spell(size_t len, uint64_t number)
{
	lab.op_count = len;
	for (size_t i = 0; i < len; i++, number /= letters)
		lab.ops[i] = alphabet[number % letters];
}

static uint64_t
sequences(size_t len)
{
	uint64_t count = 1;

	while (len-- > 0)
		count *= letters;
	return count;
}

/* All of one length, or each @step'th. */
static void
run_length(size_t len, uint64_t step)
{
	for (uint64_t i = step / 2; i < sequences(len); i += step) {
		spell(len, i);
		lab_run(&lab);
	}
}

static void
spell_random(size_t longest)
{
	const size_t len = 1 + lab_random(&lab.rng) % longest;

	lab.op_count = len;
	for (size_t i = 0; i < len; i++)
		lab.ops[i] = alphabet[lab_random(&lab.rng) % letters];
}

static void
run_seeded(unsigned count, size_t longest)
{
	for (unsigned i = 0; i < count; i++) {
		engine_keeps_space = i % 2;
		spell_random(longest);
		lab_run_all(&lab, 0, 0);
		engine_keeps_space = false;
		spell_random(4);
		lab_run_meanwhile(&lab);
	}
}

/* Sequences on a disk of which one call fails. */
static void
run_errors(unsigned count)
{
	static const int errors[] = { EIO, ENOSPC };

	for (unsigned i = 0; i < count; i++) {
		const uint64_t bits = lab_random(&lab.rng);

		spell_random(5);
		lab_run_all(&lab, 1 + (unsigned)(bits >> 1) % 30, errors[bits & 1]);
	}
}

static double started;
static uint64_t all_wrong;

static void
summary(const char *what)
{
	const double seconds = cpu_seconds() - started;

	printf("%-18s %8" PRIu64 " sequences %9" PRIu64 " crash states %7.0f a second, "
	       "%" PRIu64 " wrong, leaks at most %" PRIu64 ", COPIED unfit in %" PRIu64 "\n",
	       what, lab.sequences, lab.states, (double)lab.states / (seconds + 1e-9), lab.wrong,
	       lab.most_leaks, lab.miscopied);
	fflush(stdout);
	all_wrong += lab.wrong;
	lab.sequences = lab.states = lab.most_leaks = lab.wrong = lab.miscopied = 0;
	started = cpu_seconds();
}

/* ---- runs --------------------------------------------------------------------------------------
 */

/* Is a fault found? Random sequences, until something is wrong. */
static bool
hunt(const struct lab_writer *writer, const size_t *configs, size_t count, uint64_t states)
{
	const uint64_t wrong = lab.wrong;

	lab.quiet = true;
	for (size_t round = 0; lab.states < states && lab.wrong == wrong; round++) {
		engine_keeps_space = round / count % 2;
		begin(writer, &lab_configs[configs ? configs[round % count] : round % count]);
		for (unsigned i = 0; i < 40 && lab.states < states && lab.wrong == wrong; i++) {
			spell_random(i % 4 == 3 ? 9 : 4);
			if (i % 2)
				lab.ops[lab.op_count - 1] =
					(struct lab_op){ "flush", LAB_FLUSH, 0, 0, 0 };
			/* The naive writer is no writer for threads; long sequences flush by
			 * themselves. */
			if (writer == &lab_engine && i % 8 == 5)
				lab_run_meanwhile(&lab);
			else
				lab_run_all(&lab, 0, 0);
		}
		end();
	}
	lab.quiet = engine_keeps_space = false;
	return lab.wrong > wrong;
}

static bool
row(const char *name, bool found)
{
	printf("  %-55s %s after %" PRIu64 " crash states, %.1f s\n", name,
	       found ? "found" : "NOT FOUND", lab.states, cpu_seconds() - started);
	if (found && getenv("LAB_SHOW"))
		printf("    %s\n", lab.first);
	fflush(stdout);
	lab.states = lab.sequences = lab.wrong = lab.most_leaks = 0;
	started = cpu_seconds();
	return found;
}

/* The laboratory finds each fault of the naive writer, and nothing when it has none. */
static bool
self_test(void)
{
	static const size_t configs[] = { 0, 1 };
	bool fine;

	printf("faults of the naive writer:\n");
	fine = !hunt(&lab_naive, configs, 2, 4000);
	if (!fine)
		printf("%s\n", lab.first);
	row("none", !fine);
	for (unsigned i = 0; i < NAIVE_FAULTS; i++) {
		naive_faults = 1u << i;
		fine = row(naive_fault_names[i], hunt(&lab_naive, configs, 2, MUTANT_STATES)) &&
		       fine;
	}
	naive_faults = 0;
	return fine;
}

/*
 * What one thread, or one store, or a sound image cannot show; and the last barrier of a flush, which
 * finds nothing to do as long as the barriers before it are kept.
 */
static bool
is_elsewhere(unsigned rule)
{
	return rule == Q2SI_DATA_FILE_BEFORE_L2 || rule == Q2SI_WAIT_FOR_CONFLICTS ||
	       rule == Q2SI_CHECK_OVERLAP || rule == Q2SI_PUNCH_AFTER_UNMAP ||
	       rule == Q2SI_FLUSH_AT_END;
}

/* Each rule of the engine that is switched off is found; @only: this one, or all. */
static bool
mutations(int only)
{
	bool fine = true;

	printf("rules of the engine, one at a time switched off:\n");
	for (unsigned rule = 0; rule < Q2SI_RULES; rule++) {
		if (only >= 0 && rule != (unsigned)only)
			continue;
		if (is_elsewhere(rule)) {
			printf("  %-55s not looked for here\n", rule_names[rule]);
			continue;
		}
		q2si_rules_off = 1ul << rule;
		fine = row(rule_names[rule],
			   hunt(&lab_engine, NULL, lab_config_count, MUTANT_STATES)) &&
		       fine;
	}
	q2si_rules_off = 0;
	return fine;
}

static void
each_config(void (*run)(void))
{
	for (size_t i = 0; i < lab_config_count; i++) {
		begin(&lab_engine, &lab_configs[i]);
		run();
		end();
		summary(lab_configs[i].name);
	}
}

static void
run_short(void)
{
	const uint64_t step = image.config->full == LAB_TABLE ? 90 : 9;

	run_length(1, image.config->full == LAB_TABLE ? 5 : 1);
	run_length(2, step);
	run_seeded(3, 12);
	run_errors(10);
}

static void
run_full(void)
{
	const uint64_t step = image.config->full == LAB_TABLE ? 40 : 1;

	run_length(1, 1);
	run_length(2, image.config->full == LAB_TABLE ? 4 : 1);
	run_length(3, step);
	run_seeded(300, 40);
	run_errors(600);
}

static const struct lab_config *
config_named(const char *name)
{
	for (size_t i = 0; i < lab_config_count; i++)
		if (strcmp(lab_configs[i].name, name) == 0)
			return &lab_configs[i];
	return NULL;
}

/* The next operation is @name; false: there is none of that name, or no room. */
static bool
spell_name(const char *name)
{
	size_t k = 0;

	while (k < letters && strcmp(alphabet[k].name, name) != 0)
		k++;
	if (k == letters || lab.op_count == LAB_LONGEST)
		return false;
	lab.ops[lab.op_count++] = alphabet[k];
	return true;
}

/* All that a crash in @window may leave is right; and wrong without the rule that it is for. */
static bool
window_run(const struct lab_known *window)
{
	char ops[200], *rest = ops;
	bool fine = true;

	begin(&lab_engine, config_named(window->image));
	snprintf(ops, sizeof(ops), "%s", window->ops);
	for (char *name; (name = strtok_r(rest, " ", &rest));)
		fine = spell_name(name) && fine;
	lab_run_all(&lab, 0, 0);
	fine = fine && lab.wrong == 0;
	lab.quiet = true;
	q2si_rules_off = 1ul << window->rule;
	for (unsigned i = 0; i < 20 && lab.wrong == 0; i++)
		lab_run_all(&lab, 0, 0);
	q2si_rules_off = 0;
	printf("  %2u  %-18s %-55s %s, without \"%s\" %s\n", window->number, window->image,
	       window->ops, fine ? "right" : "WRONG", rule_names[window->rule],
	       lab.wrong ? "wrong" : "NOT FOUND");
	fine = fine && lab.wrong;
	lab.quiet = false;
	lab.states = lab.sequences = lab.wrong = lab.most_leaks = lab.miscopied = 0;
	end();
	return fine;
}

static bool
windows(void)
{
	bool fine = true;

	printf("windows in which other writers fail:\n");
	for (size_t i = 0; i < lab_window_count; i++)
		fine = window_run(&lab_windows[i]) && fine;
	started = cpu_seconds();
	return fine;
}

static bool
replay(int argc, char **argv)
{
	const struct lab_config *config = config_named(argv[0]);

	if (!config)
		return false;
	begin(&lab_engine, config);
	for (int i = 1; i < argc; i++)
		if (!spell_name(argv[i]))
			return false;
	lab_run_all(&lab, 0, 0);
	for (size_t i = 0; i < lab.sim.count; i++) {
		static const char *const names[] = { "write", "zero", "length", "flush" };
		const struct sim_event *event = &lab.sim.events[i];

		printf("%s 0x%" PRIx64 "+0x%" PRIx64 "\n", names[event->kind], event->at,
		       event->len);
	}
	end();
	summary(config->name);
	return true;
}

static int
usage(void)
{
	printf("usage: lab short | full [FOLDER FOR QEMU-IMG] | self-test | windows |\n"
	       "           mutations [RULE] |\n"
	       "           replay IMAGE OPERATION...\n"
	       "images:");
	for (size_t i = 0; i < lab_config_count; i++)
		printf(" %s", lab_configs[i].name);
	begin(&lab_engine, &lab_configs[0]);
	printf("\noperations:");
	for (size_t i = 0; i < letters; i++)
		printf(" %s", alphabet[i].name);
	printf("\n");
	end();
	return 2;
}

int
main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	bool fine = true;

	lab.rng = 1;
	lab.subsets = 6;
	lab.random = 16;
	started = cpu_seconds();
	if (strcmp(what, "short") == 0) {
		lab.subsets = 5;
		lab.random = 6;
		fine = self_test();
		fine = windows() && fine;
		each_config(run_short);
	} else if (strcmp(what, "full") == 0) {
		lab.qemu = argc > 2 && argv[2][0] ? argv[2] : NULL;
		lab.qemu_every = 20000;
		fine = self_test();
		fine = windows() && fine;
		each_config(run_full);
	} else if (strcmp(what, "self-test") == 0) {
		fine = self_test();
	} else if (strcmp(what, "windows") == 0) {
		fine = windows();
	} else if (strcmp(what, "mutations") == 0) {
		fine = mutations(argc > 2 ? atoi(argv[2]) : -1);
	} else if (strcmp(what, "replay") == 0 && argc > 2) {
		if (!replay(argc - 2, argv + 2))
			return usage();
	} else {
		return usage();
	}
	if (all_wrong)
		printf("%" PRIu64 " states are wrong; the last image's first one:\n%s\n", all_wrong,
		       lab.first);
	return fine && all_wrong == 0 ? 0 : 1;
}
