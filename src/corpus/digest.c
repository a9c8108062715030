/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SHA-256 of a disk: written where nothing stays, through the library's own digest. */
#include "corpus/digest.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <q2s/emit.h>
#include <q2s/io.h>

#include "common/fault.h"

#define ALGORITHM "sha256"
#define NOWHERE "/dev/null"

bool
digest_is_there(void)
{
	return q2s_digest_check(ALGORITHM, NULL) == Q2S_OK;
}

static enum q2s_err
digest_to(int fd, struct q2s_disk *disk, struct q2s_digest *out, struct q2s_diag *diag)
{
	const struct q2s_emit_options options = Q2S_EMIT_OPTIONS_INIT;
	struct q2s_sink *nowhere, *sink;
	enum q2s_err err = q2s_sink_from_fd(fd, NOWHERE, 0, &nowhere, diag);

	if (err != Q2S_OK)
		return err;
	err = q2s_sink_digest(nowhere, ALGORITHM, out, &sink, diag);
	if (err != Q2S_OK) {
		q2s_sink_abort(nowhere);
		return err;
	}
	err = q2s_emit_raw(disk, sink, &options, diag);
	if (err == Q2S_OK)
		return q2s_sink_commit(sink, diag);
	q2s_sink_abort(sink);
	return err;
}

enum q2s_err
digest_disk(struct q2s_disk *disk, char out[DIGEST_TEXT], struct q2s_diag *diag)
{
	const int fd = open(NOWHERE, O_WRONLY | O_CLOEXEC);
	struct q2s_digest digest;
	enum q2s_err err;

	if (fd < 0)
		return fault_errno(diag, NOWHERE, "cannot be opened");
	err = digest_to(fd, disk, &digest, diag);
	close(fd);
	if (err != Q2S_OK)
		return err;
	for (size_t i = 0; i < digest.len; i++)
		snprintf(out + 2 * i, 3, "%02x", digest.bytes[i]);
	return Q2S_OK;
}
