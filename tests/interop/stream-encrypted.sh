#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Encrypted images that QEMU made, as sources: the guest's bytes are those that QEMU decrypts.

. "$Q2S_SRC/tests/cli/lib.sh"
requires qemu-img qemu-io HAVE_LIBGCRYPT

printf 'correct horse' >key
printf 'another' >key2
secret=(--object 'secret,id=s,file=key' --object 'secret,id=s2,file=key2')
luks=encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10

# opened IMAGE [OPTIONS]: what QEMU calls an encrypted image with its key.
opened() {
	echo "driver=qcow2,file.filename=$1,encrypt.key-secret=s${2:+,$2}"
}

io() {
	local image=$1

	shift
	if ! qemu-io "${secret[@]}" --image-opts "$(opened "$image")" "$@" >io.log ||
		grep -iE 'error|failed' io.log; then
		fail "qemu-io $*: $(cat io.log)"
	fi
}

# decrypts IMAGE WHAT [OPTION...]: q2s-stream reads what QEMU reads.
decrypts() {
	local image=$1 what=$2

	shift 2
	rm -f out.raw qemu.raw
	q2s-stream -f qcow2 -O raw --key-file key "$@" "$image" out.raw || fail "$what: cannot be read"
	qemu-img convert -q "${secret[@]}" --image-opts "$(opened "$image")" -O raw qemu.raw
	cmp out.raw qemu.raw || fail "$what: not what QEMU reads"
}

raw=source.raw
truncate -s 3M "$raw"
seq 1 100000 | dd of="$raw" conv=notrunc bs=1k seek=700 status=none
seq 7 500 | dd of="$raw" conv=notrunc bs=512 seek=3 status=none

# made OPTIONS: an image of $raw with them; not every QEMU has every cipher.
made() {
	rm -f image
	qemu_again qemu-img convert -q "${secret[@]}" -f raw -O qcow2 -o "$1" "$raw" image 2>made.log
}

# --- ciphers, modes, IV generators, hashes

read_count=0
cipher() {
	made "$luks,$1" 2>/dev/null || return 0
	decrypts image "$1"
	cmp -s out.raw "$raw" || fail "$1: not the bytes that went in"
	read_count=$((read_count + 1))
}

# A choice, as each costs QEMU a second; create-encrypted.sh has all of them.
for pair in aes-192/xts aes-256/xts serpent-256/xts twofish-128/xts aes-128/cbc aes-256/ecb \
	twofish-256/ctr cast5-128/cbc; do
	cipher "encrypt.cipher-alg=${pair%/*},encrypt.cipher-mode=${pair#*/}"
done
hashed=encrypt.ivgen-alg=essiv,encrypt.ivgen-hash-alg
for iv in cbc,encrypt.ivgen-alg=plain "cbc,$hashed=sha256" "xts,$hashed=sha256" \
	"cbc,$hashed=md5,encrypt.cipher-alg=cast5-128"; do
	cipher "encrypt.cipher-mode=$iv"
done
for hash in sha1 sha512 ripemd160 sm3; do
	cipher "encrypt.hash-alg=$hash"
done
echo "$read_count combinations"
[ "$read_count" -ge 10 ] || fail "only $read_count combinations could be made: $(cat made.log)"

# What libgcrypt does not compute is named.
if made "$luks,encrypt.cipher-alg=twofish-192"; then
	expect_exit 1 q2s-stream -O raw --key-file key image out.raw
	expect_stderr "LUKS cipher-name at host offset 0x[0-9a-f]+8: 'twofish' in mode xts with a key of 48"
fi

# --- kinds of images

for options in compat=0.10 cluster_size=512 cluster_size=2M extended_l2=on \
	extended_l2=on,cluster_size=16k preallocation=metadata preallocation=full; do
	rm -f image
	qemu_again qemu-img create -q "${secret[@]}" -f qcow2 -o "$luks,$options" image 3M
	io image -c 'write -P 1 1000 500' -c 'write -P 2 100k 300k' -c 'write -z 160k 40k' \
		-c 'write -P 3 2M 512k' -c 'write -z -u 2200k 64k' -c 'discard 2304k 64k'
	decrypts image "$options"
done

# QEMU's compressed clusters are not encrypted.
rm -f image
qemu_again qemu-img create -q "${secret[@]}" -f qcow2 -o "$luks" image 3M
io image -c 'write -c -P 77 1M 64k' -c 'write -P 78 1100k 4k'
decrypts image compressed

# Sectors of an external data file count from its start.
rm -f image data
qemu_again qemu-img create -q "${secret[@]}" -f qcow2 -o "$luks,data_file=data" image 3M
io image -c 'write -P 5 10k 600k' -c 'write -P 6 2M 1k'
decrypts image 'external data file'

# The method of old counts sectors on the guest's disk, and has no way to tell a wrong key.
rm -f image
legacy=encrypt.format=aes,encrypt.key-secret=s
if qemu-img convert -q "${secret[@]}" -f raw -O qcow2 -o "$legacy" "$raw" image 2>made.log; then
	decrypts image aes
	assert_same_bytes out.raw "$raw"
	expect_exit 1 q2s-stream -O raw image out.raw
	expect_stderr 'crypt_method at host offset 0x20: encrypted by AES, and there is no key .*; give --key-file'
	mkdir lib
	: >"lib/$(sed -n 's/^#define SONAME_LIBGCRYPT "\(.*\)"$/\1/p' "$Q2S_BUILD/config.h")"
	LD_LIBRARY_PATH=$tmp/lib:$LD_LIBRARY_PATH expect_exit 1 \
		q2s-stream -O raw --key-file key image out.raw
	expect_stderr 'libgcrypt.* cannot be loaded: '
else
	legacy=
fi

# --- snapshots

for options in "$luks" $legacy; do
	rm -f image first.raw qemu.raw
	qemu_again qemu-img create -q "${secret[@]}" -f qcow2 -o "$options" image 3M 2>made.log
	io image -c 'write -P 1 0 1M'
	qemu-img snapshot --image-opts "${secret[@]}" -c first "$(opened image)"
	io image -c 'write -P 2 512k 1M'
	decrypts image "$options, after a snapshot"
	q2s-stream -O raw --key-file key --snapshot first image first.raw
	qemu-img convert -q "${secret[@]}" --image-opts -l snapshot.name=first "$(opened image)" \
		-O raw qemu.raw
	assert_same_bytes first.raw qemu.raw
done

# --- chains: each layer by itself

rm -f base.qcow2 plain.qcow2 top.qcow2
qemu_again qemu-img convert -q "${secret[@]}" -f raw -O qcow2 -o "$luks" "$raw" base.qcow2
qemu-img create -q -f qcow2 -u -b base.qcow2 -F qcow2 plain.qcow2 3M
qemu_again qemu-img create -q "${secret[@]}" -f qcow2 -o "$luks,encrypt.cipher-alg=aes-128" \
	-u -b plain.qcow2 -F qcow2 top.qcow2 3M
nodes=$(opened top.qcow2 backing.driver=qcow2,backing.file.filename=plain.qcow2)
nodes+=,backing.backing.driver=qcow2,backing.backing.file.filename=base.qcow2
nodes+=,backing.backing.encrypt.key-secret=s
qemu-io "${secret[@]}" --image-opts "$nodes" -c 'write -P 9 1M 100k' -c 'write -z 1500k 64k' >io.log
rm -f qemu.raw out.raw
qemu-img convert -q "${secret[@]}" --image-opts "$nodes" -O raw qemu.raw
q2s-stream -f qcow2 --follow beside -O raw --key-file key top.qcow2 out.raw
assert_same_bytes out.raw qemu.raw
expect_exit 1 q2s-stream -f qcow2 -O raw plain.qcow2 out2.raw
expect_stderr 'base.qcow2: crypt_method'

# --- every road: an image, compressed, measured, compared, as a difference, in parts

q2s-stream -f qcow2 --key-file key top.qcow2 plain-copy.qcow2
qemu_check_clean plain-copy.qcow2
qemu_same_content qemu.raw plain-copy.qcow2
q2s-stream -f qcow2 --key-file key top.qcow2 >piped.qcow2
assert_same_bytes piped.qcow2 plain-copy.qcow2
assert_equal "$(wc -c <plain-copy.qcow2)" \
	"$(q2s-stream -f qcow2 --key-file key --measure --output json top.qcow2 |
		sed -n 's/.*"required": *\([0-9]*\).*/\1/p')" 'measured length'
q2s-stream -f qcow2 --key-file key -z top.qcow2 packed.qcow2
qemu_same_content qemu.raw packed.qcow2
expect_exit 0 q2s-stream --compare -f qcow2 --key-file <(cat key) -F qcow2 top.qcow2 top.qcow2
expect_exit 0 q2s-stream --compare -f raw --key-file key -F qcow2 qemu.raw top.qcow2
expect_exit 2 q2s-stream --compare -f raw --key-file key -F qcow2 qemu.raw base.qcow2
q2s-stream -f qcow2 --key-file key -b base.qcow2 -F qcow2 top.qcow2 delta.qcow2
expect_exit 0 q2s-stream --compare -f qcow2 --key-file key -F raw delta.qcow2 qemu.raw
for part in 1 2 3; do
	q2s-stream -f qcow2 --key-file key --part $part/3 top.qcow2
done >parts.qcow2
assert_same_bytes parts.qcow2 plain-copy.qcow2

# --- keys

cp base.qcow2 image
expect_exit 1 q2s-stream -O raw image out2.raw
expect_stderr 'image: crypt_method at host offset 0x20: encrypted by LUKS, and there is no key .*; give --key-file'
expect_exit 1 q2s-stream -O raw --key-file key2 image out2.raw
expect_stderr 'LUKS header at host offset 0x[0-9a-f]+: the key is wrong: of 1 active key slots it opens none'
expect_exit 1 q2s-stream -O raw --key-file missing image out2.raw
expect_stderr 'missing: key file: cannot be opened'
expect_exit 1 q2s-stream -O raw --key-file /dev/zero image out2.raw
expect_stderr '/dev/zero: key file: more than 1048576 bytes'
[ ! -e out2.raw ] || fail 'a failure left an output behind'

# All bytes of the file count, its line end too, as for QEMU.
echo 'correct horse' >line
expect_exit 1 q2s-stream -O raw --key-file line image out2.raw
rm -f image
qemu_again qemu-img convert -q --object secret,id=s,file=line -f raw -O qcow2 -o "$luks" "$raw" image
q2s-stream -O raw --key-file line image - | cmp - "$raw"

# Any slot that opens will do.
cp base.qcow2 image
qemu_again qemu-img amend -q "${secret[@]}" --image-opts \
	-o encrypt.state=active,encrypt.new-secret=s2,encrypt.keyslot=5,encrypt.iter-time=10 \
	"$(opened image)"
for file in key key2; do
	q2s-stream -O raw --key-file $file image - | cmp - "$raw"
done
qemu_again qemu-img amend -q "${secret[@]}" --image-opts -o encrypt.state=inactive,encrypt.keyslot=0 \
	"$(opened image)"
expect_exit 1 q2s-stream -O raw --key-file key image out2.raw
q2s-stream -O raw --key-file key2 image - | cmp - "$raw"

# --- damaged headers

start=$(q2s-inspect dump --only luks --output=json base.qcow2 | sed -n 's/.*"offset": *\([0-9]*\).*/\1/p' | head -1)

# damaged OFFSET BYTES REGEX: with these bytes (of printf) there, it is refused like this.
damaged() {
	cp base.qcow2 image
	printf '%b' "$2" | dd of=image bs=1 seek=$((start + $1)) conv=notrunc status=none
	expect_exit 1 q2s-stream -O raw --key-file key image out2.raw
	expect_stderr "$3"
}

hex() {
	printf '0x%x' $((start + $1))
}

damaged 0 'l' "LUKS header at host offset $(hex 0): wrong magic"
damaged 6 '\0\02' "LUKS header at host offset $(hex 6): version 2"
damaged 8 'rot13\0' "LUKS cipher-name at host offset $(hex 8): 'rot13' in mode xts with a key of 64 bytes"
damaged 40 'lrw-' "LUKS cipher-mode at host offset $(hex 40): 'lrw-plain64' is not supported"
damaged 44 'benbi\0\0' "LUKS cipher-mode at host offset $(hex 40): 'xts-benbi' is not supported"
damaged 72 'sha9\0' "LUKS hash-spec at host offset $(hex 72): 'sha9' is not supported"
damaged 108 '\0\0\0\0' "LUKS key-bytes at host offset $(hex 108): not in 1..64 .found 0x0"
damaged 108 '\0377\0377\0377\0377' "LUKS key-bytes at host offset $(hex 108): not in 1..64 .found 0xffffffff"
damaged 112 'x' 'the key is wrong'
damaged 164 '\0377\0377\0377\0377' "LUKS mk-digest-iter at host offset $(hex 164): .* more than 134217728 .*0xffffffff"
damaged 208 '\0\0\0\0' "LUKS key slot at host offset $(hex 208): neither active"
damaged 208 '\0\0\0336\0255' 'LUKS header at host offset .*: no key slot is active'
damaged 212 '\0377\0377\0377\0377' "LUKS key slot at host offset $(hex 212): .* more than 134217728 iterations of PBKDF2 .found 0xffffffff"
damaged 212 '\0\0\0\0' "LUKS key slot at host offset $(hex 212): no iterations"
damaged 216 'another salt' 'the key is wrong'
damaged 248 '\0377\0377\0377\0377' "LUKS key slot at host offset $(hex 248): its key material lies behind the end"
damaged 248 '\0\0\0\0' "LUKS key slot at host offset $(hex 248): its key material lies over the LUKS header"
damaged 252 '\0377\0377\0377\0377' "LUKS key slot at host offset $(hex 252): other than 4000 stripes .found 0xffffffff"

cp base.qcow2 image
truncate -s $((start + 100000)) image
expect_exit 1 q2s-stream -O raw --key-file key image out2.raw
[ ! -e out2.raw ] || fail 'a failure left an output behind'
