/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The mark of a layer: an extension of our own, with the ids of the layer and of its parent. */
#include <q2s/format.h>

#include "base/bytes.h"
#include "base/diag.h"
#include "base/zero.h"
#include "format/check.h"

bool
q2s_id_is_none(const struct q2s_id *id)
{
	return q2si_is_zero(id->bytes, sizeof(id->bytes));
}

bool
q2s_id_equal(const struct q2s_id *a, const struct q2s_id *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

/* Is there a hyphen before byte @i of a UUID? */
static bool
hyphen_before(size_t i)
{
	return i == 4 || i == 6 || i == 8 || i == 10;
}

char *
q2s_id_text(const struct q2s_id *id, char *text)
{
	static const char digits[] = "0123456789abcdef";
	char *at = text;

	for (size_t i = 0; i < sizeof(id->bytes); i++) {
		if (hyphen_before(i))
			*at++ = '-';
		*at++ = digits[id->bytes[i] >> 4];
		*at++ = digits[id->bytes[i] & 15];
	}
	*at = '\0';
	return text;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool
q2s_id_parse(const char *text, struct q2s_id *out)
{
	const bool uuid = strlen(text) == Q2S_ID_TEXT - 1;
	struct q2s_id id;

	for (size_t i = 0; i < sizeof(id.bytes); i++) {
		if (uuid && hyphen_before(i) && *text++ != '-')
			return false;
		const int high = hex_digit(text[0]), low = high < 0 ? -1 : hex_digit(text[1]);

		if (low < 0)
			return false;
		id.bytes[i] = (uint8_t)(high << 4 | low);
		text += 2;
	}
	if (*text != '\0' || q2s_id_is_none(&id))
		return false;
	*out = id;
	return true;
}

enum q2s_err
q2s_ext_mark_decode(const struct q2s_ext *ext, struct q2s_mark *out, struct q2s_diag *diag)
{
	struct q2s_mark mark;

	if (ext->len != Q2S_EXT_MARK_SIZE)
		return q2si_fail(diag, Q2S_E_EXTENSION, "mark extension", ext->at, ext->len,
				 "not 32 bytes");
	memcpy(mark.id.bytes, ext->data, sizeof(mark.id.bytes));
	memcpy(mark.parent.bytes, ext->data + sizeof(mark.id.bytes), sizeof(mark.parent.bytes));
	if (q2s_id_is_none(&mark.id))
		return q2si_fail_at(diag, Q2S_E_EXTENSION, "mark extension", ext->at, "no id");
	if (q2s_id_equal(&mark.id, &mark.parent))
		return q2si_fail_at(diag, Q2S_E_EXTENSION, "mark extension", ext->at,
				    "the layer is its own parent");
	*out = mark;
	return Q2S_OK;
}

void
q2s_ext_mark_encode(const struct q2s_mark *in, uint8_t *raw)
{
	memcpy(raw, in->id.bytes, sizeof(in->id.bytes));
	memcpy(raw + sizeof(in->id.bytes), in->parent.bytes, sizeof(in->parent.bytes));
}
