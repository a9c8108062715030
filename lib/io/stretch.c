/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Stored bytes and holes of a file. */
#include <errno.h>
#include <unistd.h>

#include "base/arith.h"
#include "base/diag.h"
#include "io/file.h"

static enum q2s_err
seek_errno(const struct q2s_file *file, struct q2s_diag *diag, uint64_t at, const char *doing)
{
	return q2si_in_file(diag, q2si_fail_errno(diag, errno, "file", (q2s_host){ at }, "%s", doing),
			    q2s_file_name(file));
}

/* What has arrived of a stream is data; it can be copied without asking again. */
static enum q2s_err
arrived(struct q2si_feed *feed, uint64_t at, struct q2s_stretch *out, struct q2s_diag *diag)
{
	Q2SI_TRY(q2si_feed_need(feed, at, 1, diag));
	const uint64_t have = q2si_feed_until(feed, at + 1);

	*out = (struct q2s_stretch){ .hole = at >= have, .len = at < have ? have - at : 1 };
	return Q2S_OK;
}

/* Data begins at @at. */
static enum q2s_err
find_hole(struct q2s_file *file, uint64_t at, struct q2s_stretch *out, struct q2s_diag *diag)
{
	const uint64_t size = q2s_file_size(file);
	const off_t hole = lseek(q2s_file_fd(file), (off_t)at, SEEK_HOLE);

	*out = (struct q2s_stretch){ .hole = false, .len = size - at };
	if (hole < 0 && errno != ENXIO)
		return seek_errno(file, diag, at, "looking for a hole failed");
	if (hole > (off_t)at)
		out->len = q2si_min((uint64_t)hole, size) - at;
	return Q2S_OK;
}

static enum q2s_err
find_data(struct q2s_file *file, uint64_t at, struct q2s_stretch *out, struct q2s_diag *diag)
{
	const uint64_t size = q2s_file_size(file);
	const off_t data = lseek(q2s_file_fd(file), (off_t)at, SEEK_DATA);

	if (data == (off_t)at)
		return find_hole(file, at, out, diag);
	*out = (struct q2s_stretch){ .hole = true, .len = size - at };
	if (data > 0)
		out->len = q2si_min((uint64_t)data, size) - at;
	else if (errno == EINVAL || errno == EOPNOTSUPP || errno == ENOTTY)
		out->hole = false; /* a device, or a file system that keeps no holes */
	else if (errno != ENXIO) /* which says: nothing but a hole up to the end */
		return seek_errno(file, diag, at, "looking for data failed");
	return Q2S_OK;
}

enum q2s_err
q2s_file_stretch(struct q2s_file *file, uint64_t at, struct q2s_stretch *out, struct q2s_diag *diag)
{
	struct q2si_feed *feed = q2si_file_feed(file);

	return feed ? arrived(feed, at, out, diag) : find_data(file, at, out, diag);
}

enum q2s_err
q2s_file_stretch_on(struct q2s_file *file, struct q2s_stretch_walk *walk, uint64_t at,
		    struct q2s_stretch *out, struct q2s_diag *diag)
{
	if (at < walk->start || at >= walk->end) {
		const bool data = walk->hole && at == walk->end && !q2si_file_feed(file);

		Q2SI_TRY((data ? find_hole : q2s_file_stretch)(file, at, out, diag));
		*walk = (struct q2s_stretch_walk){
			.start = at, .end = at + out->len, .hole = out->hole
		};
	}
	*out = (struct q2s_stretch){ .hole = walk->hole, .len = walk->end - at };
	return Q2S_OK;
}
