/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files that a VMDK image refers to. A sparse file stands for itself, unless it has a parent; a
 * descriptor is text that names the files with the data, its extents.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fault.h"
#include "stream/foreign_refs.h"

#define SECTOR 512u
#define HEADER_SIZE 512u
/* What QEMU reads of a descriptor within a sparse file, and of one that is a file. */
#define EMBEDDED_MAX (20 * SECTOR)
#define TEXT_MAX ((size_t)1 << 20)

static uint64_t
get_le64(const uint8_t *at)
{
	uint64_t value = 0;

	for (int i = 7; i >= 0; i--)
		value = value << 8 | at[i];
	return value;
}

/* Does the header begin a sparse file that holds its data itself? One kind without a capacity only
 * carries a descriptor, which may name anything. */
static bool
is_sparse(const uint8_t *header)
{
	if (memcmp(header, "COWD", 4) == 0)
		return true;
	return memcmp(header, "KDMV", 4) == 0 && get_le64(header + 12) != 0;
}

/* ---- the extents of a descriptor ----------------------------------------------------------- */

/* One line of a descriptor, without its end. */
struct line {
	const char *at;
	const char *end;
};

static void
skip_space(struct line *line)
{
	while (line->at < line->end && isspace((unsigned char)*line->at))
		line->at++;
}

/* The next word; empty at the end. */
static struct line
take_word(struct line *line)
{
	struct line word;

	skip_space(line);
	word.at = line->at;
	while (line->at < line->end && !isspace((unsigned char)*line->at))
		line->at++;
	word.end = line->at;
	return word;
}

static bool
is_word(const struct line *word, const char *text)
{
	const size_t len = (size_t)(word->end - word->at);

	return len == strlen(text) && memcmp(word->at, text, len) == 0;
}

static bool
is_number(const struct line *word)
{
	for (const char *c = word->at; c < word->end; c++) {
		if (!isdigit((unsigned char)*c))
			return false;
	}
	return word->at < word->end;
}

/* A name that can only mean a file in the same folder: no path, no protocol. */
static bool
is_plain_name(const struct line *name)
{
	const size_t len = (size_t)(name->end - name->at);

	return len > 0 && len <= NAME_MAX && !memchr(name->at, '/', len) &&
	       !memchr(name->at, ':', len) && !memchr(name->at, '\0', len) &&
	       !is_word(name, ".") && !is_word(name, "..");
}

/* The quoted name that comes next. */
static bool
take_name(struct line *line, struct line *name)
{
	skip_space(line);
	if (line->at == line->end || *line->at != '"')
		return false;
	name->at = ++line->at;
	name->end = memchr(name->at, '"', (size_t)(line->end - name->at));
	if (!name->end)
		return false;
	line->at = name->end + 1;
	return true;
}

/* Note what keeps an extent from being a plain file beside the image. */
static bool
refuse(struct foreign_refs *refs, const struct line *name, const char *why, bool lost)
{
	const size_t len = (size_t)(name->end - name->at);

	(void)snprintf(refs->name, sizeof(refs->name), "%.*s", (int)(len < 128 ? len : 128),
		       name->at);
	refs->why = why;
	refs->lost = lost;
	return false;
}

/* Is the extent a regular file of this folder that leads to no other? */
static bool
extent_is_beside(int folder, const struct line *name, bool sparse, struct foreign_refs *refs)
{
	uint8_t header[HEADER_SIZE] = { 0 };
	char *const text = strndup(name->at, (size_t)(name->end - name->at));
	const int fd = text ? openat(folder, text, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC) :
			      -1;
	const bool missing = fd < 0 && errno == ENOENT;
	struct stat st;
	bool good = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);

	if (!good)
		(void)refuse(refs, name, missing ? "is missing beside the image"
						 : "is not a regular file that can be read",
			     missing);
	if (good && sparse) {
		good = pread(fd, header, sizeof(header), 0) == (ssize_t)sizeof(header) &&
		       is_sparse(header);
		if (!good)
			(void)refuse(refs, name, "is not the sparse extent that the image says",
				     false);
	}
	if (fd >= 0)
		close(fd);
	free(text);
	return good;
}

/* RW SECTORS TYPE "NAME" [OFFSET], and nothing else, behind its first word. */
static bool
rest_is_beside(struct line line, int folder, struct foreign_refs *refs)
{
	const struct line sectors = take_word(&line);
	const struct line type = take_word(&line);
	const bool flat = is_word(&type, "FLAT") || is_word(&type, "VMFS");
	const bool sparse = is_word(&type, "SPARSE") || is_word(&type, "VMFSSPARSE");
	struct line name, offset;

	if (!is_number(&sectors) || !(flat || sparse) || !take_name(&line, &name))
		return false;
	offset = take_word(&line);
	skip_space(&line);
	if (line.at < line.end || (offset.at < offset.end && !is_number(&offset)))
		return false;
	if (!is_plain_name(&name))
		return refuse(refs, &name, "is no plain name of a file beside the image", false);
	return extent_is_beside(folder, &name, sparse, refs);
}

/*
 * QEMU takes a line for an extent when its first word is RW, and knows no other way to an extent:
 * so each such line is judged, and all else is left to QEMU.
 */
static enum foreign_reach
reach_of_text(const char *text, size_t len, int folder, struct foreign_refs *refs)
{
	const char *const end = text + len;
	enum foreign_reach reach = FOREIGN_ALONE;

	if (memmem(text, len, "parentFileNameHint", 18))
		return FOREIGN_AWAY;
	for (const char *at = text; at < end;) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		struct line line = { at, stop ? stop : end };
		const struct line word = take_word(&line);

		if (is_word(&word, "RW")) {
			if (folder < 0 || !rest_is_beside(line, folder, refs))
				return FOREIGN_AWAY;
			reach = FOREIGN_BESIDE;
		}
		at = stop ? stop + 1 : end;
	}
	return reach;
}

static int
open_folder_of(const char *path)
{
	char *const folder = path ? strdup(path) : NULL;
	int fd = -1;

	if (folder) {
		strrchr(folder, '/')[1] = '\0';
		fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	free(folder);
	return fd;
}

/* ---- the two kinds of files ---------------------------------------------------------------- */

static enum q2s_err
look_at_text(struct q2s_store *file, const char *path, struct foreign_refs *out,
	     struct q2s_diag *diag)
{
	const uint64_t whole = q2s_store_size(file);
	const size_t size = whole < TEXT_MAX ? (size_t)whole : TEXT_MAX - 1;
	char *const text = malloc(size + 1);
	enum q2s_err err;
	int folder;

	if (!text)
		return fault_nomem(diag, "VMDK descriptor");
	err = q2s_store_read_padded(file, 0, text, size, NULL, diag);
	folder = open_folder_of(path);
	if (err == Q2S_OK)
		out->reach = reach_of_text(text, size, folder, out);
	if (folder >= 0)
		close(folder);
	free(text);
	return err;
}

/* A sparse file names extents too, but only itself counts; its parent's name is what matters. */
static enum q2s_err
look_at_embedded(struct q2s_store *file, const uint8_t *header, struct foreign_refs *out,
		 struct q2s_diag *diag)
{
	const uint64_t sector = get_le64(header + 28); /* times 512 modulo 2^64, as in QEMU */
	char text[EMBEDDED_MAX];
	enum q2s_err err;

	out->reach = FOREIGN_ALONE;
	if (memcmp(header, "KDMV", 4) != 0 || sector == 0)
		return Q2S_OK;
	err = q2s_store_read_padded(file, sector * SECTOR, text, sizeof(text), NULL, diag);
	if (err == Q2S_OK && memmem(text, sizeof(text), "parentFileNameHint", 18))
		*out = (struct foreign_refs){ .reach = FOREIGN_AWAY, .what = "parent" };
	return err;
}

enum q2s_err
foreign_look_vmdk(struct q2s_store *file, const char *path, struct foreign_refs *out,
		  struct q2s_diag *diag)
{
	uint8_t header[HEADER_SIZE];
	const enum q2s_err err = q2s_store_read_padded(file, 0, header, sizeof(header), NULL, diag);

	*out = (struct foreign_refs){ .reach = FOREIGN_AWAY, .what = "extents" };
	if (err != Q2S_OK)
		return err;
	if (is_sparse(header))
		return look_at_embedded(file, header, out, diag);
	if (memcmp(header, "KDMV", 4) == 0)
		return Q2S_OK;
	return look_at_text(file, path, out, diag);
}
