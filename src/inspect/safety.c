/* SPDX-License-Identifier: GPL-2.0-or-later */
/* q2s-inspect safety: a verdict on a file that comes from somebody else. */
#include "inspect/safety.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/open_source.h"
#include "common/fault.h"
#include "common/json.h"
#include "common/remote.h"
#include "common/tool.h"
#include "inspect/options.h"
#include "inspect/show.h"
#include "inspect/verbs.h"

#define EXIT_UNSAFE 2


/** What was read of the file: @len bytes of @cap, the rest zeros. */
struct head {
	uint8_t *data;
	size_t len;
	size_t cap;
	bool size_known;
	uint64_t file_size;
};

/* ---- reading ----------------------------------------------------------------------------- */

static enum q2s_err
grow(struct head *head, size_t cap, struct q2s_diag *diag)
{
	uint8_t *const data = realloc(head->data, cap);

	if (!data)
		return fault_nomem(diag, "cluster 0");
	memset(data + head->cap, 0, cap - head->cap);
	head->data = data;
	head->cap = cap;
	return Q2S_OK;
}

/* Fill up from standard input; a shorter input is not an error. */
static enum q2s_err
fill_from_stdin(struct head *head, struct q2s_diag *diag)
{
	while (head->len < head->cap) {
		const ssize_t got =
			read(STDIN_FILENO, head->data + head->len, head->cap - head->len);

		if (got < 0 && errno != EINTR)
			return fault_errno(diag, "standard input", "cannot be read");
		if (got == 0) { /* a pipe that is at its end has a length, too */
			head->size_known = true;
			head->file_size = head->len;
			break;
		}
		if (got > 0)
			head->len += (size_t)got;
	}
	return Q2S_OK;
}

static enum q2s_err
fill_from_file(struct head *head, struct q2s_store *file, struct q2s_diag *diag)
{
	return q2s_store_read_padded(file, 0, head->data, head->cap, &head->len, diag);
}

/* @file is NULL for standard input. First the header, then what the header says is cluster 0. */
static enum q2s_err
read_head(struct head *head, struct q2s_store *file, struct q2s_diag *diag)
{
	enum q2s_err err = grow(head, Q2S_SECTOR, diag);
	size_t needed;

	if (err == Q2S_OK)
		err = file ? fill_from_file(head, file, diag) : fill_from_stdin(head, diag);
	if (err != Q2S_OK)
		return err;
	needed = safety_bytes_needed(head->data, head->len);
	if (needed <= head->cap || head->len < head->cap)
		return Q2S_OK;
	err = grow(head, needed, diag);
	if (err == Q2S_OK)
		err = file ? fill_from_file(head, file, diag) : fill_from_stdin(head, diag);
	return err;
}

static enum q2s_err
read_input(const char *name, bool force_share, struct head *head, struct q2s_diag *diag)
{
	struct q2s_store *file = NULL;
	enum q2s_err err = Q2S_OK;
	struct stat st;

	if (strcmp(name, "-") != 0) {
		err = open_source(name, &file, diag);
		if (err != Q2S_OK)
			return err;
		head->size_known = true;
		head->file_size = q2s_store_size(file);
	} else if (fstat(STDIN_FILENO, &st) == 0 && S_ISREG(st.st_mode)) {
		const off_t start = lseek(STDIN_FILENO, 0, SEEK_CUR);

		head->size_known = start >= 0 && start <= st.st_size;
		head->file_size = head->size_known ? (uint64_t)(st.st_size - start) : 0;
	}
	if (file && !force_share)
		err = q2s_store_lock_probe(file, 0, Q2S_LOCK_WRITE | Q2S_LOCK_RESIZE, diag);
	if (err == Q2S_OK)
		err = read_head(head, file, diag);
	q2s_store_unref(file);
	return err;
}

/* ---- saying ------------------------------------------------------------------------------ */

static json_t *
finding_json(const struct safety_finding *it)
{
	json_t *const node = json_pack("{s:s, s:s, s:s, s:o}", "id", it->id, "severity",
				       it->unsafe ? "unsafe" : "note", "structure", it->structure,
				       "host-offset", u64_json(it->at.v));

	if (node && it->has_value)
		json_object_set_new(node, "found", u64_json(it->value));
	if (node)
		json_object_set_new(node, "text", text_json(it->text));
	return node;
}

static int
print_json(const char *name, const struct verdict *verdict)
{
	json_t *const list = json_array();
	json_t *root;

	for (size_t i = 0; i < verdict->count; i++)
		json_array_append_new(list, finding_json(&verdict->list[i]));
	root = json_pack("{s:o, s:s, s:b, s:o}", "filename", text_json(name), "format",
			 verdict->is_qcow2 ? "qcow2" : "unknown", "safe", !verdict->unsafe,
			 "findings", list);
	if (root && verdict->is_qcow2)
		json_object_set_new(root, "virtual-size", u64_json(verdict->virtual_size));
	return output_json(stdout, root);
}

static void
print_text(const char *name, const struct verdict *verdict)
{
	char at[SHOW_HEX], value[SHOW_HEX];

	show_name(stdout, name);
	puts(verdict->unsafe ? ": UNSAFE" : ": safe");
	for (size_t i = 0; i < verdict->count; i++) {
		const struct safety_finding *const it = &verdict->list[i];

		printf("  %-6s  %-24s %s at %s: %s", it->unsafe ? "unsafe" : "note", it->id,
		       it->structure, show_hex(it->at.v, at), it->text);
		if (it->has_value)
			printf(" (found %s)", show_hex(it->value, value));
		putchar('\n');
	}
}

/* ---- the verb ---------------------------------------------------------------------------- */

struct safety_options {
	struct options common;
	uint64_t max_size;
};

static int
safety_run(const char *name, const struct safety_options *options)
{
	const bool json = options->common.json;
	struct q2s_diag diag = { 0 };
	struct head head = { 0 };
	struct verdict verdict;
	int status;

	if (read_input(name, options->common.force_share, &head, &diag) != Q2S_OK) {
		free(head.data);
		return tool_finish(tool_fail(name, &diag));
	}
	safety_judge(&(struct safety_input){ .head = head.data,
					     .len = head.len,
					     .cap = head.cap,
					     .size_known = head.size_known,
					     .file_size = head.file_size,
					     .max_size = options->max_size },
		     &verdict);
	free(head.data);
	status = verdict.unsafe ? EXIT_UNSAFE : 0;
	if (!json)
		print_text(remote_shown(name), &verdict);
	else if (print_json(remote_shown(name), &verdict) != 0 && !tool_reader_is_gone())
		status = tool_error("standard output: cannot write the JSON");
	return tool_finish(status);
}

static const struct option_row rows[] = {
	{ .name = "max-size",
	  .arg = "SIZE",
	  .help = "a larger disk is unsafe (default: 1P)",
	  .kind = OPTION_SIZE,
	  .offset = offsetof(struct safety_options, max_size) },
};
static const struct option_rows own = OPTION_ROWS(rows);

static const char usage[] =
	"Usage: q2s-inspect safety [OPTIONS] FILE\n"
	"May this file be handed to a hypervisor? Looks at its first cluster only, and opens\n"
	"nothing else. FILE is - for standard input. Exit code 0: safe, 2: unsafe, 1: cannot\n"
	"tell.\n\n";

static const struct option_table table = {
	.usage = usage,
	.parts = { &own, &options_common },
};

int
safety_main(int argc, char **argv)
{
	struct safety_options options = { .max_size = SAFETY_MAX_SIZE };
	int status = options_read(&table, argc, argv, &options, 1, "FILE");

	if (status != OPTIONS_GO_ON)
		return status;
	return safety_run(argv[optind], &options);
}
