/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line of q2s-create. */
#include "create/options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "common/guard.h"
#include "common/tool.h"
#include "common/words.h"

static const char usage[] =
	"Usage: q2s-create [OPTION]... FILE [SIZE]\n"
	"       q2s-create [-q] --corpus=DIR\n"
	"Create a qcow2 image of SIZE bytes, empty but for what is written into it.\n"
	"\n"
	"  -o KEY=VALUE[,KEY=VALUE]...   creation options; -o help lists them\n"
	"  -b, --backing=FILE            what unallocated clusters show; sets the default of SIZE\n"
	"  -F, -B, --backing-format=FMT  its format; must be given with -b\n"
	"  -u, --unsafe                  do not open the backing file\n"
	"  -f, --format=qcow2            accepted, as qemu-img create has it: nothing else is made\n"
	"  -w, --write=SPEC              fill the image; SPEC is KIND@OFFSET+LENGTH[:ARG],...\n"
	"      --write-file=FILE         read SPECs from FILE, one a line\n"
	"      --bitmap=NAME[:GRANULARITY]  an empty persistent bitmap; may be repeated\n"
	"      --key-file=FILE           all of FILE is the passphrase, for -o encrypt.format=luks\n"
	"      --corpus=DIR              make a folder of test images, as q2s-corpus does\n"
	"      --force                   replace FILE (and a data file) if it exists\n"
	"  -q, --quiet                   print nothing when all is well\n"
	"      --help                    print this and exit\n"
	"      --version                 print version and libraries and exit\n"
	"\n"
	"KIND is data, zero, discard (unallocated), zero-alloc (zeros, preallocated) or compressed.\n"
	"ARG is a seed for the data, or a byte 0xNN. A later SPEC overrides an earlier one.\n"
	"SIZE takes b, k, M, G, T, P or E (powers of 1024), and is rounded up to 512 bytes.\n"
	"An existing FILE, or data file, is kept unless --force is given; what was there before stays\n"
	"until the new image is complete.\n";

enum { OPTION_FORCE = 256, OPTION_WRITE_FILE, OPTION_CORPUS, OPTION_KEY_FILE, OPTION_OBJECT,
       OPTION_BITMAP, OPTION_HELP, OPTION_VERSION };

static const char short_options[] = ":o:b:B:F:f:uqw:";
static const struct option long_options[] = {
	{ "format", required_argument, NULL, 'f' },
	{ "options", required_argument, NULL, 'o' },
	{ "backing", required_argument, NULL, 'b' },
	{ "backing-format", required_argument, NULL, 'F' },
	{ "unsafe", no_argument, NULL, 'u' },
	{ "backing-unsafe", no_argument, NULL, 'u' },
	{ "write", required_argument, NULL, 'w' },
	{ "write-file", required_argument, NULL, OPTION_WRITE_FILE },
	{ "bitmap", required_argument, NULL, OPTION_BITMAP },
	{ "corpus", required_argument, NULL, OPTION_CORPUS },
	{ "key-file", required_argument, NULL, OPTION_KEY_FILE },
	{ "object", required_argument, NULL, OPTION_OBJECT },
	{ "force", no_argument, NULL, OPTION_FORCE },
	{ "quiet", no_argument, NULL, 'q' },
	{ "help", no_argument, NULL, OPTION_HELP },
	{ "version", no_argument, NULL, OPTION_VERSION },
	{ 0 },
};

/* What the command line says before the creation options are put together. */
struct words {
	struct keyval_list list;
	const char *backing;
	const char *backing_format;
	bool asks_help;
	bool asks_version;
};

static int
finish_print(const char *text)
{
	fputs(text, stdout);
	return tool_finish(0);
}

static int
take_format(const char *word)
{
	if (strcmp(word, "qcow2") == 0)
		return OPTIONS_GO;
	return tool_usage_error("-f '%s': only qcow2 images are made here%s", word,
				strcmp(word, "raw") == 0 ? "; truncate -s SIZE FILE makes a raw disk" :
							   "");
}

/* One option; OPTIONS_GO unless it is wrong. */
static int
take_option(struct create_options *out, struct words *words, int got, char **argv)
{
	struct q2s_diag diag = { 0 };

	switch (got) {
	case 'o':
		if (keyval_add(&words->list, optarg, &diag) != Q2S_OK)
			return tool_usage_fail(&diag);
		break;
	case 'b':
		words->backing = optarg;
		break;
	case 'B': /* QEMU's letter since 10.1 */
	case 'F':
		words->backing_format = optarg;
		break;
	case 'f':
		return take_format(optarg);
	case 'u':
		out->unsafe = true;
		break;
	case 'q':
		out->quiet = true;
		break;
	case 'w':
		if (spec_add(&out->writes, optarg, &diag) != Q2S_OK)
			return tool_usage_fail(&diag);
		break;
	case OPTION_WRITE_FILE:
		if (guard_read_path(optarg, &diag) != Q2S_OK ||
		    spec_add_file(&out->writes, optarg, &diag) != Q2S_OK)
			return diag.err == Q2S_E_USAGE ? tool_usage_fail(&diag)
						       : tool_fail(optarg, &diag);
		break;
	case OPTION_BITMAP:
		if (bitmap_options_add(&out->bitmaps, optarg, &diag) != Q2S_OK)
			return tool_usage_fail(&diag);
		break;
	case OPTION_CORPUS:
		out->corpus = optarg;
		break;
	case OPTION_KEY_FILE:
		out->key_file = optarg;
		break;
	case OPTION_OBJECT:
		return tool_usage_error("--object: there are no secret objects here; --key-file "
					"names the file with the passphrase");
	case OPTION_FORCE:
		out->force = true;
		break;
	case OPTION_HELP:
		words->asks_help = true;
		break;
	case OPTION_VERSION:
		words->asks_version = true;
		break;
	default:
		return tool_option_error(argv, got, long_options);
	}
	return OPTIONS_GO;
}

/* FILE and SIZE. */
static int
take_operands(struct create_options *out, char **operands, int count)
{
	struct q2s_diag diag = { 0 };

	if (count == 0)
		return tool_usage_error("FILE is missing");
	out->file = operands[0];
	if (*out->file == '\0')
		return tool_usage_error("FILE is empty");
	if (strcmp(out->file, "-") == 0)
		return tool_usage_error("'-' is not taken as standard output; ./- is a file of "
					"that name");
	if (count > 1 && words_qemu_verb(out->file) && words_no_file(out->file))
		return tool_usage_error("'%s' is a verb of qemu-img, and there are none here: %s",
					out->file, words_qemu_verb(out->file));
	if (count == 1)
		return OPTIONS_GO;
	if (count > 2)
		return tool_usage_error("unexpected '%s' after SIZE", operands[2]);
	if (out->image.has_size)
		return tool_usage_error("the size is given twice: SIZE '%s' and -o size",
					operands[1]);
	if (image_options_set(&out->image, IMAGE_OPTIONS_CREATE, "size", operands[1], &diag))
		return tool_usage_fail(&diag);
	return OPTIONS_GO;
}

/* -o first, so that -b and -F win as they do in qemu-img. */
static enum q2s_err
put_together(struct image_options *image, const struct words *words, struct q2s_diag *diag)
{
	enum q2s_err err = image_options_apply(image, IMAGE_OPTIONS_CREATE, &words->list, diag);

	if (err == Q2S_OK && words->backing)
		err = image_options_set(image, IMAGE_OPTIONS_CREATE, "backing_file", words->backing,
					diag);
	if (err == Q2S_OK && words->backing_format)
		err = image_options_set(image, IMAGE_OPTIONS_CREATE, "backing_fmt",
					words->backing_format, diag);
	return err;
}

/* --corpus leaves nothing to be said about single images. */
static int
check_corpus(const struct create_options *out, const struct words *words, char **operands)
{
	if (*operands)
		return tool_usage_error("unexpected '%s' with --corpus", *operands);
	if (words->list.count || words->backing || words->backing_format || out->unsafe ||
	    out->writes.count || out->force || out->key_file || out->bitmaps.count)
		return tool_usage_error("--corpus takes no option but --quiet");
	if (*out->corpus == '\0')
		return tool_usage_error("the folder of --corpus has no name");
	return OPTIONS_GO;
}

static int
parse(struct create_options *out, struct words *words, int argc, char **argv)
{
	struct q2s_diag diag = { 0 };
	int got;

	while ((got = getopt_long(argc, argv, short_options, long_options, NULL)) != -1) {
		const int status = take_option(out, words, got, argv);

		if (status != OPTIONS_GO)
			return status;
	}
	if (words->asks_help)
		return finish_print(usage);
	if (words->asks_version)
		return tool_version();
	if (words->list.help) {
		image_options_help(stdout, IMAGE_OPTIONS_CREATE);
		return tool_finish(0);
	}
	if (out->corpus)
		return check_corpus(out, words, argv + optind);
	if (put_together(&out->image, words, &diag) != Q2S_OK)
		return tool_usage_fail(&diag);
	return take_operands(out, argv + optind, argc - optind);
}

int
options_parse(struct create_options *out, int argc, char **argv)
{
	struct words words = { 0 };
	int status;

	*out = (struct create_options){ 0 };
	image_options_init(&out->image);
	status = parse(out, &words, argc, argv);
	keyval_free(&words.list);
	return status;
}

void
options_free(struct create_options *options)
{
	image_options_free(&options->image);
	bitmap_options_free(&options->bitmaps);
	spec_free(&options->writes);
}
