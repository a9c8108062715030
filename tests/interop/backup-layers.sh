#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# --layers: a disk from the files that the user names, whatever backing files they name.

. "$Q2S_SRC/tests/cli/lib.sh"
requires qemu-img qemu-io

# A chain of four in one folder, and its files under other names in another.
mkdir chain moved
head -c 5000192 /dev/urandom >chain/full.raw
qemu-img convert -f raw -O qcow2 chain/full.raw chain/full.qcow2
below=full.qcow2
day=1
for name in mon tue wed; do
	qemu-img create -q -f qcow2 -b $below -F qcow2 chain/$name.qcow2
	qemu-io -c "write -P $day ${day}M 200k" -c "write -z $((day * 1200))k 64k" \
		-c "write -P $((day + 9)) 4M 4k" chain/$name.qcow2 >/dev/null
	qemu-img convert -f qcow2 -O raw chain/$name.qcow2 $name.raw
	below=$name.qcow2
	day=$((day + 1))
done
cp chain/full.qcow2 moved/a,b.qcow2
cp chain/mon.qcow2 moved/1.qcow2
cp chain/tue.qcow2 moved/2.qcow2
cp chain/wed.qcow2 moved/3.qcow2

cd moved || exit
q2s-stream -O raw --layers a,,b.qcow2,1.qcow2,2.qcow2,3.qcow2 ../out.raw
assert_same_bytes ../wed.raw ../out.raw
q2s-stream -O raw --layers a,,b.qcow2,1.qcow2,2.qcow2 - >../out.raw
assert_same_bytes ../tue.raw ../out.raw
q2s-stream -O raw --layers a,,b.qcow2,1.qcow2 >../out.raw
assert_same_bytes ../mon.raw ../out.raw
q2s-stream -O raw --layers a,,b.qcow2 >../out.raw
assert_same_bytes ../chain/full.raw ../out.raw
# A raw disk at the bottom; an image of all of it.
q2s-stream --layers ../chain/full.raw,1.qcow2,2.qcow2,3.qcow2 ../out.qcow2
qemu_check_clean ../out.qcow2
qemu_same_content ../wed.raw ../out.qcow2
q2s-stream -f raw -z --layers ../chain/full.raw,1.qcow2 ../out.qcow2
qemu_same_content ../mon.raw ../out.qcow2
expect_exit 0 q2s-stream --compare --layers a,,b.qcow2,1.qcow2 ../mon.raw
expect_exit 2 q2s-stream --compare --layers a,,b.qcow2,1.qcow2 ../tue.raw
# As the source of a difference.
q2s-stream -b ../chain/full.qcow2 -F qcow2 --layers a,,b.qcow2,1.qcow2,2.qcow2 ../merged.qcow2
qemu_same_content ../tue.raw ../merged.qcow2
q2s-stream --measure --layers a,,b.qcow2,1.qcow2 >/dev/null
# A disk that grew on the way.
qemu-img create -q -f qcow2 -u -b x -F qcow2 4.qcow2 6M
qemu-io -c 'open -o driver=qcow2,file.filename=4.qcow2,backing=' -c 'write -P 3 5M 64k' 2>/dev/null >&2 ||
	true
cp ../wed.raw grown.raw
truncate -s 6M grown.raw
q2s-stream -O raw --layers a,,b.qcow2,1.qcow2,2.qcow2,3.qcow2,4.qcow2 >../out.raw
assert_equal $((6 << 20)) "$(stat -c %s ../out.raw)"
cmp -n 5000192 ../wed.raw ../out.raw

# --- what is doubtful ---------------------------------------------------------------------------

# warned WHY LAYERS: the user is believed, with one warning.
warned() {
	expect_exit 0 q2s-stream -O raw --layers "$2" -
	expect_stderr "$1"
	assert_equal 1 "$(wc -l <"$tmp/stderr")" "lines of warnings"
}
cd ../chain || exit
ln -s mon.qcow2 link
for mon in mon.qcow2 ../chain/mon.qcow2 link; do
	expect_exit 0 q2s-stream -O raw --layers "full.qcow2,$mon,tue.qcow2,wed.qcow2" ../out.raw
	expect_silence
	assert_same_bytes ../wed.raw ../out.raw
done
warned "^q2s-stream: warning: tue.qcow2: its backing file is 'mon.qcow2', and below it is full.qcow2: .*a layer is missing" \
	full.qcow2,tue.qcow2,wed.qcow2
expect_exit 0 q2s-stream -O raw --layers full.qcow2,mon.qcow2,wed.qcow2,tue.qcow2 -
expect_stderr "warning: wed.qcow2: its backing file is 'tue.qcow2', which is another .*, and below it is mon.qcow2: the order"
expect_stderr "warning: tue.qcow2: its backing file is 'mon.qcow2', which is another .*, and below it is wed.qcow2: the order"
q2s-stream full.raw again.qcow2
warned '^q2s-stream: warning: again.qcow2: names no parent. If it is a full image .*, mon.qcow2 shows through' \
	full.qcow2,mon.qcow2,again.qcow2
warned '^q2s-stream: warning: again.qcow2: names no parent.*full.raw shows' full.raw,again.qcow2
cd ../moved || exit

# --- what is refused ----------------------------------------------------------------------------

refused() {
	local why=$1

	shift
	expect_exit 1 q2s-stream "$@"
	expect_stderr "$why"
	[ ! -e none ] || fail "an image is there"
}
refused '1.qcow2: layers: a layer is missing: the lowest one refers to .*full.qcow2' \
	--layers 1.qcow2,2.qcow2 none
refused 'larger than that of the layer above it.*wrong order' \
	--layers a,,b.qcow2,4.qcow2,1.qcow2 none
refused 'already a layer' --layers a,,b.qcow2,1.qcow2,1.qcow2 none
refused 'none.qcow2: .*No such file' --layers a,,b.qcow2,none.qcow2 none
refused 'full.raw: magic' --layers a,,b.qcow2,../chain/full.raw none
refused 'name of a layer is empty' --layers ,1.qcow2 none
refused "'x' is one name too many" --layers a,,b.qcow2 none x
refused 'bitmaps' --bitmaps=all --layers a,,b.qcow2 none
refused 'one SOURCE' -d --layers a,,b.qcow2 none
refused 'snapshot' -s 1 --layers a,,b.qcow2 none
refused 'raw or qcow2' -f vmdk --layers a,,b.qcow2 none
cp 1.qcow2 kept
for dest in 1.qcow2 a,b.qcow2; do
	expect_exit 1 q2s-stream --layers a,,b.qcow2,1.qcow2 $dest
	expect_stderr "output: it is the same file as '$dest', which is read"
done
assert_same_bytes kept 1.qcow2
assert_same_bytes ../chain/full.qcow2 a,b.qcow2
