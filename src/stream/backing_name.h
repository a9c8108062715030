/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which name of its backing file a new image records. */
#ifndef STREAM_BACKING_NAME_H
#define STREAM_BACKING_NAME_H

#include <q2s/base.h>

/**
 * The name under which the file @base will be found from the image @dest (NULL: standard output).
 *
 * QEMU looks up a relative name from the folder of the image. So a relative @base, which is meant
 * from the current directory, is turned into one from there; into an absolute one where the folder
 * of the image is in doubt, as @dest is a symbolic link or a device. What goes down a pipe will be
 * an image in a place that we do not know: the name stays as it is. An absolute one always does.
 *
 * @out  free() it
 */
enum q2s_err backing_name_find(const char *base, const char *dest, char **out,
			       struct q2s_diag *diag);

#endif
