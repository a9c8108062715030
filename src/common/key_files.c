/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/key_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/fault.h"

static const struct key_files_item nobody;

static bool
is_there(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0;
}

/* Split "LAYER=FILE". False: out of memory. *@layer stays NULL if no such layer is there. */
static bool
split(const char *arg, char **layer, const char **path)
{
	for (const char *at = strchr(arg, '='); at; at = strchr(at + 1, '=')) {
		char *const name = strndup(arg, (size_t)(at - arg));

		if (!name)
			return false;
		if (is_there(name)) {
			*layer = name;
			*path = at + 1;
			return true;
		}
		free(name);
	}
	return true;
}

static enum q2s_err
parse(const char *arg, struct key_files_item *out, struct q2s_diag *diag)
{
	struct stat st;

	*out = (struct key_files_item){ .path = arg };
	if (is_there(arg) || !strchr(arg, '='))
		return Q2S_OK;
	if (!split(arg, &out->layer, &out->path))
		return fault_nomem(diag, "--key-file");
	if (!out->layer)
		return fault(diag, Q2S_E_USAGE, "--key-file",
			     "'%.128s' is no file, nor LAYER=FILE with the file of an image before the =",
			     arg);
	if (stat(out->layer, &st) == 0) {
		out->dev = st.st_dev;
		out->ino = st.st_ino;
	}
	return Q2S_OK;
}

/* Are both for all images, or both for the same one? */
static bool
same_layer(const struct key_files_item *a, const struct key_files_item *b)
{
	return !a->layer == !b->layer && a->dev == b->dev && a->ino == b->ino;
}

static enum q2s_err
append(struct key_files *files, const struct key_files_item *item, struct q2s_diag *diag)
{
	struct key_files_item *grown;

	for (size_t i = 0; i < files->count; i++)
		if (same_layer(&files->items[i], item))
			return fault(diag, Q2S_E_USAGE, "--key-file", "is given twice%s%.128s",
				     item->layer ? " for " : "", item->layer ? item->layer : "");
	grown = reallocarray(files->items, files->count + 1, sizeof(*grown));
	if (!grown)
		return fault_nomem(diag, "--key-file");
	files->items = grown;
	files->items[files->count++] = *item;
	return Q2S_OK;
}

enum q2s_err
key_files_add(struct key_files *files, const char *arg, struct q2s_diag *diag)
{
	struct key_files_item item;
	enum q2s_err err = parse(arg, &item, diag);

	if (err != Q2S_OK)
		return err;
	err = append(files, &item, diag);
	if (err != Q2S_OK)
		free(item.layer);
	return err;
}

/* What the library needs to know of the single layers. */
static enum q2s_err
list_layers(struct key_files *files, struct q2s_diag *diag)
{
	struct q2s_layer_key *const grown =
		reallocarray(files->layers, files->count + 1, sizeof(*grown));

	if (!grown)
		return fault_nomem(diag, "--key-file");
	files->layers = grown;
	files->layer_count = 0;
	for (size_t i = 0; i < files->count; i++) {
		const struct key_files_item *const item = &files->items[i];

		if (item->layer)
			grown[files->layer_count++] = (struct q2s_layer_key){
				.file = { .dev = item->dev, .ino = item->ino },
				.key = item->key.bytes,
				.key_len = item->key.len,
			};
	}
	return Q2S_OK;
}

enum q2s_err
key_files_read(struct key_files *files, struct q2s_diag *diag)
{
	enum q2s_err err = Q2S_OK;

	for (size_t i = 0; err == Q2S_OK && i < files->count; i++) {
		struct key_files_item *const item = &files->items[i];

		if (item->read)
			continue;
		err = key_file_read(item->path, &item->key, diag);
		item->read = err == Q2S_OK;
	}
	return err == Q2S_OK ? list_layers(files, diag) : err;
}

const struct key_files_item *
key_files_any(const struct key_files *files)
{
	for (size_t i = 0; i < files->count; i++)
		if (!files->items[i].layer)
			return &files->items[i];
	return &nobody;
}

static const struct key_files_item *
item_of(const struct key_files *files, const char *path)
{
	struct stat st;

	if (path && stat(path, &st) == 0)
		for (size_t i = 0; i < files->count; i++) {
			const struct key_files_item *const item = &files->items[i];

			if (item->layer && item->dev == st.st_dev && item->ino == st.st_ino)
				return item;
		}
	return key_files_any(files);
}

const struct key_file *
key_files_of(const struct key_files *files, const char *path)
{
	return &item_of(files, path)->key;
}

void
key_files_give(const struct key_files *files, struct q2s_disk_qcow2_options *options)
{
	const struct key_file *const any = &key_files_any(files)->key;

	options->key = any->bytes;
	options->key_len = any->len;
	options->layer_keys = files->layers;
	options->layer_key_count = files->layer_count;
}

enum q2s_err
key_files_explain(const struct key_files *files, const char *path, enum q2s_err err,
		  struct q2s_diag *diag)
{
	const struct key_files_item *item;
	size_t used;

	if (err != Q2S_E_KEY)
		return err;
	item = item_of(files, diag->file[0] ? diag->file : path);
	used = strlen(diag->text);
	if (item->key.len > 0 && item->key.bytes[item->key.len - 1] == '\n')
		(void)snprintf(diag->text + used, sizeof(diag->text) - used,
			       "; %.96s ends with a line end, which belongs to the key: printf %%s "
			       "PASSPHRASE > FILE writes none", item->path);
	return err;
}

void
key_files_free(struct key_files *files)
{
	for (size_t i = 0; i < files->count; i++) {
		key_file_free(&files->items[i].key);
		free(files->items[i].layer);
	}
	free(files->items);
	free(files->layers);
	*files = (struct key_files){ 0 };
}
