#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A mistyped verb, type, key or word is named as such, with what is known and what is nearest; and of
# two words that say the same the last one counts.
. "$Q2S_SRC/tests/cli/lib.sh"

# usage REGEX CMD...: one line that names the wrong word and points to --help; nothing is made.
usage() {
	local regex=$1

	shift
	expect_exit 1 "$@"
	expect_stderr "^$1: .*$regex.*; see $1 --help\$"
	assert_equal 1 "$(wc -l <stderr)" 'lines of a usage error'
	[ ! -s stdout ] || fail 'a usage error prints nothing on stdout'
}

truncate -s 1M disk.raw
q2s-create -q disk.qcow2 1M

# --- verbs
known='info, map, check, dump, explain, hex, safety, report'
usage "'expalin'.* verbs? .*$known.*did you mean 'explain'" q2s-inspect expalin 0 disk.qcow2
usage "'snapshot' is a verb of qemu-img.*$known" q2s-inspect snapshot disk.qcow2
usage "'convert' is a verb of qemu-img.*q2s-stream SOURCE DEST" q2s-inspect convert a b
usage "'chekc'.*did you mean 'check'" q2s-inspect chekc disk.qcow2
usage "'convert' is a verb of qemu-img.*q2s-stream SOURCE DEST" \
	q2s-stream convert -O qcow2 disk.raw new.qcow2
usage "'info' is a verb of qemu-img.*q2s-inspect info" q2s-stream info disk.qcow2
usage "'create' is a verb of qemu-img" q2s-create create -f qcow2 new.qcow2 1M

# A file may have the name of a verb, and a verb may stand behind options.
cp disk.qcow2 convert
expect_exit 0 q2s-inspect convert
q2s-stream convert - >new
cp disk.qcow2 check
q2s-inspect ./check >long
q2s-inspect --output=json info disk.qcow2 >before
q2s-inspect info --output=json disk.qcow2 >behind
assert_same_bytes before behind
q2s-inspect --output json check disk.qcow2 >before
grep -q '"check-errors": 0' before

# --- the type of compression
for word in lzma gzip 9 zst:3; do
	usage "--compress: '$word' is not zlib or zstd" q2s-stream -z "$word" disk.raw new.qcow2
	usage "--compress: '$word' is not zlib or zstd" q2s-stream -z "$word" disk.raw
	usage "--compress: '$word' is not zlib or zstd" q2s-stream disk.raw -z "$word"
	usage "--compress: '$word' is not zlib or zstd" q2s-stream disk.raw new.qcow2 -z "$word"
	usage "--compress: '$word' is not zlib or zstd" q2s-stream disk.raw new.qcow2 --compress="$word"
	if [ -e new.qcow2 ] || [ -e "$word" ]; then fail "something was made of -z $word"; fi
done
usage "did you mean 'zstd'" q2s-stream -z zst disk.raw new.qcow2
q2s-stream disk.raw -z new.qcow2
q2s-stream -z disk.raw again.qcow2
assert_same_bytes new.qcow2 again.qcow2
cp disk.raw gzip
q2s-stream -z gzip again.qcow2
assert_same_bytes new.qcow2 again.qcow2

# --- words that an option takes, and keys
usage "'besides'.*none, beside, any.*did you mean 'beside'" \
	q2s-stream --follow besides disk.raw new.qcow2
usage "'qcow'.*qcow2, raw.*did you mean 'qcow2'" q2s-stream -O qcow disk.raw new.qcow2
usage "'cluster_siz'.*known: .*extended_l2.*did you mean 'cluster_size'" \
	q2s-stream -o cluster_siz=4k disk.raw new.qcow2
usage "'metdata' is none of off, metadata, falloc, full.*did you mean 'metadata'" \
	q2s-create -o preallocation=metdata x.qcow2 1M
usage "unknown section 'l3'; known: header, .*refcounts.*bitmaps" \
	q2s-inspect dump --only l3 disk.qcow2
usage "'lq1'" q2s-inspect dump --only header,lq1 disk.qcow2

# --- the last word counts
cluster_size() {
	q2s-inspect info --output=json "$1" | sed -n 's/.*"cluster-size": \([0-9]*\).*/\1/p' | head -n 1
}
q2s-stream -o cluster_size=64k -c 2M disk.raw new.qcow2
assert_equal 2097152 "$(cluster_size new.qcow2)" '-o, then -c'
q2s-stream -c 2M -o cluster_size=4k disk.raw new.qcow2
assert_equal 4096 "$(cluster_size new.qcow2)" '-c, then -o'
q2s-stream -R -o data_file_raw=off disk.raw new.qcow2
q2s-stream -d disk.raw again.qcow2
assert_same_bytes new.qcow2 again.qcow2
q2s-stream -O raw -O qcow2 disk.raw new.qcow2
q2s-stream disk.raw again.qcow2
assert_same_bytes new.qcow2 again.qcow2

# --- long options, of all tools; what has no near one is only named, and what is too short lists those
usage "unknown option --cluster-sise; did you mean '--cluster-size'\?" q2s-stream --cluster-sise=4k disk.raw new2
usage "unknown option --folow; did you mean '--follow'\?" q2s-stream --folow any disk.raw new2
usage "unknown option --write-fiel; did you mean '--write-file'\?" q2s-create --write-fiel=x new2 1M
usage "unknown option --backing-chian; did you mean '--backing-chain'\?" q2s-inspect info --backing-chian disk.qcow2
usage "unknown option --ouput; did you mean '--output'\?" q2s-inspect check --ouput=json disk.qcow2
for verb in map dump explain hex report safety bitmap; do
	usage "unknown option --hepl; did you mean '--help'\?" q2s-inspect $verb --hepl
done
usage "unknown option --dry-rum; did you mean '--dry-run'\?" q2s-edit write --dry-rum disk.qcow2 zero@0+64k
usage "unknown option --quit; did you mean '--quiet'\?" q2s-corpus --quit folder
expect_exit 1 q2s-stream --bogus=--follow disk.raw new2
expect_stderr '^q2s-stream: unknown option --bogus; see q2s-stream --help$'
usage 'option --backing is ambiguous: --backing-format, --backing-name' q2s-stream --backing=x disk.raw new2
usage 'option --base is ambiguous: --base-missing, --base-extents' q2s-stream --base x disk.raw new2
q2s-stream --clus=64k disk.raw >short
q2s-stream disk.raw | cmp - short
[ ! -e new2 ] || fail 'an unknown option made something'
