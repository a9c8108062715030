/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/guard.h"

#include <dirent.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/fault.h"

/* Devices stand on devices; more floors than this are a loop. */
#define DEPTH_MAX 16
#define SET_MAX 64

/* A file, or a block device by its number, whatever its node is called. */
struct id {
	bool device;
	dev_t dev;
	ino_t ino;
};

/* Sets are small; what does not fit is left out, so it is not guarded. */
struct set {
	struct id list[SET_MAX];
	size_t count;
};

/*
 * @whole  the file or device itself, and what it shows all of: a loop device's file
 * @parts  what it is a part of, or stands on in part: the disk of a partition, the devices under a
 *         mapped one
 * @under  of a regular file: the device that its file system lies on, and what is under that
 */
struct entry {
	char *name;
	const char *what; /* of an output; NULL: it is read */
	struct set whole, parts, under;
};

static struct {
	struct entry **list;
	size_t count;
} known;

/* ---- identities -------------------------------------------------------------------------- */

static bool
is_same(const struct id *a, const struct id *b)
{
	return a->device == b->device && a->dev == b->dev && a->ino == b->ino;
}

static bool
has(const struct set *set, const struct id *id)
{
	for (size_t i = 0; i < set->count; i++)
		if (is_same(&set->list[i], id))
			return true;
	return false;
}

static bool
meet(const struct set *a, const struct set *b)
{
	for (size_t i = 0; i < a->count; i++)
		if (has(b, &a->list[i]))
			return true;
	return false;
}

static void
add(struct set *set, struct id id)
{
	if (set->count < SET_MAX && !has(set, &id))
		set->list[set->count++] = id;
}

static void add_device(struct set *whole, struct set *parts, dev_t dev, unsigned depth);

/* A file of /sys about a block device, as one line; false when it is not there. */
static bool
read_line(dev_t dev, const char *what, char *line, size_t size)
{
	char path[PATH_MAX];
	FILE *file;
	bool ok;

	(void)snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%s", major(dev), minor(dev), what);
	file = fopen(path, "re");
	if (!file)
		return false;
	ok = fgets(line, (int)size, file) != NULL;
	(void)fclose(file);
	if (ok)
		line[strcspn(line, "\n")] = '\0';
	return ok;
}

static bool
read_device(dev_t dev, const char *what, dev_t *out)
{
	unsigned high, low;
	char line[64];

	if (!read_line(dev, what, line, sizeof(line)) || sscanf(line, "%u:%u", &high, &low) != 2)
		return false;
	*out = makedev(high, low);
	return true;
}

static void
add_slaves(struct set *parts, dev_t dev, unsigned depth)
{
	char path[PATH_MAX], name[PATH_MAX];
	struct dirent *entry;
	dev_t slave;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/slaves", major(dev), minor(dev));
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		(void)snprintf(name, sizeof(name), "slaves/%s/dev", entry->d_name);
		if (read_device(dev, name, &slave))
			add_device(parts, parts, slave, depth);
	}
	if (dir)
		(void)closedir(dir);
}

/*
 * The file behind a loop device, as the kernel knows it: the name that /sys has may be gone, or be
 * one of another mount namespace.
 */
static bool
loop_file(dev_t dev, struct id *out)
{
	char path[PATH_MAX], target[PATH_MAX], name[PATH_MAX];
	struct loop_info64 info;
	struct stat st;
	ssize_t len;
	bool ok;
	int fd;

	(void)snprintf(path, sizeof(path), "/sys/dev/block/%u:%u", major(dev), minor(dev));
	len = readlink(path, target, sizeof(target) - 1);
	if (len < 0)
		return false;
	target[len] = '\0';
	(void)snprintf(name, sizeof(name), "/dev/%.64s", basename(target));
	fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return false;
	ok = fstat(fd, &st) == 0 && S_ISBLK(st.st_mode) && st.st_rdev == dev &&
	     ioctl(fd, LOOP_GET_STATUS64, &info) == 0 && info.lo_rdevice == 0;
	close(fd);
	if (ok)
		*out = (struct id){ false, (dev_t)info.lo_device, (ino_t)info.lo_inode };
	return ok;
}

static void
add_stat(struct set *whole, struct set *parts, const struct stat *st, unsigned depth)
{
	if (S_ISREG(st->st_mode))
		add(whole, (struct id){ false, st->st_dev, st->st_ino });
	else if (S_ISBLK(st->st_mode))
		add_device(whole, parts, st->st_rdev, depth);
}

static void
add_device(struct set *whole, struct set *parts, dev_t dev, unsigned depth)
{
	char line[PATH_MAX];
	struct stat st;
	struct id file;
	dev_t disk;

	if (depth == DEPTH_MAX)
		return;
	add(whole, (struct id){ true, dev, 0 });
	if (read_line(dev, "loop/backing_file", line, sizeof(line))) {
		if (stat(line, &st) == 0)
			add_stat(whole, parts, &st, depth + 1);
		if (loop_file(dev, &file))
			add(whole, file);
	}
	if (read_line(dev, "partition", line, sizeof(line)) && read_device(dev, "../dev", &disk))
		add_device(parts, parts, disk, depth + 1);
	add_slaves(parts, dev, depth + 1);
}

/* ---- entries ----------------------------------------------------------------------------- */

static void
entry_free(struct entry *entry)
{
	if (entry)
		free(entry->name);
	free(entry);
}

/* NULL without memory. */
static struct entry *
entry_new(const struct stat *st, const char *name, const char *what)
{
	struct entry *const entry = calloc(1, sizeof(*entry));

	if (!entry)
		return NULL;
	entry->name = strdup(name);
	entry->what = what;
	if (!entry->name) {
		free(entry);
		return NULL;
	}
	add_stat(&entry->whole, &entry->parts, st, 0);
	if (S_ISREG(st->st_mode))
		add_device(&entry->under, &entry->under, st->st_dev, 0);
	return entry;
}

/* Takes over @entry. */
static enum q2s_err
keep(struct entry *entry, struct q2s_diag *diag)
{
	struct entry **const list =
		entry ? realloc(known.list, (known.count + 1) * sizeof(*list)) : NULL;

	if (!list) {
		entry_free(entry);
		return fault_nomem(diag, "list of files");
	}
	known.list = list;
	known.list[known.count++] = entry;
	return Q2S_OK;
}

static enum q2s_err
keep_read(const struct stat *st, const char *name, struct q2s_diag *diag)
{
	if (!S_ISREG(st->st_mode) && !S_ISBLK(st->st_mode))
		return Q2S_OK;
	return keep(entry_new(st, name, NULL), diag);
}

enum q2s_err
guard_read_store(const struct q2s_store *store, struct q2s_diag *diag)
{
	const int fd = q2s_store_fd(store);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0)
		return Q2S_OK;
	return keep_read(&st, q2s_store_name(store), diag);
}

enum q2s_err
guard_read_path(const char *path, struct q2s_diag *diag)
{
	struct stat st;

	return path && stat(path, &st) == 0 ? keep_read(&st, path, diag) : Q2S_OK;
}

enum q2s_err
guard_read_disk(const struct q2s_disk *disk, struct q2s_diag *diag)
{
	const struct q2s_store *store;
	enum q2s_err err = Q2S_OK;

	for (size_t i = 0; err == Q2S_OK && (store = q2s_disk_file(disk, i)); i++)
		err = guard_read_store(store, diag);
	return err;
}

enum q2s_err
guard_read_chain(struct q2s_chain *chain, struct q2s_diag *diag)
{
	enum q2s_err err = Q2S_OK;

	for (size_t i = 0; err == Q2S_OK && i < q2s_chain_count(chain); i++) {
		const struct q2s_layer *const layer = q2s_chain_layer(chain, i);
		struct q2s_store *data;

		err = guard_read_store(layer->file, diag);
		if (err == Q2S_OK && layer->image && q2s_image_geom(layer->image)->data_file &&
		    q2s_chain_data_file(chain, i, &data, NULL) == Q2S_OK)
			err = guard_read_store(data, diag);
	}
	return err;
}

enum q2s_err
guard_read_layers(struct q2s_store *file, const char *format, struct q2s_diag *diag)
{
	const struct q2s_chain_options how = { .size = sizeof(how),
					       .format = format,
					       .follow = Q2S_FOLLOW_ANY,
					       .partial = true,
					       .force_share = true };
	enum q2s_err err = guard_read_store(file, diag);
	struct q2s_chain *chain = NULL;

	if (err == Q2S_OK && q2s_chain_open(file, &how, &chain, NULL) == Q2S_OK)
		err = guard_read_chain(chain, diag);
	q2s_chain_unref(chain);
	return err;
}

enum q2s_err
guard_read_process(pid_t pid, struct q2s_diag *diag)
{
	char path[PATH_MAX], name[PATH_MAX];
	enum q2s_err err = Q2S_OK;
	struct dirent *entry;
	struct stat st;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/proc/%ld/fd", (long)pid);
	dir = opendir(path);
	while (dir && err == Q2S_OK && (entry = readdir(dir))) {
		ssize_t len;

		if (entry->d_name[0] == '.' || fstatat(dirfd(dir), entry->d_name, &st, 0) != 0)
			continue;
		len = readlinkat(dirfd(dir), entry->d_name, name, sizeof(name) - 1);
		name[len > 0 ? len : 0] = '\0';
		err = keep_read(&st, name, diag);
	}
	if (dir)
		(void)closedir(dir);
	return err;
}

void
guard_reset(void)
{
	for (size_t i = 0; i < known.count; i++)
		entry_free(known.list[i]);
	free(known.list);
	known.list = NULL;
	known.count = 0;
}

/* ---- outputs ----------------------------------------------------------------------------- */

/* What writing @out would do to @other; NULL: nothing. */
static const char *
harm(const struct entry *out, const struct entry *other)
{
	if (meet(&out->whole, &other->whole))
		return "it is the same file as";
	if (meet(&out->parts, &other->whole))
		return "it is a part of";
	if (meet(&out->whole, &other->parts) || meet(&out->whole, &other->under))
		return "it is the device under";
	return NULL;
}

static enum q2s_err
judge(const struct entry *out, struct q2s_diag *diag)
{
	for (size_t i = 0; i < known.count; i++) {
		const struct entry *const other = known.list[i];
		const char *why;
		enum q2s_err err;

		if (other->what && strcmp(other->what, out->what) == 0)
			continue;
		why = harm(out, other);
		if (!why)
			continue;
		err = other->what ? fault(diag, Q2S_E_CONFLICT, out->what, "%s '%.200s', which is "
					  "written too (%s)", why, other->name, other->what) :
				    fault(diag, Q2S_E_CONFLICT, out->what,
					  "%s '%.200s', which is read", why, other->name);
		return fault_in(diag, err, out->name);
	}
	return Q2S_OK;
}

static bool
is_known(const char *what)
{
	for (size_t i = 0; i < known.count; i++)
		if (known.list[i]->what && strcmp(known.list[i]->what, what) == 0)
			return true;
	return false;
}

static enum q2s_err
check(const struct stat *st, const char *name, const char *what, struct q2s_diag *diag)
{
	struct entry *entry;
	enum q2s_err err;

	if (!S_ISREG(st->st_mode) && !S_ISBLK(st->st_mode))
		return Q2S_OK;
	entry = entry_new(st, name, what);
	err = entry ? judge(entry, diag) : fault_nomem(diag, "list of files");
	if (err == Q2S_OK && !is_known(what))
		return keep(entry, diag);
	entry_free(entry);
	return err;
}

enum q2s_err
guard_output(const char *path, const char *what, struct q2s_diag *diag)
{
	struct stat st;

	if (!path)
		return guard_output_fd(STDOUT_FILENO, "standard output", what, diag);
	return stat(path, &st) == 0 ? check(&st, path, what, diag) : Q2S_OK;
}

enum q2s_err
guard_edit(const char *path, struct q2s_diag *diag)
{
	const enum q2s_err err = guard_output(path, "FILE", diag);

	return err == Q2S_OK ? guard_output(NULL, "standard output", diag) : err;
}

enum q2s_err
guard_output_fd(int fd, const char *name, const char *what, struct q2s_diag *diag)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? check(&st, name, what, diag) : Q2S_OK;
}
