/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Changed pages in a sorted list; a repair changes few, and mostly in the order of the file. */
#include "edit/draft.h"

#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/diag.h"
#include "base/search.h"

#define PAGE UINT64_C(4096)

struct page {
	uint64_t number;
	uint8_t *bytes;
};

/* @length: of what is shown; the file may be longer, or shorter. */
struct draft {
	struct q2s_store *file;
	uint64_t length;
	struct page *pages;
	size_t count, room;
};

/* The first page at or behind @number. */
static size_t
page_find(const struct draft *draft, uint64_t number)
{
	if (draft->count == 0 || draft->pages[draft->count - 1].number < number)
		return draft->count;
	return Q2SI_COUNT_FIRST(i, draft->count, draft->pages[i].number < number);
}

static enum q2s_err
file_read(const struct draft *draft, uint64_t at, void *buf, size_t len, struct q2s_diag *diag)
{
	return q2s_store_read_padded(draft->file, at, buf, len, NULL, diag);
}

/* The bytes of a page, to be changed. */
static enum q2s_err
page_take(struct draft *draft, uint64_t number, uint8_t **out, struct q2s_diag *diag)
{
	const size_t i = page_find(draft, number);
	struct page *pages = draft->pages;
	uint8_t *bytes;
	enum q2s_err err;

	if (i < draft->count && pages[i].number == number) {
		*out = pages[i].bytes;
		return Q2S_OK;
	}
	if (draft->count == draft->room) {
		const size_t room = draft->room ? 2 * draft->room : 64;

		pages = reallocarray(pages, room, sizeof(*pages));
		if (!pages)
			return q2si_fail_nomem(diag, "draft");
		draft->pages = pages;
		draft->room = room;
	}
	bytes = malloc(PAGE);
	if (!bytes)
		return q2si_fail_nomem(diag, "draft");
	err = file_read(draft, number * PAGE, bytes, PAGE, diag);
	if (err != Q2S_OK) {
		free(bytes);
		return err;
	}
	memmove(pages + i + 1, pages + i, (draft->count - i) * sizeof(*pages));
	pages[i] = (struct page){ number, bytes };
	draft->count++;
	*out = bytes;
	return Q2S_OK;
}

static enum q2s_err
draft_read(void *self, uint64_t at, void *buf, size_t len, size_t *got, struct q2s_diag *diag)
{
	const struct draft *draft = self;
	const uint64_t end = at + (len = at < draft->length ? q2si_min(len, draft->length - at) : 0);

	*got = len;
	if (len > 0)
		Q2SI_TRY(file_read(draft, at, buf, len, diag));
	for (size_t i = page_find(draft, at / PAGE);
	     i < draft->count && draft->pages[i].number * PAGE < end; i++) {
		const uint64_t start = draft->pages[i].number * PAGE;
		const uint64_t from = q2si_max(at, start), to = q2si_min(end, start + PAGE);

		memcpy((uint8_t *)buf + (from - at), draft->pages[i].bytes + (from - start),
		       to - from);
	}
	return Q2S_OK;
}

static enum q2s_err
draft_write(void *self, uint64_t at, const void *buf, size_t len, struct q2s_diag *diag)
{
	struct draft *draft = self;
	const uint8_t *from = buf;

	while (len > 0) {
		const uint64_t in = at % PAGE;
		const size_t n = (size_t)q2si_min(len, PAGE - in);
		uint8_t *bytes = NULL;

		Q2SI_TRY(page_take(draft, at / PAGE, &bytes, diag));
		memcpy(bytes + in, from, n);
		draft->length = q2si_max(draft->length, at + n);
		at += n;
		from += n;
		len -= n;
	}
	return Q2S_OK;
}

static uint64_t
draft_length(void *self)
{
	return ((const struct draft *)self)->length;
}

static enum q2s_err
draft_set_length(void *self, uint64_t length, struct q2s_diag *diag)
{
	(void)diag;
	((struct draft *)self)->length = length;
	return Q2S_OK;
}

static enum q2s_err
draft_extent(void *self, uint64_t at, struct q2s_stretch *out, struct q2s_diag *diag)
{
	const struct draft *draft = self;
	const size_t i = page_find(draft, at / PAGE);
	uint64_t end = draft->length;

	if (i < draft->count && draft->pages[i].number == at / PAGE) {
		*out = (struct q2s_stretch){ false,
					     q2si_min(end, (at / PAGE + 1) * PAGE) - at };
		return Q2S_OK;
	}
	if (i < draft->count)
		end = q2si_min(end, draft->pages[i].number * PAGE);
	*out = (struct q2s_stretch){ true, end - at };
	if (at >= q2s_store_size(draft->file))
		return Q2S_OK;
	Q2SI_TRY(q2s_store_stretch(draft->file, at, out, diag));
	out->len = q2si_min(out->len, end - at);
	return Q2S_OK;
}

static enum q2s_err
draft_verify(void *self, struct q2s_diag *diag)
{
	return q2s_store_verify(((const struct draft *)self)->file, diag);
}

static void
draft_will_need(void *self, uint64_t at, uint64_t len)
{
	q2s_store_will_need(((const struct draft *)self)->file, at, len);
}

static void
draft_close(void *self)
{
	struct draft *draft = self;

	for (size_t i = 0; i < draft->count; i++)
		free(draft->pages[i].bytes);
	free(draft->pages);
	q2s_store_unref(draft->file);
	free(draft);
}

enum q2s_err
q2si_draft_open(struct q2s_store *file, struct q2s_store **out, struct q2s_diag *diag)
{
	static const struct q2s_store_ops ops = {
		.size = sizeof(ops),
		.read = draft_read,
		.length = draft_length,
		.close = draft_close,
		.write = draft_write,
		.set_length = draft_set_length,
		.extent = draft_extent,
		.verify = draft_verify,
		.will_need = draft_will_need,
	};
	struct draft *draft = calloc(1, sizeof(*draft));
	enum q2s_err err;

	if (!draft)
		return q2si_fail_nomem(diag, "draft");
	draft->file = q2s_store_ref(file);
	draft->length = q2s_store_size(file);
	err = q2s_store_new(&ops, draft, q2s_store_name(file), out, diag);
	if (err != Q2S_OK)
		draft_close(draft);
	return err;
}
