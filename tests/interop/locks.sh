#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# An image that QEMU has open for writing is not read, neither as a whole nor as a layer, a data file
# or a block device; -U reads it. What QEMU only reads is read, and what we read QEMU does not write.

. "$Q2S_SRC/tests/cli/lib.sh"

requires qemu-io qemu-img

# busy NAME CMD...: refused, as NAME is in use.
busy() {
	local name=$1

	shift
	expect_exit 1 "$@"
	expect_stderr "^q2s-[a-z]*: ([^ ]*/)?$name: lock: it is open in another program.*\"write\".*-U reads"
}

truncate -s 2M disk
q2s-create -q -w 'data@0+1M:1' base 2M
q2s-create -q -b base -F qcow2 top
q2s-create -q -o data_file=data -w 'data@0+1M:1' meta 2M

hold -f qcow2 base
busy base q2s-stream -f qcow2 base out.qcow2
busy base q2s-stream -f qcow2 -O raw base out.raw
busy base q2s-stream --measure base
busy base q2s-stream -f qcow2 top out.qcow2
busy base q2s-stream -b base -F qcow2 -f raw disk out.qcow2
busy base q2s-stream --compare -f raw -F qcow2 disk base
busy 'standard input' sh -c 'q2s-stream - <base'
for verb in info map check dump hex safety report 'explain 0'; do
	# shellcheck disable=SC2086 # two words
	busy base q2s-inspect $verb base
done
cp base saved
expect_exit 1 sh -c 'q2s-stream -f raw disk 1<>base'
expect_stderr 'standard output: .*locked'
assert_same_bytes saved base
for file in out.qcow2 out.raw; do
	[ ! -e $file ] || fail "there is an output"
done
expect_exit 1 q2s-create -b base -F qcow2 new
expect_stderr '^q2s-create: base: .*another program.*-u does not open it'
[ ! -e new ] || fail "there is an image"
expect_exit 0 q2s-create -q -u -b base -F qcow2 new 2M

# The word of the user.
expect_exit 0 q2s-stream -U -f qcow2 base out.qcow2
expect_exit 0 q2s-stream --force-share -f qcow2 top out.qcow2
expect_exit 0 q2s-stream -U --compare -f qcow2 -F qcow2 base out.qcow2
expect_exit 0 q2s-stream -U -b base -F qcow2 -f raw disk out.qcow2
for verb in info map dump hex safety report 'explain 0'; do
	# shellcheck disable=SC2086
	expect_exit 0 q2s-inspect $verb -U base
done
expect_exit 0 q2s-inspect check -U base
expect_stderr '^q2s-inspect: warning: base: another program has it open for writing: it may change'

# What lies above it is no secret; the layers are not opened.
expect_exit 0 q2s-inspect info top
expect_exit 1 q2s-inspect map --follow any top
expect_stderr 'base: lock: .*-U'
expect_exit 0 q2s-inspect map -U --follow any top
let_go
expect_exit 0 q2s-stream -f qcow2 top out.qcow2
expect_exit 0 q2s-inspect check base
expect_silence

# A layer above that is in use only reads its base.
hold -f qcow2 top
busy top q2s-stream -f qcow2 top out.qcow2
expect_exit 0 q2s-stream -f qcow2 base out.qcow2
let_go

# A data file on which somebody works.
hold -f raw data
busy data q2s-stream -f qcow2 meta out.qcow2
expect_exit 0 q2s-stream -U -f qcow2 meta out.qcow2
expect_exit 0 q2s-inspect check meta
let_go

# Two readers.
hold -r -f qcow2 base
expect_exit 0 q2s-stream -f qcow2 base out.qcow2
expect_exit 0 q2s-inspect check base
expect_silence
let_go

# What we read nobody begins to write meanwhile, and what is done is free again.
mkfifo slow
q2s-stream -f qcow2 top >slow &
stream=$!
exec 8<slow
head -c 4096 <&8 >/dev/null
for file in top base; do
	expect_exit 1 qemu-io -f qcow2 -c 'write 0 512' $file
	expect_stderr 'lock'
done
expect_exit 0 qemu-io -r -f qcow2 -c 'read 0 512' base
cat <&8 >/dev/null
exec 8<&-
wait $stream
expect_exit 0 qemu-io -f qcow2 -c 'write 0 512' base

# The locks of a descriptor that others share end with the tool, too.
exec 7<base
expect_exit 0 q2s-stream --measure - <&7
expect_exit 0 qemu-io -f qcow2 -c 'write 0 512' base
exec 7<&-

# A format that QEMU reads for us.
if command -v qemu-storage-daemon >/dev/null; then
	qemu-img convert -f raw -O vdi disk disk.vdi
	hold -f vdi disk.vdi
	busy disk.vdi q2s-stream -f vdi disk.vdi out.qcow2
	let_go
fi
