/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From creation options to the specification of an image. QEMU's rules, told in the words of the
 * options; the library judges again, in the words of the format.
 */
#include "common/image_options.h"

#include <inttypes.h>
#include <string.h>

#include <q2s/io.h>

#include "common/fault.h"

/* log2 of a power of two within limits; false for anything else. */
static bool
exact_log2(uint64_t value, uint64_t min, uint64_t max, uint32_t *out)
{
	if (value < min || value > max || (value & (value - 1)) != 0)
		return false;
	*out = (uint32_t)__builtin_ctzll(value);
	return true;
}

static enum q2s_err
geometry(const struct image_options *options, uint64_t size, struct q2s_geom *out,
	 struct q2s_diag *diag)
{
	struct q2s_geom_params params = {
		.version = options->version,
		.extended = options->extended_l2,
		.data_file = options->data_file != NULL,
		.size = size,
	};

	if (!exact_log2(options->cluster_size, 1u << Q2S_CLUSTER_BITS_MIN,
			1u << Q2S_CLUSTER_BITS_MAX, &params.cluster_bits))
		return fault(diag, Q2S_E_USAGE, "cluster_size",
			     "%" PRIu64 " is not a power of two from 512 to 2097152",
			     options->cluster_size);
	if (!exact_log2(options->refcount_bits, 1, 1u << Q2S_REFCOUNT_ORDER_MAX,
			&params.refcount_order))
		return fault(diag, Q2S_E_USAGE, "refcount_bits",
			     "%" PRIu64 " is not a power of two from 1 to 64",
			     options->refcount_bits);
	if (options->extended_l2 && params.cluster_bits < Q2S_CLUSTER_BITS_MIN_EXTENDED)
		return fault(diag, Q2S_E_CONFLICT, "extended_l2",
			     "needs clusters of 16384 bytes or more, not %" PRIu64,
			     options->cluster_size);
	return q2s_geom_init(&params, out, diag);
}

/* What compat=v2 cannot express. */
static enum q2s_err
check_version(const struct image_options *options, struct q2s_diag *diag)
{
	const struct {
		bool wanted;
		const char *what;
	} newer[] = {
		{ options->extended_l2, "extended_l2" },
		{ options->lazy_refcounts, "lazy_refcounts" },
		{ options->refcount_bits != 1u << Q2S_REFCOUNT_ORDER_DEFAULT,
		  "a refcount_bits other than 16" },
		{ options->compression_type != Q2S_COMPRESSION_ZLIB,
		  "a compression_type other than zlib" },
		{ options->data_file != NULL, "data_file" },
	};

	if (options->version != 2)
		return Q2S_OK;
	for (size_t i = 0; i < sizeof(newer) / sizeof(newer[0]); i++)
		if (newer[i].wanted)
			return fault(diag, Q2S_E_CONFLICT, "compat", "%s needs compat=v3 (1.1)",
				     newer[i].what);
	return Q2S_OK;
}

/*
 * What QEMU takes as the format of a backing file: a name that it does not know makes an image
 * that cannot be opened.
 */
static bool
is_known_format(const char *name)
{
	static const char *const known[] = {
		"raw",         "qcow2",        "qcow",         "qed",       "vmdk",
		"vdi",         "vhdx",         "vpc",          "parallels", "bochs",
		"cloop",       "dmg",          "luks",         "vvfat",     "file",
		"host_device", "host_cdrom",   "nbd",          "nfs",       "ssh",
		"iscsi",       "rbd",          "gluster",      "http",      "https",
		"ftp",         "ftps",         "nvme",         "quorum",    "replication",
		"throttle",    "null-co",      "null-aio",     "blkdebug",  "blkverify",
		"blkreplay",   "blklogwrites", "copy-on-read", "compress",  "preallocate",
		"io_uring",
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp(known[i], name) == 0)
			return true;
	return false;
}

static enum q2s_err
check_backing(const struct image_options *options, struct q2s_diag *diag)
{
	if (options->backing_fmt && !options->backing_file)
		return fault(diag, Q2S_E_CONFLICT, "backing_fmt", "needs a backing file");
	if (!options->backing_file)
		return Q2S_OK;
	if (!options->backing_fmt)
		return fault(diag, Q2S_E_CONFLICT, "backing_file",
			     "its format must be given (-F or backing_fmt): guessing it is unsafe");
	if (!is_known_format(options->backing_fmt))
		return fault(diag, Q2S_E_USAGE, "backing_fmt", "'%.48s' is no format of QEMU",
			     options->backing_fmt);
	if (!options->extended_l2 && options->preallocation != IMAGE_PREALLOCATION_OFF)
		return fault(diag, Q2S_E_CONFLICT, "preallocation",
			     "would hide the backing file, unless extended_l2 is on");
	if (options->data_file_raw)
		return fault(diag, Q2S_E_CONFLICT, "data_file_raw",
			     "cannot be used with a backing file");
	return Q2S_OK;
}

/* Elsewhere nothing of the kept file would be seen, or something would have to be written to it. */
static enum q2s_err
check_keep_data_file(const struct image_options *options, struct q2s_diag *diag)
{
	if (!options->keep_data_file)
		return Q2S_OK;
	if (!options->data_file)
		return fault(diag, Q2S_E_CONFLICT, "keep_data_file", "needs data_file");
	if (options->preallocation == IMAGE_PREALLOCATION_FALLOC ||
	    options->preallocation == IMAGE_PREALLOCATION_FULL)
		return fault(diag, Q2S_E_CONFLICT, "keep_data_file",
			     "cannot be used with preallocation=falloc or full, which write to "
			     "the data file");
	if (!options->data_file_raw && options->preallocation != IMAGE_PREALLOCATION_METADATA)
		return fault(diag, Q2S_E_CONFLICT, "keep_data_file",
			     "needs data_file_raw=on or preallocation=metadata: else nothing of "
			     "the data file is seen");
	return Q2S_OK;
}

static enum q2s_err
check_data_file(const struct image_options *options, struct q2s_diag *diag)
{
	if (options->data_file_raw && !options->data_file)
		return fault(diag, Q2S_E_CONFLICT, "data_file_raw", "needs data_file");
	return check_keep_data_file(options, diag);
}

/*
 * What some readers do not read, or read wrongly (doc/readers): the profile takes the defaults, and
 * nothing beside them.
 */
static enum q2s_err
check_portable(const struct image_options *options, struct q2s_diag *diag)
{
	const struct {
		bool wanted;
		const char *what;
	} others[] = {
		{ options->version != 3, "compat=0.10" },
		{ options->cluster_size != 1u << Q2S_CLUSTER_BITS_DEFAULT,
		  "a cluster_size other than 64k" },
		{ options->refcount_bits != 1u << Q2S_REFCOUNT_ORDER_DEFAULT,
		  "a refcount_bits other than 16" },
		{ options->extended_l2, "extended_l2" },
		{ options->lazy_refcounts, "lazy_refcounts" },
		{ options->compression_type != Q2S_COMPRESSION_ZLIB,
		  "a compression_type other than zlib" },
		{ options->backing_file != NULL, "a backing file" },
		{ options->data_file != NULL, "data_file" },
		{ options->encrypt.any, "encryption" },
	};

	if (!options->portable)
		return Q2S_OK;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (others[i].wanted)
			return fault(diag, Q2S_E_CONFLICT, "profile",
				     "portable does not go with %s, which not every reader takes",
				     others[i].what);
	return Q2S_OK;
}

static struct q2s_bytes
borrow(const char *text)
{
	return (struct q2s_bytes){ .data = (const uint8_t *)text, .len = text ? strlen(text) : 0 };
}

enum q2s_err
image_options_spec(const struct image_options *options, uint64_t size, struct q2s_spec *out,
		   struct q2s_diag *diag)
{
	struct q2s_spec spec = {
		.compression_type = options->compression_type,
		.lazy_refcounts = options->lazy_refcounts,
		.data_file_raw = options->data_file_raw,
		.backing_name = borrow(options->backing_file),
		.backing_format = borrow(options->backing_fmt),
		.data_file_name = borrow(options->data_file),
	};
	enum q2s_err err = check_version(options, diag);

	if (err == Q2S_OK)
		err = check_backing(options, diag);
	if (err == Q2S_OK)
		err = check_data_file(options, diag);
	if (err == Q2S_OK)
		err = check_portable(options, diag);
	if (err == Q2S_OK)
		err = geometry(options, size, &spec.geom, diag);
	if (err == Q2S_OK)
		err = q2s_spec_check(&spec, diag);
	if (err == Q2S_OK)
		*out = spec;
	return err;
}

unsigned
image_options_sink_flags(const struct image_options *options)
{
	switch (options->preallocation) {
	case IMAGE_PREALLOCATION_FALLOC:
		return Q2S_SINK_ALLOCATE;
	case IMAGE_PREALLOCATION_FULL:
		return Q2S_SINK_FULL;
	case IMAGE_PREALLOCATION_OFF:
	case IMAGE_PREALLOCATION_METADATA:
		break;
	}
	return 0;
}
