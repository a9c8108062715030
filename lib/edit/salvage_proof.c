/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Data that knows its own place: metadata of XFS version 5, with checksum and UUID; superblocks of
 * ext4 and btrfs; headers of GPT.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "edit/salvage.h"

static uint16_t
le16(const uint8_t *at)
{
	uint16_t raw;

	memcpy(&raw, at, sizeof(raw));
	return le16toh(raw);
}

static uint32_t
le32(const uint8_t *at)
{
	uint32_t raw;

	memcpy(&raw, at, sizeof(raw));
	return le32toh(raw);
}

static uint64_t
le64(const uint8_t *at)
{
	uint64_t raw;

	memcpy(&raw, at, sizeof(raw));
	return le64toh(raw);
}

/* CRC-32 of the reflected polynomial @poly, bit by bit: few bytes are looked at. */
static uint32_t
crc(uint32_t poly, uint32_t value, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		value ^= bytes[i];
		for (unsigned bit = 0; bit < 8; bit++)
			value = value >> 1 ^ (value & 1 ? poly : 0);
	}
	return value;
}

#define CRC32C 0x82f63b78u
#define CRC32 0xedb88320u

/* ---- XFS ----------------------------------------------------------------------------------- */

/* The checksum at @at covers all of the block, itself as zeros. */
static bool
xfs_crc_is_right(const uint8_t *block, size_t len, size_t at)
{
	static const uint8_t zeros[4];
	uint32_t value = crc(CRC32C, UINT32_MAX, block, at);

	value = crc(CRC32C, value, zeros, sizeof(zeros));
	value = crc(CRC32C, value, block + at + 4, len - at - 4);
	return ~value == le32(block + at);
}

static bool
xfs_superblock(const uint8_t *raw, struct q2si_xfs *out)
{
	struct q2si_xfs xfs = {
		.known = true,
		.block_size = q2si_get_be32(raw + 4),
		.ag_blocks = q2si_get_be32(raw + 84),
		.ag_count = q2si_get_be32(raw + 88),
		.sector_size = q2si_get_be16(raw + 102),
		.block_log = raw[120],
		.inode_log = raw[122],
		.inodes_log = raw[123],
		.ag_block_log = raw[124],
	};

	if (memcmp(raw, "XFSB", 4) != 0 || (q2si_get_be16(raw + 100) & 15) != 5 ||
	    xfs.block_log < 9 || xfs.block_log > 16 || xfs.block_size != 1u << xfs.block_log ||
	    xfs.sector_size < 512 || xfs.sector_size > 4096 ||
	    (xfs.sector_size & (xfs.sector_size - 1)) || xfs.ag_blocks == 0 || xfs.ag_count == 0 ||
	    xfs.inode_log < 8 || xfs.inode_log > 12 || xfs.inode_log > xfs.block_log ||
	    xfs.inodes_log != xfs.block_log - xfs.inode_log || xfs.ag_block_log > 31 ||
	    !xfs_crc_is_right(raw, xfs.sector_size, 224))
		return false;
	memcpy(xfs.uuid, raw + 32, sizeof(xfs.uuid));
	xfs.log_start = q2si_get_be64(raw + 48);
	xfs.log_blocks = q2si_get_be32(raw + 96);
	*out = xfs;
	return true;
}

/* Offset from the start of the file system; the number of an allocation group must be one. */
static uint64_t
xfs_ag_offset(const struct q2si_xfs *xfs, uint64_t ag, uint64_t block)
{
	if (ag >= xfs->ag_count || block >= xfs->ag_blocks)
		return Q2SI_NO_PLACE;
	return (ag * xfs->ag_blocks + block) << xfs->block_log;
}

/* One kind of block with a header that says where it is, in sectors of 512 bytes. */
struct xfs_kind {
	const char *magic;
	uint8_t magic_at, magic_len;
	uint8_t crc_at, place_at, uuid_at;
};

static const struct xfs_kind xfs_kinds[] = {
	{ "AB3B", 0, 4, 52, 16, 32 }, { "AB3C", 0, 4, 52, 16, 32 }, { "IAB3", 0, 4, 52, 16, 32 },
	{ "FIB3", 0, 4, 52, 16, 32 }, { "RMB3", 0, 4, 52, 16, 32 }, { "R3FC", 0, 4, 52, 16, 32 },
	{ "BMA3", 0, 4, 64, 24, 40 }, { "XDB3", 0, 4, 4, 8, 24 },   { "XDD3", 0, 4, 4, 8, 24 },
	{ "XDF3", 0, 4, 4, 8, 24 },   { "XSLM", 0, 4, 12, 40, 16 }, { "XARM", 0, 4, 12, 40, 16 },
	{ "\x3e\xbe", 8, 2, 12, 16, 40 }, { "\x3d\xf1", 8, 2, 12, 16, 40 },
	{ "\x3d\xff", 8, 2, 12, 16, 40 }, { "\x3b\xee", 8, 2, 12, 16, 40 },
};

static uint64_t
xfs_block_place(const struct q2si_xfs *xfs, const uint8_t *block)
{
	for (size_t i = 0; i < sizeof(xfs_kinds) / sizeof(xfs_kinds[0]); i++) {
		const struct xfs_kind *kind = &xfs_kinds[i];
		uint64_t sectors, ag, in_ag;

		if (memcmp(block + kind->magic_at, kind->magic, kind->magic_len) != 0 ||
		    memcmp(block + kind->uuid_at, xfs->uuid, 16) != 0 ||
		    !xfs_crc_is_right(block, xfs->block_size, kind->crc_at))
			continue;
		sectors = q2si_get_be64(block + kind->place_at);
		if (sectors > UINT64_MAX >> 10)
			return Q2SI_NO_PLACE;
		/* Such offsets count all blocks, without gaps between the groups. */
		ag = (sectors << 9 >> xfs->block_log) / xfs->ag_blocks;
		in_ag = (sectors << 9 >> xfs->block_log) % xfs->ag_blocks;
		return xfs_ag_offset(xfs, ag, in_ag);
	}
	return Q2SI_NO_PLACE;
}

/* The last extent of a file, if the inode holds all of them, says where its end is. */
static void
xfs_learn_tail(struct q2si_salvage *salvage, const uint8_t *inode)
{
	const struct q2si_xfs *xfs = &salvage->xfs;
	const uint64_t size = q2si_get_be64(inode + 56);
	const bool large = q2si_get_be64(inode + 120) >> 4 & 1; /* counts of extents */
	const uint64_t extents = large ? q2si_get_be64(inode + 24) : q2si_get_be32(inode + 76);
	const uint32_t tail = (uint32_t)(size & (xfs->block_size - 1));

	/* Clusters are compared by blocks of this size. */
	if (xfs->block_size != 4096 || !q2si_is_aligned(xfs->base, 4096))
		return;
	if (inode[5] != 2 || (q2si_get_be16(inode + 2) & 0xf000) != 0x8000 || tail == 0 ||
	    extents > ((1u << xfs->inode_log) - 176) / 16)
		return;
	for (uint64_t i = 0; i < extents; i++) {
		const uint64_t high = q2si_get_be64(inode + 176 + 16 * i);
		const uint64_t low = q2si_get_be64(inode + 184 + 16 * i);
		const uint64_t offset = high >> 9 & ((UINT64_C(1) << 54) - 1);
		const uint64_t block = (high & 511) << 43 | low >> 21, n = low & 0x1fffff;
		const uint64_t last = (size - 1) >> xfs->block_log;
		uint64_t place, at;

		if (last < offset || last - offset >= n || high >> 63)
			continue;
		at = block + (last - offset);
		place = xfs_ag_offset(xfs, at >> xfs->ag_block_log,
				      at & ((UINT64_C(1) << xfs->ag_block_log) - 1));
		if (place == Q2SI_NO_PLACE)
			return;
		if (salvage->tail_count == salvage->tail_room) {
			const size_t room = salvage->tail_room ? 2 * salvage->tail_room : 64;
			struct q2si_tail *bigger =
				reallocarray(salvage->tails, room, sizeof(*bigger));

			if (!bigger)
				return; /* less is known then */
			salvage->tails = bigger;
			salvage->tail_room = room;
		}
		salvage->tails[salvage->tail_count++] =
			(struct q2si_tail){ xfs->base + place + tail, xfs->block_size - tail };
	}
}

static uint64_t
xfs_inode_place(const struct q2si_xfs *xfs, const uint8_t *inode)
{
	const uint64_t number = q2si_get_be64(inode + 152);
	const uint64_t block = number >> xfs->inodes_log;
	uint64_t place;

	if (memcmp(inode, "IN", 2) != 0 || inode[4] != 3 ||
	    memcmp(inode + 160, xfs->uuid, 16) != 0 ||
	    !xfs_crc_is_right(inode, (size_t)1 << xfs->inode_log, 100))
		return Q2SI_NO_PLACE;
	place = xfs_ag_offset(xfs, block >> xfs->ag_block_log,
			      block & ((UINT64_C(1) << xfs->ag_block_log) - 1));
	if (place == Q2SI_NO_PLACE)
		return place;
	return place + ((number & ((UINT64_C(1) << xfs->inodes_log) - 1)) << xfs->inode_log);
}

/* The header of an allocation group, in its second sector. */
static uint64_t
xfs_agf_place(const struct q2si_xfs *xfs, const uint8_t *sector)
{
	uint64_t place;

	if (memcmp(sector, "XAGF", 4) != 0 || memcmp(sector + 64, xfs->uuid, 16) != 0 ||
	    !xfs_crc_is_right(sector, xfs->sector_size, 216))
		return Q2SI_NO_PLACE;
	place = xfs_ag_offset(xfs, q2si_get_be32(sector + 8), 0);
	return place == Q2SI_NO_PLACE ? place : place + xfs->sector_size;
}

/* A record of the log says at which block of it it is. */
static uint64_t
xfs_log_place(const struct q2si_xfs *xfs, const uint8_t *sector)
{
	const uint64_t block = q2si_get_be64(sector + 16) & UINT32_MAX;
	uint64_t start;

	if (memcmp(sector, "\xfe\xed\xba\xbe", 4) != 0 ||
	    memcmp(sector + 304, xfs->uuid, 16) != 0 ||
	    block >= (uint64_t)xfs->log_blocks << xfs->block_log >> 9)
		return Q2SI_NO_PLACE;
	start = q2si_xfs_log(xfs);
	return start == Q2SI_NO_PLACE ? start : start + (block << 9);
}

uint64_t
q2si_xfs_log(const struct q2si_xfs *xfs)
{
	if (xfs->log_start == 0)
		return Q2SI_NO_PLACE;
	return xfs_ag_offset(xfs, xfs->log_start >> xfs->ag_block_log,
			     xfs->log_start & ((UINT64_C(1) << xfs->ag_block_log) - 1));
}

/* A leaf of the tree of free space: what is free was never written, or need not be there. */
static void
xfs_learn_free(struct q2si_salvage *salvage, const uint8_t *block)
{
	const struct q2si_xfs *xfs = &salvage->xfs;
	const uint32_t records = q2si_get_be16(block + 6), ag = q2si_get_be32(block + 48);

	if (memcmp(block, "AB3B", 4) != 0 || q2si_get_be16(block + 4) != 0 ||
	    records > (xfs->block_size - 56) / 8)
		return;
	for (uint32_t i = 0; i < records; i++) {
		const uint64_t first = q2si_get_be32(block + 56 + 8 * i);
		const uint64_t n = q2si_get_be32(block + 60 + 8 * i);
		const uint64_t start = xfs_ag_offset(xfs, ag, first);

		if (start == Q2SI_NO_PLACE || n > xfs->ag_blocks - first)
			continue;
		if (salvage->free_count == salvage->free_room) {
			const size_t room = salvage->free_room ? 2 * salvage->free_room : 64;
			struct q2si_free_range *bigger =
				reallocarray(salvage->free, room, sizeof(*bigger));

			if (!bigger)
				return; /* less is known then */
			salvage->free = bigger;
			salvage->free_room = room;
		}
		salvage->free[salvage->free_count++] = (struct q2si_free_range){
			xfs->base + start, xfs->base + start + (n << xfs->block_log)
		};
	}
}

/* The place of what lies at @in of the cluster. */
static uint64_t
xfs_place(struct q2si_salvage *salvage, const uint8_t *bytes, uint32_t in, uint32_t size)
{
	const struct q2si_xfs *xfs = &salvage->xfs;
	uint64_t place = Q2SI_NO_PLACE;

	if (in % xfs->block_size == 0 && size - in >= xfs->block_size) {
		place = xfs_block_place(xfs, bytes + in);
		if (place != Q2SI_NO_PLACE)
			xfs_learn_free(salvage, bytes + in);
	}
	if (place == Q2SI_NO_PLACE && in % (1u << xfs->inode_log) == 0 &&
	    size - in >= 1u << xfs->inode_log)
		place = xfs_inode_place(xfs, bytes + in);
	if (place != Q2SI_NO_PLACE && memcmp(bytes + in, "IN", 2) == 0)
		xfs_learn_tail(salvage, bytes + in);
	if (place == Q2SI_NO_PLACE && in % xfs->sector_size == 0 && size - in >= xfs->sector_size)
		place = xfs_agf_place(xfs, bytes + in);
	if (place == Q2SI_NO_PLACE && in % 512 == 0 && size - in >= 512)
		place = xfs_log_place(xfs, bytes + in);
	return place == Q2SI_NO_PLACE ? place : xfs->base + place;
}

/* ---- others -------------------------------------------------------------------------------- */

/* A header of a GPT says in which sector it is. */
static uint64_t
gpt_place(const uint8_t *at, uint64_t disk)
{
	uint8_t copy[92];
	const uint64_t lba = le64(at + 24);

	if (memcmp(at, "EFI PART", 8) != 0 || le32(at + 12) != sizeof(copy))
		return Q2SI_NO_PLACE;
	memcpy(copy, at, sizeof(copy));
	memset(copy + 16, 0, 4);
	if (~crc(CRC32, UINT32_MAX, copy, sizeof(copy)) != le32(at + 16) || lba >= disk / 512)
		return Q2SI_NO_PLACE;
	return lba * 512;
}

/* A backup superblock of ext4 says of which group it is; where the first one is has to be guessed. */
static uint64_t
ext4_place(const uint8_t *at, uint64_t disk)
{
	const uint32_t log = le32(at + 24), first = le32(at + 20), per_group = le32(at + 32);
	const uint32_t group = le16(at + 90);
	uint64_t place;

	if (le16(at + 56) != 0xef53 || log > 6 || first > 1 || per_group == 0 ||
	    per_group > 8u << (10 + log) || !(le32(at + 100) & 0x400) ||
	    crc(CRC32C, UINT32_MAX, at, 1020) != le32(at + 1020))
		return Q2SI_NO_PLACE;
	place = group ? ((uint64_t)first + (uint64_t)group * per_group) << (10 + log) : 1024;
	return place < disk ? place : Q2SI_NO_PLACE;
}

static uint64_t
btrfs_place(const uint8_t *at, uint64_t disk)
{
	const uint64_t place = le64(at + 48);

	if (memcmp(at + 64, "_BHRfS_M", 8) != 0 || le16(at + 196) != 0 ||
	    ~crc(CRC32C, UINT32_MAX, at + 32, 4096 - 32) != le32(at))
		return Q2SI_NO_PLACE;
	return place < disk ? place : Q2SI_NO_PLACE;
}

/* ---- a cluster ----------------------------------------------------------------------------- */

void
q2si_proof_learn(struct q2si_salvage *salvage, const uint8_t *bytes, uint64_t guest)
{
	const uint32_t size = salvage->round->ck->geom->cluster_size;
	struct q2si_xfs xfs;

	for (uint32_t in = 0; in + 4096 <= size; in += 512) {
		if (memcmp(bytes + in, "XFSB", 4) != 0 || !xfs_superblock(bytes + in, &xfs))
			continue;
		if (!salvage->xfs.known)
			salvage->xfs = xfs;
		/* The first superblock that the disk still maps says where the file system begins. */
		if (guest != Q2SI_NO_PLACE && !salvage->xfs.base_known &&
		    memcmp(xfs.uuid, salvage->xfs.uuid, 16) == 0) {
			const uint64_t ag = (uint64_t)xfs.ag_blocks << xfs.block_log;

			salvage->xfs.base = (guest + in) % ag;
			salvage->xfs.base_known = true;
		}
		return;
	}
}

uint64_t
q2si_proof_place(struct q2si_salvage *salvage, const uint8_t *bytes, const char **proof,
		 enum q2s_sure *sure)
{
	const struct q2s_geom *geom = salvage->round->ck->geom;
	const uint32_t size = geom->cluster_size;
	uint64_t found = Q2SI_NO_PLACE;

	for (uint32_t in = 0; in < size; in += 256) {
		uint64_t place = Q2SI_NO_PLACE;

		if (salvage->xfs.known) {
			place = xfs_place(salvage, bytes, in, size);
			*proof = "XFS metadata that says where it is, with checksum and UUID";
			*sure = salvage->xfs.base_known ? Q2S_SURE_CERTAIN : Q2S_SURE_LIKELY;
		}
		if (place == Q2SI_NO_PLACE && in % 512 == 0 && size - in >= 512) {
			place = gpt_place(bytes + in, geom->size);
			*proof = "a GPT header, which says where it is";
			*sure = Q2S_SURE_CERTAIN;
		}
		if (place == Q2SI_NO_PLACE && in % 1024 == 0 && size - in >= 1024) {
			place = ext4_place(bytes + in, geom->size);
			*proof = "an ext4 superblock, which says of which group it is";
			*sure = Q2S_SURE_LIKELY;
		}
		if (place == Q2SI_NO_PLACE && in % 4096 == 0 && size - in >= 4096) {
			place = btrfs_place(bytes + in, geom->size);
			*proof = "a btrfs superblock, which says where it is";
			*sure = Q2S_SURE_LIKELY;
		}
		/* Partitions may begin anywhere, but what is in a cluster has one place. */
		if (place == Q2SI_NO_PLACE || place < in ||
		    !q2si_is_aligned(place - in, size) || place >= geom->size)
			continue;
		if (found != Q2SI_NO_PLACE && found != place - in)
			return Q2SI_NO_PLACE;
		found = place - in;
	}
	return found;
}
