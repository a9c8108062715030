/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as a LUKS header, within any length that the encryption extension may state. */
#include <q2s/format.h>

#include "fuzz.h"
#include "invariant.h"

static const q2s_host AT = { 0x30000 };

/* What may be tried lies within the encryption header and within memory that can be had. */
static void
check_slots(const struct q2s_luks *luks, uint64_t length)
{
	for (unsigned i = 0; i < Q2S_LUKS_SLOTS; i++) {
		const struct q2s_luks_slot *slot = &luks->slots[i];
		const uint64_t bytes = (uint64_t)luks->key_bytes * slot->stripes;

		if (!slot->active)
			continue;
		INVARIANT(slot->iterations > 0 && bytes > 0 && bytes <= 256000);
		INVARIANT(slot->key_offset >= Q2S_LUKS_SIZE && bytes <= length);
		INVARIANT(slot->key_offset <= length - bytes);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	const uint64_t length = eat_u64(&input);
	uint8_t raw[Q2S_LUKS_SIZE], again[Q2S_LUKS_SIZE];
	struct q2s_diag diag = { 0 };
	struct q2s_luks_words words;
	struct q2s_luks luks;
	enum q2s_err err;

	eat(&input, raw, sizeof(raw));
	err = q2s_luks_decode(raw, AT, &luks, &diag);
	judge(err, &diag);
	if (err != Q2S_OK)
		return 0;
	q2s_luks_words(&luks, &words);
	INVARIANT(memchr(words.alg, '\0', sizeof(words.alg)));
	INVARIANT(strlen(words.mode) + strlen(words.ivgen) + strlen(words.ivhash) <=
		  strlen(luks.cipher_mode));
	INVARIANT(q2s_luks_encode(&luks, again, NULL) == Q2S_OK);
	INVARIANT(memcmp(raw, again, sizeof(raw)) == 0);
	err = q2s_luks_check(&luks, AT, length, &diag);
	judge(err, &diag);
	if (err == Q2S_OK)
		check_slots(&luks, length);
	return 0;
}

size_t
fuzz_seed(unsigned int index, uint8_t *data, size_t capacity)
{
	static const char *const modes[] = { "xts-plain64", "cbc-essiv:sha256", "ecb", "ctr-plain" };
	const uint64_t length = 8 + 4096 + 8 * 258048;
	struct q2s_luks luks = {
		.cipher_name = "aes", .hash = "sha256", .key_bytes = 64,
		.payload_offset = 4096 + 8 * 258048, .master_iterations = 1000,
	};

	if (index >= sizeof(modes) / sizeof(modes[0]) || capacity < 8 + Q2S_LUKS_SIZE)
		return 0;
	strcpy(luks.cipher_mode, modes[index]);
	for (unsigned i = 0; i < Q2S_LUKS_SLOTS; i++)
		luks.slots[i] = (struct q2s_luks_slot){
			.active = i <= index, .iterations = 1000, .stripes = Q2S_LUKS_STRIPES,
			.key_offset = 4096 + i * 258048,
		};
	memcpy(data, &length, 8);
	INVARIANT(q2s_luks_encode(&luks, data + 8, NULL) == Q2S_OK);
	return 8 + Q2S_LUKS_SIZE;
}
