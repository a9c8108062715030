/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "made.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "base/zero.h"

static void
must(bool fine, const char *what)
{
	if (fine)
		return;
	perror(what);
	abort();
}

#define MUST(condition) must(condition, #condition)

static void
put(const struct made *image, uint64_t at, const void *data, uint64_t len)
{
	MUST(pwrite(image->fd, data, len, (off_t)at) == (ssize_t)len);
}

static uint64_t
get64(const struct made *image, uint64_t at)
{
	uint8_t raw[8] = { 0 };

	MUST(pread(image->fd, raw, sizeof(raw), (off_t)at) >= 0);
	return q2si_get_be64(raw);
}

void
made_put64(struct made *image, uint64_t at, uint64_t value)
{
	uint8_t raw[8];

	q2si_put_be64(raw, value);
	put(image, at, raw, sizeof(raw));
}

void
made_put32(struct made *image, uint64_t at, uint32_t value)
{
	uint8_t raw[4];

	q2si_put_be32(raw, value);
	put(image, at, raw, sizeof(raw));
}

void
made_resize(struct made *image, uint64_t size)
{
	MUST(ftruncate(image->fd, (off_t)size) == 0);
}

q2s_host
made_bytes(struct made *image, const void *data, uint64_t len)
{
	const q2s_host at = { image->end };

	if (data)
		put(image, at.v, data, len);
	image->end += len;
	return at;
}

q2s_host
made_clusters(struct made *image, const void *data, uint64_t len)
{
	q2s_host at;

	image->end = q2si_round_up(image->end, image->geom.cluster_size);
	at = made_bytes(image, data, len);
	image->end = q2si_round_up(image->end, image->geom.cluster_size);
	made_resize(image, image->end);
	return at;
}

struct made
made_start(const struct q2s_geom_params *params)
{
	struct made image = { .fd = memfd_create("made", MFD_CLOEXEC) };
	struct q2s_header *header = &image.header;

	MUST(image.fd >= 0);
	MUST(q2s_geom_init(params, &image.geom, NULL) == Q2S_OK);
	image.end = image.geom.cluster_size;
	*header = (struct q2s_header){
		.version = params->version,
		.cluster_bits = params->cluster_bits,
		.size = image.geom.size,
		.l1_size = (uint32_t)image.geom.l1_entries,
		.refcount_table_clusters = 1,
		.refcount_order = params->refcount_order,
		.header_length = params->version == 2 ? 72 : 112,
		.incompatible_features = (params->extended ? Q2S_INCOMPAT_EXTENDED_L2 : 0) |
					 (params->data_file ? Q2S_INCOMPAT_DATA_FILE : 0),
	};
	header->l1_table_offset = made_clusters(&image, NULL, header->l1_size * 8ull);
	header->refcount_table_offset = made_clusters(&image, NULL, image.geom.cluster_size);
	return image;
}

struct made
made_v3(uint32_t cluster_bits, bool extended, uint64_t size)
{
	const struct q2s_geom_params params = { .version = 3,
						.cluster_bits = cluster_bits,
						.refcount_order = 4,
						.extended = extended,
						.size = size };

	return made_start(&params);
}

void
made_free(struct made *image)
{
	close(image->fd);
	image->fd = -1;
}

void
made_l1(struct made *image, uint64_t index, uint64_t word)
{
	made_put64(image, image->header.l1_table_offset.v + index * 8, word);
}

uint64_t
made_entry_at(struct made *image, uint64_t guest)
{
	const struct q2s_geom *geom = &image->geom;
	const q2s_guest at = { guest };
	const uint64_t l1 = get64(image, image->header.l1_table_offset.v +
						 q2s_l1_index(geom, at) * 8);

	return (l1 & Q2S_ENTRY_HOST_MASK) + (uint64_t)q2s_l2_index(geom, at) * geom->l2_entry_size;
}

static uint64_t
entry_slot(struct made *image, uint64_t guest)
{
	const struct q2s_geom *geom = &image->geom;
	const uint64_t index = q2s_l1_index(geom, (q2s_guest){ guest });

	if (get64(image, image->header.l1_table_offset.v + index * 8) == 0)
		made_l1(image, index,
			made_clusters(image, NULL, geom->cluster_size).v | Q2S_ENTRY_COPIED);
	return made_entry_at(image, guest);
}

void
made_raw_entry(struct made *image, uint64_t guest, uint64_t desc, uint64_t map)
{
	const uint64_t at = entry_slot(image, guest);

	made_put64(image, at, desc);
	if (image->geom.extended)
		made_put64(image, at + 8, map);
}

void
made_entry(struct made *image, uint64_t guest, const struct q2s_l2_entry *entry)
{
	uint8_t raw[Q2S_L2X_ENTRY_SIZE];

	MUST(q2s_l2_encode(&image->geom, entry, raw, NULL) == Q2S_OK);
	put(image, entry_slot(image, guest), raw, image->geom.l2_entry_size);
}

q2s_host
made_data(struct made *image, uint64_t guest, uint8_t byte)
{
	const uint32_t size = image->geom.cluster_size;
	uint8_t *data = malloc(size);
	struct q2s_l2_entry entry = { .has_host = true,
				      .copied = true,
				      .alloc = image->geom.sub_mask };

	MUST(data != NULL);
	entry_slot(image, guest); /* now, so that data clusters follow each other */
	memset(data, byte, size);
	entry.host = made_clusters(image, data, size);
	free(data);
	made_entry(image, guest, &entry);
	return entry.host;
}

q2s_host
made_compressed(struct made *image, uint64_t guest, const void *stream, uint64_t len)
{
	struct q2s_l2_entry entry = { .compressed = true };

	entry_slot(image, guest); /* a table that is taken now cannot lie behind the stream */
	entry.comp_at = made_bytes(image, stream, len);
	entry.comp_bytes = (uint32_t)(q2si_round_up(image->end, Q2S_SECTOR) - entry.comp_at.v);
	made_entry(image, guest, &entry);
	return entry.comp_at;
}

void
made_extension(struct made *image, uint32_t type, const void *data, uint32_t len)
{
	MUST(q2s_ext_encode(type, data, len, image->extensions, sizeof(image->extensions),
			    &image->extensions_len, NULL) == Q2S_OK);
}

void
made_finish(struct made *image)
{
	struct q2s_header *header = &image->header;
	uint64_t at = header->header_length;
	uint8_t raw[4096] = { 0 };

	if (image->backing) {
		header->backing_file_offset.v = at + image->extensions_len + 8;
		header->backing_file_size = (uint32_t)strlen(image->backing);
		MUST(header->backing_file_offset.v + header->backing_file_size <= sizeof(raw));
		memcpy(raw + header->backing_file_offset.v, image->backing,
		       header->backing_file_size);
	}
	MUST(q2s_header_encode(header, raw, sizeof(raw), NULL) == Q2S_OK);
	memcpy(raw + at, image->extensions, image->extensions_len);
	put(image, 0, raw, q2si_min(sizeof(raw), image->geom.cluster_size));
}

struct q2s_store *
made_file(const struct made *image)
{
	struct q2s_store *file;
	const int fd = dup(image->fd);

	MUST(fd >= 0);
	MUST(q2s_store_from_fd(fd, "made", &file, NULL) == Q2S_OK);
	return file;
}

void
made_save(const struct made *image, const char *path)
{
	const int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
	const off_t size = lseek(image->fd, 0, SEEK_END);
	static char chunk[65536];

	MUST(fd >= 0 && size >= 0 && ftruncate(fd, size) == 0);
	for (off_t at = 0; at < size; at += (off_t)sizeof(chunk)) {
		const ssize_t len = pread(image->fd, chunk, sizeof(chunk), at);

		MUST(len > 0);
		if (!q2si_is_zero(chunk, (size_t)len))
			MUST(pwrite(fd, chunk, (size_t)len, at) == len);
	}
	close(fd);
}
