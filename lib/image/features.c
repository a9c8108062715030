/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Naming the features that we do not know: the image's own name table exists for this message. */
#include "image.h"

#include <stdio.h>
#include <string.h>

#include "base/diag.h"

#define AREA_MAX 4096 /* bytes of cluster 0 in which the name table is looked for */
#define NAMES_MAX 256 /* bytes of all names in the message */

/* Fit for any terminal, whatever the table holds. */
static void
name_clean(char *name)
{
	for (; *name != '\0'; name++)
		if (*name < ' ' || *name > '~')
			*name = '?';
}

/* List what @unknown means: 'name' (bit N), or bit N. What does not fit is left out. */
static void
names_list(const uint8_t *start, size_t len, uint64_t unknown, char list[NAMES_MAX])
{
	struct q2s_feature_item item;
	size_t used = 0;

	list[0] = '\0';
	for (unsigned bit = 0; bit < 64 && used < NAMES_MAX; bit++) {
		const char *comma = used > 0 ? ", " : "";
		int wrote;

		if (!(unknown >> bit & 1))
			continue;
		if (q2s_feature_find(start, len, 0, bit, &item) && item.name[0] != '\0') {
			name_clean(item.name);
			wrote = snprintf(list + used, NAMES_MAX - used, "%s'%s' (bit %u)", comma,
					 item.name, bit);
		} else {
			wrote = snprintf(list + used, NAMES_MAX - used, "%sbit %u", comma, bit);
		}
		used += wrote > 0 ? (size_t)wrote : 0;
	}
}

enum q2s_err
q2si_features_refuse(struct q2s_store *file, const struct q2s_diag *refusal, struct q2s_diag *diag)
{
	uint8_t start[AREA_MAX];
	char list[NAMES_MAX];
	size_t len;

	Q2SI_TRY(q2s_store_read_padded(file, 0, start, sizeof(start), &len, diag));
	names_list(start, len, refusal->value, list);
	return q2si_fail(diag, Q2S_E_UNSUPPORTED, refusal->what, refusal->at, refusal->value,
			 "unknown feature: %s", list);
}
