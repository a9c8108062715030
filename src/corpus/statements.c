/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The statements of the spec language, one function each. */
#include <string.h>

#include "damage.h"

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

/* The next word as a number; @what says what is missing if there is none. */
static enum q2s_err
take_value(struct model *model, char **text, const char *what, uint64_t *out)
{
	const char *word = next_word(text);
	enum q2s_err err;

	if (!word)
		return model_fail(model, "%s is missing", what);
	err = expression(model, &word, 0, out);
	if (err == Q2S_OK && *word)
		err = model_fail(model, "'%.64s' behind a number", word);
	return err;
}

/* The same where the word may be left out. */
static enum q2s_err
take_value_or(struct model *model, char **text, uint64_t otherwise, uint64_t *out)
{
	*out = otherwise;
	*text += strspn(*text, " \t");
	return **text ? take_value(model, text, "a number", out) : Q2S_OK;
}

static enum q2s_err
take_name(struct model *model, char **text, const char *what, const char **out)
{
	*out = next_word(text);
	return *out ? Q2S_OK : model_fail(model, "%s is missing", what);
}

static enum q2s_err
copy_name(struct model *model, char *out, size_t size, const char *name)
{
	if (strlen(name) >= size)
		return model_fail(model, "'%.64s' is too long", name);
	strcpy(out, name);
	return Q2S_OK;
}

static enum q2s_err
log2_of(struct model *model, uint64_t value, unsigned *out)
{
	if (value == 0 || value & (value - 1))
		return model_fail(model, "%llu is not a power of two", (unsigned long long)value);
	*out = (unsigned)__builtin_ctzll(value);
	return Q2S_OK;
}

/* ---- image KEY=VALUE... ------------------------------------------------------------------ */

/* Keys whose value is a word. */
static bool
word_option(struct model *model, const char *key, const char *value)
{
	const bool on = strcmp(value, "on") == 0;

	if (strcmp(key, "extended_l2") == 0)
		model->params.extended = on;
	else if (strcmp(key, "compression") == 0)
		model->compression = strcmp(value, "zstd") == 0;
	else if (strcmp(key, "luks") == 0)
		model->luks = on;
	else if (strcmp(key, "data_file") == 0)
		copy_name(model, model->data_file, sizeof(model->data_file), value);
	else if (strcmp(key, "data_file_raw") == 0)
		model->data_file_raw = on;
	else if (strcmp(key, "backing_file") == 0)
		copy_name(model, model->backing, sizeof(model->backing), value);
	else if (strcmp(key, "backing_format") == 0)
		copy_name(model, model->backing_format, sizeof(model->backing_format), value);
	else
		return false;
	return true;
}

/* Keys whose value is a number. */
static enum q2s_err
number_option(struct model *model, const char *key, char *value)
{
	uint64_t number;

	if (take_value(model, &value, key, &number) != Q2S_OK)
		return model->diag.err;
	if (strcmp(key, "version") == 0)
		model->params.version = (uint32_t)number;
	else if (strcmp(key, "cluster_size") == 0)
		return log2_of(model, number, &model->params.cluster_bits);
	else if (strcmp(key, "size") == 0)
		model->params.size = number;
	else if (strcmp(key, "refcount_bits") == 0)
		return log2_of(model, number, &model->params.refcount_order);
	else if (strcmp(key, "header_length") == 0)
		model->header_length = (uint32_t)number;
	else if (strcmp(key, "l1_size") == 0)
		model->l1_entries = (uint32_t)number;
	else if (strcmp(key, "refcount_table_clusters") == 0)
		model->reftable_clusters = (uint32_t)number;
	else
		return model_fail(model, "unknown image option '%.64s'", key);
	return Q2S_OK;
}

static enum q2s_err
do_image(struct model *model, char *rest)
{
	char *word, *value;

	if (model->begun)
		return model_fail(model, "'image' comes first");
	while ((word = next_word(&rest))) {
		value = strchr(word, '=');
		if (!value)
			return model_fail(model, "'%.64s' is not KEY=VALUE", word);
		*value++ = '\0';
		if (!word_option(model, word, value))
			number_option(model, word, value);
		if (model->diag.err != Q2S_OK)
			return model->diag.err;
	}
	return Q2S_OK;
}

/* at CLUSTER, at end: where what comes next lies. Before all else: where the tables begin. */
static enum q2s_err
do_at(struct model *model, char *rest)
{
	model->stream_at = 0;
	rest += strspn(rest, " \t");
	if (strcmp(rest, "end") != 0)
		return take_value(model, &rest, "the host cluster", &model->next);
	model->next = model->clusters;
	return Q2S_OK;
}

/* ---- content ----------------------------------------------------------------------------- */

static enum q2s_err
one_data(struct model *model, uint64_t guest)
{
	return model_data(model, guest, model->geom.sub_mask, 0);
}

static enum q2s_err
one_zero_alloc(struct model *model, uint64_t guest)
{
	return model_data(model, guest, 0, model->geom.sub_mask);
}

static enum q2s_err
one_kept(struct model *model, uint64_t guest)
{
	return model_data(model, guest, 0, 0);
}

/* N or N..M, any number of them. */
static enum q2s_err
each_cluster(struct model *model, char *rest, enum q2s_err (*one)(struct model *, uint64_t))
{
	enum q2s_err err = Q2S_OK;
	char *word;

	while (err == Q2S_OK && (word = next_word(&rest))) {
		char *dots = strstr(word, "..");
		uint64_t first, last;

		if (dots)
			*dots = '\0';
		err = take_value(model, &word, "a guest cluster", &first);
		last = first;
		if (err == Q2S_OK && dots) {
			dots += 2;
			err = take_value(model, &dots, "the last guest cluster", &last);
		}
		for (; err == Q2S_OK && first <= last; first++)
			err = one(model, first);
	}
	return err;
}

static enum q2s_err
do_data(struct model *model, char *rest)
{
	return each_cluster(model, rest, one_data);
}

static enum q2s_err
do_zero(struct model *model, char *rest)
{
	return each_cluster(model, rest, model_zero);
}

static enum q2s_err
do_zero_alloc(struct model *model, char *rest)
{
	return each_cluster(model, rest, one_zero_alloc);
}

static enum q2s_err
do_kept(struct model *model, char *rest)
{
	return each_cluster(model, rest, one_kept);
}

static enum q2s_err
do_compressed(struct model *model, char *rest)
{
	return each_cluster(model, rest, model_compressed);
}

static enum q2s_err
do_subclusters(struct model *model, char *rest)
{
	uint64_t guest, alloc, zero;
	enum q2s_err err = take_value(model, &rest, "the guest cluster", &guest);

	if (err == Q2S_OK)
		err = take_value(model, &rest, "the bits of allocated subclusters", &alloc);
	if (err == Q2S_OK)
		err = take_value(model, &rest, "the bits of zero subclusters", &zero);
	return err == Q2S_OK ? model_data(model, guest, (uint32_t)alloc, (uint32_t)zero) : err;
}

static enum q2s_err
do_share(struct model *model, char *rest)
{
	uint64_t guest, other;
	enum q2s_err err = take_value(model, &rest, "the guest cluster", &guest);

	if (err == Q2S_OK)
		err = take_value(model, &rest, "the one to share with", &other);
	return err == Q2S_OK ? model_share(model, guest, other) : err;
}

static enum q2s_err
do_share_table(struct model *model, char *rest)
{
	uint64_t index, other;
	enum q2s_err err = take_value(model, &rest, "the L1 index", &index);

	if (err == Q2S_OK)
		err = take_value(model, &rest, "the other L1 index", &other);
	return err == Q2S_OK ? model_share_table(model, index, other) : err;
}

static enum q2s_err
do_snapshot(struct model *model, char *rest)
{
	uint64_t vm_state;
	const char *name;
	enum q2s_err err = take_name(model, &rest, "the snapshot's name", &name);

	if (err == Q2S_OK)
		err = take_value_or(model, &rest, 0, &vm_state);
	return err == Q2S_OK ? model_snapshot(model, name, vm_state) : err;
}

/* bitmap NAME GRANULARITY [FLAGS [zeros|ones]] */
static enum q2s_err
do_bitmap(struct model *model, char *rest)
{
	enum model_bits bits = MODEL_BITS_DATA;
	uint64_t granularity, flags = 0;
	const char *name, *word = NULL;
	unsigned log;
	enum q2s_err err = take_name(model, &rest, "the bitmap's name", &name);

	if (err == Q2S_OK)
		err = take_value(model, &rest, "the granularity", &granularity);
	if (err == Q2S_OK)
		err = log2_of(model, granularity, &log);
	if (err == Q2S_OK)
		err = take_value_or(model, &rest, 0, &flags);
	if (err == Q2S_OK)
		word = next_word(&rest);
	if (word && strcmp(word, "zeros") == 0)
		bits = MODEL_BITS_ZEROS;
	else if (word && strcmp(word, "ones") == 0)
		bits = MODEL_BITS_ONES;
	else if (word)
		err = model_fail(model, "'%.64s' is neither zeros nor ones", word);
	return err == Q2S_OK ? model_bitmap(model, name, granularity, (uint32_t)flags, bits) : err;
}

static enum q2s_err
do_extension(struct model *model, char *rest)
{
	uint64_t type, byte;
	uint8_t data[1024];
	uint32_t len = 0;
	enum q2s_err err = take_value(model, &rest, "the type", &type);
	char *word;

	while (err == Q2S_OK && (word = next_word(&rest))) {
		if (len == sizeof(data))
			return model_fail(model, "too many bytes");
		err = take_value(model, &word, "a byte", &byte);
		data[len++] = (uint8_t)byte;
	}
	return err == Q2S_OK ? model_extension(model, (uint32_t)type, data, len) : err;
}

/* Clusters that nothing refers to. */
static enum q2s_err
do_leak(struct model *model, char *rest)
{
	uint64_t count;

	if (take_value(model, &rest, "the number of clusters", &count) == Q2S_OK)
		model_alloc(model, count, 1);
	return model->diag.err;
}

static enum q2s_err
do_title(struct model *model, char *rest)
{
	rest += strspn(rest, " \t");
	return copy_name(model, model->title, sizeof(model->title), rest);
}

/* ---- lines ------------------------------------------------------------------------------- */

static const struct {
	const char *word;
	enum q2s_err (*run)(struct model *model, char *rest);
	bool content;
} statements[] = {
	{ "title", do_title, false },
	{ "image", do_image, false },
	{ "at", do_at, false },
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
	{ "breaks", do_breaks, false },
	{ "set", do_set, false },
	{ "repeat", do_repeat, false },
	{ "bytes", do_bytes, false },
	{ "file-size", do_size, false },
};

/* Words with a colon belong to whoever runs the spec: "check: exit 2". */
enum q2s_err
run_line(struct model *model, char *line)
{
	char *rest = line, *word = next_word(&rest);

	if (!word || *word == '#' || word[strlen(word) - 1] == ':')
		return Q2S_OK;
	for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]); i++) {
		if (strcmp(word, statements[i].word) != 0)
			continue;
		if (statements[i].content) {
			if (model->finished)
				return model_fail(model, "'%s' comes before the damage", word);
			if (model_begin(model) != Q2S_OK)
				return model->diag.err;
		}
		return statements[i].run(model, rest);
	}
	return model_fail(model, "'%.64s' is not a statement", word);
}
