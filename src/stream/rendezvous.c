/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sockets on which we and a server of our own meet. */
#include "stream/rendezvous.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fault.h"

/*
 * Sockets have names only in the file system. A folder that is ours alone keeps everybody else
 * out while there is a name, which is for less than a millisecond.
 */
struct meeting {
	char *folder;
	char *path; /* of the socket */
	struct sockaddr_un address;
};

static enum q2s_err
failed(struct q2s_diag *diag, const char *doing)
{
	return fault_errno(diag, "private socket", "%s", doing);
}

/* A fresh folder below @parent; NULL with errno. */
static char *
make_folder(const char *parent)
{
	char *folder;

	if (!parent || parent[0] != '/') {
		errno = ENOENT;
		return NULL;
	}
	if (asprintf(&folder, "%s/q2s-XXXXXX", parent) < 0)
		return NULL;
	if (mkdtemp(folder))
		return folder;
	free(folder);
	return NULL;
}

static char *
make_any_folder(void)
{
	char *folder = make_folder(getenv("XDG_RUNTIME_DIR"));

	if (!folder)
		folder = make_folder(getenv("TMPDIR"));
	return folder ? folder : make_folder("/tmp");
}

static enum q2s_err
meeting_open(struct meeting *meeting, struct q2s_diag *diag)
{
	meeting->folder = make_any_folder();
	if (!meeting->folder)
		return failed(diag, "no folder can be made for it");
	(void)cleanup_add_path(meeting->folder);
	if (asprintf(&meeting->path, "%s/nbd", meeting->folder) < 0) {
		meeting->path = NULL;
		return fault_nomem(diag, "private socket");
	}
	(void)cleanup_add_path(meeting->path);
	return Q2S_OK;
}

static void
meeting_close(struct meeting *meeting)
{
	if (meeting->path)
		(void)unlink(meeting->path);
	cleanup_drop_path(meeting->path);
	if (meeting->folder)
		(void)rmdir(meeting->folder);
	cleanup_drop_path(meeting->folder);
	free(meeting->path);
	free(meeting->folder);
}

/*
 * An address has room for some hundred bytes, a path may be longer: then it is named through a
 * descriptor of the folder, which the caller keeps open as long as the address is used.
 */
static void
set_address(struct meeting *meeting, int folder)
{
	char *const to = meeting->address.sun_path;
	const size_t room = sizeof(meeting->address.sun_path);

	meeting->address.sun_family = AF_UNIX;
	if (strlen(meeting->path) < room)
		(void)snprintf(to, room, "%s", meeting->path);
	else
		(void)snprintf(to, room, "/proc/self/fd/%d/nbd", folder);
}

static int
new_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static enum q2s_err
listen_for(const struct meeting *meeting, size_t count, int *out, struct q2s_diag *diag)
{
	const struct sockaddr *address = (const struct sockaddr *)&meeting->address;

	*out = new_socket();
	if (*out < 0)
		return failed(diag, "cannot be made");
	if (bind(*out, address, sizeof(meeting->address)) == 0 && listen(*out, (int)count) == 0)
		return Q2S_OK;
	(void)failed(diag, "cannot be listened on");
	close(*out);
	return Q2S_E_IO;
}

static enum q2s_err
connect_all(const struct meeting *meeting, size_t count, int *sockets, struct q2s_diag *diag)
{
	const struct sockaddr *address = (const struct sockaddr *)&meeting->address;

	for (size_t i = 0; i < count; i++) {
		sockets[i] = new_socket();
		if (sockets[i] >= 0 &&
		    connect(sockets[i], address, sizeof(meeting->address)) == 0)
			continue;
		(void)failed(diag, "cannot be connected to");
		if (sockets[i] >= 0)
			close(sockets[i]);
		while (i > 0)
			close(sockets[--i]);
		return Q2S_E_IO;
	}
	return Q2S_OK;
}

static enum q2s_err
meet(struct meeting *meeting, size_t count, int *listener, int *sockets, struct q2s_diag *diag)
{
	enum q2s_err err = listen_for(meeting, count, listener, diag);

	if (err != Q2S_OK)
		return err;
	err = connect_all(meeting, count, sockets, diag);
	if (err != Q2S_OK)
		close(*listener);
	return err;
}

enum q2s_err
rendezvous_make(size_t count, int *listener, int *sockets, struct q2s_diag *diag)
{
	struct meeting meeting = { 0 };
	enum q2s_err err = meeting_open(&meeting, diag);

	if (err == Q2S_OK) {
		const int folder = open(meeting.folder, O_PATH | O_DIRECTORY | O_CLOEXEC);

		if (folder < 0) {
			err = failed(diag, "its folder cannot be opened");
		} else {
			set_address(&meeting, folder);
			err = meet(&meeting, count, listener, sockets, diag);
			close(folder);
		}
	}
	meeting_close(&meeting);
	return err;
}
