#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# An image of another format must not make QEMU open files that the policy forbids. The images are
# made here, word by word, so that nothing but their references matters.

. "$Q2S_SRC/tests/cli/lib.sh"
requires HAVE_LIBNBD qemu-storage-daemon qemu-img

head -c 1M "$(command -v bash)" >secret
mkdir folder elsewhere
cd folder

# refused POLICY FORMAT IMAGE WHY: with --follow POLICY.
refused() {
	expect_exit 1 q2s-stream --follow "$1" -f "$2" -O raw "$3" out
	expect_stderr "$4"
	[ ! -e out ] || fail "$3 was read"
}

descriptor() {
	printf '# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\n'
	printf 'createType="%s"\n' "$1"
	shift
	printf '%b\n' "$@"
	printf 'ddb.adapterType = "ide"\n'
}

# --- extents of a VMDK descriptor ---
cp ../secret flat
descriptor monolithicFlat 'RW 2048 FLAT "flat" 0' >beside.vmdk
expect_exit 0 q2s-stream -f vmdk -O raw beside.vmdk out
assert_same_bytes flat out
expect_exit 0 q2s-stream --follow any -f vmdk -O raw beside.vmdk out
assert_same_bytes flat out
rm out
refused none vmdk beside.vmdk 'extents: .* --follow beside or --follow any would'

away=(
	"RW 2048 FLAT \"$tmp/secret\" 0"
	'RW 2048 FLAT "../secret" 0'
	'RW 2048 FLAT "nbd:localhost:10809" 0'
	'RW 2048 FLAT "json:{\\"driver\\":\\"null-co\\"}" 0'
	'RW 2048 FLAT "link" 0'
	'RW 2048 FLAT "fifo" 0'
	'RW 2048 FLAT "." 0'
	'RW 2048 FLAT "missing" 0'
	'RW 2048 FLAT "sub/flat" 0'
	'RW 2048 FLAT "flat" 0\nRW 2048 FLAT "../secret" 0'
	'RW 2048 FLAT "flat" 0\n \t RW 2048 FLAT "../secret" 0'
	'RW 2048\nFLAT "../secret" 0'
	'RW\n2048 FLAT "../secret" 0'
	'RW\t2048\tFLAT\t"../secret"\t0'
	'RW\v2048\fFLAT "../secret" 0'
	'RW 2048 FLAT "flat" 0 RW 2048 FLAT "../secret" 0'
	'RW 2048 SPARSE "../secret"'
	'RW 2048 SPARSE "flat"'
	'RW 2048 SPARSE "carrier"'
	'RW -2048 FLAT "flat" 0'
	'RW 2048 FLAT flat 0'
)
ln -s ../secret link
mkfifo fifo
mkdir sub
cp flat sub
# A sparse header without a capacity: all that QEMU takes from it is the descriptor within.
{
	printf 'KDMV\1\0\0\0\3\0\0\0'
	head -c 8 /dev/zero # capacity
	printf '\200\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\24\0\0\0\0\0\0\0'
	head -c 468 /dev/zero
	descriptor monolithicFlat "RW 2048 FLAT \"$tmp/secret\" 0"
	head -c 10K /dev/zero
} >carrier
for extent in "${away[@]}"; do
	for policy in none beside; do
		descriptor monolithicFlat "$extent" >away.vmdk
		refused "$policy" vmdk away.vmdk 'extents: (.* --follow any would let QEMU open (them|whatever it names)|.* is missing beside the image)'
	done
done
refused beside vmdk carrier 'extents: .* --follow any would'
expect_exit 1 q2s-stream -O raw -f vmdk away.vmdk out
expect_stderr '--follow any would'

# That these are what QEMU would open: with leave, it does.
descriptor monolithicFlat "RW 2048 FLAT \"$tmp/secret\" 0" >away.vmdk
expect_exit 0 q2s-stream --follow any -O raw -f vmdk away.vmdk out
assert_same_bytes ../secret out
expect_exit 0 q2s-stream --follow any -O raw -f vmdk carrier out
assert_same_bytes ../secret out
descriptor monolithicFlat 'RW\n2048 FLAT "../secret" 0' >away.vmdk
expect_exit 0 q2s-stream --follow any -O raw -f vmdk away.vmdk out
assert_same_bytes ../secret out
rm out

# No folder, no companions.
expect_exit 1 q2s-stream -f vmdk -O raw - out < <(cat beside.vmdk)
expect_stderr 'extents: '

# Through a link, the folder is where the image really lies.
(
	cd ../elsewhere
	ln -s ../folder/beside.vmdk link.vmdk
	expect_exit 0 q2s-stream -f vmdk -O raw link.vmdk out
	assert_same_bytes ../secret out
)

# --- backing files ---
for format in qcow qed vmdk; do
	base_format=raw
	[ "$format" != vmdk ] || base_format=vmdk
	qemu-img convert -f raw -O "$base_format" ../secret "base.$format"
	qemu-img create -q -f "$format" -b "base.$format" -F "$base_format" "over.$format"
	for policy in none beside; do
		refused "$policy" "$format" "over.$format" \
			'(backing file|parent): .* --follow any would let QEMU open them'
	done
	expect_exit 0 q2s-stream --follow any -f "$format" -O raw "over.$format" out
	assert_same_bytes ../secret out
	rm out
done

# --- a differencing VHD, whose parent QEMU forgets ---
qemu-img create -q -f vpc -o force_size=on diff.vpc 1M
printf '\0\0\0\4' | dd of=diff.vpc bs=1 seek=60 conv=notrunc status=none
refused any vpc diff.vpc 'VHD footer: this is a differencing disk'
