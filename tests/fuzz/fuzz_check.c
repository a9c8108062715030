/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The checker on a hostile file. What it finds does not matter; that it stays within its memory,
 * says no more than such a file can be guilty of, and counts what it says, does.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <q2s/check.h>

#include "fuzz.h"
#include "corpus/model.h"

/* One byte of metadata can break few rules. */
enum { FINDINGS_A_BYTE = 4, FINDINGS_ANYWAY = 1000 };

struct heard {
	uint64_t findings;
	uint64_t allowed;
	uint64_t by_severity[Q2S_SEVERITY_UNREADABLE + 1];
};

static void
hear(void *opaque, const struct q2s_finding *finding)
{
	struct heard *heard = opaque;

	if (++heard->findings > heard->allowed)
		abort();
	if (!finding->id[0] || !finding->structure[0] || !finding->text[0])
		abort();
	heard->by_severity[finding->severity]++;
}

static void
judge(struct q2s_image *image, size_t size)
{
	struct heard heard = { .allowed = FINDINGS_A_BYTE * size + FINDINGS_ANYWAY };
	const struct q2s_check_options options = { .size = sizeof(options), .finding = hear,
						   .opaque = &heard,
						   .decode = true };
	struct q2s_check_result result;
	struct q2s_diag diag = { 0 };

	if (q2s_check(image, &options, &result, &diag) != diag.err)
		abort();
	/* A corruption is one finding, however many times qemu-img counts it. */
	if (heard.by_severity[Q2S_SEVERITY_LEAK] != result.leaks ||
	    heard.by_severity[Q2S_SEVERITY_NOTE] != result.notes ||
	    heard.by_severity[Q2S_SEVERITY_UNREADABLE] != result.check_errors ||
	    (heard.by_severity[Q2S_SEVERITY_CORRUPTION] > 0) != (result.corruptions > 0))
		abort();
	if (diag.err == Q2S_OK && result.image_end_offset > size + 2 * (2ull << 20))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const int fd = memfd_create("fuzz", MFD_CLOEXEC);
	struct q2s_store *file;
	struct q2s_image *image;

	if (fd < 0 || write(fd, data, size) != (ssize_t)size ||
	    q2s_store_from_fd(fd, "fuzz", &file, NULL) != Q2S_OK)
		abort();
	if (q2s_image_open(file, Q2S_IMAGE_DAMAGED, &image, NULL) == Q2S_OK) {
		judge(image, size);
		q2s_image_close(image);
	}
	q2s_store_unref(file);
	return 0;
}

/* ---- seeds ------------------------------------------------------------------------------- */

/* All that fits into one image with the smallest clusters. */
static void
seed_standard(struct model *model, uint32_t order)
{
	static const char *const lines[] = { "data 0 1",     "zero-alloc 2",     "zero 3",
					     "compressed 4", "compressed 70",    "snapshot one",
					     "data 1",       "bitmap map 512 2" };
	char line[32];

	model->params.cluster_bits = 9;
	model->params.refcount_order = order;
	model->params.size = 64 << 10;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		strcpy(line, lines[i]);
		if (run_line(model, line) != Q2S_OK)
			abort();
	}
}

/* Extended clusters are large: the L2 table lies on the L1 table, which it maps, too. */
static void
seed_extended(struct model *model)
{
	model->params.cluster_bits = 14;
	model->params.extended = true;
	model->params.size = 64 << 10;
	if (assignment(model, "l1[0] = @l1 | 0x8000000000000000") != Q2S_OK ||
	    assignment(model, "u64[@l1 + 8] = 0xff") != Q2S_OK ||
	    assignment(model, "u64[@l1 + 24] = 0xff00000000") != Q2S_OK ||
	    assignment(model, "u64[@l1 + 32] = 0x4000000000000200") != Q2S_OK)
		abort();
}

static void
seed_data_file(struct model *model)
{
	char line[] = "data 0 100";

	model->params.cluster_bits = 9;
	model->params.size = 64 << 10;
	strcpy(model->data_file, "x");
	if (run_line(model, line) != Q2S_OK)
		abort();
}

/* Seed number @index into @data; its length. */
static size_t
seed_make(unsigned int index, uint8_t *data, size_t capacity)
{
	static const uint32_t orders[] = { 2, 4, 6 };
	struct model *const model = model_new();
	size_t size;

	if (!model)
		abort();
	if (index < 3)
		seed_standard(model, orders[index]);
	else if (index == 3)
		seed_extended(model);
	else
		seed_data_file(model);
	if (model_finish(model) != Q2S_OK)
		abort();
	size = model->clusters << model->geom.cluster_bits;
	if (size > capacity)
		abort();
	memcpy(data, model->bytes, size);
	model_free(model);
	return size;
}

/* Asked for again and again, so made once. */
size_t
fuzz_seed(unsigned int index, uint8_t *data, size_t capacity)
{
	static struct {
		size_t size;
		uint8_t data[65536];
	} seeds[5];

	if (index >= sizeof(seeds) / sizeof(seeds[0]))
		return 0;
	if (seeds[index].size == 0)
		seeds[index].size = seed_make(index, seeds[index].data, sizeof(seeds[index].data));
	if (seeds[index].size > capacity)
		abort();
	memcpy(data, seeds[index].data, seeds[index].size);
	return seeds[index].size;
}
