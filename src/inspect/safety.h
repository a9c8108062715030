/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * May a file from a stranger be handed to a hypervisor? Judged from cluster 0 and the length of
 * the file alone: bytes that nobody has vouched for are not followed anywhere.
 */
#ifndef INSPECT_SAFETY_H
#define INSPECT_SAFETY_H

#include <q2s/image.h>

/** Disks larger than this are absurd unless the user says otherwise: 1 PiB. */
#define SAFETY_MAX_SIZE (1ull << 50)

#define SAFETY_TEXT 400
#define SAFETY_FINDINGS 48

/**
 * One thing to know about the file.
 *
 * @id         stable, lower case with dashes
 * @unsafe     by itself enough for the verdict "unsafe"; else a note
 * @structure  field or structure, in the format's own term
 * @at         host offset
 * @value      the value found, when @has_value
 * @text       one line for people, control characters escaped
 */
struct safety_finding {
	const char *id;
	bool unsafe;
	char structure[Q2S_DIAG_WHAT];
	q2s_host at;
	bool has_value;
	uint64_t value;
	char text[SAFETY_TEXT];
};

/**
 * What is judged.
 *
 * @head        the first @len bytes of the file, with at least @cap - @len zeros behind them
 * @cap         Q2S_HEADER_V3_SIZE or more; cluster_size once that is known
 * @size_known  @file_size is the length of the file; not so for a pipe
 * @max_size    guest bytes that are still sensible
 */
struct safety_input {
	const uint8_t *head;
	size_t len;
	size_t cap;
	bool size_known;
	uint64_t file_size;
	uint64_t max_size;
};

/** The verdict: safe when no finding is unsafe. @unsafe counts also findings that found no room. */
struct verdict {
	bool is_qcow2;
	bool unsafe;
	uint64_t virtual_size; /* as stored; 0 when not qcow2 */
	size_t count;
	struct safety_finding list[SAFETY_FINDINGS];
};

/** How much of the file the verdict needs: cluster 0, or less when its size makes no sense. Pure.
 */
size_t safety_bytes_needed(const uint8_t *head, size_t len);

/** Judge. Pure. */
void safety_judge(const struct safety_input *input, struct verdict *out);

/* ---- between the files of the verb ------------------------------------------------------- */

/** Add a finding, with a value where @value is not NULL. @fmt may take escaped text only. */
void safety_add(struct verdict *verdict, const char *id, bool unsafe, const char *structure,
		q2s_host at, const uint64_t *value, const char *fmt, ...)
	__attribute__((format(printf, 7, 8)));

/** What a name in the image refers to, and the findings that follow from its form. */
void safety_judge_name(struct verdict *verdict, const char *id, const char *id_in_json,
		       const char *protocol_id, const char *structure, q2s_host at,
		       struct q2s_bytes name);

/** The rules on header extensions; the header is legal. */
void safety_judge_extensions(const struct safety_input *input, const struct q2s_header *header,
			     const struct q2s_geom *geom, struct verdict *verdict);

/** A table in the file: @len bytes, 0 when there is none. */
struct safety_table {
	const char *structure;
	const char *past_end_id;
	q2s_host at;
	uint64_t len;
};
#define SAFETY_TABLES 6

/** Do the tables lie within the file, and apart from each other and from cluster 0? */
void safety_judge_places(const struct safety_input *input, const struct q2s_geom *geom,
			 const struct safety_table *tables, size_t count, struct verdict *verdict);

#endif
