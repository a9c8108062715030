/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The statements of the spec language, one function each. */
#include <stdlib.h>
#include <string.h>

#include "model.h"

/* ---- words ------------------------------------------------------------------------------- */

/* The next word of a line, cut out; NULL at the end. */
static char *
next_word(char **text)
{
	char *word;

	*text += strspn(*text, " \t");
	if (!**text)
		return NULL;
	word = *text;
	*text += strcspn(*text, " \t");
	if (**text)
		*(*text)++ = '\0';
	return word;
}

static char *
need_word(char **text, const char *what)
{
	char *word = next_word(text);

	if (!word)
		die("%s is missing", what);
	return word;
}

static uint64_t
value_of(struct model *model, const char *word)
{
	const uint64_t value = expression(model, &word, 0);

	if (*word)
		die("'%s' behind a number", word);
	return value;
}

static void
copy_name(char *out, size_t size, const char *name)
{
	if (strlen(name) >= size)
		die("'%s' is too long", name);
	strcpy(out, name);
}

static unsigned
log2_of(uint64_t value)
{
	if (value == 0 || value & (value - 1))
		die("%llu is not a power of two", (unsigned long long)value);
	return (unsigned)__builtin_ctzll(value);
}

/* ---- image KEY=VALUE... ------------------------------------------------------------------ */

static void
image_option(struct model *model, const char *key, const char *value)
{
	if (strcmp(key, "version") == 0)
		model->params.version = (uint32_t)value_of(model, value);
	else if (strcmp(key, "cluster_size") == 0)
		model->params.cluster_bits = log2_of(value_of(model, value));
	else if (strcmp(key, "size") == 0)
		model->params.size = value_of(model, value);
	else if (strcmp(key, "refcount_bits") == 0)
		model->params.refcount_order = log2_of(value_of(model, value));
	else if (strcmp(key, "extended_l2") == 0)
		model->params.extended = strcmp(value, "on") == 0;
	else if (strcmp(key, "compression") == 0)
		model->compression = strcmp(value, "zstd") == 0;
	else if (strcmp(key, "header_length") == 0)
		model->header_length = (uint32_t)value_of(model, value);
	else if (strcmp(key, "l1_size") == 0)
		model->l1_entries = (uint32_t)value_of(model, value);
	else if (strcmp(key, "luks") == 0)
		model->luks = strcmp(value, "on") == 0;
	else if (strcmp(key, "data_file") == 0)
		copy_name(model->data_file, sizeof(model->data_file), value);
	else if (strcmp(key, "data_file_raw") == 0)
		model->data_file_raw = strcmp(value, "on") == 0;
	else if (strcmp(key, "backing_file") == 0)
		copy_name(model->backing, sizeof(model->backing), value);
	else if (strcmp(key, "backing_format") == 0)
		copy_name(model->backing_format, sizeof(model->backing_format), value);
	else
		die("unknown image option '%s'", key);
}

static void
do_image(struct model *model, char *rest)
{
	char *word, *value;

	if (model->begun)
		die("'image' comes first");
	while ((word = next_word(&rest))) {
		value = strchr(word, '=');
		if (!value)
			die("'%s' is not KEY=VALUE", word);
		*value++ = '\0';
		image_option(model, word, value);
	}
}

/* ---- content ----------------------------------------------------------------------------- */

static void
one_data(struct model *model, uint64_t guest)
{
	model_data(model, guest, model->geom.sub_mask, 0);
}

static void
one_zero_alloc(struct model *model, uint64_t guest)
{
	model_data(model, guest, 0, model->geom.sub_mask);
}

static void
one_kept(struct model *model, uint64_t guest)
{
	model_data(model, guest, 0, 0);
}

/* N or N..M, any number of them. */
static void
each_cluster(struct model *model, char *rest, void (*one)(struct model *, uint64_t))
{
	char *word, *dots;

	while ((word = next_word(&rest))) {
		uint64_t first, last;

		dots = strstr(word, "..");
		if (dots)
			*dots = '\0';
		first = last = value_of(model, word);
		if (dots)
			last = value_of(model, dots + 2);
		for (; first <= last; first++)
			one(model, first);
	}
}

static void
do_data(struct model *model, char *rest)
{
	each_cluster(model, rest, one_data);
}

static void
do_zero(struct model *model, char *rest)
{
	each_cluster(model, rest, model_zero);
}

static void
do_zero_alloc(struct model *model, char *rest)
{
	each_cluster(model, rest, one_zero_alloc);
}

static void
do_kept(struct model *model, char *rest)
{
	each_cluster(model, rest, one_kept);
}

static void
do_compressed(struct model *model, char *rest)
{
	each_cluster(model, rest, model_compressed);
}

static void
do_subclusters(struct model *model, char *rest)
{
	const uint64_t guest = value_of(model, need_word(&rest, "the guest cluster"));
	const uint64_t alloc = value_of(model, need_word(&rest, "the allocation bits"));
	const uint64_t zero = value_of(model, need_word(&rest, "the zero bits"));

	model_data(model, guest, (uint32_t)alloc, (uint32_t)zero);
}

static void
do_share(struct model *model, char *rest)
{
	const uint64_t guest = value_of(model, need_word(&rest, "the guest cluster"));

	model_share(model, guest, value_of(model, need_word(&rest, "the one to share with")));
}

static void
do_share_table(struct model *model, char *rest)
{
	const uint64_t index = value_of(model, need_word(&rest, "the L1 index"));

	model_share_table(model, index, value_of(model, need_word(&rest, "the other L1 index")));
}

static void
do_snapshot(struct model *model, char *rest)
{
	const char *name = need_word(&rest, "the snapshot's name");
	const char *vm_state = next_word(&rest);

	model_snapshot(model, name, vm_state ? value_of(model, vm_state) : 0);
}

static void
do_bitmap(struct model *model, char *rest)
{
	const char *name = need_word(&rest, "the bitmap's name");
	const uint64_t granularity = value_of(model, need_word(&rest, "the granularity"));
	const char *flags = next_word(&rest);

	log2_of(granularity);
	model_bitmap(model, name, granularity, flags ? (uint32_t)value_of(model, flags) : 0);
}

static void
do_extension(struct model *model, char *rest)
{
	const uint64_t type = value_of(model, need_word(&rest, "the type"));
	uint8_t data[1024];
	uint32_t len = 0;
	char *word;

	while ((word = next_word(&rest))) {
		if (len == sizeof(data))
			die("too many bytes");
		data[len++] = (uint8_t)value_of(model, word);
	}
	model_extension(model, (uint32_t)type, data, len);
}

/* Clusters that nothing refers to. */
static void
do_leak(struct model *model, char *rest)
{
	model_alloc(model, value_of(model, need_word(&rest, "the number of clusters")), 1);
}

/* ---- damage ------------------------------------------------------------------------------ */

static void
do_set(struct model *model, char *rest)
{
	assignment(model, rest);
}

/* repeat N set FIELD = EXPRESSION, in which i counts from 0. */
static void
do_repeat(struct model *model, char *rest)
{
	const uint64_t rounds = value_of(model, need_word(&rest, "the number of rounds"));

	if (strcmp(need_word(&rest, "'set'"), "set") != 0)
		die("only 'set' can be repeated");
	for (model->round = 0; model->round < rounds; model->round++)
		assignment(model, rest);
}

/* bytes OFFSET BYTE...: what no field stands for. */
static void
do_bytes(struct model *model, char *rest)
{
	uint64_t at;
	char *word;

	model_finish(model);
	at = value_of(model, need_word(&rest, "the offset"));
	while ((word = next_word(&rest)))
		*model_at(model, at++, 1) = (uint8_t)value_of(model, word);
}

static void
do_size(struct model *model, char *rest)
{
	const char *text = rest;

	model_finish(model);
	model->file_size = expression(model, &text, model->file_size);
}

/* ---- lines ------------------------------------------------------------------------------- */

static void
do_nothing(struct model *model, char *rest)
{
	(void)model;
	(void)rest;
}

static const struct {
	const char *word;
	void (*run)(struct model *model, char *rest);
	bool content;
} statements[] = {
	{ "title", do_nothing, false },
	{ "image", do_image, false },
	{ "data", do_data, true },
	{ "zero", do_zero, true },
	{ "zero-alloc", do_zero_alloc, true },
	{ "kept", do_kept, true },
	{ "compressed", do_compressed, true },
	{ "subclusters", do_subclusters, true },
	{ "share", do_share, true },
	{ "share-table", do_share_table, true },
	{ "snapshot", do_snapshot, true },
	{ "bitmap", do_bitmap, true },
	{ "extension", do_extension, true },
	{ "leak", do_leak, true },
	{ "set", do_set, false },
	{ "repeat", do_repeat, false },
	{ "bytes", do_bytes, false },
	{ "file-size", do_size, false },
};

/* Words with a colon belong to whoever runs the spec: "check: exit 2". */
void
run_line(struct model *model, char *line)
{
	char *rest = line, *word;

	line[strcspn(line, "\n")] = '\0';
	word = next_word(&rest);
	if (!word || *word == '#' || word[strlen(word) - 1] == ':')
		return;
	for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]); i++) {
		if (strcmp(word, statements[i].word) != 0)
			continue;
		if (statements[i].content) {
			if (model->finished)
				die("'%s' comes before the damage", word);
			model_begin(model);
		}
		statements[i].run(model, rest);
		return;
	}
	die("'%s' is not a statement", word);
}
