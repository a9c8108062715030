/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/plan_body.h"

#include <string.h>

#include "base/bytes.h"
#include "base/diag.h"
#include "plan/plan_file.h"

enum q2s_err
q2si_plan_damaged(struct q2s_diag *diag, const char *why)
{
	return q2si_fail_at(diag, Q2S_E_DATA, "plan", Q2S_NOWHERE, "%s", why);
}

enum q2s_err
q2si_body_bytes(struct q2si_body *body, uint64_t len, struct q2s_bytes *out)
{
	if (len > body->left)
		return q2si_plan_damaged(body->diag, "it ends too early");
	*out = (struct q2s_bytes){ body->at, (size_t)len };
	body->at += len;
	body->left -= (size_t)len;
	return Q2S_OK;
}

enum q2s_err
q2si_body_number(struct q2si_body *body, uint64_t max, uint64_t *out)
{
	struct q2s_bytes raw = { 0 };

	Q2SI_TRY(q2si_body_bytes(body, 8, &raw));
	*out = q2si_get_be64(raw.data);
	if (*out > max)
		return q2si_fail(body->diag, Q2S_E_DATA, "plan", Q2S_NOWHERE, *out,
				 "a number is out of range");
	return Q2S_OK;
}

enum q2s_err
q2si_body_string(struct q2si_body *body, struct q2s_bytes *out)
{
	uint64_t len;

	*out = (struct q2s_bytes){ 0 };
	Q2SI_TRY(q2si_body_number(body, UINT64_MAX, &len));
	if (len == UINT64_MAX)
		return Q2S_OK;
	if (len > Q2SI_PLAN_STRING_MAX)
		return q2si_plan_damaged(body->diag, "a string is too long");
	return q2si_body_bytes(body, len, out);
}

enum q2s_err
q2si_body_text(struct q2si_body *body, char *out, size_t size)
{
	struct q2s_bytes text;

	Q2SI_TRY(q2si_body_string(body, &text));
	if (text.len >= size)
		return q2si_plan_damaged(body->diag, "a string is too long");
	memset(out, 0, size);
	if (text.len > 0)
		memcpy(out, text.data, text.len);
	return Q2S_OK;
}
