/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Standard input, and pipes with a name, as a source. */
#include "stream/input.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/container.h"
#include "common/fault.h"
#include "common/progress.h"
#include "common/remote.h"

/* All of a file that is read as a stream will be needed: bytes that a server is told of at a time. */
#define ANNOUNCE (64u << 20)

/* Can it be read at any offset, and does it begin where it stands? */
static bool
is_seekable(const struct stat *st)
{
	return (S_ISREG(st->st_mode) || S_ISBLK(st->st_mode)) &&
	       lseek(STDIN_FILENO, 0, SEEK_CUR) == 0;
}

static enum q2s_err
check_size(const struct stream_options *options, const struct q2s_store *file,
	   struct q2s_diag *diag)
{
	if (!options->has_size || options->size == q2s_store_size(file))
		return Q2S_OK;
	return fault(diag, Q2S_E_USAGE, "--size", "it holds %" PRIu64 " bytes, not %" PRIu64,
		     q2s_store_size(file), options->size);
}

static enum q2s_err
open_file(const struct stream_options *options, struct input *out, struct q2s_diag *diag)
{
	const int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	enum q2s_err err;

	if (fd < 0)
		return fault_errno(diag, "stream", "cannot be used");
	err = q2s_store_from_fd(fd, INPUT_NAME, &out->file, diag);
	if (err != Q2S_OK) {
		close(fd);
		return err;
	}
	err = check_size(options, out->file, diag);
	if (err == Q2S_OK && options->verify.given)
		err = verify_file(&options->verify, out->file, diag);
	return err;
}

static bool
is_standard(const char *name)
{
	return strcmp(name, "-") == 0 || strcmp(name, "/dev/stdin") == 0 ||
	       strcmp(name, "/dev/fd/0") == 0;
}

bool
input_is(const char *name)
{
	struct stat st;

	return is_standard(name) || (stat(name, &st) == 0 && S_ISFIFO(st.st_mode));
}

/* What holds for all streams; what is read may have to be verified. */
static enum q2s_err
set_up(const struct stream_options *options, struct input *out, struct q2s_diag *diag)
{
	out->stream.head = out->head;
	out->stream.folder = options->spool;
	out->stream.observer = progress_observer();
	if (!options->verify.given)
		return Q2S_OK;
	return verify_stream(&out->verify, &options->verify, &out->stream, diag);
}

static enum q2s_err
set_stream(const struct stream_options *options, int fd, const char *name, struct input *out,
	   struct q2s_diag *diag)
{
	out->stream = (struct q2s_stream){
		.fd = fd, .name = name, .has_size = options->has_size, .size = options->size
	};
	return set_up(options, out, diag);
}

/* ---- servers ----------------------------------------------------------------------------- */

static enum q2s_err
read_remote(void *self, void *buf, size_t len, size_t *got, struct q2s_diag *diag)
{
	struct input *input = self;

	if (input->announced < input->read + ANNOUNCE / 2) {
		q2s_store_will_need(input->remote, input->announced, ANNOUNCE);
		input->announced += ANNOUNCE;
	}
	const enum q2s_err err =
		q2s_store_read_padded(input->remote, input->read, buf, len, got, diag);

	if (err == Q2S_OK)
		input->read += *got;
	return err;
}

/* As far as one knows before the image is seen. */
static bool
is_read_whole(const struct stream_options *options)
{
	return !options->measure && !options->changed && !options->snapshot &&
	       options->range.kind == RANGE_ALL;
}

static enum q2s_err
open_url(const struct stream_options *options, struct input *out, struct q2s_diag *diag)
{
	struct q2s_http *http;
	enum q2s_err err = remote_open(options->source, is_read_whole(options), &http, diag);

	if (err != Q2S_OK)
		return err;
	out->http = http;
	if (!q2s_http_has_ranges(http)) {
		q2s_http_stream(http, &out->stream);
		return set_up(options, out, diag);
	}
	err = q2s_http_store(http, &out->remote, diag);
	if (err != Q2S_OK)
		return err;
	out->http = NULL;
	out->stream = (struct q2s_stream){
		.fd = -1,
		.name = q2s_store_name(out->remote),
		.has_size = true,
		.size = q2s_store_size(out->remote),
		.read = read_remote,
		.self = out,
	};
	if (!options->verify.given)
		out->file = q2s_store_ref(out->remote);
	return set_up(options, out, diag);
}

/* ------------------------------------------------------------------------------------------ */

enum q2s_err
input_open(const struct stream_options *options, struct input *out, struct q2s_diag *diag)
{
	struct stat st;

	if (remote_is(options->source))
		return open_url(options, out, diag);
	if (!is_standard(options->source)) {
		out->fd = open(options->source, O_RDONLY | O_CLOEXEC);
		if (out->fd < 0)
			return fault_errno(diag, "stream", "cannot be opened for reading");
		return set_stream(options, out->fd, options->source, out, diag);
	}
	if (fstat(STDIN_FILENO, &st) != 0)
		return fault_errno(diag, "stream", "cannot be read");
	if (isatty(STDIN_FILENO))
		return fault(diag, Q2S_E_USAGE, "stream",
			     "is a terminal; redirect it from a disk");
	if (is_seekable(&st))
		return open_file(options, out, diag);
	return set_stream(options, STDIN_FILENO, INPUT_NAME, out, diag);
}

void
input_close(struct input *input)
{
	q2s_store_unref(input->file);
	q2s_store_unref(input->remote);
	q2s_http_close(input->http);
	verify_free(&input->verify);
	input->file = input->remote = NULL;
	input->http = NULL;
	if (input->fd > STDERR_FILENO)
		close(input->fd);
	input->fd = -1;
}

/* The first bytes, which then come first again. */
static enum q2s_err
read_head(struct input *input, struct q2s_diag *diag)
{
	struct q2s_stream *const stream = &input->stream;

	while (stream->head_len < sizeof(input->head)) {
		size_t n;
		const enum q2s_err err =
			q2s_stream_read(stream, input->head + stream->head_len,
					sizeof(input->head) - stream->head_len, &n, diag);

		if (err != Q2S_OK)
			return err;
		if (n == 0)
			break;
		stream->head_len += n;
	}
	return Q2S_OK;
}

enum q2s_err
input_probe(struct input *input, bool *is_qcow2, struct q2s_diag *diag)
{
	enum q2s_err err;

	if (input->file) {
		*is_qcow2 = q2s_image_probe(input->file);
		return container_refuse(q2s_container_probe(input->file), diag);
	}
	err = read_head(input, diag);
	*is_qcow2 = input->stream.head_len >= 4 && memcmp(input->head, "QFI\xfb", 4) == 0;
	if (err != Q2S_OK)
		return err;
	return container_refuse(q2s_container_of_head(input->head, input->stream.head_len), diag);
}

enum q2s_err
input_to_file(struct input *input, bool once, struct q2s_diag *diag)
{
	struct q2s_stream stream = input->stream;

	if (input->file)
		return Q2S_OK;
	if (!once)
		return q2s_store_from_stream(&stream, &input->file, diag);
	stream.observer = NULL; /* what is written shows how far it is */
	return q2s_store_arriving(&stream, &input->file, diag);
}
