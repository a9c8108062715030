#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# q2s-inspect at its edges: verbs, options, what it refuses, and that it changes nothing.
. "$Q2S_SRC/tests/cli/lib.sh"

q2s-create -q disk.qcow2 10M
q2s-create -q -u -b other.qcow2 -F qcow2 over.qcow2 10M
printf 'not an image' >plain

# --- verbs: the default is info, --help lists them all, each has its own help
q2s-inspect disk.qcow2 >short
q2s-inspect info disk.qcow2 >long
assert_same_bytes short long
expect_exit 0 q2s-inspect --help
for verb in info map dump hex safety diff; do
	expect_stdout "^  $verb "
	q2s-inspect $verb --help >help
	grep -q "^Usage: q2s-inspect $verb " help
	grep -q -- --output help
done
expect_exit 0 q2s-inspect --version
expect_stdout '^q2s-inspect [0-9]'
expect_exit 0 q2s-inspect --output=json disk.qcow2 # options before the file, without a verb
expect_stdout '"format": "qcow2"'

# --- usage errors: one line that names the wrong word and points to --help
# usage REGEX WORD...
usage() {
	local regex=$1

	shift
	expect_exit 1 q2s-inspect "$@"
	expect_stderr "^q2s-inspect: .*$regex.*; see q2s-inspect --help\$"
	assert_equal 1 "$(wc -l <stderr)" 'lines of a usage error'
	[ ! -s stdout ] || fail 'a usage error prints nothing on stdout'
}
usage 'a verb or a file is missing'
usage 'FILE is missing' map
usage "too many words: 'b'" info a b
usage "'xml'.*human or json" --output=xml disk.qcow2
usage "'all'.*none, beside or any" map --follow all disk.qcow2
usage "'vmdk'.*raw or qcow2" map -f vmdk disk.qcow2
usage "'12x'" map -s 12x disk.qcow2
usage "'-1'" map -l -1 disk.qcow2
usage 'unknown option -Q' info -Q disk.qcow2
usage 'option --bogus' dump --bogus disk.qcow2
usage "unknown section 'l3'" dump --only l1,l3 disk.qcow2
usage "'zz'" dump --guest zz+5 disk.qcow2
usage 'BEFORE or AFTER is missing' diff disk.qcow2
usage "--max 'x'" diff --max x disk.qcow2 disk.qcow2
usage 'needs an argument' dump disk.qcow2 --only

# --- what cannot be inspected
mkdir folder
for bad in nowhere folder; do # a fifo is waited for
	for verb in info map dump hex safety; do
		expect_exit 1 q2s-inspect $verb $bad
		expect_stderr "^q2s-inspect: $bad: "
	done
done
expect_exit 1 q2s-inspect dump plain
expect_stderr '^q2s-inspect: plain: magic at host offset 0x0: not a qcow2 file'
expect_exit 1 q2s-inspect map --raw-entries plain
expect_exit 0 q2s-inspect map plain
expect_exit 1 q2s-inspect $'esc\x1b[31m'
expect_stderr '^q2s-inspect: esc\\x1b\[31m: '

# --- no other file is opened unless it is allowed
expect_exit 0 q2s-inspect info over.qcow2
expect_exit 0 q2s-inspect info --backing-chain over.qcow2
expect_exit 0 q2s-inspect map over.qcow2
expect_exit 0 q2s-inspect dump over.qcow2
expect_exit 1 q2s-inspect map --follow beside over.qcow2
expect_stderr 'other.qcow2'
expect_exit 1 q2s-inspect info --follow any --backing-chain over.qcow2
q2s-create -q other.qcow2 5M
expect_exit 0 q2s-inspect map --follow beside over.qcow2
mkdir below
mv over.qcow2 below
q2s-create -q -u -b ../other.qcow2 -F qcow2 below/over.qcow2 10M --force
expect_exit 1 q2s-inspect map --follow beside below/over.qcow2
expect_stderr 'any would allow it'
expect_exit 0 q2s-inspect map --follow any below/over.qcow2

# --- loops end
q2s-create -q -u -b b.qcow2 -F qcow2 a.qcow2 1M
q2s-create -q -u -b a.qcow2 -F qcow2 b.qcow2 1M
expect_exit 1 q2s-inspect map --follow beside a.qcow2
expect_stderr 'already a layer of its own chain'
expect_exit 1 q2s-inspect info --backing-chain --follow beside a.qcow2

# --- output that cannot be written is a failure
for verb in info map dump hex safety; do
	for output in human json; do
		if q2s-inspect $verb --output=$output disk.qcow2 >/dev/full 2>stderr; then
			fail "$verb --output=$output to a full disk succeeds"
		fi
		grep -q 'standard output' stderr
	done
done

# --- the image stays as it is, also its times
touch -d '2001-02-03 04:05:06' disk.qcow2
before=$(sha256sum disk.qcow2; stat -c '%X %Y %Z' disk.qcow2)
chmod a-w disk.qcow2
before=$(sha256sum <disk.qcow2; stat -c '%Y %Z %s' disk.qcow2)
for verb in info map dump hex safety; do
	q2s-inspect $verb disk.qcow2 >out
done
assert_equal "$before" "$(sha256sum <disk.qcow2; stat -c '%Y %Z %s' disk.qcow2)" 'the image'
