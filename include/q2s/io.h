/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Floor 2: bytes in and out. A file is where bytes are read from at an offset; a sink is where
 * bytes are written to in order, by the cheapest way that the destination allows.
 */
#ifndef Q2S_IO_H
#define Q2S_IO_H

#include <q2s/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- files ------------------------------------------------------------------------------- */

/**
 * An open regular file or block device, for reading at any offset. Never written to, and opened
 * without touching its times where the system allows it. Safe to use from several threads.
 * Counted: q2s_file_ref() adds an owner, q2s_file_close() drops one.
 */
struct q2s_file;

/**
 * Open @path. Q2S_E_IO with errno; Q2S_E_UNSUPPORTED for what is neither a regular file nor a
 * block device (a FIFO is not waited for).
 */
enum q2s_err q2s_file_open(const char *path, struct q2s_file **out, struct q2s_diag *diag);

/**
 * Take over the open descriptor @fd (closed with the file); @name is for messages. Fails as
 * q2s_file_open() does, and then leaves @fd open.
 */
enum q2s_err q2s_file_from_fd(int fd, const char *name, struct q2s_file **out,
			      struct q2s_diag *diag);

struct q2s_file *q2s_file_ref(struct q2s_file *file);
void q2s_file_close(struct q2s_file *file); /* NULL is fine */

/** Size in bytes when it was opened; for a block device what its ioctl says. */
uint64_t q2s_file_size(const struct q2s_file *file);
/**
 * The same, known as far as it matters for @end: a stream that is still arriving (see
 * q2s_file_arriving()) is read up to there, and only then its size is less than @end or its end
 * still unknown.
 */
uint64_t q2s_file_size_until(const struct q2s_file *file, uint64_t end);
/** Bytes that the file system has allocated for it (st_blocks * 512). */
uint64_t q2s_file_allocated(const struct q2s_file *file);
const char *q2s_file_name(const struct q2s_file *file);
int q2s_file_fd(const struct q2s_file *file);
bool q2s_file_is_block_device(const struct q2s_file *file);

/**
 * Read exactly @len bytes at @at.
 *
 * Returns Q2S_OK, Q2S_E_SHORT (the file ends before), Q2S_E_IO.
 */
enum q2s_err q2s_file_read(struct q2s_file *file, uint64_t at, void *buf, size_t len,
			   struct q2s_diag *diag);

/**
 * Read @len bytes at @at, with zeros for what lies past the end; *@got, if not NULL, says how
 * many were there.
 */
enum q2s_err q2s_file_read_padded(struct q2s_file *file, uint64_t at, void *buf, size_t len,
				  size_t *got, struct q2s_diag *diag);

/** A stretch of a file: stored bytes, or a hole that reads as zero. */
struct q2s_stretch {
	bool hole;
	uint64_t len;
};

/**
 * What lies at @at, which is below the size, and how far that holds (SEEK_DATA, SEEK_HOLE). Where
 * the system cannot tell, all is data. Never past the size.
 */
enum q2s_err q2s_file_stretch(struct q2s_file *file, uint64_t at, struct q2s_stretch *out,
			      struct q2s_diag *diag);

/** The stretch of one file that was looked at last. Zero-initialise. */
struct q2s_stretch_walk {
	uint64_t start, end;
	bool hole;
};

/**
 * As q2s_file_stretch(), for whoever goes forward in small steps: what @walk knows is not asked
 * again, and where a hole ends, data begins. A question to the system is two calls, else.
 */
enum q2s_err q2s_file_stretch_on(struct q2s_file *file, struct q2s_stretch_walk *walk, uint64_t at,
				 struct q2s_stretch *out, struct q2s_diag *diag);

/** Is it a stream that q2s_file_arriving() reads? */
bool q2s_file_is_arriving(const struct q2s_file *file);
/** What such a stream ended with, if not with its end: no space for it, a read that failed. */
enum q2s_err q2s_file_failure(const struct q2s_file *file, struct q2s_diag *diag);

/**
 * Nobody will read [@at, @at + @len) of this file again: what is arriving need not be kept. Reading
 * it again is Q2S_E_UNSUPPORTED. Other files do not change.
 */
void q2s_file_forget(struct q2s_file *file, uint64_t at, uint64_t len);

/**
 * Did reading the byte at @at not have to wait? False where the system does not tell, as file systems
 * on a network do. If it did have to, the byte is on its way, so the next answer may be another one.
 */
bool q2s_file_is_cached(struct q2s_file *file, uint64_t at);

/** Ask the kernel to have [@at, @at + @len) in its cache soon. Best effort. */
void q2s_file_will_need(struct q2s_file *file, uint64_t at, uint64_t len);

/**
 * Has the file changed since it was opened: another size, modification time, or change time? A new
 * change time that its count of links, its mode or its owner accounts for (link, unlink, chmod,
 * chown) is no change; any other may hide a write, as a modification time can be put back.
 * Returns Q2S_OK or Q2S_E_CHANGED, which says what changed.
 */
enum q2s_err q2s_file_verify(struct q2s_file *file, struct q2s_diag *diag);

/** What makes a file this file in this state; equal as long as nobody wrote to it. */
struct q2s_file_ident {
	uint64_t dev, ino, size;
	int64_t mtime_sec, ctime_sec;
	uint32_t mtime_nsec, ctime_nsec;
};
void q2s_file_ident(const struct q2s_file *file, struct q2s_file_ident *out);

/* ---- sinks ------------------------------------------------------------------------------- */

/**
 * A destination that takes bytes in order. Exactly one of q2s_sink_commit() (all is written) and
 * q2s_sink_abort() (leave nothing behind) ends it, and both free it.
 */
struct q2s_sink;

/**
 * A sink on an open descriptor, from its current position on: pipe, socket, terminal, character
 * device, or a regular file (into which zeros become holes where that is right). The descriptor
 * stays the caller's.
 */
enum q2s_err q2s_sink_from_fd(int fd, const char *name, struct q2s_sink **out,
			      struct q2s_diag *diag);

#define Q2S_SINK_REPLACE (1u << 0)  /* an existing regular file may be replaced */
#define Q2S_SINK_SYNC (1u << 1)     /* on disk before the name appears */
#define Q2S_SINK_ALLOCATE (1u << 2) /* zeros of a regular file get space on the disk, not a hole */
#define Q2S_SINK_FULL (1u << 3)     /* zeros are written like any other bytes */

/**
 * A sink on @path. A regular file is written beside its name and appears under it at commit; what
 * was there before stays until then, and stays on abort. A block device is written in place;
 * anything else that exists (FIFO, character device) is opened and written to.
 *
 * @length  total bytes that will be written: a block device that is too small is refused
 *
 * Returns Q2S_OK, Q2S_E_EXISTS (without Q2S_SINK_REPLACE), Q2S_E_IO, Q2S_E_LIMIT (too small).
 */
enum q2s_err q2s_sink_open(const char *path, unsigned flags, uint64_t length,
			   struct q2s_sink **out, struct q2s_diag *diag);

/**
 * The name beside the final one under which the bytes wait for commit, for a caller who removes it
 * when a signal ends the process; NULL when there is none (most file systems need none).
 */
const char *q2s_sink_temp_path(const struct q2s_sink *sink);

/** The descriptor that the bytes go to, for attributes of the file; it stays the sink's. */
int q2s_sink_fd(const struct q2s_sink *sink);

/** Bytes taken so far, or where q2s_sink_seek() went and what was taken since. */
uint64_t q2s_sink_pos(const struct q2s_sink *sink);

enum q2s_err q2s_sink_write(struct q2s_sink *sink, const void *buf, size_t len,
			    struct q2s_diag *diag);
/** Append @len bytes of @file from @at on: shared, copied by their server, spliced, or read. */
enum q2s_err q2s_sink_copy(struct q2s_sink *sink, struct q2s_file *file, uint64_t at, uint64_t len,
			   struct q2s_diag *diag);
/**
 * Would q2s_sink_copy() only read into a buffer, and write that? Then a caller can as well do it, in
 * several threads. What a destination can do is known for sure after the first copy.
 */
bool q2s_sink_copies_by_hand(const struct q2s_sink *sink);
/** Does q2s_sink_zero() move nothing? Where it does, a caller may copy zeros with what is beside. */
bool q2s_sink_skips_zeros(const struct q2s_sink *sink);
/** Append @len zeros: a hole where the destination can hold one. */
enum q2s_err q2s_sink_zero(struct q2s_sink *sink, uint64_t len, struct q2s_diag *diag);

/**
 * Can it write at any offset? So do regular files and block devices, unless they take bytes on
 * their way (a digest, a limit).
 */
bool q2s_sink_can_seek(const struct q2s_sink *sink);
/**
 * Go on at the sink's byte @at, which was taken before or is the next one. The sink ends where it
 * stands at commit, so whoever goes back has to go to the end again. Q2S_E_UNSUPPORTED.
 */
enum q2s_err q2s_sink_seek(struct q2s_sink *sink, uint64_t at, struct q2s_diag *diag);

/** Make it complete: size, sync when asked, the final name. On failure nothing is left behind. */
enum q2s_err q2s_sink_commit(struct q2s_sink *sink, struct q2s_diag *diag);
/** Give up: removes what was written beside the name. NULL is fine. */
void q2s_sink_abort(struct q2s_sink *sink);

/* ---- sinks around another one -------------------------------------------------------------- */

#define Q2S_DIGEST_MAX 64

/** The digest of the bytes that went through a sink: @len of @bytes. */
struct q2s_digest {
	size_t len;
	uint8_t bytes[Q2S_DIGEST_MAX];
};

/** The algorithms of q2s_sink_digest(), separated by ", ". Static storage. */
const char *q2s_digest_names(void);

/**
 * Can this build compute such digests? Q2S_E_USAGE for an unknown name, Q2S_E_MISSING without
 * libgcrypt, Q2S_E_UNSUPPORTED where the system forbids the algorithm.
 */
enum q2s_err q2s_digest_check(const char *algorithm, struct q2s_diag *diag);

/**
 * A sink that hands on all that it takes, and computes a digest of it: of exactly the bytes that
 * are written, zeros included. What the kernel would copy by itself therefore has to be read, so
 * no block of the destination is shared with the source.
 *
 * @inner   taken over on success: it ends when this one ends
 * @result  filled by a commit that succeeds; must live until then
 * Fails as q2s_digest_check() does.
 */
enum q2s_err q2s_sink_digest(struct q2s_sink *inner, const char *algorithm,
			     struct q2s_digest *result, struct q2s_sink **out,
			     struct q2s_diag *diag);

/**
 * A sink that hands on @rate bytes a second at most, in small steps. Zeros that become holes cost
 * nothing and do not count.
 *
 * @inner     taken over on success
 * @rate      Q2S_E_USAGE for 0
 * @observer  or NULL; asked while a long move waits (Q2S_PHASE_WRITE, bytes taken by this sink, of
 *            @total), and may end it (Q2S_E_CANCELLED)
 */
enum q2s_err q2s_sink_limit(struct q2s_sink *inner, uint64_t rate,
			    const struct q2s_observer *observer, uint64_t total,
			    struct q2s_sink **out, struct q2s_diag *diag);

/* ---- spools ------------------------------------------------------------------------------ */

/**
 * Bytes that have to wait: kept in memory up to a budget, then in a file without a name, which
 * vanishes with the process. Append from one thread; reading what was appended before is safe
 * from several.
 */
struct q2s_spool;

/**
 * @folder  where the file goes, once it is needed; NULL: TMPDIR, or /tmp
 * @budget  bytes of memory
 */
enum q2s_err q2s_spool_new(const char *folder, uint64_t budget, struct q2s_spool **out,
			   struct q2s_diag *diag);
void q2s_spool_free(struct q2s_spool *spool); /* NULL is fine */

uint64_t q2s_spool_size(const struct q2s_spool *spool);

/** Append @len bytes at q2s_spool_size(). Q2S_E_NOMEM, Q2S_E_IO (no space: the folder is named). */
enum q2s_err q2s_spool_append(struct q2s_spool *spool, const void *buf, size_t len,
			      struct q2s_diag *diag);

/** Read @len bytes that were appended, from @at on. */
enum q2s_err q2s_spool_read(struct q2s_spool *spool, uint64_t at, void *buf, size_t len,
			    struct q2s_diag *diag);

/**
 * Where the byte at @at, which was appended, lies: the file, with its offset in @file_at, or NULL
 * for memory. @len receives how far that holds. The reference stays the spool's.
 */
struct q2s_file *q2s_spool_place(struct q2s_spool *spool, uint64_t at, uint64_t *file_at,
				 uint64_t *len);

/** Move @len bytes from @at on into a sink, by the kernel where they are in the file. */
enum q2s_err q2s_spool_move(struct q2s_spool *spool, uint64_t at, uint64_t len,
			    struct q2s_sink *sink, struct q2s_diag *diag);

/* ---- streams ----------------------------------------------------------------------------- */

/**
 * What can be read once and from front to back: a pipe, a socket.
 *
 * @fd        read from where it is; stays the caller's
 * @name      for messages
 * @head      @head_len bytes that were read already, by someone who wanted to know what it is;
 *            they come first
 * @has_size  @size bytes are promised: fewer are Q2S_E_SHORT, more are Q2S_E_LIMIT
 * @folder    where a spool's file goes; NULL: TMPDIR, or /tmp
 * @observer  or NULL; sees Q2S_PHASE_SPOOL
 */
struct q2s_stream {
	int fd;
	const char *name;
	const void *head;
	size_t head_len;
	bool has_size;
	uint64_t size;
	const char *folder;
	const struct q2s_observer *observer;
};

/**
 * A file without a name that holds all that the stream has to give, with holes for its zeros. It
 * vanishes with the process. For content that has to be read at any offset as a file; guest bytes
 * are better off with q2s_disk_spool().
 */
enum q2s_err q2s_file_from_stream(const struct q2s_stream *stream, struct q2s_file **out,
				  struct q2s_diag *diag);

/**
 * The same, but the stream is read only as far as is asked for, so that whoever reads from front to
 * back, and forgets what he has read (q2s_file_forget()), needs next to no space. Until its end has
 * been seen its size is larger than any offset. q2s_file_verify() reads what is left of it. What it
 * promises (@has_size) is not looked at.
 */
enum q2s_err q2s_file_arriving(const struct q2s_stream *stream, struct q2s_file **out,
			       struct q2s_diag *diag);

#ifdef __cplusplus
}
#endif
#endif
