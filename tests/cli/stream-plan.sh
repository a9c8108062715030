#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Kept plans and parts: what a plan must never replace, whose fault an error is, and what is told of
# a part before it is written.

. "$Q2S_SRC/tests/cli/lib.sh"

head -c 300000 /dev/urandom >base.raw
cp base.raw disk
printf changed | dd of=disk bs=1 seek=70000 conv=notrunc status=none
q2s-create -q -b base.raw -F raw chain.qcow2
echo '[{"start": 0, "length": 300000, "zero": false, "data": true}]' >extents
printf abc >key

# --- what the plan would replace ----------------------------------------------------------------

# kept FILE ARG...: --save-plan FILE is refused, and all files stay what they are.
kept() {
	rm -f image
	sha256sum -- * >"$tmp.sums"
	expect_exit 1 q2s-stream --save-plan "$@"
	expect_stderr "^q2s-stream: $1: --save-plan: (this is where the image goes|it is the same file as)"
	assert_equal 1 "$(wc -l <stderr)" "lines of stderr"
	rm -f stdout stderr
	sha256sum --quiet -c "$tmp.sums" || fail "something was replaced: $*"
	[ ! -e image ] || fail "an image all the same: $*"
}
cleanup_fn rm -f "$tmp.sums"

ln disk hard
ln -s disk soft
rm -f stdout stderr
kept disk disk image
kept disk --measure disk
kept hard disk image
kept soft disk image
kept base.raw -f qcow2 chain.qcow2 image
kept base.raw -b base.raw -F raw disk image
kept base.raw -b chain.qcow2 -F qcow2 disk image
kept extents --extents extents disk image
kept key --key-file key disk image
kept image disk image
kept ./image disk image
kept image disk "$PWD/image"
expect_exit 1 q2s-stream --save-plan disk --measure - <disk
expect_stderr 'disk: --save-plan: it is the same file as .standard input., which is read'
rm hard soft

# --- whose fault --------------------------------------------------------------------------------

q2s-stream --save-plan plan --measure disk >measure
expect_stdout_of() { grep -Fxq "$1" measure || fail "no '$1' in: $(cat measure)"; }
expect_stdout_of 'known by: looking for zeros'

# broken REGEX: the plan is, so it is named, and nobody is sent to --help.
broken() {
	expect_exit 1 q2s-stream --plan wrong disk
	expect_stderr "^q2s-stream: wrong: $1"
	! grep -q -e --help stderr || fail "--help does not help: $(cat stderr)"
	[ ! -s stdout ] || fail "something was written"
}

# sealed OFFSET BYTE: plan with another byte there and a checksum that is right (that of gzip).
sealed() {
	head -c -4 plan >body
	printf "\\x$2" | dd of=body bs=1 seek="$1" conv=notrunc status=none
	{
		cat body
		gzip -c body | tail -c 8 | head -c 4 | od -An -tx1 -v | tr -d ' \n' |
			sed 's/\(..\)\(..\)\(..\)\(..\)/\\x\4\\x\3\\x\2\\x\1/' | xargs -0 printf
	} >wrong
}

cp disk wrong
broken 'plan: not a kept plan'
head -c 100 plan >wrong
broken 'plan: it is not as long as it says'
sealed 11 63
broken 'plan: its version is not [0-9]* \(found 0x63\)'
sealed 39 ff
broken 'cluster_bits'
sealed 31 02
expect_exit 0 q2s-stream --plan wrong --measure disk # version 2 of the format: the seal is right

touch -d 2001-01-01 disk
expect_exit 1 q2s-stream --plan plan disk
expect_stderr '^q2s-stream: disk: source: its modification time is not what it was'

# The same file shows several contents; which one was meant is part of the plan.
q2s-create -q snapshots.qcow2 1M -w data@0+65536:1
if command -v qemu-img >/dev/null; then
	qemu-img snapshot -c first snapshots.qcow2
	qemu-img snapshot -c second snapshots.qcow2
	for pair in ' first' 'first ' 'first second'; do
		was=${pair% *} is=${pair#* }
		q2s-stream -f qcow2 ${was:+-s "$was"} --save-plan plan --measure snapshots.qcow2 >measure
		q2s-stream -f qcow2 ${was:+-s "$was"} --plan plan snapshots.qcow2 >/dev/null
		expect_exit 1 q2s-stream -f qcow2 ${is:+-s "$is"} --plan plan snapshots.qcow2
		expect_stderr '^q2s-stream: plan: plan: it was made for .* of SOURCE, not for '
		[ ! -s stdout ] || fail "something was written"
	done
fi
# So with --extents, of which another map makes another content.
sed 's/"zero": false/"zero": true/' extents >empty
q2s-stream --extents extents --save-plan plan --measure disk >measure
expect_exit 0 q2s-stream --extents extents --plan plan disk
expect_exit 1 q2s-stream --extents empty --plan plan disk
expect_stderr 'its data in the 2 MiB at this'

# --- what is told of a part ---------------------------------------------------------------------

length=$(q2s-stream disk | wc -c)
for k in 1 2 3; do
	told=$(q2s-stream --part $k/3 --measure disk | sed -n 's/^exact length: //p')
	assert_equal "$(q2s-stream --part $k/3 disk | wc -c)" "$told" "length of part $k"
done
q2s-stream --measure --resume 1000 --output=json disk >measure
grep -q "\"length\": $((length - 1000))," measure || fail "$(cat measure)"
expect_exit 1 q2s-stream --measure --resume $((length + 1)) disk
expect_stderr "^q2s-stream: --resume: $((length + 1)) is behind the end .* has $length bytes"
expect_exit 1 q2s-stream --range 1:$length disk
expect_stderr "^q2s-stream: --range: $length bytes from 1 on .* has $length bytes"
[ ! -s stdout ] || fail "something was written"

q2s-stream -z --save-plan plan --measure disk >measure
expect_stdout_of 'known by: compressing all data'
q2s-stream --plan plan --measure disk >measure
expect_stdout_of 'known by: the kept plan'
q2s-stream -O raw --measure disk >measure
expect_stdout_of 'known by: the size'
