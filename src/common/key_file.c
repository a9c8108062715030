/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/fault.h"

/* One byte more than is allowed shows that there is more. No stdio: its buffers are not wiped. */
static enum q2s_err
read_all(int fd, struct key_file *key, struct q2s_diag *diag)
{
	while (key->len <= KEY_FILE_MAX) {
		const ssize_t n = read(fd, key->bytes + key->len, KEY_FILE_MAX + 1 - key->len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fault_errno(diag, "key file", "reading failed");
		if (n == 0)
			return Q2S_OK;
		key->len += (size_t)n;
	}
	return fault(diag, Q2S_E_LIMIT, "key file", "more than %u bytes", KEY_FILE_MAX);
}

enum q2s_err
key_file_read(const char *path, struct key_file *out, struct q2s_diag *diag)
{
	struct key_file key = { .bytes = malloc(KEY_FILE_MAX + 1) };
	enum q2s_err err;
	int fd;

	if (!key.bytes)
		return fault_nomem(diag, "key file");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		err = fault_errno(diag, "key file", "cannot be opened");
	else
		err = read_all(fd, &key, diag);
	if (fd >= 0)
		close(fd);
	if (err != Q2S_OK) {
		key_file_free(&key);
		return fault_in(diag, err, path);
	}
	*out = key;
	return Q2S_OK;
}

void
key_file_free(struct key_file *key)
{
	if (key->bytes)
		explicit_bzero(key->bytes, key->len);
	free(key->bytes);
	*key = (struct key_file){ 0 };
}
