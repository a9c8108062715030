#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# q2s-edit compact: images that QEMU filled, and of which much was given up, become small; disk, snapshots
# and bitmaps stay what they were, and QEMU finds the image clean.
. "$Q2S_SRC/tests/cli/lib.sh"
. "$Q2S_SRC/tests/interop/edit-lib.sh"
requires qemu-img qemu-io jq

# remember IMAGE: all that has to stay.
remember() {
	local name

	qemu-img convert -O raw "$1" disk.raw
	qemu-img snapshot -l "$1" | awk 'NR > 2 { print $2 }' >snapshots
	while read -r name; do
		qemu-img convert -l "snapshot.name=$name" -O raw "$1" "snapshot.$name"
	done <snapshots
	qemu-img info --output=json "$1" | jq -S 'del(."actual-size", ."dirty-flag", .children, .filename)' >info
	jq -r '."format-specific".data.bitmaps // [] | .[].name' info >bitmaps
	while read -r name; do
		q2s-inspect bitmap --output=json "$name" "$1" >"bitmap.$name"
	done <bitmaps
}

# unchanged IMAGE: it has it all, and nothing is wrong.
unchanged() {
	local name

	qemu_check_clean "$1"
	q2s-inspect check -q "$1" || fail "q2s-inspect check"
	qemu-img convert -O raw "$1" now
	assert_same_bytes disk.raw now
	while read -r name; do
		qemu-img convert -l "snapshot.name=$name" -O raw "$1" now
		assert_same_bytes "snapshot.$name" now
	done <snapshots
	qemu-img info --output=json "$1" | jq -S 'del(."actual-size", ."dirty-flag", .children, .filename)' >now
	diff info now || fail "qemu-img info says something else"
	while read -r name; do
		q2s-inspect bitmap --output=json "$name" "$1" >now
		assert_same_bytes "bitmap.$name" now
	done <bitmaps
}


# compacted IMAGE: shrink a copy and punch a copy.
compacted() {
	local length allocated

	remember "$1"
	length=$(stat -c %s "$1")
	cp "$1" other
	sha256sum other >before
	expect_exit 0 q2s-edit compact --shrink --dry-run other
	sha256sum --status -c before || fail "--dry-run changed the image"
	promised=$(sed -n 's/^other: \([0-9]*\) bytes shorter$/\1/p' stdout)
	expect_exit 0 q2s-edit compact --shrink other
	unchanged other
	assert_equal "$promised" $((length - $(stat -c %s other))) "bytes won"
	[ "$promised" -gt 0 ] || fail "nothing was won ($1)"
	expect_exit 0 q2s-edit compact --shrink other
	expect_stdout '^other: 0 bytes shorter$'
	unchanged other

	cp --sparse=never "$1" other
	allocated=$(stat -c %b other)
	expect_exit 0 q2s-edit compact --punch other
	unchanged other
	assert_equal "$length" "$(stat -c %s other)" "length"
	[ "$(stat -c %b other)" -lt "$allocated" ] || fail "nothing was punched"
	expect_exit 0 q2s-edit compact --punch --dry-run other
	expect_stdout '^other: 0 bytes to write, 0 to zero, 0 to give back$'
}

# used_up IMAGE SIZE: of data everywhere only some of the later ones are left.
used_up() {
	local cmd=() i

	for ((i = 0; i < $2; i += 700)); do
		cmd+=(-c "write -q -P $((i / 700 % 255 + 1)) ${i}k 650k")
	done
	qemu-io -f qcow2 "${cmd[@]}" "$1"
	cmd=()
	for ((i = 0; i < $2 - 4000; i += 4000)); do
		cmd+=(-c "discard -q ${i}k 3500k")
	done
	qemu-io -f qcow2 -d unmap "${cmd[@]}" "$1"
}

for options in cluster_size=64k cluster_size=4k cluster_size=4k,refcount_bits=1 cluster_size=2M \
	cluster_size=512,refcount_bits=64 cluster_size=4k,compat=0.10 cluster_size=16k,extended_l2=on \
	cluster_size=64k,extended_l2=on,refcount_bits=32; do
	rm -f image
	qemu-img create -q -f qcow2 -o "$options" image 60M
	used_up image 20000
	compacted image

	# Snapshots share, and have tables of their own.
	[[ $options != *refcount_bits=1 ]] || continue
	rm -f image
	qemu-img create -q -f qcow2 -o "$options" image 60M
	used_up image 10000
	qemu-img snapshot -c one image
	used_up image 12000
	qemu-img snapshot -c two image
	qemu-io -c 'write -q 40M 3M' -c 'discard -q 0 8M' image
	qemu-img snapshot -c three image
	qemu-img snapshot -d one image
	[[ $options == *compat=0.10 ]] || qemu-img bitmap --add -g 512 image b
	qemu-io -c 'write -q 50M 3M' image
	compacted image
done

# What is free lies scattered, and an L1 table that is longer than each gap is the last of the file: room
# is made for it, among data that a snapshot shares.
while read -r options size gap; do
	rm -f image
	qemu-img create -q -f qcow2 -o "$options" image 16M
	for ((i = 0; i < 8; i++)); do
		qemu-io -c "write -q -P $((i + 1)) $((2 * i))M 1M" image
	done
	for ((i = 0; i < 4; i++)); do
		qemu-io -d unmap -c "discard -q $((2 * i))M ${gap}k" image
	done
	qemu-img convert -O raw image disk.raw
	[[ $options == *refcount_bits=1 ]] || qemu-img snapshot -c one image
	qemu-img resize -q image "$size"
	cp image before
	expect_exit 0 q2s-edit compact --shrink image
	won=$(($(stat -c %s before) - $(stat -c %s image)))
	[ $won -ge $((4 * gap * 1024)) ] || fail "$won bytes won, of four gaps of $gap KiB"
	qemu_check_clean image
	qemu-img compare -q before image || fail "the disk is another one"
	expect_exit 0 q2s-edit compact --shrink image
	expect_stdout '^image: 0 bytes shorter$'
	[[ $options != *refcount_bits=1 ]] || continue
	q2s-stream -s one -O raw image now
	assert_same_bytes disk.raw now
done <<-EOF
	cluster_size=4k 256G 700
	cluster_size=4k,refcount_bits=1 256G 700
	cluster_size=512,refcount_bits=2 1G 200
	cluster_size=512,refcount_bits=64 1G 200
EOF

# Compressed clusters among others, also shared ones.
head -c 12M /dev/urandom | base64 >text
for options in compression_type=zlib compression_type=zstd,cluster_size=16k,extended_l2=on \
	cluster_size=4k,refcount_bits=8 cluster_size=2M; do
	rm -f image
	qemu-img convert -c -f raw -O qcow2 -o "$options" text image
	[[ $options == *refcount_bits=8 ]] || qemu-img snapshot -c one image
	qemu-io -c 'discard -q 1M 3M' -c 'write -q -P 3 5M 4M' image
	[[ $options == *refcount_bits=8 ]] || qemu-img snapshot -d one image
	qemu-io -c 'discard -q 5M 4M' image
	qemu-img snapshot -c two image
	compacted image
done

# An encrypted image: data is encrypted anew where it goes to.
if grep -q '^#define HAVE_LIBGCRYPT 1$' "$Q2S_BUILD/config.h"; then
	printf abc >key
	secret=(--object "secret,id=s,data=abc")
	opts=driver=qcow2,encrypt.key-secret=s,file.filename=image
	qemu_create_luks image 20M
	qemu-io "${secret[@]}" --image-opts -c 'write -q -P 1 0 8M' -c 'write -q -P 2 10M 5M' \
		-c 'discard -q 0 7M' "$opts"
	qemu-img convert "${secret[@]}" --image-opts "$opts" -O raw disk.raw
	expect_exit 0 q2s-edit compact --shrink --punch --key-file=key image
	expect_stdout '^image: [1-9][0-9]* bytes shorter'
	qemu-img check -q "${secret[@]}" --image-opts "$opts"
	qemu-img convert "${secret[@]}" --image-opts "$opts" -O raw now
	assert_same_bytes disk.raw now
fi

# What has leaked is won; what is wrong is not touched.
qemu-img create -q -f qcow2 image 10M
qemu-io -c 'write -q 0 5M' image
qemu-img convert -O raw image disk.raw
q2s-edit write -q --write-file <(for ((i = 0; i < 400; i++)); do echo "data@$((i * 24))k+8k"; done) image &
sleep 0.02
kill -KILL $! 2>/dev/null || :
wait $! 2>/dev/null || :
expect_exit 0 q2s-edit compact --shrink image
qemu_check_clean image
refcounts=$(q2s-inspect info --output=json image | jq '."refcount-table".offset // 65536')
block=$(od -An -t x1 -j "$refcounts" -N 8 image | tr -d ' ')
printf '\0\0' | dd of=image bs=1 seek=$((16#$block + 2 * 5)) conv=notrunc status=none
cp image before
expect_exit 1 q2s-edit compact --shrink image
expect_stderr '^q2s-edit: image: check: .*has to be repaired first'
expect_exit 1 q2s-edit compact --punch image
assert_same_bytes before image

qemu-img create -q -f qcow2 image 10M
cp image before
refused() {
	local what=$1

	shift
	expect_exit 1 q2s-edit compact "$@"
	expect_stderr "^q2s-edit: .*$what"
	assert_same_bytes before image
}
refused 'FILE is missing' --punch
refused 'one FILE only' --punch image before
refused '--punch or --shrink is missing' image
hold -f qcow2 image
refused 'another program' --shrink image
let_go
