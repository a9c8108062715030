/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * compare IMAGE RAW: does an image show what a raw file holds? For tests of programs that write images: the
 * raw file is what they should have written. Exits with 0 if so, 1 if not, 2 when it cannot be found out.
 */
#include <inttypes.h>
#include <stdio.h>

#include <q2s/disk.h>

static enum q2s_err
open_both(char **names, struct q2s_disk **image, struct q2s_disk **raw, struct q2s_diag *diag)
{
	struct q2s_disk_qcow2_options layers = Q2S_DISK_QCOW2_OPTIONS_INIT;
	struct q2s_disk_open_options options = Q2S_DISK_OPEN_OPTIONS_INIT;
	enum q2s_err err;

	layers.follow = Q2S_FOLLOW_BESIDE;
	options.qcow2 = &layers;
	options.format = "qcow2"; /* it is the caller who knows, and not the bytes */
	err = q2s_disk_open(names[0], &options, image, diag);
	options.format = "raw";
	return err == Q2S_OK ? q2s_disk_open(names[1], &options, raw, diag) : err;
}

int
main(int argc, char **argv)
{
	struct q2s_diag diag = { 0 };
	struct q2s_disk *image = NULL, *raw = NULL;
	struct q2s_comparison found = { 0 };
	char line[512];
	int status = 2;

	if (argc != 3)
		return fprintf(stderr, "usage: compare IMAGE RAW\n"), 2;
	if (open_both(argv + 1, &image, &raw, &diag) != Q2S_OK ||
	    q2s_disk_compare(image, raw, NULL, &found, &diag) != Q2S_OK) {
		q2s_diag_format(&diag, line, sizeof(line));
		fprintf(stderr, "compare: %s\n", line);
	} else if (q2s_disk_size(image) != q2s_disk_size(raw)) {
		printf("the sizes differ: %" PRIu64 " and %" PRIu64 "\n", q2s_disk_size(image),
		       q2s_disk_size(raw));
		status = 1;
	} else if (!found.same) {
		printf("they differ at %" PRIu64 "\n", found.at.v);
		status = 1;
	} else {
		status = 0;
	}
	q2s_disk_close(raw);
	q2s_disk_close(image);
	return status;
}
