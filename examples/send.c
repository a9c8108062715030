/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * send SOURCE FD: a disk as a compressed image, down a socket that is open as descriptor FD. In bash:
 * send disk.raw 3 3<>/dev/tcp/backup/7000. The length is known before the first byte, for protocols that
 * begin with it; here it is printed.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include <q2s/builder.h>

static enum q2s_err
send_image(struct q2s_builder *builder, int fd, struct q2s_diag *diag)
{
	struct q2s_sink *sink = NULL;
	enum q2s_err err = q2s_sink_from_fd(fd, "socket", 0, &sink, diag);

	if (err == Q2S_OK)
		err = q2s_builder_emit(builder, sink, 0, Q2S_TO_END, diag);
	if (err == Q2S_OK)
		return q2s_sink_commit(sink, diag);
	q2s_sink_abort(sink);
	return err;
}

int
main(int argc, char **argv)
{
	const struct q2s_compression zstd = { .type = Q2S_COMPRESSION_ZSTD };
	struct q2s_builder_options options = Q2S_BUILDER_OPTIONS_INIT;
	struct q2s_diag diag = { 0 };
	struct q2s_disk *disk = NULL;
	struct q2s_builder *builder = NULL;
	char line[512];
	enum q2s_err err;

	if (argc != 3)
		return fprintf(stderr, "usage: send SOURCE FD\n"), 1;
	signal(SIGPIPE, SIG_IGN); /* a reader that has gone is an error like others */
	options.compression = &zstd;
	err = q2s_disk_open(argv[1], NULL, &disk, &diag);
	if (err == Q2S_OK)
		err = q2s_builder_new(disk, &options, &builder, &diag);
	if (err == Q2S_OK) {
		printf("%" PRIu64 "\n", q2s_builder_measure(builder)->length);
		err = send_image(builder, atoi(argv[2]), &diag);
	}
	q2s_builder_free(builder);
	q2s_disk_close(disk);
	if (err == Q2S_OK)
		return 0;
	q2s_diag_format(&diag, line, sizeof(line));
	return fprintf(stderr, "send: %s\n", line), 1;
}
