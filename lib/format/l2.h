/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the codec of plain L2 entries (l2.c) and of compressed ones (l2_compressed.c) share. */
#ifndef Q2SI_FORMAT_L2_H
#define Q2SI_FORMAT_L2_H

#include <q2s/format.h>

/** An L2 entry in the machine's order. @map is 0 in a standard image. */
struct q2si_l2_raw {
	uint64_t desc;
	uint64_t map;
};

/** Decode an entry with bit 62 set. @lenient: see q2s_l2_decode_lenient(). */
enum q2s_err q2si_l2_compressed_decode(const struct q2s_geom *geom, const struct q2si_l2_raw *raw,
				       q2s_host at, bool lenient, struct q2s_l2_entry *out,
				       struct q2s_diag *diag);

/** The descriptor of a compressed entry. */
enum q2s_err q2si_l2_compressed_encode(const struct q2s_geom *geom, const struct q2s_l2_entry *in,
				       struct q2si_l2_raw *out, struct q2s_diag *diag);

/** Host clusters [@first, @first + @count); @count 0: none. */
struct q2si_clusters {
	uint64_t first, count;
};

/** Those that a decoded entry refers to: the one of its data, or all that its compressed sectors touch. */
struct q2si_clusters q2si_l2_clusters(const struct q2s_geom *geom, const struct q2s_l2_entry *entry);

#endif
