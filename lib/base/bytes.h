/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Big-endian integers at any alignment: every integer of the format is big-endian. */
#ifndef Q2SI_BASE_BYTES_H
#define Q2SI_BASE_BYTES_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define Q2SI_BE(bits)                                                                             \
	static inline uint##bits##_t q2si_get_be##bits(const uint8_t *at)                         \
	{                                                                                         \
		uint##bits##_t raw;                                                               \
		memcpy(&raw, at, sizeof(raw));                                                    \
		return be##bits##toh(raw);                                                        \
	}                                                                                         \
	static inline void q2si_put_be##bits(uint8_t *at, uint##bits##_t value)                   \
	{                                                                                         \
		const uint##bits##_t raw = htobe##bits(value);                                    \
		memcpy(at, &raw, sizeof(raw));                                                    \
	}

Q2SI_BE(16)
Q2SI_BE(32)
Q2SI_BE(64)
#undef Q2SI_BE

#endif
