/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Floor 2: bytes in order. A sink is where bytes are written to in order, by the cheapest way that
 * the destination allows; a spool keeps bytes until they are needed. Bytes at offsets are stores.
 */
#ifndef Q2S_IO_H
#define Q2S_IO_H

#include <q2s/store.h>

Q2S_BEGIN_DECLS

/* ---- sinks ------------------------------------------------------------------------------- */

/**
 * A destination that takes bytes in order. Exactly one of q2s_sink_commit() (all is written) and
 * q2s_sink_abort() (leave nothing behind) ends it, and both free it.
 */
struct q2s_sink;

#define Q2S_SINK_REPLACE (1u << 0)  /* an existing regular file may be replaced */
#define Q2S_SINK_SYNC (1u << 1)     /* on disk before the name appears */
/* All bytes get space of their own on the disk, and none is shared with a source; zeros too, */
#define Q2S_SINK_ALLOCATE (1u << 2) /* without being written, where that can be done, or */
#define Q2S_SINK_FULL (1u << 3)     /* by being written like any other bytes */

/**
 * A sink on an open descriptor, from its current position on: pipe, socket, terminal, character
 * device, or a regular file (into which zeros become holes where that is right). The descriptor
 * stays the caller's.
 *
 * @flags  0, Q2S_SINK_ALLOCATE or Q2S_SINK_FULL
 * Returns Q2S_OK, Q2S_E_IO, Q2S_E_UNSUPPORTED (flags for what is neither a file nor a block device,
 * or is open for appending), Q2S_E_NOMEM.
 */
enum q2s_err q2s_sink_from_fd(int fd, const char *name, unsigned flags, struct q2s_sink **out,
			      struct q2s_diag *diag);

/**
 * A sink on @path. A regular file is written beside its name and appears under it at commit; what
 * was there before stays until then, and stays on abort. A block device is written in place;
 * anything else that exists (FIFO, character device) is opened and written to.
 *
 * @length  total bytes that will be written: a block device that is too small is refused
 *
 * Returns Q2S_OK, Q2S_E_EXISTS (without Q2S_SINK_REPLACE), Q2S_E_IO, Q2S_E_LIMIT (too small),
 * Q2S_E_UNSUPPORTED (as q2s_sink_from_fd() does).
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

/*
 * Each of these fails with Q2S_E_IO and errno (EPIPE and ENOSPC among them), with Q2S_E_CANCELLED
 * where a limit was told to stop, or with what a wrapped sink reports; then the sink can only be
 * aborted.
 */

/** Append @len bytes. Q2S_E_IO, and as said above. */
enum q2s_err q2s_sink_write(struct q2s_sink *sink, const void *buf, size_t len,
			    struct q2s_diag *diag);
/** Append @len bytes of @file from @at on: shared, copied by their server, spliced, or read.
 * Q2S_E_SHORT if @file ends before; as said above; or what reading reports. */
enum q2s_err q2s_sink_copy(struct q2s_sink *sink, struct q2s_store *file, uint64_t at, uint64_t len,
			   struct q2s_diag *diag);
/**
 * Would q2s_sink_copy() only read into a buffer, and write that? Then a caller can as well do it,
 * in several threads. What a destination can do is known for sure after the first copy.
 */
bool q2s_sink_copies_by_hand(const struct q2s_sink *sink);
/** Does q2s_sink_zero() move nothing? Where it does, a caller may copy zeros with what is beside. */
bool q2s_sink_skips_zeros(const struct q2s_sink *sink);
/** Append @len zeros: a hole where the destination can hold one. Fails as q2s_sink_write() does. */
enum q2s_err q2s_sink_zero(struct q2s_sink *sink, uint64_t len, struct q2s_diag *diag);

/**
 * Can it write at any offset? So do regular files and block devices, unless they take bytes on
 * their way (a digest, a limit).
 */
bool q2s_sink_can_seek(const struct q2s_sink *sink);
/**
 * Go on at the sink's byte @at, which was taken before or is the next one. The sink ends where it
 * stands at commit, so a writer that goes back has to go to the end again. Q2S_E_UNSUPPORTED.
 */
enum q2s_err q2s_sink_seek(struct q2s_sink *sink, uint64_t at, struct q2s_diag *diag);

/** Make it complete: size, sync when asked, the final name. On failure (Q2S_E_IO, and Q2S_E_EXISTS where
 * another file took the name) nothing is left behind. */
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

/** A digest in the making. */
struct q2s_digester;

/** Begin one; fails as q2s_digest_check() does. */
enum q2s_err q2s_digest_begin(const char *algorithm, struct q2s_digester **out,
			      struct q2s_diag *diag);
void q2s_digest_add(struct q2s_digester *digester, const void *buf, size_t len);
/** What came of it; @digester is freed. @result may be NULL. */
void q2s_digest_end(struct q2s_digester *digester, struct q2s_digest *result);

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
 * Q2S_E_NOMEM.
 */
enum q2s_err q2s_spool_new(const char *folder, uint64_t budget, struct q2s_spool **out,
			   struct q2s_diag *diag);
void q2s_spool_free(struct q2s_spool *spool); /* NULL is fine */

uint64_t q2s_spool_size(const struct q2s_spool *spool);

/** Append @len bytes at q2s_spool_size(). Q2S_E_NOMEM, Q2S_E_IO (no space: the folder is named). */
enum q2s_err q2s_spool_append(struct q2s_spool *spool, const void *buf, size_t len,
			      struct q2s_diag *diag);

/** Read @len bytes that were appended, from @at on. Q2S_E_IO. */
enum q2s_err q2s_spool_read(struct q2s_spool *spool, uint64_t at, void *buf, size_t len,
			    struct q2s_diag *diag);

/**
 * Where the byte at @at, which was appended, lies: the file, with its offset in @file_at, or NULL
 * for memory. @len receives how far that holds. The reference stays the spool's.
 */
struct q2s_store *q2s_spool_place(struct q2s_spool *spool, uint64_t at, uint64_t *file_at,
				  uint64_t *len);

/** Move @len bytes from @at on into a sink, by the kernel where they are in the file. Fails as reading
 * them and q2s_sink_write() do. */
enum q2s_err q2s_spool_move(struct q2s_spool *spool, uint64_t at, uint64_t len,
			    struct q2s_sink *sink, struct q2s_diag *diag);

Q2S_END_DECLS
#endif
