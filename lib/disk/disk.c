/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The frame of all disks: argument checks, and zeros past the end. */
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/diag.h"
#include "disk/disk.h"

enum q2s_err
q2si_disk_init(struct q2s_disk *disk, const struct q2si_disk_ops *ops, const char *name,
	       uint64_t size, struct q2s_diag *diag)
{
	atomic_init(&disk->owners, 1);
	disk->ops = ops;
	disk->size = size;
	disk->name = strdup(name);
	return disk->name ? Q2S_OK : q2si_fail_nomem(diag, "disk");
}

uint64_t
q2s_disk_size(const struct q2s_disk *disk)
{
	return disk->size;
}

const char *
q2s_disk_name(const struct q2s_disk *disk)
{
	return disk->name;
}

struct q2s_disk *
q2s_disk_ref(struct q2s_disk *disk)
{
	atomic_fetch_add_explicit(&disk->owners, 1, memory_order_relaxed);
	return disk;
}

void
q2s_disk_close(struct q2s_disk *disk)
{
	if (!disk || atomic_fetch_sub_explicit(&disk->owners, 1, memory_order_acq_rel) > 1)
		return;
	free(disk->name);
	disk->ops->close(disk);
}

struct q2s_store *
q2s_disk_file(const struct q2s_disk *disk, size_t index)
{
	return disk->ops->file ? disk->ops->file(disk, index) : NULL;
}

struct q2s_store *
q2s_disk_cut(const struct q2s_disk *disk, size_t index)
{
	return disk->ops->cut ? disk->ops->cut(disk, index) : NULL;
}

enum q2s_err
q2s_disk_verify(struct q2s_disk *disk, struct q2s_diag *diag)
{
	struct q2s_store *file;

	for (size_t i = 0; (file = q2s_disk_file(disk, i)); i++)
		Q2SI_TRY(q2s_store_verify(file, diag));
	return Q2S_OK;
}

bool
q2s_disk_uses(const struct q2s_disk *disk, const struct q2s_store_ident *ident)
{
	struct q2s_store *file;

	for (size_t i = 0; (file = q2s_disk_file(disk, i)); i++) {
		if (q2si_same_file(file, ident))
			return true;
	}
	return false;
}

bool
q2si_same_file(const struct q2s_store *file, const struct q2s_store_ident *ident)
{
	struct q2s_store_ident mine;

	q2s_store_ident(file, &mine);
	return mine.dev == ident->dev && mine.ino == ident->ino;
}

enum q2s_err
q2s_cursor_open(struct q2s_disk *disk, struct q2s_cursor **out, struct q2s_diag *diag)
{
	Q2SI_TRY(disk->ops->cursor_open(disk, out, diag));
	(*out)->disk = disk;
	return Q2S_OK;
}

void
q2s_cursor_close(struct q2s_cursor *cursor)
{
	if (cursor)
		cursor->disk->ops->cursor_close(cursor);
}

size_t
q2si_cursor_memory(const struct q2s_disk *disk)
{
	return disk->ops->cursor_memory ? disk->ops->cursor_memory(disk) : 0;
}

enum q2s_err
q2s_cursor_extent(struct q2s_cursor *cursor, q2s_guest guest, uint64_t max, struct q2s_extent *out,
		  struct q2s_diag *diag)
{
	const struct q2s_disk *disk = cursor->disk;

	if (guest.v >= disk->size || max == 0)
		return q2si_fail(diag, Q2S_E_USAGE, "guest offset", Q2S_NOWHERE, guest.v,
				 "outside the disk");
	return disk->ops->extent(cursor, guest, q2si_min(max, disk->size - guest.v), out, diag);
}

uint32_t
q2si_disk_unit(const struct q2s_disk *disk)
{
	return disk->ops->unit ? disk->ops->unit(disk) : 65536;
}

bool
q2si_cursor_will_read(struct q2s_cursor *cursor, q2s_guest guest, size_t len)
{
	const struct q2s_disk *disk = cursor->disk;

	if (!disk->ops->will_read || guest.v >= disk->size)
		return true;
	return disk->ops->will_read(cursor, guest, q2si_min_size(disk->size - guest.v, len));
}

enum q2s_err
q2s_cursor_read(struct q2s_cursor *cursor, q2s_guest guest, void *buf, size_t len,
		struct q2s_diag *diag)
{
	const struct q2s_disk *disk = cursor->disk;
	const uint64_t left = disk->size > guest.v ? disk->size - guest.v : 0;
	const size_t inside = q2si_min_size(left, len);

	memset((char *)buf + inside, 0, len - inside);
	return inside == 0 ? Q2S_OK : disk->ops->read(cursor, guest, buf, inside, diag);
}
