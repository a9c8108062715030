#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# One kind of damage after the other, in images of each geometry: whatever qemu-img check judges has
# the same exit code and the same counts here. What it does not see at all has a spec of its own.
#
# Every fifth pair of damage and geometry; Q2S_CORPUS=all has them all.

. "$Q2S_SRC/tests/cli/lib.sh"
requires qemu-img jq

. "$Q2S_SRC/tests/interop/damage-lib.sh"

counts() {
	jq -c '[."check-errors", .corruptions, .leaks, ."allocated-clusters", ."fragmented-clusters",
		."compressed-clusters", ."total-clusters", ."image-end-offset"] | map(. // 0)' "$1"
}

# one GEOMETRY DAMAGE: false where such an image cannot be made.
one() {
	local ours=0 theirs=0

	spec "$1" "$2" >damage.spec
	"$Q2S_BUILD/tests/hostile/make_image" damage.spec image 2>make.err || return 1
	q2s-inspect check --output=json image >ours.json 2>ours.err || ours=$?
	qemu-img check -f qcow2 --output=json image >theirs.json 2>theirs.err || theirs=$?
	assert_equal "$theirs" "$ours" "exit code for '$2' in '$1'"
	assert_equal "$(counts theirs.json)" "$(counts ours.json)" "counts for '$2' in '$1'"
}

step=5
[ "${Q2S_CORPUS:-}" != all ] || step=1
pair=0 compared=0
for geometry in "${geometries[@]}"; do
	for damage in "${damages[@]}"; do
		if [ $((pair++ % step)) = 0 ] && one "$geometry" "$damage"; then
			compared=$((compared + 1))
		fi
	done
done
echo "$compared images are judged alike"
[ "$compared" -ge $((pair * 3 / 4 / step)) ] || fail "most of the images could not be made"

# An L2 table that three L1 entries refer to: each of its errors is one of each entry.
cat >damage.spec <<'X'
title  damage in a table with three owners
image size=2G
data 0 1
share-table 1 0
share-table 2 0
set l2[0][0] = old | 2
set l2[0][1].copied = 1
X
one_spec() {
	local ours=0 theirs=0

	"$Q2S_BUILD/tests/hostile/make_image" damage.spec image
	q2s-inspect check --output=json image >ours.json 2>ours.err || ours=$?
	qemu-img check -f qcow2 --output=json image >theirs.json 2>theirs.err || theirs=$?
	assert_equal "$theirs" "$ours" "exit code"
	assert_equal "$(counts theirs.json)" "$(counts ours.json)" "counts"
}
one_spec

# Zeros at the start of a data file are plain for QEMU, though it sets COPIED: not allocated.
if command -v qemu-io >/dev/null; then
	qemu-img create -q -f qcow2 -o data_file=disk.raw,data_file_raw=on image 1M
	qemu-io -f qcow2 -c 'write -z 0 128k' image >qemu-io.log
	q2s-inspect check --output=json image >ours.json || fail "not sound"
	qemu-img check -f qcow2 --output=json image >theirs.json
	assert_equal "$(counts theirs.json)" "$(counts ours.json)" "counts with a data file"
	assert_equal '[]' "$(jq -c .findings ours.json)" "findings"
	qemu-img map --output=json image | jq -cS 'map(del(.compressed))' >theirs
	q2s-inspect map --follow beside --output=json image | jq -cS 'map(del(.compressed, .filename))' >ours
	assert_same_bytes theirs ours
fi

# A wiped L2 table is legal; that it is not a mere waste of space is said.
printf '%s\n' 'title wiped' 'data 0..7' 'set l1[0] = 0' >damage.spec
"$Q2S_BUILD/tests/hostile/make_image" damage.spec image
expect_exit 3 q2s-inspect check image
expect_stdout 'these clusters are what is left of the data'
printf '%s\n' 'title leaks' 'data 0..7' 'leak 2' >damage.spec
"$Q2S_BUILD/tests/hostile/make_image" damage.spec image
expect_exit 3 q2s-inspect check image
expect_stdout 'no harm to data'

# Damaged compressed data: where it lies, and where on the disk.
printf '%s\n' 'title damaged stream' 'data 0' 'compressed 3' 'bytes @data[3] 0xff 0xff 0xff 0xff' >damage.spec
"$Q2S_BUILD/tests/hostile/make_image" damage.spec image
expect_exit 2 q2s-inspect check --decode image
expect_stdout 'compressed-undecodable: .*compressed cluster at host offset 0x60000, guest offset 0x30000'
expect_exit 1 q2s-stream -O raw image out
expect_stderr 'guest offset 0x30000'
