/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What begins as the image of another format, or as an archive, is not the disk itself. */
#include <string.h>

#include <q2s/http.h>
#include <q2s/image.h>

/* A fixed VHD is the disk with this much behind it. */
#define FOOTER_SIZE 512

/* One mark of a container: @len bytes at @at from the start or, of a footer, from its own start. */
struct mark {
	struct q2s_container container;
	bool footer;
	size_t at, len;
	const char *bytes;
};

/* clang-format off */
static const struct mark marks[] = {
	{ { "VMDK", "vmdk", NULL },            false,   0,  4, "KDMV" },
	{ { "VMDK", "vmdk", NULL },            false,   0,  4, "COWD" },
	{ { "VMDK", "vmdk", NULL },            false,   0, 21, "# Disk DescriptorFile" },
	{ { "VDI", "vdi", NULL },              false,  64,  4, "\x7f\x10\xda\xbe" },
	{ { "VHDX", "vhdx", NULL },            false,   0,  8, "vhdxfile" },
	{ { "VHD", "vpc", NULL },              false,   0,  8, "conectix" },
	{ { "VHD", "vpc", NULL },              true,    0,  8, "conectix" },
	{ { "QED", "qed", NULL },              false,   0,  4, "QED\0" },
	{ { "Parallels", "parallels", NULL },  false,   0, 16, "WithoutFreeSpace" },
	{ { "Parallels", "parallels", NULL },  false,   0, 16, "WithouFreSpacExt" },
	{ { "LUKS", "luks", NULL },            false,   0,  6, "LUKS\xba\xbe" },
	{ { "qcow version 1", "qcow", NULL },  false,   0,  8, "QFI\xfb\0\0\0\1" },
	{ { "gzip", NULL, "gzip -dc" },        false,   0,  3, "\x1f\x8b\x08" },
	{ { "xz", NULL, "xz -dc" },            false,   0,  6, "\xfd" "7zXZ\0" },
	{ { "zstd", NULL, "zstd -dc" },        false,   0,  4, "\x28\xb5\x2f\xfd" },
	{ { "bzip2", NULL, "bzip2 -dc" },      false,   4,  6, "1AY&SY" },
	{ { "zip", NULL, "unzip -p" },         false,   0,  4, "PK\x03\x04" },
	{ { "7z", NULL, "7z x -so" },          false,   0,  6, "7z\xbc\xaf\x27\x1c" },
	{ { "tar", NULL, "tar -xOf" },         false, 257,  5, "ustar" },
};
/* clang-format on */

static const struct q2s_container *
find(bool footer, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
		const struct mark *mark = &marks[i];

		if (mark->footer == footer && mark->at + mark->len <= len &&
		    memcmp(bytes + mark->at, mark->bytes, mark->len) == 0)
			return &mark->container;
	}
	return NULL;
}

const struct q2s_container *
q2s_container_of_head(const void *head, size_t len)
{
	return find(false, head, len);
}

const struct q2s_container *
q2s_container_probe(struct q2s_store *file)
{
	const struct q2s_container *found;
	uint8_t bytes[Q2S_CONTAINER_HEAD];
	uint64_t size;
	size_t len;

	if (q2s_store_read_padded(file, 0, bytes, sizeof(bytes), &len, NULL) != Q2S_OK)
		return NULL;
	found = q2s_container_of_head(bytes, len);
	size = q2s_store_size(file);
	/*
	 * To ask a server for the end takes as long as all else before the first data. So there a
	 * VHD whose disk begins with a qcow2 header is taken for that image.
	 */
	if (q2s_store_is_remote(file) && len >= 4 && memcmp(bytes, "QFI\xfb", 4) == 0)
		return found;
	/* The end of what still arrives is not known, and a device ends where it was cut. */
	if (found || size < FOOTER_SIZE || q2s_store_is_arriving(file) ||
	    q2s_store_is_block_device(file) ||
	    q2s_store_read(file, size - FOOTER_SIZE, bytes, FOOTER_SIZE, NULL) != Q2S_OK)
		return found;
	return find(true, bytes, FOOTER_SIZE);
}
