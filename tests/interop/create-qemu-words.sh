#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Command lines of qemu-img create, with the name of the program replaced: the letters and long options
# of QEMU 10.1 and 11, options behind the operands, a data file that is kept.
. "$Q2S_SRC/tests/cli/lib.sh"
requires qemu-img

q2s-create -q base.qcow2 10G
mkdir sub

# --- Proxmox VE: a relative backing name, options behind the name
q2s-create -F qcow2 -b ../base.qcow2 -f qcow2 sub/over.qcow2 \
	-o extended_l2=on,cluster_size=128k,preallocation=metadata
qemu-img create -q -F qcow2 -b ../base.qcow2 -f qcow2 sub/theirs.qcow2 \
	-o extended_l2=on,cluster_size=128k,preallocation=metadata
qemu_check_clean sub/over.qcow2
facts() {
	qemu-img info -U --output=json "$1" |
		grep -E '"(virtual-size|cluster-size|backing-filename|backing-filename-format|extended-l2)"'
}
assert_equal "$(facts sub/theirs.qcow2)" "$(facts sub/over.qcow2)" 'what qemu-img info shows'
q2s-create -f qcow2 new.qcow2 10485760K
assert_equal 10737418240 "$(qemu_virtual_size new.qcow2 qcow2)"

# --- letters and names since 10.1; the old ones work too
for words in '-b base.qcow2 -B qcow2' '-b base.qcow2 -F qcow2' \
	'--backing=base.qcow2 --backing-format=qcow2' \
	'--format qcow2 --options backing_file=base.qcow2,backing_fmt=qcow2'; do
	# shellcheck disable=SC2086 # words of a command line
	q2s-create -q --force $words over.qcow2
	qemu-img info over.qcow2 | grep -q '^backing file format: qcow2'
done
q2s-create -q --force --backing-unsafe -b gone.qcow2 -B qcow2 over.qcow2 1M

for format in raw vmdk; do
	expect_exit 1 q2s-create -f $format x.img 1M
	expect_stderr "'$format': only qcow2 images are made here"
done
expect_exit 1 q2s-create --object secret,id=s,file=k -f qcow2 x.img 1M
expect_stderr -- '--key-file'
expect_exit 1 q2s-create - 1M
expect_stderr "'-' is not taken as standard output"
if [ -e ./- ] || [ -e x.img ]; then fail 'a refused image was made'; fi

# --- keep_data_file: the data is seen, and nothing is written to the file
head -c 3000000 /dev/urandom >volume
truncate -s 3000320 volume
sum=$(sha256sum <volume; stat -c '%s %Y' volume)
for how in data_file_raw=on preallocation=metadata; do
	q2s-create -f qcow2 kept-$how.qcow2 3000320 \
		-o data_file=volume,keep_data_file=on,cluster_size=256k,$how >line
	grep -q keep_data_file=on line
	assert_equal "$sum" "$(sha256sum <volume; stat -c '%s %Y' volume)" "the data file with $how"
	qemu_check_clean kept-$how.qcow2
	qemu_same_content volume kept-$how.qcow2
	q2s-stream -f qcow2 -O raw kept-$how.qcow2 - | cmp - volume
done
# --force is for the image alone
q2s-create -q --force kept-data_file_raw=on.qcow2 3000320 \
	-o data_file=volume,keep_data_file=on,data_file_raw=on
# a short file is not made longer
truncate -s 1M short
q2s-create -q short.qcow2 2M -o data_file=short,keep_data_file=on,data_file_raw=on
assert_equal 1048576 "$(stat -c %s short)" 'the size of a short data file'
q2s-stream --follow beside -O raw short.qcow2 - | cmp -n 2097152 - /dev/zero

# refuse REGEX OPTIONS [ARG...]
refuse() {
	expect_exit 1 q2s-create -o "$2" "${@:3}" no.qcow2 3000320
	expect_stderr "$1"
	[ ! -e no.qcow2 ] || fail "an image was made with $2"
}
refuse 'keep_data_file: needs data_file_raw=on or preallocation=metadata' \
	data_file=volume,keep_data_file=on
refuse 'keep_data_file: needs data_file' keep_data_file=on
for how in falloc full; do
	refuse 'keep_data_file: cannot be used with preallocation=falloc or full' \
		data_file=volume,data_file_raw=on,keep_data_file=on,preallocation=$how
done
refuse 'nowhere: .*No such file' data_file=nowhere,data_file_raw=on,keep_data_file=on
refuse 'keep_data_file: .*--write' data_file=volume,data_file_raw=on,keep_data_file=on -w data@0+64k
assert_equal "$sum" "$(sha256sum <volume; stat -c '%s %Y' volume)" 'the data file at the end'
