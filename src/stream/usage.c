/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stream/usage.h"

#include <stdio.h>

#include "common/tool.h"
#include "stream/foreign.h"

static const char text[] =
	"Usage: q2s-stream [OPTION]... SOURCE [DEST]\n"
	"       q2s-stream --compare [OPTION]... A B\n"
	"Write the disk in SOURCE as a complete qcow2 image to DEST, or to standard output.\n"
	"SOURCE is a file, a block device, - for standard input, or an NBD URI.\n"
	"\n"
	"  -f, --format FMT         format of SOURCE: raw or qcow2 (default: found out; then no\n"
	"                           other file is opened); or what qemu-storage-daemon reads:\n"
	"                           " FOREIGN_FORMATS "\n"
	"  -O, --output-format FMT  qcow2 (default) or raw\n"
	"  -o KEY=VALUE[,...]       options of the new image; -o help lists them\n"
	"  -c, --cluster-size N     short for -o cluster_size=N\n"
	"  -r, --refcount-bits N    short for -o refcount_bits=N\n"
	"  -d, --data-file          the new image uses SOURCE as its external data file\n"
	"  -R, --data-file-raw      as -d, and SOURCE must stay a valid raw image\n"
	"  -b, --diff BASE          only what differs from BASE, which is the backing file\n"
	"      --backing-name NAME  what the new image calls BASE (default: how it is found from\n"
	"                           the folder of DEST)\n"
	"  -z, --compress[=TYPE[:LEVEL]]  compressed clusters: zlib or zstd\n"
	"      --dedup              store clusters that are the same once\n"
	"      --spool DIR|none     where compressed data, or what comes through a pipe, waits when\n"
	"                           it outgrows its memory (default: TMPDIR); none: compress twice\n"
	"      --range OFF:LEN      write only these bytes of the output\n"
	"      --resume N           write the output from byte N on\n"
	"      --part K/N           write the K-th of N parts of the output\n"
	"      --save-plan FILE     keep the plan in FILE\n"
	"      --plan FILE          use a kept plan instead of looking at the source\n"
	"  -s, --snapshot ID|NAME   read an internal snapshot of SOURCE\n"
	"      --key-file FILE      all of FILE is the passphrase of what is encrypted in SOURCE, in\n"
	"                           the images below it, and in BASE or B\n"
	"      --size N             bytes of raw data on standard input: more or fewer are an error\n"
	"      --follow POLICY      which other files an image may refer to: none, beside, any\n"
	"                           (default: beside with -f, none without)\n"
	"      --extents FILE       the JSON of qemu-img map for SOURCE: look at what it calls data,\n"
	"                           and believe that the rest is zero\n"
	"      --trust-holes        data is data: do not read it to look for zeros\n"
	"  -j, --threads N          threads that look, decode and compress (default: all\n"
	"                           processors)\n"
	"      --measure            print how long the output will be, and write nothing\n"
	"      --compare            compare what A and B show: exit 0 same, 2 differ\n"
	"  -F, --backing-format FMT format of BASE (needed with -b), or of B, as -f is of A\n"
	"      --output FMT         human (default) or json, for --measure and --compare\n"
	"      --digest ALG         print the digest of what was written, on stderr\n"
	"      --limit-rate N       write N bytes a second at most\n"
	"      --size-fd N          write the length to descriptor N before anything else\n"
	"  -p, --progress[=MODE]    bar, json or none (default: a bar when stderr is a terminal)\n"
	"      --help               print this\n"
	"      --version            print the version and what is built in\n"
	"\n"
	"SIGUSR1 prints one line of progress at any time.\n";

int
usage_print(void)
{
	(void)fputs(text, stdout);
	return tool_finish(0);
}
