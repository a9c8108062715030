#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# `q2s-inspect info` says what `qemu-img info` says, for each feature of the format.
. "$Q2S_SRC/tests/cli/lib.sh"
. "$Q2S_SRC/tests/interop/inspect-lib.sh"
requires qemu-img qemu-io jq

create() {
	qemu-img create -q -f qcow2 "$@" || fail "qemu-img create $*"
}

# --- versions, widths, cluster sizes
create -o compat=0.10 v2.qcow2 3M
create v3.qcow2 10M
create -o cluster_size=512 small.qcow2 1M
create -o cluster_size=2M big.qcow2 5G
for bits in 1 2 4 8 32 64; do
	create -o refcount_bits=$bits,lazy_refcounts=on refcount$bits.qcow2 3M
	same_info refcount$bits.qcow2
done
for image in v2 v3 small big; do
	same_info $image.qcow2
done
same_info "$PWD/v3.qcow2"

# --- features
create -o extended_l2=on,cluster_size=128k,compression_type=zstd features.qcow2 12M
same_info features.qcow2
create -o data_file=d.raw data.qcow2 4M
create -o data_file=d.raw,data_file_raw=on dataraw.qcow2 4M
same_info data.qcow2
same_info dataraw.qcow2
cp v3.qcow2 flags.qcow2
for bits in 1 2 3; do # dirty, corrupt, both
	poke flags.qcow2 72 000000000000000$bits
	same_info flags.qcow2
done

# --- references, seen from several folders
mkdir dir
for name in base.raw ./base.raw sub/../base.raw /abs/base.raw a//b 'nbd://host:10809/x' \
	'json:{"driver":"raw","file":{"driver":"file","filename":"x.raw"}}' 'json:nonsense' \
	file:base 'with:colon' ./with:colon 'odd "name" \ here' $'tab\there' $'\xc3\xa9t\xc3\xa9' \
	$'not\xffutf8'; do
	rm -f back.qcow2
	create -u -b "$name" -F raw back.qcow2 1M
	cp back.qcow2 dir
	same_info back.qcow2
	same_info dir/back.qcow2
	same_info ./dir/../dir/back.qcow2
done
create -u -b base.raw -F qcow2 noformat.qcow2 1M
poke noformat.qcow2 112 0badcafe # the record of the format becomes one that nobody knows
same_info noformat.qcow2

# --- odd names of the image itself
for name in $'we ird"\\' $'bad\xff\x01n' $'\xe2\x80\xaertl'; do
	cp v3.qcow2 "$name"
	same_info "$name"
done

# --- snapshots
cp features.qcow2 snapshots.qcow2
io snapshots.qcow2 'write 0 1M' 'write -c 2M 128k'
for name in s1 'second one' $'esc\x1b[31m' "$(printf 'x%.0s' {1..200})"; do
	qemu-img snapshot -c "$name" snapshots.qcow2
	same_info snapshots.qcow2
done
cp v2.qcow2 v2snap.qcow2
qemu-img snapshot -c one v2snap.qcow2
same_info v2snap.qcow2

# --- bitmaps: consistent, disabled, in use, not consistent
cp v3.qcow2 bitmaps.qcow2
qemu-img bitmap --add -g 128k bitmaps.qcow2 one
qemu-img bitmap --add --disable bitmaps.qcow2 'off "quoted"'
same_info bitmaps.qcow2
directory=$(q2s-inspect --output=json bitmaps.qcow2 |
	jq '.q2s.layout[] | select(.structure == "bitmap directory").offset')
poke bitmaps.qcow2 $((directory + 12)) 00000003
same_info bitmaps.qcow2
cp bitmaps.qcow2 broken.qcow2 # QEMU refuses it; here it is shown, and what is wrong is told
extension=$(q2s-inspect dump --output=json --only extensions broken.qcow2 |
	jq '.extensions[] | select(.name == "bitmaps").offset')
poke broken.qcow2 $((extension + 8)) 00000000
expect_exit 1 q2s-inspect info --output=json broken.qcow2
expect_stderr 'nb_bitmaps at host offset .*: not in 1..65535'
jq -e '."virtual-size"' stdout >/dev/null || fail 'nothing is shown of a broken image'
poke bitmaps.qcow2 88 0000000000000000
same_info bitmaps.qcow2 2>qemu-warns

# --- the name of a data file, with and without the feature bit
create -o data_file=some.raw named.qcow2 4M
same_info named.qcow2
poke named.qcow2 72 0000000000000000
same_info named.qcow2

# --- encryption
for luks in '' encrypt.cipher-alg=aes-128 encrypt.cipher-alg=serpent-256,encrypt.hash-alg=sha512 \
	encrypt.cipher-mode=cbc,encrypt.ivgen-alg=essiv,encrypt.ivgen-hash-alg=sha256; do
	qemu_create_luks luks.qcow2 4M "$luks" 2>luks.log || continue # this QEMU lacks the cipher
	same_info luks.qcow2
done
[ -e luks.qcow2 ] || fail "no LUKS image could be made: $(cat luks.log)"
if qemu-img create -q -f qcow2 --object secret,id=s,data=abc -o encrypt.format=aes,encrypt.key-secret=s \
	aes.qcow2 4M 2>aes.log; then
	same_info aes.qcow2
fi

# --- not qcow2
truncate -s 1M sparse.raw
printf hello >tiny.raw
: >empty.raw
truncate -s 513 odd.raw
for image in sparse tiny empty odd; do
	same_info $image.raw
done
expect_exit 1 q2s-inspect info -f qcow2 sparse.raw
expect_stderr 'sparse.raw: magic at host offset 0x0: not a qcow2 file'
assert_equal raw "$(q2s-inspect info -f raw --output=json v3.qcow2 | jq -r .format)"

# --- the whole chain
create layer0.qcow2 4M
create -b layer0.qcow2 -F qcow2 layer1.qcow2 3M
(cd dir && create -b ../layer1.qcow2 -F qcow2 layer2.qcow2 6M)
want=$(qemu-img info --backing-chain --output=json dir/layer2.qcow2 | jq -S -c .)
got=$(q2s-inspect info --backing-chain --follow any --output=json dir/layer2.qcow2 |
	jq -S -c --argjson want "$want" "$only_known")
assert_equal "$want" "$got" 'the chain'
assert_equal 1 "$(q2s-inspect info --backing-chain --output=json dir/layer2.qcow2 | jq length)" \
	'layers without --follow'
expect_exit 1 q2s-inspect info --backing-chain --follow beside dir/layer2.qcow2
expect_stderr -- '--follow any would allow it'

# --- the text is for terminals
for image in snapshots.qcow2 bitmaps.qcow2 luks.qcow2 back.qcow2 data.qcow2 dir/layer2.qcow2; do
	q2s-inspect "$image" >text
	! LC_ALL=C grep -q $'[\x01-\x08\x0b-\x1f\x7f]' text || fail "control characters: $image"
	! grep -q ' $' text || fail "trailing spaces: $image"
done
q2s-inspect info dir/layer2.qcow2 >text
grep -q 'backing file *"../layer1.qcow2", format qcow2' text
grep -q 'seen from here *"dir/../layer1.qcow2"' text
