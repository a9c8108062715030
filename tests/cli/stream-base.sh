#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# q2s-stream --diff: the name that is recorded, what goes together, and what must not be lost.

. "$Q2S_SRC/tests/cli/lib.sh"
requires qemu-img

mkdir -p images/deep base.d
head -c 300000 /dev/urandom >base.d/base.raw
cp base.d/base.raw source.raw
printf changed | dd of=source.raw bs=1 seek=70000 conv=notrunc status=none

# recorded IMAGE: the name of the backing file in it.
recorded() {
	qemu-img info -U --output=json "$1" | sed -n 's/^    "backing-filename": "\(.*\)",*$/\1/p'
}

# names NAME DEST ARG...: an image of source.raw at DEST that calls its base NAME, and finds it.
names() {
	local name=$1 dest=$2

	shift 2
	q2s-stream "$@" source.raw "$dest"
	assert_equal "$name" "$(recorded "$dest")" "backing file of $dest"
	qemu_check_clean "$dest"
	qemu_same_content source.raw "$dest"
}

# --- the name ---------------------------------------------------------------------------------

# A relative name is looked up from the folder of the image, not from here.
names base.d/base.raw a.qcow2 -b base.d/base.raw -F raw
names ../base.d/base.raw images/a.qcow2 -b base.d/base.raw -F raw
names ../../base.d/base.raw images/deep/a.qcow2 --diff=base.d/base.raw --backing-format=raw
names base.raw base.d/a.qcow2 -b base.d/base.raw -F raw
(cd images && q2s-stream -b ../base.d/base.raw -F raw ../source.raw deep/b.qcow2)
assert_equal ../../base.d/base.raw "$(recorded images/deep/b.qcow2)"
(cd base.d && q2s-stream -b base.raw -F raw ../source.raw ../images/b.qcow2)
assert_equal ../base.d/base.raw "$(recorded images/b.qcow2)"
qemu_same_content source.raw images/b.qcow2

# Folders are compared as they are, not as they are called.
ln -s images/deep link
names ../../base.d/base.raw link/c.qcow2 -b images/../base.d/./base.raw -F raw
# The name of the base itself stays the user's, though it is a link.
ln -s base.raw base.d/current
names base.d/current c.qcow2 -b base.d/current -F raw
# An image that is known by two names is in two folders.
: >images/d.qcow2
ln -s images/d.qcow2 d.qcow2
names "$PWD/base.d/base.raw" d.qcow2 -b base.d/base.raw -F raw
[ -L d.qcow2 ]

# What is absolute stays so; what is a name of the user's choice stays as it is.
names "$PWD/base.d/base.raw" images/e.qcow2 -b "$PWD/base.d/base.raw" -F raw
names ./../base.d/base.raw images/e.qcow2 -b base.d/base.raw -F raw --backing-name ./../base.d/base.raw
q2s-stream -b base.d/base.raw -F raw --backing-name 'json:{"x"}' source.raw f.qcow2
qemu-img info f.qcow2 >info || true
grep -q 'json:{' info

# A colon would make QEMU see a protocol.
cp base.d/base.raw base:x.raw
names ./base:x.raw g.qcow2 -b base:x.raw -F raw
(cd images && q2s-stream -b ../base:x.raw -F raw ../source.raw >../images/g.qcow2)
assert_equal ../base:x.raw "$(recorded images/g.qcow2)"

# Down a pipe nobody knows where the image will be.
q2s-stream -b base.d/base.raw -F raw source.raw | cat >h.qcow2
assert_equal base.d/base.raw "$(recorded h.qcow2)"
mkfifo fifo
q2s-stream -b ./base.d/base.raw -F raw source.raw fifo &
cat fifo >i.qcow2
wait $!
assert_equal ./base.d/base.raw "$(recorded i.qcow2)"

# --- the image --------------------------------------------------------------------------------

# Whatever the road, the bytes are the same; and as many as was said before.
q2s-stream -b base.d/base.raw -F raw source.raw j.qcow2
assert_same_bytes j.qcow2 h.qcow2
for k in 1 2 3; do
	q2s-stream -b base.d/base.raw -F raw --part "$k/3" source.raw
done >k.qcow2
assert_same_bytes j.qcow2 k.qcow2
assert_equal "$(stat -c %s j.qcow2)" \
	"$(q2s-stream --measure -b base.d/base.raw -F raw source.raw | sed -n 's/^exact length: //p')"

# A kept plan needs no base any more.
q2s-stream -b base.d/base.raw -F raw --save-plan plan source.raw j.qcow2
q2s-stream --plan plan source.raw k.qcow2
assert_same_bytes j.qcow2 k.qcow2

# Compressed, and with the source as data file.
for how in zlib zstd; do
	q2s-stream --compress="$how" -b base.d/base.raw -F raw source.raw l.qcow2
	qemu_check_clean l.qcow2
	qemu_same_content source.raw l.qcow2
done
q2s-stream -d -b base.d/base.raw -F raw source.raw m.qcow2
qemu_check_clean m.qcow2
qemu_same_content source.raw m.qcow2
q2s-stream -d -c 4k -b base.d/base.raw -F raw source.raw m.qcow2
qemu_same_content source.raw m.qcow2

# --- what is refused --------------------------------------------------------------------------

refused() {
	local why=$1

	shift
	expect_exit 1 q2s-stream "$@"
	expect_stderr "$why"
	[ ! -e out ] || fail "an image is there"
}

refused 'needs the format of BASE \(-F\).*unsafe.*--help' -b base.d/base.raw source.raw out
refused '-F is the format of BASE' -F raw source.raw out
refused '--backing-name' --backing-name x source.raw out
refused '-O raw takes no options' -O raw -b base.d/base.raw -F raw source.raw out
refused 'data_file_raw' -R -b base.d/base.raw -F raw source.raw out
refused 'BASE must be a file' -b - -F raw source.raw out
refused '--plan says' --plan plan -b base.d/base.raw -F raw source.raw out
refused '^q2s-stream: none: .*No such file' -b none -F raw source.raw out
refused '^q2s-stream: base.d/base.raw: .*magic' -b base.d/base.raw -F qcow2 source.raw out
refused 'strange' -b base.d/base.raw -F strange source.raw out
refused '^q2s-stream: none/out: .*No such file' -b base.d/base.raw -F raw source.raw none/out
refused 'name is empty' -b base.d/base.raw -F raw --backing-name '' source.raw out
long=$(printf '%01024d' 0)
refused 'name is longer than 1023' -b base.d/base.raw -F raw --backing-name "$long" source.raw out
refused 'does not fit|no room' -c 512 -b base.d/base.raw -F raw --backing-name "${long:500}" source.raw out

# The base must stay, and so must all that it consists of.
same() {
	refused "output: it is the same file as '[^']*', which is read" "$@"
	assert_same_bytes base.copy base.d/base.raw
	assert_same_bytes overlay.copy base.d/overlay
}
qemu-img create -q -f qcow2 -b base.raw -F raw base.d/overlay
cp base.d/overlay overlay.copy
cp base.d/base.raw base.copy
same -b base.d/base.raw -F raw source.raw base.d/base.raw
same -b base.d/base.raw -F raw source.raw base.d/current
same -b base.d/overlay -F qcow2 source.raw base.d/overlay
same -b base.d/overlay -F qcow2 source.raw base.d/base.raw
expect_exit 1 sh -c 'q2s-stream -b base.d/base.raw -F raw source.raw 1<>base.d/base.raw'
expect_stderr 'output: it is the same file as'
assert_same_bytes base.copy base.d/base.raw

# To measure, nothing is written.
q2s-stream --measure -b base.d/base.raw -F raw source.raw base.d/base.raw >measure

# A base has been named with its format, so it may refer to what is beside it, and no further.
q2s-stream -b base.d/overlay -F qcow2 source.raw out
qemu_same_content source.raw out
rm out
qemu-img create -q -f qcow2 -b ../base.d/base.raw -F raw images/overlay
refused 'base.d/base.raw.*--follow any' -b images/overlay -F qcow2 source.raw out
refused '--follow' --follow none -b base.d/overlay -F qcow2 source.raw out
q2s-stream --follow any -b images/overlay -F qcow2 source.raw out
qemu_same_content source.raw out
