/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is recognised as the image of another format, or as an archive, and what is not. */
#include <q2s/image.h>

#include "files.h"

struct row {
	const char *name; /* NULL: none */
	size_t at;
	const char *bytes;
	size_t len;
};

#define ROW(name, at, bytes) { name, at, bytes, sizeof(bytes) - 1 }

static const struct row heads[] = {
	ROW("VMDK", 0, "KDMV"),
	ROW("VMDK", 0, "COWD"),
	ROW("VMDK", 0, "# Disk DescriptorFile\n"),
	ROW("VDI", 64, "\x7f\x10\xda\xbe"),
	ROW("VHDX", 0, "vhdxfile"),
	ROW("VHD", 0, "conectix"),
	ROW("QED", 0, "QED\0"),
	ROW("Parallels", 0, "WithoutFreeSpace"),
	ROW("Parallels", 0, "WithouFreSpacExt"),
	ROW("LUKS", 0, "LUKS\xba\xbe\0\1"),
	ROW("qcow version 1", 0, "QFI\xfb\0\0\0\1"),
	ROW("gzip", 0, "\x1f\x8b\x08"),
	ROW("xz", 0, "\xfd" "7zXZ\0"),
	ROW("zstd", 0, "\x28\xb5\x2f\xfd"),
	ROW("bzip2", 0, "BZh91AY&SY"),
	ROW("zip", 0, "PK\x03\x04"),
	ROW("7z", 0, "7z\xbc\xaf\x27\x1c"),
	ROW("tar", 257, "ustar"),
	ROW(NULL, 0, "QFI\xfb\0\0\0\2"),
	ROW(NULL, 0, "QFI\xfb\0\0\0\3"),
	ROW(NULL, 0, "\xeb\x63\x90"), /* a boot sector */
	ROW(NULL, 510, "\x55\xaa"),
	ROW(NULL, 1, "KDMV"),
	ROW(NULL, 0, "ustar"),
	ROW(NULL, 0, "\x1f\x8b\x07"),
};

static void
assert_found(const struct row *row, const struct q2s_container *found)
{
	ck_assert_str_eq(found ? found->name : "none", row->name ? row->name : "none");
	/* There is a way to read each, but not two. */
	if (found)
		ck_assert((found->format == NULL) != (found->command == NULL));
}

START_TEST(heads_are_recognised)
{
	for (size_t i = 0; i < COUNT(heads); i++) {
		uint8_t head[Q2S_CONTAINER_HEAD] = { 0 };

		memcpy(head + heads[i].at, heads[i].bytes, heads[i].len);
		assert_found(&heads[i], q2s_container_of_head(head, sizeof(head)));
		/* What is cut off is not there. */
		ck_assert_ptr_null(q2s_container_of_head(head, heads[i].at + 2));
	}
	ck_assert_ptr_null(q2s_container_of_head("", 0));
}
END_TEST

START_TEST(files_are_recognised)
{
	for (size_t i = 0; i < COUNT(heads); i++) {
		uint8_t bytes[5000] = { 0 };
		struct q2s_store *file;

		memcpy(bytes + heads[i].at, heads[i].bytes, heads[i].len);
		put_file(path_of("file"), bytes, sizeof(bytes));
		ck_assert_int_eq(q2s_store_open(path_of("file"), &file, NULL), Q2S_OK);
		assert_found(&heads[i], q2s_container_probe(file));
		q2s_store_unref(file);
	}
}
END_TEST

/* A fixed VHD is a disk with a footer. */
START_TEST(a_footer_is_recognised_at_the_end)
{
	static const size_t places[] = { 5000 - 512, 5000 - 511, 512 };

	for (size_t i = 0; i < COUNT(places); i++) {
		uint8_t bytes[5000] = { 0 };
		struct q2s_store *file;

		memcpy(bytes + places[i], "conectix", 8);
		put_file(path_of("file"), bytes, sizeof(bytes));
		ck_assert_int_eq(q2s_store_open(path_of("file"), &file, NULL), Q2S_OK);
		if (i == 0)
			ck_assert_str_eq(q2s_container_probe(file)->name, "VHD");
		else
			ck_assert_ptr_null(q2s_container_probe(file));
		q2s_store_unref(file);
	}
}
END_TEST

FILES_MAIN("container", heads_are_recognised, files_are_recognised,
	   a_footer_is_recognised_at_the_end)
