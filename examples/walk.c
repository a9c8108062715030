/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* walk FILE: what lies where on a disk: a line for each extent, and the file that holds its bytes. */
#include <inttypes.h>
#include <stdio.h>

#include <q2s/disk.h>

static void
print(q2s_guest at, const struct q2s_extent *extent)
{
	static const char *const states[] = {
		[Q2S_ABSENT] = "unallocated",
		[Q2S_ZERO] = "zero",
		[Q2S_DATA] = "data",
	};

	printf("%" PRIu64 " %" PRIu64 " %s", at.v, extent->len, states[extent->state]);
	if (extent->file)
		printf(" %s %" PRIu64, q2s_store_name(extent->file), extent->at);
	printf("\n");
}

static enum q2s_err
walk(struct q2s_disk *disk, struct q2s_cursor *cursor, struct q2s_diag *diag)
{
	struct q2s_extent extent;
	q2s_guest at = { 0 };

	while (at.v < q2s_disk_size(disk)) {
		const enum q2s_err err =
			q2s_cursor_extent(cursor, at, UINT64_MAX, &extent, diag);

		if (err != Q2S_OK)
			return err;
		print(at, &extent);
		at.v += extent.len;
	}
	return Q2S_OK;
}

int
main(int argc, char **argv)
{
	struct q2s_disk_qcow2_options layers = Q2S_DISK_QCOW2_OPTIONS_INIT;
	struct q2s_disk_open_options options = Q2S_DISK_OPEN_OPTIONS_INIT;
	struct q2s_diag diag = { 0 };
	struct q2s_disk *disk = NULL;
	struct q2s_cursor *cursor = NULL;
	char line[512];

	if (argc != 2)
		return fprintf(stderr, "usage: walk FILE\n"), 1;
	layers.follow = Q2S_FOLLOW_BESIDE;
	options.qcow2 = &layers;
	if (q2s_disk_open(argv[1], &options, &disk, &diag) == Q2S_OK &&
	    q2s_cursor_open(disk, &cursor, &diag) == Q2S_OK)
		(void)walk(disk, cursor, &diag);
	q2s_cursor_close(cursor);
	q2s_disk_close(disk);
	if (diag.err == Q2S_OK)
		return 0;
	q2s_diag_format(&diag, line, sizeof(line));
	return fprintf(stderr, "walk: %s\n", line), 1;
}
