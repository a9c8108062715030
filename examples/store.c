/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * store PART PART: an image that was cut in two, read where it lies, as a raw disk to standard output.
 * The two files together are a store of our own: bytes at offsets.
 */
#define _FILE_OFFSET_BITS 64
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <q2s/emit.h>

struct halves {
	int fd[2];
	uint64_t size[2];
};

/* From several threads at a time. Fewer bytes than were asked for mean the end of the store. */
static enum q2s_err
halves_read(void *self, uint64_t at, void *buf, size_t len, size_t *got, struct q2s_diag *diag)
{
	const struct halves *const halves = self;

	(void)diag; /* what we leave out of it is put in */
	for (*got = 0; *got < len && at + *got < halves->size[0] + halves->size[1];) {
		const bool second = at + *got >= halves->size[0];
		const uint64_t from = at + *got - (second ? halves->size[0] : 0);
		const ssize_t n = pread(halves->fd[second], (char *)buf + *got, len - *got,
					(off_t)from);

		if (n <= 0)
			return Q2S_E_IO;
		*got += (size_t)n;
	}
	return Q2S_OK;
}

static uint64_t
halves_length(void *self)
{
	return ((struct halves *)self)->size[0] + ((struct halves *)self)->size[1];
}

static const struct q2s_store_ops halves_ops = {
	.size = sizeof(halves_ops), .read = halves_read, .length = halves_length,
};

static enum q2s_err
write_raw(struct halves *halves, struct q2s_diag *diag)
{
	struct q2s_store *store = NULL;
	struct q2s_disk *disk = NULL;
	struct q2s_sink *sink = NULL;
	enum q2s_err err = q2s_store_new(&halves_ops, halves, "halves", &store, diag);

	if (err == Q2S_OK)
		err = q2s_disk_open_store(store, NULL, &disk, diag);
	if (err == Q2S_OK)
		err = q2s_sink_from_fd(STDOUT_FILENO, "standard output", 0, &sink, diag);
	if (err == Q2S_OK)
		err = q2s_emit_raw(disk, sink, NULL, diag);
	if (err == Q2S_OK)
		err = q2s_sink_commit(sink, diag);
	else
		q2s_sink_abort(sink);
	q2s_disk_close(disk);
	q2s_store_unref(store);
	return err;
}

int
main(int argc, char **argv)
{
	struct q2s_diag diag = { 0 };
	struct halves halves;
	struct stat st;
	char line[512];

	for (int i = 0; i < 2; i++) {
		halves.fd[i] = i + 1 < argc ? open(argv[i + 1], O_RDONLY) : -1;
		if (halves.fd[i] < 0 || fstat(halves.fd[i], &st) != 0)
			return fprintf(stderr, "usage: store PART PART\n"), 1;
		halves.size[i] = (uint64_t)st.st_size;
	}
	if (write_raw(&halves, &diag) == Q2S_OK)
		return 0;
	q2s_diag_format(&diag, line, sizeof(line));
	return fprintf(stderr, "store: %s\n", line), 1;
}
