/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The write engine of the library in the laboratory. */
#include <string.h>

#include <q2s/edit.h>

#include "lab.h"

bool engine_keeps_space;

static enum q2s_err
engine_open(struct q2s_store *store, const struct lab_image *image, void **out,
	    struct q2s_diag *diag)
{
	struct q2s_edit_options options = Q2S_EDIT_OPTIONS_INIT;
	struct q2s_edit *edit = NULL;
	enum q2s_err err;

	options.base = image->base;
	options.cache = 64 << 10; /* so small that it matters */
	options.flags = engine_keeps_space ? Q2S_EDIT_KEEP_SPACE : 0;
	err = q2s_edit_open(store, &options, &edit, diag);
	*out = edit;
	return err;
}

static enum q2s_err
engine_read(void *self, uint64_t at, void *buf, size_t len, struct q2s_diag *diag)
{
	return q2s_edit_read(self, (q2s_guest){ at }, buf, len, diag);
}

static enum q2s_err
engine_write(void *self, uint64_t at, const void *buf, size_t len, struct q2s_diag *diag)
{
	return q2s_edit_write(self, (q2s_guest){ at }, buf, len, diag);
}

static enum q2s_err
engine_zero(void *self, uint64_t at, uint64_t len, unsigned flags, struct q2s_diag *diag)
{
	return q2s_edit_zero(self, (q2s_guest){ at }, len, flags, diag);
}

static enum q2s_err
engine_discard(void *self, uint64_t at, uint64_t len, struct q2s_diag *diag)
{
	return q2s_edit_discard(self, (q2s_guest){ at }, len, diag);
}

static enum q2s_err
engine_shrink(void *self, struct q2s_diag *diag)
{
	return q2s_edit_shrink(self, NULL, diag);
}

static enum q2s_err
engine_flush(void *self, struct q2s_diag *diag)
{
	return q2s_edit_flush(self, diag);
}

static enum q2s_err
engine_resize(void *self, uint64_t size, struct q2s_diag *diag)
{
	return q2s_edit_resize(self, size, Q2S_EDIT_SHRINK, Q2S_PREALLOCATION_OFF, diag);
}

static enum q2s_err
engine_create(void *self, const char *name, struct q2s_diag *diag)
{
	const struct q2s_edit_snapshot snapshot = { .name = name, .name_len = strlen(name) };

	return q2s_edit_snapshot_create(self, &snapshot, diag);
}

static enum q2s_err
engine_apply(void *self, const char *name, struct q2s_diag *diag)
{
	return q2s_edit_snapshot_apply(self, name, strlen(name), diag);
}

static enum q2s_err
engine_remove(void *self, const char *name, struct q2s_diag *diag)
{
	return q2s_edit_snapshot_delete(self, name, strlen(name), diag);
}

static enum q2s_err
engine_amend(void *self, const struct lab_op *op, struct q2s_diag *diag)
{
	const struct q2s_edit_features features = { .set_version = true,
						    .version = (uint32_t)op->at };

	switch (op->kind) {
	case LAB_EXTENDED:
		return q2s_edit_set_extended_l2(self, op->at, Q2S_EDIT_MATERIALISE, NULL, diag);
	case LAB_WIDTH:
		return q2s_edit_set_refcount_bits(self, op->at, diag);
	default:
		return q2s_edit_set_features(self, &features, diag);
	}
}

static enum q2s_err
engine_close(void *self, struct q2s_diag *diag)
{
	return q2s_edit_close(self, diag);
}

const struct lab_writer lab_engine = {
	.name = "engine",
	.open = engine_open,
	.read = engine_read,
	.write = engine_write,
	.zero = engine_zero,
	.discard = engine_discard,
	.shrink = engine_shrink,
	.flush = engine_flush,
	.resize = engine_resize,
	.create = engine_create,
	.apply = engine_apply,
	.remove = engine_remove,
	.amend = engine_amend,
	.close = engine_close,
};
