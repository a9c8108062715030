/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The byte-range locks by which programs that have a disk image open agree on who may do what, as
 * QEMU takes them (block/file-posix.c, RAW_LOCK_PERM_BASE and RAW_LOCK_SHARED_BASE): read locks of
 * one byte each, owned by the open file description. They are advisory, and known on one host only.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/diag.h"
#include "io/store.h"

#define USES_BASE 100    /* byte 100 + p: "I use permission p" */
#define FORBIDS_BASE 200 /* byte 200 + p: "nobody else may use permission p" */
#define PERMISSIONS 4u
#define PERMISSIONS_MASK ((1u << PERMISSIONS) - 1)

/* A set of locked bytes: what is used in the low bits, what is forbidden above them. */
#define FORBIDS_SHIFT PERMISSIONS
#define SET_BITS (2 * PERMISSIONS)

#ifdef F_OFD_SETLK

static off_t
byte_of(unsigned bit)
{
	return bit < FORBIDS_SHIFT ? (off_t)USES_BASE + (off_t)bit :
				     (off_t)FORBIDS_BASE + (off_t)(bit - FORBIDS_SHIFT);
}

/* The byte that must be free of others' locks for @bit to make sense. */
static off_t
opposite_of(unsigned bit)
{
	return byte_of((bit + FORBIDS_SHIFT) % SET_BITS);
}

static int
byte_lock(int fd, int command, short type, off_t at, struct flock *out)
{
	struct flock lock = { .l_type = type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1 };
	int result;

	do
		result = fcntl(fd, command, &lock);
	while (result != 0 && errno == EINTR);
	if (out)
		*out = lock;
	return result;
}

static void
release(int fd, unsigned set)
{
	for (unsigned bit = 0; bit < SET_BITS; bit++)
		if (set & (1u << bit))
			(void)byte_lock(fd, F_OFD_SETLK, F_UNLCK, byte_of(bit), NULL);
}

static const char *
permission_name(unsigned bit)
{
	static const char *const names[PERMISSIONS] = { "consistent read", "write",
							"write unchanged", "resize" };

	return names[bit % PERMISSIONS];
}

static enum q2s_err
busy(const struct q2s_store *store, unsigned bit, struct q2s_diag *diag)
{
	const enum q2s_err err = q2si_fail_at(
		diag, Q2S_E_BUSY, "lock", Q2S_NOWHERE,
		bit < FORBIDS_SHIFT ? "it is open in another program, which forbids others "
				      "the permission \"%s\"" :
				      "it is open in another program, which holds "
				      "the permission \"%s\"",
		permission_name(bit));

	return q2si_in_file(diag, err, q2s_store_name(store));
}

/* Does the file system, or the system, know no such locks? Then nobody else holds one either. */
static bool
has_no_locks(int error)
{
	return error == EINVAL || error == ENOSYS || error == ENOLCK || error == ENOTSUP ||
	       error == EOPNOTSUPP;
}

static enum q2s_err
lock_errno(const struct q2s_store *store, const char *doing, struct q2s_diag *diag)
{
	if (has_no_locks(errno))
		return Q2S_OK;
	return q2si_in_file(diag, q2si_fail_errno(diag, errno, "lock", Q2S_NOWHERE, "%s", doing),
			    q2s_store_name(store));
}

/* What others hold against any bit of @set. */
static enum q2s_err
probe(const struct q2s_store *store, unsigned set, struct q2s_diag *diag)
{
	const int fd = q2s_store_fd(store);

	for (unsigned bit = 0; bit < SET_BITS; bit++) {
		struct flock lock;

		if (!(set & (1u << bit)))
			continue;
		if (byte_lock(fd, F_OFD_GETLK, F_WRLCK, opposite_of(bit), &lock) != 0)
			return lock_errno(store, "cannot be asked for", diag);
		if (lock.l_type != F_UNLCK)
			return busy(store, bit, diag);
	}
	return Q2S_OK;
}

/* Take all of @set or nothing of it. */
static enum q2s_err
take(const struct q2s_store *store, unsigned set, struct q2s_diag *diag)
{
	const int fd = q2s_store_fd(store);
	unsigned taken = 0;
	enum q2s_err err = Q2S_OK;

	for (unsigned bit = 0; bit < SET_BITS && err == Q2S_OK; bit++) {
		if (!(set & (1u << bit)))
			continue;
		if (byte_lock(fd, F_OFD_SETLK, F_RDLCK, byte_of(bit), NULL) == 0)
			taken |= 1u << bit;
		else if (errno == EAGAIN || errno == EACCES)
			err = busy(store, (bit + FORBIDS_SHIFT) % SET_BITS, diag);
		else
			err = lock_errno(store, "cannot be taken", diag);
	}
	if (err != Q2S_OK)
		release(fd, taken);
	return err;
}

#else

static enum q2s_err
probe(const struct q2s_store *store, unsigned set, struct q2s_diag *diag)
{
	(void)store, (void)set, (void)diag;
	return Q2S_OK;
}

static enum q2s_err
take(const struct q2s_store *store, unsigned set, struct q2s_diag *diag)
{
	return probe(store, set, diag);
}

static void
release(int fd, unsigned set)
{
	(void)fd, (void)set;
}

#endif

static unsigned
set_of(unsigned uses, unsigned forbids)
{
	return (uses & PERMISSIONS_MASK) | (forbids & PERMISSIONS_MASK) << FORBIDS_SHIFT;
}

enum q2s_err
q2s_store_lock_probe(const struct q2s_store *store, unsigned uses, unsigned forbids,
		     struct q2s_diag *diag)
{
	return q2s_store_fd(store) < 0 ? Q2S_OK : probe(store, set_of(uses, forbids), diag);
}

/* Own bytes first, then a look at others': of two who do so at the same time, at least one sees the other. */
enum q2s_err
q2s_store_lock(struct q2s_store *store, unsigned uses, unsigned forbids, struct q2s_diag *diag)
{
	unsigned *const held = &store->locks;
	const unsigned set = set_of(uses, forbids), more = set & ~*held;
	const int fd = q2s_store_fd(store);
	enum q2s_err err;

	if (fd < 0)
		return Q2S_OK;
	Q2SI_TRY(take(store, more, diag));
	err = probe(store, set, diag);
	if (err == Q2S_OK)
		*held |= more;
	else
		release(fd, more);
	return err;
}

void
q2s_store_unlock(struct q2s_store *store)
{
	unsigned *const held = &store->locks;

	release(q2s_store_fd(store), *held);
	*held = 0;
}
