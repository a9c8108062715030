#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Messages that lead on: they name the cause, and advise what helps.

. "$Q2S_SRC/tests/cli/lib.sh"
requires qemu-img

# says TOOL-AND-ARGUMENTS... -- REGEX...: it fails, and says each of these.
says() {
	local command=()

	while [ "$1" != -- ]; do
		command+=("$1")
		shift
	done
	shift
	expect_exit 1 "${command[@]}"
	for regex; do
		expect_stderr "$regex"
	done
	[ ! -e out.qcow2 ] || fail "something was written"
}

seq 1 300000 >disk.raw
truncate -s 1M disk.raw

# --- names that are none of files
says q2s-stream ftp://example.invalid/x.qcow2 out.qcow2 -- 'this is a URL' 'curl URL.* - reads'
says q2s-stream rbd:pool/x out.qcow2 -- 'this is a URL' 'rbd export'
says q2s-stream ssh://host/x out.qcow2 -- 'this is a URL' 'NBD URI'
says q2s-inspect info s3://bucket/x.qcow2 -- 'this is a URL' 'https:// URL of the object'
says q2s-stream nbd+carrier://host/x out.qcow2 -- 'nbd://.* nbd\+unix://.* are read'
says q2s-stream disk.raw nbd://localhost/ -- 'DEST is a URL' 'nbdcopy'
says q2s-stream disk.raw 'nbd+unix:///?socket=x' -- 'DEST is a URL'
says q2s-stream nowhere.raw out.qcow2 -- 'No such file'
cp disk.raw rbd:file
q2s-stream rbd:file there.qcow2 # a file of that name is a file

# --- a base whose name has a colon, as time stamps have
name=2026-11-30T13:00:00.qcow2
q2s-create -q "./$name" 1M
says q2s-create -b "$name" -F qcow2 out.qcow2 -- "\\./$name' is this file"
says q2s-create -b nbd:localhost:10809 -F raw out.qcow2 -- 'use -u and give SIZE'
q2s-create -q -b "./$name" -F qcow2 overlay.qcow2
qemu-img info --backing-chain overlay.qcow2 >/dev/null

# --- the ancestor of the format
qemu-img create -q -f qcow old.qcow 1M
says q2s-stream old.qcow out.qcow2 -- 'qcow version 1 image.*q2s-stream -f qcow reads it'

# --- VMDK in several files: which is missing, or elsewhere
requires HAVE_LIBNBD qemu-storage-daemon
qemu-img convert -f raw -O vmdk -o subformat=twoGbMaxExtentSparse disk.raw split.vmdk
q2s-stream -f vmdk split.vmdk whole.qcow2
mkdir away
mv split-s001.vmdk away
says q2s-stream -f vmdk split.vmdk out.qcow2 -- "'split-s001.vmdk' is missing beside the image"
ln -s away/split-s001.vmdk split-s001.vmdk
says q2s-stream -f vmdk split.vmdk out.qcow2 -- "'split-s001.vmdk' is not a regular file" '--follow any'
rm split-s001.vmdk
sed -i 's|"split-s001.vmdk"|"away/split-s001.vmdk"|' split.vmdk
says q2s-stream -f vmdk split.vmdk out.qcow2 -- "'away/split-s001.vmdk' is no plain name" '--follow any'
q2s-stream -f vmdk --follow any split.vmdk whole.qcow2
q2s-stream --compare disk.raw whole.qcow2 >/dev/null

# --- a VHDX that was not closed: what the daemon says on its second line
mkdir bin
cat >bin/qemu-storage-daemon <<'X'
#!/bin/sh
echo "qemu-storage-daemon: --blockdev x: VHDX image file 'x' opened read-only, but contains a log that needs to be replayed" >&2
exit 1
X
chmod +x bin/qemu-storage-daemon
qemu-img convert -f raw -O vhdx disk.raw disk.vhdx
PATH=$tmp/bin:$PATH says q2s-stream -f vhdx disk.vhdx out.qcow2 -- 'qemu-img check -r all.* replays the log'
