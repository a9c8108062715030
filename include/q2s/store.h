/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Floor 2: stores. A store is bytes at offsets: a file, a block device, memory, a pipe that is read
 * as far as is needed, or what a program brings itself. Images are read from stores, and changed in
 * them.
 */
#ifndef Q2S_STORE_H
#define Q2S_STORE_H

#include <q2s/base.h>

Q2S_BEGIN_DECLS

/**
 * Bytes at offsets from 0 to its size. Safe to use from several threads: reads, and writes to
 * ranges that do not overlap, may run at the same time. Counted: q2s_store_ref() adds an owner,
 * q2s_store_unref() drops one; the last one closes it.
 */
struct q2s_store;

/* ---- kinds ------------------------------------------------------------------------------- */

/**
 * Open the regular file or block device @path for reading, without touching its times where the
 * system allows that. Q2S_E_IO with errno; Q2S_E_UNSUPPORTED for what is neither a regular file nor
 * a block device (a FIFO is not waited for).
 */
enum q2s_err q2s_store_open(const char *path, struct q2s_store **out, struct q2s_diag *diag);

/** The same for reading and writing. A file that is not there is not made: Q2S_E_IO. */
enum q2s_err q2s_store_open_writable(const char *path, struct q2s_store **out,
				     struct q2s_diag *diag);

/**
 * From now on read and write past the host's page cache (O_DIRECT). Any bytes may be asked for;
 * what is not whole blocks in aligned memory goes through a buffer. To be called before other
 * threads use
 * @store. While it is open, and after a crash, a file may end with up to a block of zeros more than
 * was written.
 *
 * Returns Q2S_OK; Q2S_E_UNSUPPORTED for what is no file or block device, or where the file system
 * or the device does not allow it, and then nothing changes; Q2S_E_IO, Q2S_E_NOMEM.
 */
enum q2s_err q2s_store_set_direct(struct q2s_store *store, struct q2s_diag *diag);

/**
 * Take over the open descriptor @fd (closed with the store), for reading; @name is for messages.
 * Fails as q2s_store_open() does, and then leaves @fd open.
 */
enum q2s_err q2s_store_from_fd(int fd, const char *name, struct q2s_store **out,
			       struct q2s_diag *diag);

/** The same for a descriptor that is open for reading and writing, else Q2S_E_USAGE. */
enum q2s_err q2s_store_from_fd_writable(int fd, const char *name, struct q2s_store **out,
					struct q2s_diag *diag);

/**
 * A writable store in memory that begins as a copy of @len bytes of @bytes (may be NULL if @len is
 * 0). Blocks of zeros that were never written, or were discarded, take no memory. Q2S_E_NOMEM.
 */
enum q2s_err q2s_store_memory(const void *bytes, size_t len, const char *name,
			      struct q2s_store **out, struct q2s_diag *diag);

/** An extent of a store: stored bytes, or a hole that reads as zero. */
struct q2s_stretch {
	bool hole;
	uint64_t len;
};

/** What makes a store this one in this state; equal as long as it was not written to. */
struct q2s_store_ident {
	uint64_t dev, ino, size;
	int64_t mtime_sec, ctime_sec; /* all times 0: it has none */
	uint32_t mtime_nsec, ctime_nsec;
};

/**
 * What a program implements to bring a store of its own. Each function gets the program's @self.
 * Where several threads may use the store, they call at the same time, as said at struct q2s_store.
 * A function that fails returns the code and fills @diag if that is not NULL (see struct q2s_diag);
 * what it leaves out of @diag is put in. Lengths are never 0, and @at + @len never overflows.
 *
 * @size        sizeof(struct q2s_store_ops)
 * @read        up to @len bytes at @at into @buf; *@got says how many: fewer only at the end
 * @length      the size now: what is written behind the end adds to it
 * @close       the last owner has gone; may be NULL
 *
 * The rest may be NULL. With @write the store is writable.
 *
 * @write       exactly @len bytes; behind the end it lengthens the store, and a gap reads as zero
 * @zero        as writing zeros, without moving them; space that is there stays. NULL, or
 *              Q2S_E_UNSUPPORTED: zeros are written
 * @discard     give back the space of a range, which is below the size; it reads as zero then.
 *              NULL, or Q2S_E_UNSUPPORTED: nothing is given back and the bytes stay as they are
 * @flush       what was written before the call is durable when it returns. NULL: nothing to do
 * @set_length  lengthen with zeros, or cut off. NULL: Q2S_E_UNSUPPORTED
 * @extent      what lies at @at, which is below the size, and how far that holds. NULL: all is data
 * @ident       NULL: unlike any other store
 * @verify      Q2S_E_CHANGED if another program has written to it since it was opened. NULL: no
 * @allocated   bytes of space that it takes. NULL: its size
 * @will_need   the range will be read soon. NULL: nothing to prepare
 * @is_cached   reading the byte at @at would not wait. NULL: false
 * @wont_need   the range will not be read again, and need not be kept. NULL: it is kept
 */
struct q2s_store_ops {
	size_t size;
	enum q2s_err (*read)(void *self, uint64_t at, void *buf, size_t len, size_t *got,
			     struct q2s_diag *diag);
	uint64_t (*length)(void *self);
	void (*close)(void *self);

	enum q2s_err (*write)(void *self, uint64_t at, const void *buf, size_t len,
			      struct q2s_diag *diag);
	enum q2s_err (*zero)(void *self, uint64_t at, uint64_t len, struct q2s_diag *diag);
	enum q2s_err (*discard)(void *self, uint64_t at, uint64_t len, struct q2s_diag *diag);
	enum q2s_err (*flush)(void *self, struct q2s_diag *diag);
	enum q2s_err (*set_length)(void *self, uint64_t length, struct q2s_diag *diag);
	enum q2s_err (*extent)(void *self, uint64_t at, struct q2s_stretch *out,
			       struct q2s_diag *diag);
	void (*ident)(void *self, struct q2s_store_ident *out);
	enum q2s_err (*verify)(void *self, struct q2s_diag *diag);
	uint64_t (*allocated)(void *self);
	void (*will_need)(void *self, uint64_t at, uint64_t len);
	bool (*is_cached)(void *self, uint64_t at);
	void (*wont_need)(void *self, uint64_t at, uint64_t len);
};

/**
 * A store of the program's own. @ops and @name are copied; @self is the store's on success, and
 * goes to @ops->close in the end. Q2S_E_USAGE (@size, @read or @length is missing), Q2S_E_NOMEM.
 */
enum q2s_err q2s_store_new(const struct q2s_store_ops *ops, void *self, const char *name,
			   struct q2s_store **out, struct q2s_diag *diag);

struct q2s_store *q2s_store_ref(struct q2s_store *store);
void q2s_store_unref(struct q2s_store *store); /* NULL is fine */

/* ---- what it is -------------------------------------------------------------------------- */

/**
 * Size in bytes. Of what is only read: when it was opened; of a writable store: now. For a block
 * device what its driver says.
 */
uint64_t q2s_store_size(const struct q2s_store *store);
/**
 * The same, known as far as it matters for @end: a stream that is still arriving (see
 * q2s_store_arriving()) is read up to there, and only then its size is less than @end or its end
 * still unknown.
 */
uint64_t q2s_store_size_until(const struct q2s_store *store, uint64_t end);
/** Bytes of space that it takes (st_blocks * 512), as far as is known. */
uint64_t q2s_store_allocated(const struct q2s_store *store);
const char *q2s_store_name(const struct q2s_store *store);
/**
 * The descriptor whose offsets are the store's, for what the kernel can do by itself; -1: there is
 * none, and the bytes can only be read. It stays the store's.
 */
int q2s_store_fd(const struct q2s_store *store);
bool q2s_store_is_block_device(const struct q2s_store *store);
bool q2s_store_is_writable(const struct q2s_store *store);

void q2s_store_ident(const struct q2s_store *store, struct q2s_store_ident *out);

/**
 * Has another program changed it since it was opened: another size, modification or change time? A
 * new change time that its count of links, its mode or its owner accounts for (link, unlink, chmod,
 * chown) is no change; any other may hide a write, as a modification time can be put back.
 * Of a block device only the size tells, and what q2s_store_sample() took. Of a writable store this
 * cannot be said, and Q2S_OK is returned.
 * Returns Q2S_OK or Q2S_E_CHANGED, which says what changed.
 */
enum q2s_err q2s_store_verify(struct q2s_store *store, struct q2s_diag *diag);

/**
 * Remember digests of some bytes of @store, all over it, so that q2s_store_verify() notices when
 * one of them changes: for block devices, whose times say nothing. Most changes of a few bytes go
 * unnoticed. On the first call only; later ones keep what is remembered. Reads 256 KiB.
 * Q2S_E_NOMEM, or what reading reports.
 */
enum q2s_err q2s_store_sample(struct q2s_store *store, struct q2s_diag *diag);

/* ---- reading ----------------------------------------------------------------------------- */

/**
 * Read exactly @len bytes at @at.
 *
 * Returns Q2S_OK, Q2S_E_SHORT (the store ends before), Q2S_E_IO.
 */
enum q2s_err q2s_store_read(struct q2s_store *store, uint64_t at, void *buf, size_t len,
			    struct q2s_diag *diag);

/**
 * Read @len bytes at @at, with zeros for what lies past the end; *@got, if not NULL, says how
 * many were there. Q2S_E_IO.
 */
enum q2s_err q2s_store_read_padded(struct q2s_store *store, uint64_t at, void *buf, size_t len,
				   size_t *got, struct q2s_diag *diag);

/**
 * What lies at @at, which is below the size, and how far that holds (SEEK_DATA, SEEK_HOLE). Where
 * the system cannot tell, all is data. Never past the size. Q2S_E_IO.
 */
enum q2s_err q2s_store_stretch(struct q2s_store *store, uint64_t at, struct q2s_stretch *out,
			       struct q2s_diag *diag);

/** The extent of one store that was looked at last. Zero-initialise. */
struct q2s_stretch_walk {
	uint64_t start, end;
	bool hole;
};

/**
 * As q2s_store_stretch(), for reading forward in small steps: what @walk knows is not asked again,
 * and where a hole ends, data begins. Without it each query costs two system calls. Fails likewise
 * (Q2S_E_IO).
 */
enum q2s_err q2s_store_stretch_on(struct q2s_store *store, struct q2s_stretch_walk *walk,
				  uint64_t at, struct q2s_stretch *out, struct q2s_diag *diag);

/** Is it a stream that q2s_store_arriving() reads? */
bool q2s_store_is_arriving(const struct q2s_store *store);
/** What such a stream ended with, if not with its end: no space for it, a read that failed.
 * Fails with just that. */
enum q2s_err q2s_store_failure(const struct q2s_store *store, struct q2s_diag *diag);

/**
 * Nobody will read [@at, @at + @len) of this store again: a stream need not keep it. Reading it
 * again is Q2S_E_UNSUPPORTED. Other stores do not change.
 */
void q2s_store_forget(struct q2s_store *store, uint64_t at, uint64_t len);

/**
 * Did reading the byte at @at not have to wait? False where the system does not tell, as file
 * systems on a network do. If it did have to, the byte is on its way, so the next answer may be
 * another one.
 */
bool q2s_store_is_cached(struct q2s_store *store, uint64_t at);

/** Ask the kernel to have [@at, @at + @len) in its cache soon. Best effort. */
void q2s_store_will_need(struct q2s_store *store, uint64_t at, uint64_t len);

/* ---- writing ----------------------------------------------------------------------------- */

/*
 * Each of these fails with Q2S_E_USAGE for a store that is not writable, Q2S_E_OVERFLOW for a range
 * that leaves 64 bits, or Q2S_E_IO with errno (ENOSPC for instance). After a failure any part of
 * the range may hold the old bytes, the new ones, or both in turn.
 */

/** Write @len bytes at @at. Behind the end that lengthens the store; a gap reads as zero. Fails as said
 * above. */
enum q2s_err q2s_store_write(struct q2s_store *store, uint64_t at, const void *buf, size_t len,
			     struct q2s_diag *diag);

/** As writing @len zeros, without moving them where that can be done; space that is there stays.
 * Fails as said above. */
enum q2s_err q2s_store_zero(struct q2s_store *store, uint64_t at, uint64_t len,
			    struct q2s_diag *diag);

/**
 * Give back the space of [@at, @at + @len), as far as it is below the size, which stays: it reads
 * as zero then. Q2S_E_UNSUPPORTED: nothing can be given back, and the bytes stay.
 */
enum q2s_err q2s_store_discard(struct q2s_store *store, uint64_t at, uint64_t len,
			       struct q2s_diag *diag);

/** What was written, zeroed, discarded or cut off before this call is durable when it returns. Fails as
 * said above. */
enum q2s_err q2s_store_flush(struct q2s_store *store, struct q2s_diag *diag);

/** Lengthen with zeros, or cut off. Q2S_E_UNSUPPORTED where the size is given (a block device). */
enum q2s_err q2s_store_set_length(struct q2s_store *store, uint64_t length, struct q2s_diag *diag);

/* ---- locks ------------------------------------------------------------------------------- */

/** What a program does with an image that it has open; QEMU's permissions, by its numbers. */
#define Q2S_LOCK_CONSISTENT_READ (1u << 0)
#define Q2S_LOCK_WRITE (1u << 1)
#define Q2S_LOCK_WRITE_UNCHANGED (1u << 2)
#define Q2S_LOCK_RESIZE (1u << 3)

/**
 * Take QEMU's locks on a regular file or block device: say that this program uses the permissions
 * @uses, and that no other process may use @forbids. What is held already stays. The locks end with
 * q2s_store_unlock() or with the last owner of @store. They are advisory, and known on this host
 * only. A store without a descriptor, or on a file system without such locks, has none: Q2S_OK.
 *
 * A reader of what must not change takes (CONSISTENT_READ, WRITE | RESIZE); a writer
 * (CONSISTENT_READ | WRITE | RESIZE, WRITE | RESIZE). The descriptor must be open for reading.
 *
 * @uses, @forbids  Q2S_LOCK_*
 *
 * Returns Q2S_OK; Q2S_E_BUSY, and nothing more is held than before, if another program uses what
 * is forbidden or forbids what is used (the text says which permission); Q2S_E_IO.
 */
enum q2s_err q2s_store_lock(struct q2s_store *store, unsigned uses, unsigned forbids,
			    struct q2s_diag *diag);
void q2s_store_unlock(struct q2s_store *store);

/**
 * Would q2s_store_lock() find the locks of another program in its way? Takes none.
 * (0, WRITE | RESIZE) asks whether a process writes.
 *
 * Returns Q2S_OK, Q2S_E_BUSY, Q2S_E_IO.
 */
enum q2s_err q2s_store_lock_probe(const struct q2s_store *store, unsigned uses, unsigned forbids,
				  struct q2s_diag *diag);

/* ---- streams ----------------------------------------------------------------------------- */

/**
 * What can be read once and from front to back: a pipe, a socket.
 *
 * @fd        read from where it is; stays the caller's. -1 with @read
 * @read      or NULL: gives up to @len bytes instead; *@got 0 at the end. Gets @self. Called by one
 *            thread at a time; fills @diag on failure
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
	enum q2s_err (*read)(void *self, void *buf, size_t len, size_t *got, struct q2s_diag *diag);
	void *self;
};

/** Read up to @len bytes behind the head of @stream; *@got is 0 at its end. Q2S_E_IO, or what
 * @stream->read returns. */
enum q2s_err q2s_stream_read(const struct q2s_stream *stream, void *buf, size_t len, size_t *got,
			     struct q2s_diag *diag);

/**
 * A file without a name that holds all that the stream has to give, with holes for its zeros. It
 * vanishes with the process. For content that has to be read at any offset as a file; guest bytes
 * are better off with q2s_disk_spool(). Fails with what reading reports, Q2S_E_IO (no space), or
 * Q2S_E_SHORT and Q2S_E_LIMIT for another size than was promised.
 */
enum q2s_err q2s_store_from_stream(const struct q2s_stream *stream, struct q2s_store **out,
				   struct q2s_diag *diag);

/**
 * The same, but the stream is read only as far as is asked for, so that a caller that reads from
 * front to back, and forgets what he has read (q2s_store_forget()), needs next to no space. Until
 * its end has been seen its size is larger than any offset. q2s_store_verify() reads what is left
 * of it. What it promises (@has_size) is not looked at. Q2S_E_NOMEM, Q2S_E_IO.
 */
enum q2s_err q2s_store_arriving(const struct q2s_stream *stream, struct q2s_store **out,
				struct q2s_diag *diag);

Q2S_END_DECLS
#endif
