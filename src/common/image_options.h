/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The creation options of -o: one table for q2s-create and q2s-stream, with QEMU's names, defaults
 * and rules; and the way from them to the library's specification of a new image.
 */
#ifndef COMMON_IMAGE_OPTIONS_H
#define COMMON_IMAGE_OPTIONS_H

#include <stdio.h>

#include <q2s/plan.h>

#include "common/encrypt_options.h"
#include "common/keyval.h"

/** Which tool takes an option. */
enum image_options_tool {
	IMAGE_OPTIONS_CREATE = 1 << 0,
	IMAGE_OPTIONS_STREAM = 1 << 1,
	IMAGE_OPTIONS_RAW = 1 << 2, /* q2s-stream, for a raw image */
};

enum image_preallocation {
	IMAGE_PREALLOCATION_OFF,
	IMAGE_PREALLOCATION_METADATA,
	IMAGE_PREALLOCATION_FALLOC,
	IMAGE_PREALLOCATION_FULL,
};

/** What was asked for, with QEMU's defaults for the rest. The strings are owned, or NULL. */
struct image_options {
	bool has_size;
	uint64_t size;
	uint32_t version; /* 2 or 3 */
	uint64_t cluster_size;
	uint64_t refcount_bits;
	bool extended_l2;
	bool lazy_refcounts;
	bool data_file_raw;
	bool portable; /* only what every reader of the format reads */
	bool keep_data_file; /* the data file exists and is used as it is */
	uint8_t compression_type; /* enum q2s_compression_type */
	bool compression_type_given;
	enum image_preallocation preallocation;
	bool nocow;
	bool has_extent_size_hint;
	uint32_t extent_size_hint; /* bytes */
	char *backing_file;
	char *backing_fmt;
	char *data_file;
	struct encrypt_options encrypt;
};

void image_options_init(struct image_options *options);
void image_options_free(struct image_options *options);

/**
 * Set one option, as from -o KEY=VALUE; a later value replaces an earlier one.
 *
 * @value  NULL for a bare key
 * Returns Q2S_OK, Q2S_E_USAGE, or Q2S_E_UNSUPPORTED for what QEMU has and this version has not.
 */
enum q2s_err image_options_set(struct image_options *options, enum image_options_tool tool,
			       const char *key, const char *value, struct q2s_diag *diag);

/** Does @tool take an option of this name, of which QEMU's "noNAME" is another way to say "off"? */
bool image_options_takes(enum image_options_tool tool, const char *key);

/** Set all items of a list. */
enum q2s_err image_options_apply(struct image_options *options, enum image_options_tool tool,
				 const struct keyval_list *list, struct q2s_diag *diag);

/** What `-o help` prints. */
void image_options_help(FILE *out, enum image_options_tool tool);

/**
 * The specification of an image of @size bytes (rounded up to 512). Strings are borrowed from
 * @options.
 *
 * Refuses what QEMU refuses: Q2S_E_USAGE, Q2S_E_CONFLICT, Q2S_E_LIMIT.
 */
enum q2s_err image_options_spec(const struct image_options *options, uint64_t size,
				struct q2s_spec *out, struct q2s_diag *diag);

/** What preallocation makes of the space for zeros: flags for output_open(). */
unsigned image_options_sink_flags(const struct image_options *options);

/** Print the options in force as " key=value" each, in the order of the table. */
void image_options_print(FILE *out, const struct image_options *options);

#endif
