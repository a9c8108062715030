#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Formats that qemu-storage-daemon reads for us: the same guest content as qemu-img sees, from files
# of any name, and nothing left behind.

. "$Q2S_SRC/tests/cli/lib.sh"
requires HAVE_LIBNBD qemu-storage-daemon qemu-img

mkdir run
export XDG_RUNTIME_DIR=$tmp/run

raw=disk.raw
truncate -s 24M "$raw"
seq 1 500000 | dd of="$raw" conv=notrunc bs=1M seek=1 status=none
head -c 700000 "$(command -v qemu-img)" | dd of="$raw" conv=notrunc bs=1M seek=18 status=none
q2s-stream "$raw" want.qcow2

# same FORMAT IMAGE [RAW]: QEMU sees in the image what we make of it; and it is the raw disk.
same() {
	expect_exit 0 q2s-stream -f "$1" "$2" got.qcow2
	expect_silence
	qemu_check_clean got.qcow2
	qemu_same_content "$2" got.qcow2 "$1"
	expect_exit 0 q2s-stream --compare -f "$1" "$2" "${3:-$raw}"
}

for format in parallels qcow qed vdi vhdx vmdk vpc; do
	qemu-img convert -f raw -O "$format" "$raw" "image.$format"
	same "$format" "image.$format"
done
for option in subformat=streamOptimized subformat=monolithicFlat subformat=twoGbMaxExtentSparse \
	subformat=twoGbMaxExtentFlat; do
	qemu-img convert -f raw -O vmdk -o "$option" "$raw" disk.vmdk
	same vmdk disk.vmdk
	rm disk*.vmdk
done
qemu-img convert -f raw -O vpc -o subformat=fixed "$raw" fixed.vpc
same vpc fixed.vpc
qemu-img convert -f raw -O vdi -o static=on "$raw" static.vdi
same vdi static.vdi

# qemu-img cannot make a dmg: a megabyte of zeros, then one of plain data, in Apple's words.
be32() { printf %b "$(printf %08x "$1" | sed 's/../\\x&/g')"; }
be64() { printf %b "$(printf %016x "$1" | sed 's/../\\x&/g')"; }
zeros() { head -c "$1" /dev/zero; }
# chunk TYPE SECTOR COUNT OFFSET LENGTH
chunk() { be32 "$1"; be32 0; be64 "$2"; be64 "$3"; be64 "$4"; be64 "$5"; }
head -c 1M "$(command -v qemu-img)" >dmg.data
{
	printf mish; be32 1; be64 0; be64 4096; be64 0; be32 520; zeros 168
	chunk 2 0 2048 0 0
	chunk 1 2048 2048 0 1048576
	chunk 0xffffffff 4096 0 1048576 0
} >dmg.mish
printf '<?xml version="1.0"?><plist><dict><key>resource-fork</key><dict><key>blkx</key><array>
<dict><key>Data</key><data>%s</data></dict></array></dict></dict></plist>' \
	"$(base64 -w 0 dmg.mish)" >dmg.xml
{
	cat dmg.data dmg.xml
	printf koly; be32 4; be32 512; be32 1; be64 0; be64 0; be64 1048576; be64 0; be64 0; zeros 160
	be64 1048576; be64 "$(stat -c %s dmg.xml)"; zeros 260; be64 4096; zeros 12
} >image.dmg
cat <(zeros 1M) dmg.data >dmg.raw
same dmg image.dmg dmg.raw

# What is not allocated is not looked at, and yet not stored.
for format in qcow qed vdi vmdk; do
	q2s-stream --trust-holes -f "$format" "image.$format" got.qcow2
	[ "$(stat -c %s got.qcow2)" -lt 12000000 ] || fail "$format: holes are stored"
done
expect_exit 0 q2s-stream -f vmdk image.vmdk got.qcow2
assert_same_bytes want.qcow2 got.qcow2

# Names that QEMU would take apart, or that JSON cannot hold; and a name for a descriptor's folder.
for name in 'a b' 'a,b=c' "it's" 'say "x"' $'new\nline' $'bytes \xff\xfe' 'json:{}' 'nbd:localhost:1' \
	'file:x' 'a:b' '-' '100%s' $'back\\slash' 'ünïcode'; do
	mkdir -p "in $name"
	cp image.qed "in $name/$name"
	expect_exit 0 q2s-stream --compare -f qed "in $name/$name" "$raw"
	(
		cd "in $name"
		expect_exit 0 q2s-stream --compare -f qed "./$name" "$tmp/$raw"
	)
	rm -r "in $name"
done
mkdir "in 'a,b'"
qemu-img convert -f raw -O vmdk -o subformat=monolithicFlat "$raw" "in 'a,b'/x.vmdk"
expect_exit 0 q2s-stream --compare -f vmdk "in 'a,b'/x.vmdk" "$raw"
mv "in 'a,b'" $'in \xff'
expect_exit 1 q2s-stream --compare -f vmdk $'in \xff/x.vmdk' "$raw"
expect_stderr 'cannot be told a name that is not UTF-8'

# A file that is redirected or piped is one, too.
expect_exit 0 q2s-stream --compare -f vmdk - "$raw" <image.vmdk
cat image.vhdx | expect_exit 0 q2s-stream --compare -f vhdx - "$raw"
# Two daemons.
expect_exit 0 q2s-stream --compare -f vmdk -F vhdx image.vmdk image.vhdx
# A folder for sockets whose name is longer than an address may be, or that is not there.
long=$tmp/$(printf 'x%.0s' {1..200})
mkdir "$long"
XDG_RUNTIME_DIR=$long expect_exit 0 q2s-stream --compare -f qed image.qed "$raw"
assert_equal '' "$(ls -A "$long")" "the folder with a long name"
(
	unset XDG_RUNTIME_DIR
	TMPDIR=$long expect_exit 0 q2s-stream --compare -f qed image.qed "$raw"
	TMPDIR=/nonexistent expect_exit 0 q2s-stream --compare -f qed image.qed "$raw"
)

# What the daemon refuses: its reason, in one line.
expect_exit 1 q2s-stream -f vhdx "$raw" none.qcow2
expect_stderr '^q2s-stream: disk.raw: qemu-storage-daemon: cannot read it as vhdx: Could not open the image: '
assert_equal 1 "$(wc -l <stderr)" "lines of stderr"
expect_exit 1 q2s-stream -f vmdk "$raw" none.qcow2
expect_stderr 'cannot read it as vmdk: invalid VMDK image descriptor$'
expect_exit 1 q2s-stream -f nosuch "$raw" none.qcow2
expect_stderr "'nosuch' is not a format that can be read; known: raw, qcow2, bochs, .*, vpc$"
expect_exit 1 q2s-stream -f vmdk missing none.qcow2
expect_stderr '^q2s-stream: missing: file: '
expect_exit 1 q2s-stream -f vmdk -s 1 image.vmdk none.qcow2
expect_stderr 'needs a qcow2 source'
[ ! -e none.qcow2 ] || fail "an image was left behind"
assert_equal '' "$(ls -A run)" "the runtime folder"
