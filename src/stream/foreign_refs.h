/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which other files would an image make QEMU open? Looked at before QEMU sees it: QEMU itself
 * follows every name that it finds, protocols included.
 */
#ifndef STREAM_FOREIGN_REFS_H
#define STREAM_FOREIGN_REFS_H

#include <q2s/io.h>

enum foreign_reach {
	FOREIGN_ALONE,  /* no other file */
	FOREIGN_BESIDE, /* plain names of regular files in its own folder, nothing else */
	FOREIGN_AWAY,   /* anything else */
};

#define FOREIGN_NAME 160

/**
 * @what   what is named, such as "backing file"; set unless @reach is FOREIGN_ALONE
 * @name   a name that is there and is not one of a plain file beside the image; else empty
 * @why    what is the matter with it
 * @lost   no policy helps: there is no such file, or it is not what the image says
 */
struct foreign_refs {
	enum foreign_reach reach;
	const char *what;
	char name[FOREIGN_NAME];
	const char *why;
	bool lost;
};

/**
 * Look at one image; it need not be a valid one, as QEMU will judge that.
 *
 * @path  its real path, in whose folder the names are looked up; NULL when it has none
 * Returns Q2S_OK, Q2S_E_UNSUPPORTED for what QEMU would read wrongly, or what reading reports.
 */
typedef enum q2s_err foreign_look(struct q2s_store *file, const char *path,
				  struct foreign_refs *out, struct q2s_diag *diag);

foreign_look foreign_look_qcow;
foreign_look foreign_look_qed;
foreign_look foreign_look_vmdk;
foreign_look foreign_look_vpc;

#endif
