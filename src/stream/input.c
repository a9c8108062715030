/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Standard input as a source. */
#include "stream/input.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fault.h"
#include "common/progress.h"

/* Can it be read at any offset, and does it begin where it stands? */
static bool
is_seekable(const struct stat *st)
{
	return (S_ISREG(st->st_mode) || S_ISBLK(st->st_mode)) &&
	       lseek(STDIN_FILENO, 0, SEEK_CUR) == 0;
}

static enum q2s_err
check_size(const struct stream_options *options, const struct q2s_file *file, struct q2s_diag *diag)
{
	if (!options->has_size || options->size == q2s_file_size(file))
		return Q2S_OK;
	return fault(diag, Q2S_E_USAGE, "--size",
		     "it holds %" PRIu64 " bytes, not %" PRIu64, q2s_file_size(file),
		     options->size);
}

static enum q2s_err
open_file(const struct stream_options *options, struct input *out, struct q2s_diag *diag)
{
	const int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	enum q2s_err err;

	if (fd < 0)
		return fault_errno(diag, "stream", "cannot be used");
	err = q2s_file_from_fd(fd, INPUT_NAME, &out->file, diag);
	if (err != Q2S_OK) {
		close(fd);
		return err;
	}
	return check_size(options, out->file, diag);
}

enum q2s_err
input_open(const struct stream_options *options, struct input *out, struct q2s_diag *diag)
{
	struct stat st;

	if (fstat(STDIN_FILENO, &st) != 0)
		return fault_errno(diag, "stream", "cannot be read");
	if (isatty(STDIN_FILENO))
		return fault(diag, Q2S_E_USAGE, "stream",
			     "is a terminal; redirect it from a disk");
	if (is_seekable(&st))
		return open_file(options, out, diag);
	out->stream = (struct q2s_stream){
		.fd = STDIN_FILENO,
		.name = INPUT_NAME,
		.head = out->head,
		.has_size = options->has_size,
		.size = options->size,
		.folder = options->spool,
		.observer = progress_observer(),
	};
	return Q2S_OK;
}

void
input_close(struct input *input)
{
	q2s_file_close(input->file);
	input->file = NULL;
}

/* The first bytes, which then come first again. */
static enum q2s_err
read_head(struct input *input, struct q2s_diag *diag)
{
	struct q2s_stream *const stream = &input->stream;

	while (stream->head_len < sizeof(input->head)) {
		const ssize_t n = read(stream->fd, input->head + stream->head_len,
				       sizeof(input->head) - stream->head_len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fault_errno(diag, "stream", "reading failed");
		if (n == 0)
			break;
		stream->head_len += (size_t)n;
	}
	return Q2S_OK;
}

enum q2s_err
input_is_qcow2(struct input *input, bool *out, struct q2s_diag *diag)
{
	enum q2s_err err = Q2S_OK;

	if (input->file) {
		*out = q2s_image_probe(input->file);
		return Q2S_OK;
	}
	err = read_head(input, diag);
	*out = input->stream.head_len == sizeof(input->head) &&
	       memcmp(input->head, "QFI\xfb", sizeof(input->head)) == 0;
	return err;
}

enum q2s_err
input_to_file(struct input *input, bool once, struct q2s_diag *diag)
{
	struct q2s_stream stream = input->stream;

	if (input->file)
		return Q2S_OK;
	if (!once)
		return q2s_file_from_stream(&stream, &input->file, diag);
	stream.observer = NULL; /* what is written shows how far it is */
	return q2s_file_arriving(&stream, &input->file, diag);
}
