/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The one interface behind every kind of sink: each kind embeds struct q2s_sink first. */
#ifndef Q2SI_IO_SINK_H
#define Q2SI_IO_SINK_H

#include <stdatomic.h>

#include <q2s/io.h>

/** What a kind of sink does. The frame (sink.c) counts the bytes; lengths are not 0. */
struct q2si_sink_ops {
	enum q2s_err (*write)(struct q2s_sink *sink, const void *buf, size_t len,
			      struct q2s_diag *diag);
	enum q2s_err (*copy)(struct q2s_sink *sink, struct q2s_store *file, uint64_t at,
			     uint64_t len, struct q2s_diag *diag);
	enum q2s_err (*zero)(struct q2s_sink *sink, uint64_t len, struct q2s_diag *diag);
	enum q2s_err (*commit)(struct q2s_sink *sink, struct q2s_diag *diag);
	/** NULL: it has none. */
	const char *(*temp_path)(const struct q2s_sink *sink);
	/** Release what the kind owns, and undo what was not committed. The frame frees the sink. */
	void (*close)(struct q2s_sink *sink);
};

/** Every byte gets space of its own. */
#define Q2SI_SINK_SPACE (Q2S_SINK_ALLOCATE | Q2S_SINK_FULL)

struct q2s_sink {
	const struct q2si_sink_ops *ops;
	char *name;
	int fd;
	unsigned flags;  /* Q2S_SINK_... that it was opened with */
	uint64_t pos;    /* bytes taken before the call in progress */
	bool seeks;      /* an earlier offset can be written again */
	bool free_zeros; /* zeros become holes, and nothing is moved for them */
	/* a copy goes through a buffer, as far as we know; asked while another thread writes */
	atomic_bool by_hand;
	void *copy_buffer; /* for that: kept from one copy to the next */
};

/** A failed system call on @sink. */
enum q2s_err q2si_sink_errno(const struct q2s_sink *sink, int error, const char *doing,
			     struct q2s_diag *diag);

/** Bytes that only ever go forward: pipe, socket, terminal, character device, O_APPEND. */
enum q2s_err q2si_sink_stream(int fd, bool owned, const char *name, struct q2s_sink **out,
			      struct q2s_diag *diag);

/** How a file sink ends. */
struct q2si_place {
	char *final;   /* the name to appear under; NULL: written in place */
	char *temp;    /* the name beside it, or NULL for a nameless file (O_TMPFILE) */
	bool replace;  /* an existing file may go */
	bool sync;
};

/**
 * Bytes at an offset: a regular file or a block device, from its offset @base on.
 *
 * @owned  @fd is closed with the sink, and @place is taken over; else @place is NULL
 */
enum q2s_err q2si_sink_file(int fd, bool owned, const char *name, struct q2si_place *place,
			    struct q2s_sink **out, struct q2s_diag *diag);

/** Open a file beside @path to be put in its place later. Fills @place; returns a descriptor. */
enum q2s_err q2si_place_open(const char *path, unsigned flags, int *fd, struct q2si_place *place,
			     struct q2s_diag *diag);
/** Let the finished file @fd appear under its name. */
enum q2s_err q2si_place_commit(struct q2si_place *place, int fd, struct q2s_diag *diag);
/** Remove what has not been committed, and free the strings. */
void q2si_place_drop(struct q2si_place *place);

/* ---- sinks around another one -------------------------------------------------------------- */

/** Comes first in a sink that watches or changes how bytes get into @inner, which it owns. */
struct q2si_wrapper {
	struct q2s_sink sink;
	struct q2s_sink *inner;
};

/** Fill the common part; @inner becomes its own on success. */
enum q2s_err q2si_wrapper_init(struct q2si_wrapper *wrapper, const struct q2si_sink_ops *ops,
			       struct q2s_sink *inner, struct q2s_diag *diag);

/** What most of them do to commit, to close, and to be asked for a name: let @inner do it. */
enum q2s_err q2si_wrapper_commit(struct q2s_sink *sink, struct q2s_diag *diag);
void q2si_wrapper_close(struct q2s_sink *sink);
const char *q2si_wrapper_temp_path(const struct q2s_sink *sink);

/* ---- movers: each moves some bytes from a file to a descriptor, and says how many ---------- */

/** Copy through a buffer, for whatever the kernel cannot move by itself. */
enum q2s_err
q2si_copy_by_hand(struct q2s_sink *sink, struct q2s_store *file, uint64_t at, uint64_t len,
		  enum q2s_err (*write)(struct q2s_sink *sink, uint64_t ahead, const void *buf,
					size_t len, struct q2s_diag *diag),
		  struct q2s_diag *diag);

/** The file ended before what the plan counts on: the source changed. */
enum q2s_err q2si_source_ended(struct q2s_store *file, uint64_t at, struct q2s_diag *diag);

/** A stretch of zeros that is never written to. */
#define Q2SI_ZEROS_SIZE 65536u
extern const uint8_t q2si_zeros[Q2SI_ZEROS_SIZE];

#endif
