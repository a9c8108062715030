#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Backing and data files: recorded, found and sized as QEMU does it, from any current directory.

. "$Q2S_SRC/tests/cli/lib.sh"
requires qemu-img

# info IMAGE KEY: the first value of KEY, without quotes.
info() {
	qemu-img info -U --output=json "$1" | sed -n "s/^ *\"$2\": \"\{0,1\}\([^\",]*\).*/\1/p" | tail -n 1
}

mkdir sub
head -c 1000001 /dev/urandom >base.raw
qemu-img convert -f raw -O qcow2 base.raw base.qcow2
qemu-img convert -f raw -O qcow2 base.raw sub/base.qcow2

# The size is the backing file's, rounded up to sectors; its content shows through.
q2s-create -q -b base.raw -F raw a.qcow2
qemu_check_clean a.qcow2
qemu_same_content base.raw a.qcow2
assert_equal base.raw "$(info a.qcow2 backing-filename)"
assert_equal raw "$(info a.qcow2 backing-filename-format)"
q2s-create -q -b base.qcow2 -F qcow2 -o cluster_size=4k b.qcow2
qemu_same_content base.raw b.qcow2

# A relative name is looked up from the new image's folder, not from here.
q2s-create -q -b base.qcow2 -F qcow2 sub/c.qcow2
qemu_same_content base.raw sub/c.qcow2
q2s-create -q -b ../base.raw -F raw sub/d.qcow2
assert_equal ../base.raw "$(info sub/d.qcow2 backing-filename)"
qemu_same_content base.raw sub/d.qcow2
expect_exit 1 q2s-create -b base.raw -F raw sub/e.qcow2
expect_stderr '^q2s-create: sub/base.raw: .*No such file'
[ ! -e sub/e.qcow2 ]

# Space that is kept lets the backing file show through, where subclusters can say so.
q2s-create -q -b base.raw -F raw -o extended_l2=on,preallocation=metadata f.qcow2
qemu_check_clean f.qcow2
qemu_same_content base.raw f.qcow2

# The format is believed: this qcow2 file is a raw disk if the user says so.
q2s-create -q -b base.qcow2 -F raw g.qcow2
assert_equal "$(qemu_virtual_size base.qcow2 raw)" "$(qemu_virtual_size g.qcow2 qcow2)"
expect_exit 1 q2s-create -b base.raw -F qcow2 h.qcow2
expect_stderr '^q2s-create: base.raw: .*magic'

# A data file beside the image is recorded as it was named.
q2s-create -q -o data_file=i.data,data_file_raw=on i.qcow2 3M
assert_equal i.data "$(info i.qcow2 data-file)"
assert_equal 3145728 "$(stat -c %s i.data)"
qemu_check_clean i.qcow2
qemu-io -f qcow2 -c 'write -P 7 1M 64k' i.qcow2 >/dev/null
qemu_same_content i.data i.qcow2

# Elsewhere, its name is made absolute, so that it is found from everywhere.
q2s-create -q -o data_file=j.data sub/j.qcow2 1M
assert_equal "$(pwd -P)/j.data" "$(info sub/j.qcow2 data-file)"
[ -e j.data ] || fail "the data file is not where QEMU would have made it"
(cd sub && qemu_check_clean j.qcow2)
(cd / && qemu_check_clean "$tmp/sub/j.qcow2")
(cd sub && q2s-create -q -o data_file=k.data "$tmp/sub/k.qcow2" 1M && qemu_check_clean k.qcow2)
assert_equal k.data "$(cd sub && info k.qcow2 data-file)"

# Where the data file alone is the disk, what others write into it is seen, by subclusters too.
q2s-create -q -o data_file=l.data,data_file_raw=on,extended_l2=on l.qcow2 1M
qemu_check_clean l.qcow2
printf 'written by others' | dd of=l.data bs=1 seek=70000 conv=notrunc status=none
qemu_same_content l.data l.qcow2

# A comma in a name.
q2s-create -q -o data_file=m,,n,cluster_size=4k m.qcow2 1M
assert_equal 1048576 "$(stat -c %s m,n)"
qemu_check_clean m.qcow2
