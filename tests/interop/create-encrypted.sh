#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# New encrypted images: QEMU opens them with the key, reads what was written, finds no fault, and
# says of them what it says of its own.

. "$Q2S_SRC/tests/cli/lib.sh"
requires qemu-img qemu-io jq HAVE_LIBGCRYPT

printf 'pass wörd' >key
secret=(--object 'secret,id=s,file=key')
luks=encrypt.format=luks,encrypt.iter-time=0
writes='data@1M+256k:7,zero@2M+64k,data@3M+128k:0x55,data@7M+64k:0'

opened() {
	echo "driver=qcow2,file.filename=$1,encrypt.key-secret=s"
}

# create OPTIONS [ARGUMENT...]: an encrypted image.
create() {
	local options=$1

	shift
	rm -f image
	q2s-create -q --key-file key -o "$luks,$options" "$@" image 8M
}

# good IMAGE PLAIN WHAT: QEMU reads the same from both, and both checkers are content.
good() {
	qemu-img compare "${secret[@]}" --image-opts "$(opened "$1")" "driver=qcow2,file.filename=$2" \
		>compare.log 2>&1 || fail "$3: $(cat compare.log)"
	qemu-img check -q "${secret[@]}" --image-opts "$(opened "$1")" >check.log 2>&1 ||
		fail "$3: $(cat check.log)"
	expect_exit 0 q2s-inspect check "$1"
	expect_exit 0 q2s-stream --compare --key-file key -f qcow2 -F qcow2 "$1" "$2"
}

# --- ciphers, modes, IV generators, hashes

q2s-create -q -w "$writes" plain 8M
for alg in aes-128 aes-192 aes-256 serpent-128 serpent-192 serpent-256 twofish-128 twofish-256 \
	cast5-128; do
	for mode in xts cbc ctr ecb; do
		case $alg/$mode in
		cast5-128/xts)
			expect_exit 1 q2s-create --key-file key no 1M \
				-o "$luks,encrypt.cipher-alg=$alg,encrypt.cipher-mode=$mode"
			expect_stderr "'cast5' in mode xts with a key of 32 bytes is not supported"
			[ ! -e no ] || fail 'a refusal left an image behind'
			continue
			;;
		*-192/c* | *-192/ecb) continue ;; # QEMU itself ends with an assertion
		esac
		create "encrypt.cipher-alg=$alg,encrypt.cipher-mode=$mode" -w "$writes"
		good image plain "$alg $mode"
	done
done
for options in encrypt.ivgen-alg=plain encrypt.ivgen-alg=essiv \
	encrypt.cipher-mode=cbc,encrypt.ivgen-alg=essiv \
	encrypt.cipher-mode=cbc,encrypt.ivgen-alg=essiv,encrypt.ivgen-hash-alg=md5 \
	encrypt.hash-alg=sha1 encrypt.hash-alg=sha224 encrypt.hash-alg=sha384 \
	encrypt.hash-alg=sha512 encrypt.hash-alg=md5 encrypt.hash-alg=ripemd160; do
	create "$options" -w "$writes"
	good image plain "$options"
done

# --- kinds of images

for options in compat=v2 cluster_size=512 cluster_size=2M extended_l2=on refcount_bits=1 \
	extended_l2=on,cluster_size=16k,preallocation=metadata preallocation=metadata \
	preallocation=falloc preallocation=full,cluster_size=4k; do
	rm -f plain2
	# The same kind of image without encryption.
	q2s-create -q -o "$options" -w 'data@0+2M:3,data@4M+2M:4' plain2 8M
	create "$options" -w 'data@0+2M:3,data@4M+2M:4'
	good image plain2 "$options"
	qemu-io "${secret[@]}" --image-opts "$(opened image)" -c 'write -P 9 3000k 100k' \
		-c 'read -P 9 3000k 100k' -c 'write -z 100k 9k' >io.log
	! grep -iE 'error|failed' io.log || fail "$options: QEMU cannot write to it"
	qemu-img check -q "${secret[@]}" --image-opts "$(opened image)"
done

rm -f base
q2s-create -q -w 'data@0+8M:5' base 8M
create backing_file=base,backing_fmt=qcow2 -w 'data@1M+64k:1'
q2s-create -q -b base -F qcow2 -w 'data@1M+64k:1' over
good image over 'over a plain image'

create data_file=data
qemu-io "${secret[@]}" --image-opts "$(opened image)" -c 'write -P 9 30k 100k' >io.log
q2s-stream -f qcow2 --key-file key image copy
qemu-img compare -q "${secret[@]}" --image-opts "$(opened image)" driver=qcow2,file.filename=copy

# A partial last cluster; and the default time, which QEMU has to bear.
rm -f odd odd2
q2s-create -q --key-file key -o encrypt.format=luks -w 'data@0+66048:8' odd 66048
q2s-create -q -w 'data@0+66048:8' odd2 66048
good odd odd2 'odd size'

# --- what QEMU says of it

described() {
	qemu-img info --output=json "$1" | jq -S '[.encrypted, (."format-specific".data |
		.encrypt |= (del(.uuid, ."master-key-iters") | .slots |= map(del(.iters))))]'
}

for options in encrypt.cipher-alg=aes-256 encrypt.cipher-alg=cast5-128,encrypt.cipher-mode=cbc \
	encrypt.cipher-alg=serpent-192,encrypt.ivgen-alg=essiv,encrypt.hash-alg=sha512; do
	rm -f theirs
	create "$options"
	qemu_again qemu-img create -q "${secret[@]}" -f qcow2 \
		-o "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10,$options" theirs 8M
	assert_equal "$(described theirs)" "$(described image)" "what QEMU says of $options"
	encrypt='."format-specific".data.encrypt'
	want=$(qemu-img info --output=json image | jq -S "$encrypt")
	[[ $want == *detached-header* ]] || # before QEMU 9
		encrypt+=' | del(."detached-header")'
	assert_equal "$want" "$(q2s-inspect info --output=json image | jq -S "$encrypt")" \
		'what q2s-inspect says'
done

# Two images with one passphrase have nothing in common.
create compat=v3
cp image first
create compat=v3
[ "$(qemu-img info --output=json image | jq '."format-specific".data.encrypt.uuid')" != \
	"$(qemu-img info --output=json first | jq '."format-specific".data.encrypt.uuid')" ]

# --- refusals: nothing is left behind

# refused REGEX ARGUMENT...
refused() {
	local regex=$1

	shift
	expect_exit 1 q2s-create "$@" no 1M
	expect_stderr "$regex"
	[ ! -e no ] || fail "a refusal left an image behind: $*"
}

refused 'encrypt.format: needs a passphrase: --key-file' -o encrypt.format=luks
refused 'key-file: needs -o encrypt.format=luks' --key-file key
refused 'encrypt.format: is missing' --key-file key -o encrypt.cipher-alg=aes-128
refused 'encrypt.format: aes is only read' --key-file key -o encrypt.format=aes
refused 'encrypt.key-secret: there are no secret objects here: --key-file' \
	-o encrypt.format=luks,encrypt.key-secret=s
refused "encrypt.cipher-alg: .*rot13" --key-file key -o encrypt.format=luks,encrypt.cipher-alg=rot13
refused "AES|aes has no keys" --key-file key \
	-o "$luks,encrypt.ivgen-alg=essiv,encrypt.ivgen-hash-alg=sha512"
refused 'iter-time: .* more than 134217728' --key-file key \
	-o encrypt.format=luks,encrypt.iter-time=4000000
refused 'preallocation: of an encrypted image needs compat=v3' --key-file key \
	-o "$luks,compat=v2,preallocation=metadata"
refused 'compressed clusters of an encrypted image' --key-file key -o "$luks" -w 'compressed@0+64k:1'
refused 'an encrypted data file is no raw image' --key-file key \
	-o "$luks,data_file=d,data_file_raw=on"
refused 'it can only be made empty' --key-file key -o "$luks,data_file=d" -w 'data@0+64k:1'
refused 'missing: key file: cannot be opened' --key-file missing -o "$luks"
printf 'a\377' >binary
refused 'binary: key file: is no text in UTF-8 .at byte 1' --key-file binary -o "$luks"
printf 'a\0b' >binary
refused 'binary: key file: is no text in UTF-8 .at byte 1' --key-file binary -o "$luks"
