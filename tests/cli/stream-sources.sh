#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What people name as SOURCE, and what they paste from qemu-img: pipes that have a name, URLs, a size
# alone, the letters of convert; and a reader that has seen enough.
. "$Q2S_SRC/tests/cli/lib.sh"

head -c 300000 /dev/urandom >disk.raw
q2s-stream disk.raw want.qcow2
q2s-stream -O raw disk.raw want.raw

# --- pipes by name
# shellcheck disable=SC2002 # a pipe is meant
cat disk.raw | q2s-stream -O raw /dev/stdin got.raw
assert_same_bytes want.raw got.raw
q2s-stream -O raw <(cat disk.raw) got.raw
assert_same_bytes want.raw got.raw
q2s-stream --spool . <(cat want.qcow2) - >got.qcow2
assert_same_bytes want.qcow2 got.qcow2
q2s-stream <(cat disk.raw) - >got.qcow2
assert_same_bytes want.qcow2 got.qcow2
q2s-stream --size 300000 -O raw <(cat disk.raw) got.raw
expect_exit 1 q2s-stream --size 300001 -O raw <(cat disk.raw) got.raw
mkfifo fifo
cat disk.raw >fifo &
q2s-stream -O raw fifo got.raw
wait
assert_same_bytes want.raw got.raw
q2s-stream --compare <(cat disk.raw) <(cat want.qcow2)
q2s-inspect safety <(cat want.qcow2)
q2s-inspect check <(cat want.qcow2)
q2s-inspect info - <want.qcow2 | grep -q 'qcow2 version 3'
# shellcheck disable=SC2002
cat want.qcow2 | q2s-inspect check -

# --- what is no file
for url in s3://bucket/x.qcow2 rbd:pool/x ftp://h/x; do
	expect_exit 1 q2s-stream "$url" new.qcow2
	expect_stderr 'this is a URL, not a file, and of URLs'
done
for url in nbd://localhost/ 'nbd+unix:///?socket=x' NBD://h https://h/x; do
	expect_exit 1 q2s-stream disk.raw "$url"
	expect_stderr 'DEST is a URL'
done
cp disk.raw rbd:x
q2s-stream -O raw rbd:x got.raw
assert_same_bytes want.raw got.raw

# --- how large for a size alone?
q2s-stream --measure --size 10G >measure
grep -q '^required size: 1900544$' measure
grep -q '^fully allocated size: 10739318784$' measure
grep -q '^exact length: 262144$' measure
truncate -s 10G empty.raw
q2s-stream --measure --output=json -c 256k empty.raw >want
q2s-stream --measure --output=json -c 256k --size 10485760K >got
assert_same_bytes want got
expect_exit 1 q2s-stream --size 10G
expect_stderr 'SOURCE is missing'
expect_exit 1 q2s-stream --measure --size 10G disk.raw
expect_stderr -- '--size is for'

# --- letters of qemu-img convert
q2s-stream -p -q -T none -t writeback -W -C -m 2 -S 4k -f raw -O qcow2 disk.raw got.qcow2
assert_same_bytes want.qcow2 got.qcow2
q2s-stream -S 0 disk.raw got.qcow2
q2s-stream -o preallocation=full disk.raw full.qcow2
assert_same_bytes full.qcow2 got.qcow2
expect_exit 1 q2s-stream --object secret,id=s disk.raw new.qcow2
expect_stderr -- '--key-file'
expect_exit 1 q2s-stream --image-opts driver=qcow2 new.qcow2
expect_stderr -- '-f the format'
q2s-stream -b disk.raw -F raw disk.raw want.qcow2
q2s-stream -B disk.raw -F raw disk.raw got.qcow2
assert_same_bytes want.qcow2 got.qcow2

# --- maps of other programs, of both disks
truncate -s 4M a.raw
printf x | dd of=a.raw bs=1 seek=1000000 conv=notrunc status=none
cp a.raw b.raw
printf y | dd of=b.raw bs=1 seek=2000000 conv=notrunc status=none
cat >nbdinfo.json <<-'X'
	[ { "offset": 0, "length": 3145728, "type": 0, "description": "data"},
	{ "offset": 3145728, "length": 1048576, "type": 3, "description": "hole,zero"} ]
X
echo '[{"offset":524288,"length":1048576,"exists":"true"},
	{"offset":1966080,"length":65536,"exists":"true"}]' >rbd.json
q2s-stream b.raw - >want.qcow2
for map in nbdinfo rbd; do
	q2s-stream --extents <(cat $map.json) b.raw - >got.qcow2
	assert_same_bytes want.qcow2 got.qcow2
done
# what a map calls zero is believed: the second byte lies outside of this one
echo '[{"offset":524288,"length":1048576,"exists":"true"}]' >less.json
q2s-stream --extents less.json b.raw - >got.qcow2
q2s-stream a.raw - >want.qcow2
assert_same_bytes want.qcow2 got.qcow2
sed 's/hole,zero/dirty/' nbdinfo.json >dirty.json
expect_exit 1 q2s-stream --extents dirty.json b.raw new.qcow2
expect_stderr 'item 1: it is not of base:allocation'
expect_exit 1 q2s-stream --base-extents rbd.json b.raw new.qcow2
expect_stderr -- '--base-extents is the map of BASE; it needs --diff'

# --- a difference that names no backing file
q2s-stream --extents rbd.json --base-extents <(cat less.json) -b a.raw -F raw --backing-name none \
	b.raw diff.qcow2
q2s-inspect info --output=json diff.qcow2 >info
! grep backing-filename info || fail 'a backing file is named'
q2s-inspect map --raw-entries diff.qcow2 >map
grep -q '^ *0x1e0000 .* normal ' map
assert_equal 1 "$(grep -c ' normal ' map)" 'clusters of the difference'

# --- | head
q2s-create -q -o preallocation=metadata big.qcow2 100G
for verb in dump hex 'map --raw-entries' 'dump --output=json' 'hex --output=json'; do
	set +o pipefail
	# shellcheck disable=SC2086 # a verb with its options
	q2s-inspect $verb big.qcow2 2>stderr | head -n 1 >line
	got=${PIPESTATUS[0]}
	set -o pipefail
	assert_equal 0 "$got" "exit of $verb | head"
	expect_silence
	[ -s line ] || fail "$verb printed nothing"
done
set +o pipefail
q2s-stream big.qcow2 -O raw 2>stderr | head -c 1 >/dev/null
got=${PIPESTATUS[0]}
set -o pipefail
assert_equal 1 "$got" 'exit of an image that nobody takes'

# --- the first figure of progress says no absurd rate
truncate -s 1T huge.raw
q2s-stream --measure --progress=json huge.raw 2>lines >/dev/null
! grep -E '"rate": [0-9]{13,}' lines || fail 'an absurd rate'
