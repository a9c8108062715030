/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * disk_to_raw IMAGE OUT [SNAPSHOT]: the guest content of a qcow2 image as a sparse raw file, read
 * through the disk interface in steps of many sizes. On the way what the interface says in two
 * ways is compared: what is no data reads as zero, and what lies plainly in a file is there.
 * Exit 1, with the diagnostic on stderr, for an image that cannot be read.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <q2s/disk.h>

#include "base/arith.h"
#include "base/zero.h"

#define STEP (1u << 20)

struct job {
	struct q2s_disk *disk;
	struct q2s_cursor *cursor; /* asked for extents */
	struct q2s_cursor *reader; /* read from: it must not depend on what the other was asked */
	int out;
	struct q2s_diag diag;
};

static uint8_t bytes[STEP], plain[STEP];

static int
bug(const char *what, uint64_t guest)
{
	fprintf(stderr, "disk_to_raw: at 0x%llx: %s\n", (unsigned long long)guest, what);
	return -1;
}

static int
read_step(struct job *job, uint64_t guest, size_t len)
{
	memset(bytes, 0xa5, len);
	return q2s_cursor_read(job->reader, (q2s_guest){ guest }, bytes, len, &job->diag) == Q2S_OK
		       ? 0
		       : -1;
}

/* Data is read whole, in steps that fit no cluster size. */
static int
copy_data(struct job *job, uint64_t guest, const struct q2s_extent *extent)
{
	static const size_t steps[] = { STEP, 512, 3000, 65536, 100001, 4096 };
	uint64_t done = 0;

	for (unsigned i = 0; done < extent->len; i++) {
		const size_t step = steps[i % (sizeof(steps) / sizeof(steps[0]))];
		const size_t len = (size_t)q2si_min(step, extent->len - done);

		if (read_step(job, guest + done, len) < 0)
			return -1;
		if (extent->file) {
			if (q2s_store_read(extent->file, extent->at + done, plain, len,
					   &job->diag) != Q2S_OK)
				return -1;
			if (memcmp(plain, bytes, len) != 0)
				return bug("the file holds other bytes", guest + done);
		}
		if (pwrite(job->out, bytes, len, (off_t)(guest + done)) != (ssize_t)len)
			return bug("cannot write", guest + done);
		done += len;
	}
	return 0;
}

/* Both ends of what is no data, for it may be very long. */
static int
check_zero(struct job *job, uint64_t guest, const struct q2s_extent *extent)
{
	const size_t len = (size_t)q2si_min(extent->len, STEP);

	if (extent->file)
		return bug("no data, but a file", guest);
	if (read_step(job, guest, len) < 0)
		return -1;
	if (!q2si_is_zero(bytes, len))
		return bug("no data, but not zero", guest);
	guest += extent->len - len;
	if (read_step(job, guest, len) < 0)
		return -1;
	return q2si_is_zero(bytes, len) ? 0 : bug("no data, but not zero", guest);
}

static int
copy_disk(struct job *job)
{
	const uint64_t size = q2s_disk_size(job->disk);
	struct q2s_extent extent;

	if (ftruncate(job->out, (off_t)size) != 0)
		return bug("cannot set the size", size);
	for (uint64_t guest = 0; guest < size; guest += extent.len) {
		if (q2s_cursor_extent(job->cursor, (q2s_guest){ guest }, UINT64_MAX, &extent,
				      &job->diag) != Q2S_OK)
			return -1;
		if (extent.len == 0 || extent.len > size - guest)
			return bug("an extent that is empty or leaves the disk", guest);
		if ((extent.state == Q2S_DATA ? copy_data : check_zero)(job, guest, &extent) < 0)
			return -1;
	}
	return q2s_disk_verify(job->disk, &job->diag) == Q2S_OK ? 0 : -1;
}

static int
run(struct job *job, const char *path, const char *out, const char *snapshot)
{
	const struct q2s_disk_qcow2_options options = { .size = sizeof(options),
							.follow = Q2S_FOLLOW_ANY,
							.snapshot = snapshot };
	struct q2s_store *file;
	int status = -1;

	if (q2s_store_open(path, &file, &job->diag) != Q2S_OK)
		return -1;
	if (q2s_disk_qcow2(file, &options, &job->disk, &job->diag) != Q2S_OK)
		goto close_file;
	job->out = open(out, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (job->out >= 0 && q2s_cursor_open(job->disk, &job->cursor, &job->diag) == Q2S_OK &&
	    q2s_cursor_open(job->disk, &job->reader, &job->diag) == Q2S_OK)
		status = copy_disk(job);
	q2s_cursor_close(job->cursor);
	q2s_cursor_close(job->reader);
	q2s_disk_close(job->disk);
	if (job->out < 0 || close(job->out) != 0)
		status = -1;
close_file:
	q2s_store_unref(file);
	return status;
}

int
main(int argc, char **argv)
{
	struct job job = { .out = -1 };
	char text[512];

	if (argc < 3 || argc > 4) {
		fprintf(stderr, "Usage: disk_to_raw IMAGE OUT [SNAPSHOT]\n");
		return EXIT_FAILURE;
	}
	if (run(&job, argv[1], argv[2], argv[3]) == 0)
		return EXIT_SUCCESS;
	if (job.diag.err != Q2S_OK) {
		q2s_diag_format(&job.diag, text, sizeof(text));
		fprintf(stderr, "disk_to_raw: %s: %s\n", job.diag.file, text);
	}
	return EXIT_FAILURE;
}
