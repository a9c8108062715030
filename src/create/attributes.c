/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Attributes of new files. They are hints, so a file system without them is no failure. */
#include "create/attributes.h"

#include <errno.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "common/tool.h"

/* Writers of an image touch it in random places: without a hint XFS fragments it badly. */
#define EXTENT_SIZE_DEFAULT (1u << 20) /* QEMU's */

/* Btrfs takes it only while the file is empty; others refuse it. */
static void
set_nocow(int fd)
{
	int flags;

	if (ioctl(fd, FS_IOC_GETFLAGS, &flags) != 0)
		return;
	flags |= FS_NOCOW_FL;
	(void)ioctl(fd, FS_IOC_SETFLAGS, &flags);
}

static int
set_extent_size(int fd, uint32_t bytes)
{
	struct fsxattr attr;

	if (ioctl(fd, FS_IOC_FSGETXATTR, &attr) != 0)
		return -1;
	attr.fsx_xflags |= FS_XFLAG_EXTSIZE;
	attr.fsx_extsize = bytes;
	return ioctl(fd, FS_IOC_FSSETXATTR, &attr);
}

void
attributes_set(int fd, const struct image_options *options, const char *name)
{
	const uint32_t hint = options->has_extent_size_hint ? options->extent_size_hint
							    : EXTENT_SIZE_DEFAULT;
	struct stat st;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return;
	if (options->nocow)
		set_nocow(fd);
	if (set_extent_size(fd, hint) != 0 && options->has_extent_size_hint && hint != 0)
		tool_warn("%s: cannot set the extent size hint: %s", name, strerror(errno));
}
