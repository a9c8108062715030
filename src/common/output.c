/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A sink on a path whose temporary name is removed even when a signal ends the tool. */
#include "common/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fault.h"

/*
 * QEMU locks some bytes of each image that it has open (block/file-posix.c, RAW_LOCK_PERM_BASE).
 * A machine that runs on a file that we replace would go on writing to a file without a name.
 */
static bool
is_in_use(const char *path)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	struct stat st;
	bool locked;
	int fd;

	if (stat(path, &st) != 0 || !(S_ISREG(st.st_mode) || S_ISBLK(st.st_mode)))
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	locked = fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
	close(fd);
	return locked;
}

enum q2s_err
output_open(struct output *output, const char *path, unsigned flags, uint64_t length,
	    struct q2s_diag *diag)
{
	const char *temp;
	enum q2s_err err;

	if ((flags & Q2S_SINK_REPLACE) && is_in_use(path)) {
		errno = EBUSY;
		return fault_in(diag, fault_errno(diag, "output", "another process has locked it"),
				path);
	}
	err = q2s_sink_open(path, flags, length, &output->sink, diag);
	output->sync = flags & Q2S_SINK_SYNC;
	output->name = path;
	temp = err == Q2S_OK ? q2s_sink_temp_path(output->sink) : NULL;
	if (!temp)
		return err;
	output->temp = strdup(temp);
	if (!output->temp || !cleanup_add_path(output->temp)) {
		output_abort(output);
		return fault_nomem(diag, "output");
	}
	return Q2S_OK;
}

/* The sink is gone, and with it the temporary name: a later file may bear it. */
static void
forget(struct output *output)
{
	cleanup_drop_path(output->temp);
	free(output->temp);
	*output = (struct output){ 0 };
}

/* What takes long is done while a signal can still end it. Not every device can be flushed. */
static enum q2s_err
flush(const struct output *output, struct q2s_diag *diag)
{
	if (!output->sync || fsync(q2s_sink_fd(output->sink)) == 0 || errno == EINVAL)
		return Q2S_OK;
	return fault_in(diag, fault_errno(diag, "output", "flushing failed"), output->name);
}

enum q2s_err
output_commit(struct output *output, struct q2s_diag *diag)
{
	enum q2s_err err;

	if (!output->sink)
		return Q2S_OK;
	err = flush(output, diag);
	if (err != Q2S_OK) {
		output_abort(output);
		return err;
	}
	/*
	 * On its way to the final name a file without a name gets one beside it, of which no
	 * clean-up knows: a signal has to wait for these few calls.
	 */
	cleanup_hold();
	err = q2s_sink_commit(output->sink, diag);
	cleanup_release();
	forget(output);
	return err;
}

void
output_abort(struct output *output)
{
	q2s_sink_abort(output->sink);
	forget(output);
}
