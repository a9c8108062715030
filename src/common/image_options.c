/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The creation options of -o. Each option is one row of the table and one case of the setter. */
#include "common/image_options.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/escape.h"
#include "common/fault.h"

#define CREATE IMAGE_OPTIONS_CREATE
#define STREAM IMAGE_OPTIONS_STREAM
#define BOTH (IMAGE_OPTIONS_CREATE | IMAGE_OPTIONS_STREAM)
#define ALL (BOTH | IMAGE_OPTIONS_RAW)

static const char *const compat_choices[] = { "0.10", "1.1", "v2", "v3", NULL };
static const char *const compression_choices[] = { "zlib", "zstd", NULL };
static const char *const profile_choices[] = { "portable", NULL };
static const char *const preallocation_choices[] = { "off", "metadata", "falloc", "full", NULL };

/* In the order of the table; the rows from the last one on are QEMU's, and not supported yet. */
enum option {
	OPTION_SIZE,
	OPTION_COMPAT,
	OPTION_CLUSTER_SIZE,
	OPTION_REFCOUNT_BITS,
	OPTION_EXTENDED_L2,
	OPTION_LAZY_REFCOUNTS,
	OPTION_COMPRESSION_TYPE,
	OPTION_PREALLOCATION,
	OPTION_BACKING_FILE,
	OPTION_BACKING_FMT,
	OPTION_DATA_FILE,
	OPTION_DATA_FILE_RAW,
	OPTION_KEEP_DATA_FILE,
	OPTION_NOCOW,
	OPTION_EXTENT_SIZE_HINT,
	OPTION_PROFILE,
	OPTION_UNSUPPORTED,
};

static const struct keyval_key table[] = {
	{ "size", KEYVAL_SIZE, NULL, "virtual disk size, rounded up to 512 bytes", NULL, ALL },
	{ "compat", KEYVAL_CHOICE, "v3", "format version: v2 is 0.10, v3 is 1.1", compat_choices,
	  BOTH },
	{ "cluster_size", KEYVAL_SIZE, "64k", "a power of two from 512 to 2M", NULL, BOTH },
	{ "refcount_bits", KEYVAL_NUMBER, "16",
	  "width of a reference count: a power of two from 1 to 64", NULL, BOTH },
	{ "extended_l2", KEYVAL_BOOL, "off",
	  "allocate by subclusters of 1/32 cluster; needs clusters of 16k or more", NULL, BOTH },
	{ "lazy_refcounts", KEYVAL_BOOL, "off", "let writers postpone refcount updates", NULL,
	  BOTH },
	{ "compression_type", KEYVAL_CHOICE, "zlib", "how compressed clusters are compressed",
	  compression_choices, BOTH },
	{ "preallocation", KEYVAL_CHOICE, "off",
	  "what is allocated in advance: the metadata, and the space for data, full: by writing it",
	  preallocation_choices, ALL },
	{ "backing_file", KEYVAL_TEXT, NULL,
	  "what unallocated clusters show; looked up from the new image's folder", NULL, CREATE },
	{ "backing_fmt", KEYVAL_TEXT, NULL, "format of the backing file; goes with it", NULL,
	  CREATE },
	{ "data_file", KEYVAL_TEXT, NULL, "keep guest data in this file", NULL, BOTH },
	{ "data_file_raw", KEYVAL_BOOL, "off", "the data file alone must be a valid raw image",
	  NULL, BOTH },
	{ "keep_data_file", KEYVAL_BOOL, "off",
	  "the data file exists: use it as it is, write nothing to it", NULL, CREATE },
	{ "nocow", KEYVAL_BOOL, "off", "no copy-on-write for the file, on file systems that do it",
	  NULL, CREATE },
	{ "extent_size_hint", KEYVAL_SIZE, "1M",
	  "how much a file system may allocate at a time; 0: as it likes", NULL, CREATE },
	{ "profile", KEYVAL_CHOICE, NULL,
	  "portable: only what other readers than QEMU read too; options against that are refused",
	  profile_choices, BOTH },
	{ "encryption", KEYVAL_BOOL, NULL, "not taken: encrypt.format=luks encrypts", NULL,
	  BOTH },
};

#define TABLE_SIZE (sizeof(table) / sizeof(table[0]))

void
image_options_init(struct image_options *options)
{
	*options = (struct image_options){
		.version = 3,
		.cluster_size = 1u << Q2S_CLUSTER_BITS_DEFAULT,
		.refcount_bits = 1u << Q2S_REFCOUNT_ORDER_DEFAULT,
		.compression_type = Q2S_COMPRESSION_ZLIB,
		.encrypt = encrypt_options_preset(),
	};
}

void
image_options_free(struct image_options *options)
{
	free(options->backing_file);
	free(options->backing_fmt);
	free(options->data_file);
	image_options_init(options);
}

static enum q2s_err
set_text(char **slot, const char *text, struct q2s_diag *diag)
{
	char *const copy = strdup(text);

	if (!copy)
		return fault_nomem(diag, "option");
	free(*slot);
	*slot = copy;
	return Q2S_OK;
}

static enum q2s_err
set_unsupported(const char *key, struct q2s_diag *diag)
{
	return fault(diag, Q2S_E_UNSUPPORTED, key,
		     "this older way of QEMU is not taken; encrypt.format=luks encrypts");
}

static enum q2s_err
set_extent_size_hint(struct image_options *options, uint64_t bytes, struct q2s_diag *diag)
{
	if (bytes > UINT32_MAX)
		return fault(diag, Q2S_E_USAGE, "extent_size_hint",
			     "%" PRIu64 " is too large; the limit is 4294967295", bytes);
	options->extent_size_hint = (uint32_t)bytes;
	options->has_extent_size_hint = true;
	return Q2S_OK;
}

static enum q2s_err
set_value(struct image_options *options, enum option option, const struct keyval_value *value,
	  struct q2s_diag *diag)
{
	switch (option) {
	case OPTION_SIZE:
		options->size = value->number;
		options->has_size = true;
		break;
	case OPTION_COMPAT:
		options->version = value->number % 2 == 0 ? 2 : 3;
		break;
	case OPTION_CLUSTER_SIZE:
		options->cluster_size = value->number;
		break;
	case OPTION_REFCOUNT_BITS:
		options->refcount_bits = value->number;
		break;
	case OPTION_EXTENDED_L2:
		options->extended_l2 = value->number != 0;
		break;
	case OPTION_LAZY_REFCOUNTS:
		options->lazy_refcounts = value->number != 0;
		break;
	case OPTION_COMPRESSION_TYPE:
		options->compression_type = (uint8_t)value->number;
		options->compression_type_given = true;
		break;
	case OPTION_PREALLOCATION:
		options->preallocation = (enum image_preallocation)value->number;
		break;
	case OPTION_BACKING_FILE:
		return set_text(&options->backing_file, value->text, diag);
	case OPTION_BACKING_FMT:
		return set_text(&options->backing_fmt, value->text, diag);
	case OPTION_DATA_FILE:
		return set_text(&options->data_file, value->text, diag);
	case OPTION_DATA_FILE_RAW:
		options->data_file_raw = value->number != 0;
		break;
	case OPTION_KEEP_DATA_FILE:
		options->keep_data_file = value->number != 0;
		break;
	case OPTION_NOCOW:
		options->nocow = value->number != 0;
		break;
	case OPTION_EXTENT_SIZE_HINT:
		return set_extent_size_hint(options, value->number, diag);
	case OPTION_PROFILE:
		options->portable = true;
		break;
	case OPTION_UNSUPPORTED:
		break;
	}
	return Q2S_OK;
}

/* QEMU's older way to turn a switch off: nolazy_refcounts. */
static bool
is_negated(const char *key, const char *value)
{
	if (value || strncmp(key, "no", 2) != 0)
		return false;
	for (size_t i = 0; i < TABLE_SIZE; i++)
		if (table[i].type == KEYVAL_BOOL && strcmp(table[i].name, key + 2) == 0)
			return true;
	return false;
}

bool
image_options_takes(enum image_options_tool tool, const char *key)
{
	if (is_negated(key, NULL))
		key += 2;
	if (tool != IMAGE_OPTIONS_RAW && encrypt_options_knows(key))
		return true;
	for (size_t i = 0; i < TABLE_SIZE; i++)
		if ((table[i].tools & tool) && strcmp(table[i].name, key) == 0)
			return true;
	return false;
}

enum q2s_err
image_options_set(struct image_options *options, enum image_options_tool tool, const char *key,
		  const char *value, struct q2s_diag *diag)
{
	const struct keyval_key *row = NULL;
	struct keyval_value judged;
	enum q2s_err err;

	if (is_negated(key, value)) {
		key += 2;
		value = "off";
	}
	if (tool != IMAGE_OPTIONS_RAW && encrypt_options_knows(key))
		return encrypt_options_set(&options->encrypt, key, value, diag);
	err = keyval_find(table, TABLE_SIZE, tool, key, &row, diag);
	if (err == Q2S_OK)
		err = keyval_judge(row, value, &judged, diag);
	if (err != Q2S_OK)
		return err;
	if (row - table >= OPTION_UNSUPPORTED)
		return set_unsupported(key, diag);
	return set_value(options, (enum option)(row - table), &judged, diag);
}

enum q2s_err
image_options_apply(struct image_options *options, enum image_options_tool tool,
		    const struct keyval_list *list, struct q2s_diag *diag)
{
	for (size_t i = 0; i < list->count; i++) {
		const enum q2s_err err = image_options_set(options, tool, list->items[i].key,
							   list->items[i].value, diag);
		if (err != Q2S_OK)
			return err;
	}
	return Q2S_OK;
}

void
image_options_help(FILE *out, enum image_options_tool tool)
{
	fputs("Options for -o:\n", out);
	keyval_help(out, table, TABLE_SIZE, tool);
	if (tool != IMAGE_OPTIONS_RAW)
		encrypt_options_help(out);
}

/* ---- what is in force ---------------------------------------------------------------------- */

static void
print_text(FILE *out, const char *key, const char *text)
{
	if (!text)
		return;
	fprintf(out, " %s=", key);
	escape_print(out, text, strlen(text));
}

static const char *
on_off(bool value)
{
	return value ? "on" : "off";
}

void
image_options_print(FILE *out, const struct image_options *options)
{
	fprintf(out, " compat=%s", options->version == 2 ? "0.10" : "1.1");
	fprintf(out, " cluster_size=%" PRIu64, options->cluster_size);
	fprintf(out, " refcount_bits=%" PRIu64, options->refcount_bits);
	fprintf(out, " extended_l2=%s", on_off(options->extended_l2));
	fprintf(out, " lazy_refcounts=%s", on_off(options->lazy_refcounts));
	fprintf(out, " compression_type=%s", compression_choices[options->compression_type]);
	fprintf(out, " preallocation=%s", preallocation_choices[options->preallocation]);
	print_text(out, "backing_file", options->backing_file);
	print_text(out, "backing_fmt", options->backing_fmt);
	print_text(out, "data_file", options->data_file);
	if (options->data_file)
		fprintf(out, " data_file_raw=%s", on_off(options->data_file_raw));
	if (options->keep_data_file)
		fputs(" keep_data_file=on", out);
	if (options->nocow)
		fputs(" nocow=on", out);
	if (options->portable)
		fputs(" profile=portable", out);
	if (options->has_extent_size_hint)
		fprintf(out, " extent_size_hint=%" PRIu32, options->extent_size_hint);
	encrypt_options_print(out, &options->encrypt);
}
