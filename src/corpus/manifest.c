/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lines of the manifest: what an image is, how it was made, and what others must say about it. */
#include "corpus/manifest.h"

#include <stdlib.h>
#include <string.h>

#include "common/fault.h"
#include "common/json.h"
#include "corpus/digest.h"
#include "corpus/rules.h"

/* Of a larger disk no digest is made: it would take longer than all the others. */
#define DIGEST_LIMIT (256u << 20)

/* @failed: memory is short; found out at the end. */
struct line {
	json_t *object;
	bool failed;
};

static void
put(struct line *line, const char *key, json_t *value)
{
	line->failed |= json_object_set_new(line->object, key, value) != 0;
}

/* An object within; borrowed. */
static json_t *
put_object(struct line *line, const char *key)
{
	json_t *const object = json_object();

	put(line, key, object);
	return object;
}

static void
put_in(struct line *line, json_t *object, const char *key, json_t *value)
{
	line->failed |= json_object_set_new(object, key, value) != 0;
}

static struct line
begin(const char *file, bool legal, const char *kind)
{
	struct line line = { .object = json_object() };

	line.failed = !line.object;
	put(&line, "file", text_json(file));
	put(&line, "legal", json_boolean(legal));
	put(&line, "kind", text_json(kind));
	return line;
}

static enum q2s_err
finish(struct line *line, FILE *out, enum q2s_err err, struct q2s_diag *diag)
{
	if (err == Q2S_OK && line->failed)
		err = fault_nomem(diag, "manifest");
	if (err == Q2S_OK && (json_dumpf(line->object, out, 0) != 0 || fputc('\n', out) == EOF))
		err = fault_errno(diag, "manifest", "cannot be written");
	json_decref(line->object);
	return err;
}

/* ---- digests ----------------------------------------------------------------------------- */

/* What a reader must find, as a check of our own reading: the disk through the finished image. */
static enum q2s_err
digest_image(const char *path, const char *snapshot, char out[DIGEST_TEXT], struct q2s_diag *diag)
{
	const struct q2s_disk_qcow2_options options = { .size = sizeof(options),
							.follow = Q2S_FOLLOW_BESIDE,
							.snapshot = snapshot };
	struct q2s_store *file = NULL;
	struct q2s_disk *disk = NULL;
	enum q2s_err err = q2s_store_open(path, &file, diag);

	if (err == Q2S_OK)
		err = q2s_disk_qcow2(file, &options, &disk, diag);
	if (err == Q2S_OK)
		err = digest_disk(disk, out, diag);
	q2s_disk_close(disk);
	q2s_store_unref(file);
	return err;
}

static enum q2s_err
put_snapshots(struct line *line, const char *path, uint32_t count, struct q2s_diag *diag)
{
	json_t *const object = count ? put_object(line, "snapshots") : NULL;
	enum q2s_err err = Q2S_OK;

	for (uint32_t i = 1; i <= count && err == Q2S_OK; i++) {
		char id[16], digest[DIGEST_TEXT];

		snprintf(id, sizeof(id), "%u", i);
		err = digest_image(path, id, digest, diag);
		put_in(line, object, id, text_json(digest));
	}
	return err;
}

static enum q2s_err
put_digests(struct line *line, const char *path, uint32_t snapshots, struct q2s_diag *diag)
{
	char digest[DIGEST_TEXT];
	const enum q2s_err err = digest_image(path, NULL, digest, diag);

	put(line, "sha256", text_json(digest));
	return err == Q2S_OK ? put_snapshots(line, path, snapshots, diag) : err;
}

/* @snapshots: how many there are, with IDs from 1 on */
static enum q2s_err
put_content(struct line *line, const char *folder, const char *file, uint64_t size,
	    uint32_t snapshots, struct q2s_diag *diag)
{
	char *path;
	enum q2s_err err;

	if (!digest_is_there() || size > DIGEST_LIMIT)
		return Q2S_OK;
	if (asprintf(&path, "%s/%s", folder, file) < 0)
		return fault_nomem(diag, "manifest");
	err = put_digests(line, path, snapshots, diag);
	free(path);
	return err;
}

/* The size of the disk, as the header of a finished image says. */
static enum q2s_err
virtual_size(const char *folder, const char *file, uint64_t *out, struct q2s_diag *diag)
{
	struct q2s_store *store = NULL;
	struct q2s_image *image = NULL;
	enum q2s_err err;
	char *path;

	if (asprintf(&path, "%s/%s", folder, file) < 0)
		return fault_nomem(diag, "manifest");
	err = q2s_store_open(path, &store, diag);
	if (err == Q2S_OK)
		err = q2s_image_open(store, 0, &image, diag);
	if (err == Q2S_OK)
		*out = q2s_image_geom(image)->size;
	q2s_image_close(image);
	q2s_store_unref(store);
	free(path);
	return err;
}

/* ---- from a command ---------------------------------------------------------------------- */

/* As a person would type it; no word of a corpus needs quotes. */
static json_t *
command_of(char *const *argv)
{
	size_t len = 0;
	char *text = NULL;
	FILE *const out = open_memstream(&text, &len);
	json_t *value;

	if (!out)
		return NULL;
	for (size_t i = 0; argv[i]; i++)
		fprintf(out, "%s%s", i ? " " : "", argv[i]);
	value = fclose(out) == 0 ? text_json(text) : NULL;
	free(text);
	return value;
}

enum q2s_err
manifest_command(FILE *out, const char *folder, const char *file, const char *kind,
		 char *const *argv, struct q2s_diag *diag)
{
	struct line line = begin(file, true, kind);
	uint64_t size = 0;
	json_t *object;
	enum q2s_err err = virtual_size(folder, file, &size, diag);

	put(&line, "command", command_of(argv));
	put(&line, "virtual-size", u64_json(size));
	if (err == Q2S_OK)
		err = put_content(&line, folder, file, size, 0, diag);
	object = put_object(&line, "check");
	put_in(&line, object, "exit", u64_json(0));
	put_in(&line, object, "findings", json_object());
	object = put_object(&line, "qemu-img");
	put_in(&line, object, "opens", json_true());
	put_in(&line, object, "check-exit", u64_json(0));
	return finish(&line, out, err, diag);
}

/* ---- from a spec ------------------------------------------------------------------------- */

/* Copy what is behind these words of the spec; false when it has no such line. */
static bool
word_of(const struct test_image_spec *spec, const char *words, char *out, size_t size)
{
	const char *text = spec->text, *rest;
	size_t len;

	out[0] = '\0';
	if (!test_image_line(&text, words, &rest, &len))
		return false;
	snprintf(out, size, "%.*s", (int)len, rest);
	return true;
}

/* The lines that make the image: all but comments, and what is expected of it. */
static json_t *
lines_of(const struct test_image_spec *spec)
{
	json_t *const array = json_array();
	bool failed = !array;

	for (const char *line = spec->text; *line;) {
		const size_t len = strcspn(line, "\n"), word = strcspn(line, " \n");

		if (len && *line != '#' && line[word - 1] != ':' && strncmp(line, "title", 5) != 0)
			failed |= json_array_append_new(array, utf8_json(line, len)) != 0;
		line += len + (line[len] == '\n');
	}
	if (!failed)
		return array;
	json_decref(array);
	return NULL;
}

/* "ID xN" lines as { ID: N }. */
static json_t *
findings_of(const struct test_image_spec *spec)
{
	json_t *const object = json_object();
	const char *text = spec->text, *rest;
	bool failed = !object;
	size_t len;

	while (test_image_line(&text, "check: finds", &rest, &len)) {
		const size_t id = strcspn(rest, " \n");
		char key[64];

		snprintf(key, sizeof(key), "%.*s", (int)id, rest);
		failed |= json_object_set_new(
				  object, key,
				  u64_json(id < len ? strtoull(rest + id + 2, NULL, 10) : 1)) != 0;
	}
	if (!failed)
		return object;
	json_decref(object);
	return NULL;
}

static enum q2s_err
put_rule(struct line *line, const struct test_image_facts *facts, struct q2s_diag *diag)
{
	struct test_image_rule rule;
	json_t *object;

	if (!facts->rule)
		return Q2S_OK;
	if (!test_image_rule(facts->rule, &rule))
		return fault(diag, Q2S_E_USAGE, "spec", "no rule is called '%s'", facts->rule);
	object = put_object(line, "breaks");
	put_in(line, object, "rule", text_json(facts->rule));
	put_in(line, object, "structure", text_json(rule.structure));
	put_in(line, object, "offset", u64_json(facts->broken_at));
	put_in(line, object, "section", text_json(rule.section));
	put_in(line, object, "text", text_json(rule.text));
	return Q2S_OK;
}

static void
put_check(struct line *line, const struct test_image_spec *spec)
{
	json_t *const object = put_object(line, "check");
	char text[256];

	if (word_of(spec, "check: option", text, sizeof(text)))
		put_in(line, object, "options", text_json(text));
	word_of(spec, "check: exit", text, sizeof(text));
	put_in(line, object, "exit", u64_json(strtoull(text, NULL, 10)));
	put_in(line, object, "findings", findings_of(spec));
}

static void
put_qemu(struct line *line, const struct test_image_spec *spec)
{
	json_t *const object = put_object(line, "qemu-img");
	char text[256];

	put_in(line, object, "opens",
	       json_boolean(!word_of(spec, "qemu: refuses", text, sizeof(text))));
	if (!word_of(spec, "qemu: exit", text, sizeof(text)))
		word_of(spec, "check: exit", text, sizeof(text));
	put_in(line, object, "check-exit", u64_json(strtoull(text, NULL, 10)));
	if (word_of(spec, "qemu: differs", text, sizeof(text)))
		put_in(line, object, "differs", text_json(text));
}

enum q2s_err
manifest_test_image(FILE *out, const char *folder, const char *file,
		    const struct test_image_spec *spec, const struct test_image_facts *facts, struct q2s_diag *diag)
{
	struct line line = begin(file, !facts->rule, spec->name);
	enum q2s_err err = Q2S_OK;

	put(&line, "title", text_json(facts->title));
	put(&line, "spec", lines_of(spec));
	put(&line, "virtual-size", u64_json(facts->size));
	if (!facts->rule)
		err = put_content(&line, folder, file, facts->size, facts->snapshots, diag);
	if (err == Q2S_OK)
		err = put_rule(&line, facts, diag);
	put_check(&line, spec);
	put_qemu(&line, spec);
	return finish(&line, out, err, diag);
}
