/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * read FILE OFFSET LENGTH: bytes of a disk, whatever its format, to standard output. An image may refer to
 * files beside itself: backing files, an external data file.
 */
#include <stdio.h>
#include <stdlib.h>

#include <q2s/disk.h>

static int
fail(const char *name, const struct q2s_diag *diag)
{
	char line[512];

	q2s_diag_format(diag, line, sizeof(line));
	fprintf(stderr, "read: %s: %s\n", diag->file[0] ? diag->file : name, line);
	return 1;
}

int
main(int argc, char **argv)
{
	struct q2s_disk_qcow2_options layers = Q2S_DISK_QCOW2_OPTIONS_INIT;
	struct q2s_disk_open_options options = Q2S_DISK_OPEN_OPTIONS_INIT;
	struct q2s_diag diag = { 0 };
	struct q2s_disk *disk = NULL;
	struct q2s_cursor *cursor = NULL;
	int status = 0;

	if (argc != 4)
		return fprintf(stderr, "usage: read FILE OFFSET LENGTH\n"), 1;
	const q2s_guest at = { strtoull(argv[2], NULL, 0) };
	const size_t len = strtoul(argv[3], NULL, 0);
	char *buf = malloc(len + 1);

	if (!buf)
		return perror("read"), 1;
	layers.follow = Q2S_FOLLOW_BESIDE;
	options.qcow2 = &layers;
	if (q2s_disk_open(argv[1], &options, &disk, &diag) != Q2S_OK ||
	    q2s_cursor_open(disk, &cursor, &diag) != Q2S_OK ||
	    q2s_cursor_read(cursor, at, buf, len, &diag) != Q2S_OK)
		status = fail(argv[1], &diag);
	else if (fwrite(buf, 1, len, stdout) != len || fflush(stdout) != 0)
		status = (perror("read"), 1);
	q2s_cursor_close(cursor);
	q2s_disk_close(disk);
	free(buf);
	return status;
}
