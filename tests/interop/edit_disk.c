/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * edit_disk IMAGE SHOWN SEED COUNT [BASE [DATA [KEY]]]: make COUNT random requests (writes, zeros,
 * discards, flushes, reads) on a qcow2 image, and keep SHOWN, a raw file of what the guest sees, in
 * step. BASE is an image or a raw file, DATA the external data file; "-" for none. Exit 1, with the
 * reason on stderr, when a request fails or shows something else.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <q2s/edit.h>
#include <q2s/store.h>

#include "base/arith.h"
#include "base/zero.h"

struct job {
	struct q2s_edit *edit;
	uint8_t *shown;
	uint64_t size, unit, seed;
	struct q2s_diag diag;
};

static uint64_t
draw(struct job *job)
{
	job->seed ^= job->seed >> 12;
	job->seed ^= job->seed << 25;
	job->seed ^= job->seed >> 27;
	return job->seed * 0x2545f4914f6cdd1dull >> 8;
}

static int
differs(const struct job *job, uint64_t at)
{
	fprintf(stderr, "edit_disk: near 0x%llx of %llu bytes the guest sees something else\n",
		(unsigned long long)at, (unsigned long long)job->size);
	return -1;
}

static int
compare(struct job *job, uint64_t at, uint64_t len)
{
	static uint8_t bytes[1 << 16];

	for (uint64_t n; len > 0; at += n, len -= n) {
		n = q2si_min(len, sizeof(bytes));
		if (q2s_edit_read(job->edit, (q2s_guest){ at }, bytes, n, &job->diag) != Q2S_OK)
			return -1;
		if (memcmp(bytes, job->shown + at, n) != 0)
			return differs(job, at);
	}
	return 0;
}

/* A subcluster that is discarded is zero or, where the format cannot say so, as it was. */
static int
discard(struct job *job, uint64_t at, uint64_t len)
{
	const uint64_t end = at + len;
	uint8_t *bytes = malloc(job->unit);
	int result = 0;

	if (q2s_edit_discard(job->edit, (q2s_guest){ at }, len, &job->diag) != Q2S_OK)
		result = -1;
	for (at = q2si_round_up(at, job->unit); at < end && result == 0; at += job->unit) {
		const uint64_t n = q2si_min(job->unit, job->size - at);

		if (at + n > end)
			break;
		if (q2s_edit_read(job->edit, (q2s_guest){ at }, bytes, n, &job->diag) != Q2S_OK)
			result = -1;
		else if (q2si_is_zero(bytes, n))
			memset(job->shown + at, 0, n);
		else if (memcmp(bytes, job->shown + at, n) != 0)
			result = differs(job, at);
	}
	free(bytes);
	return result;
}

static int
write_bytes(struct job *job, uint64_t at, uint64_t len)
{
	const uint64_t first = draw(job);

	for (uint64_t i = 0; i < len; i++)
		job->shown[at + i] = (uint8_t)((first + i) * 0x9e3779b97f4a7c15ull >> 56);
	return q2s_edit_write(job->edit, (q2s_guest){ at }, job->shown + at, len, &job->diag) ==
			       Q2S_OK
		       ? 0
		       : -1;
}

static int
zero(struct job *job, uint64_t at, uint64_t len, unsigned flags)
{
	memset(job->shown + at, 0, len);
	return q2s_edit_zero(job->edit, (q2s_guest){ at }, len, flags, &job->diag) == Q2S_OK ? 0
											     : -1;
}

static int
request(struct job *job)
{
	const uint64_t grain = draw(job) % 3 == 0 ? 1 : draw(job) % 2 ? 512 : job->unit;
	const uint64_t at = draw(job) % job->size / grain * grain;
	uint64_t len = (1 + draw(job) % 24) * (draw(job) % 4 ? 512 : job->unit);

	if (grain == 1)
		len -= draw(job) % 512;
	len = q2si_min(len, job->size - at);
	switch (draw(job) % 12) {
	case 0:
		return zero(job, at, len, 0);
	case 1:
		return zero(job, at, len, Q2S_EDIT_MAY_DISCARD);
	case 2:
	case 3:
		return discard(job, at, len);
	case 4:
		return q2s_edit_flush(job->edit, &job->diag) == Q2S_OK ? 0 : -1;
	case 5:
		return compare(job, at, len);
	default:
		return write_bytes(job, at, len);
	}
}

static int
run(struct job *job, unsigned long count)
{
	if (compare(job, 0, job->size) != 0)
		return -1;
	for (unsigned long i = 0; i < count; i++)
		if (request(job) != 0)
			return -1;
	return compare(job, 0, job->size);
}

static const char *
argument(int argc, char **argv, int index)
{
	return index < argc && strcmp(argv[index], "-") != 0 ? argv[index] : NULL;
}

static enum q2s_err
base_open(const char *path, struct q2s_disk **out, struct q2s_diag *diag)
{
	const struct q2s_disk_qcow2_options any = { .size = sizeof(any), .follow = Q2S_FOLLOW_ANY };
	struct q2s_store *store;
	enum q2s_err err = q2s_store_open(path, &store, diag);

	if (err != Q2S_OK)
		return err;
	err = q2s_image_probe(store) ? q2s_disk_qcow2(store, &any, out, diag)
				     : q2s_disk_raw(store, out, diag);
	q2s_store_unref(store);
	return err;
}

static enum q2s_err
image_open(const char *path, const struct q2s_edit_options *options, struct q2s_edit **out,
	   struct q2s_diag *diag)
{
	struct q2s_store *store;
	enum q2s_err err = q2s_store_open_writable(path, &store, diag);

	if (err != Q2S_OK)
		return err;
	err = q2s_edit_open(store, options, out, diag);
	q2s_store_unref(store);
	return err;
}

static uint8_t *
map_shown(const char *path, uint64_t size)
{
	const int fd = open(path, O_RDWR | O_CREAT, 0666);
	uint8_t *map;

	if (fd < 0 || ftruncate(fd, (off_t)size) != 0)
		return NULL;
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return map == MAP_FAILED ? NULL : map;
}

int
main(int argc, char **argv)
{
	struct q2s_edit_options options = Q2S_EDIT_OPTIONS_INIT;
	struct job job = { 0 };
	char text[2048];
	int result = -1;

	if (argc < 5)
		return 2;
	job.seed = strtoull(argv[3], NULL, 10) * 2 + 1;
	if (argument(argc, argv, 5) && base_open(argv[5], &options.base, &job.diag) != Q2S_OK)
		goto out;
	if (argument(argc, argv, 6) &&
	    q2s_store_open_writable(argv[6], &options.data, &job.diag) != Q2S_OK)
		goto out;
	if (argument(argc, argv, 7)) {
		options.key = (const uint8_t *)argv[7];
		options.key_len = strlen(argv[7]);
	}
	if (image_open(argv[1], &options, &job.edit, &job.diag) != Q2S_OK)
		goto out;
	job.size = q2s_edit_size(job.edit);
	job.unit = q2s_edit_subcluster_size(job.edit);
	job.shown = map_shown(argv[2], job.size);
	if (job.shown)
		result = run(&job, strtoul(argv[4], NULL, 10));
	if (q2s_edit_close(job.edit, &job.diag) != Q2S_OK)
		result = -1;
out:
	q2s_store_unref(options.data);
	q2s_disk_close(options.base);
	if (job.diag.err != Q2S_OK) {
		q2s_diag_format(&job.diag, text, sizeof(text));
		fprintf(stderr, "edit_disk: %s\n", text);
	}
	return result == 0 ? 0 : 1;
}
