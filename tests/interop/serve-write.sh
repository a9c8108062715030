#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Random requests to nbdkit-q2s-plugin, on several connections at once, over images of all kinds: the
# client's oracle, QEMU and our own check have to agree. Q2S_REQUESTS: for each image.

. "$Q2S_SRC/tests/cli/lib.sh"
. "$Q2S_SRC/tests/interop/serve-lib.sh"
requires HAVE_LIBNBD qemu-img

nbd_random=$Q2S_BUILD/tests/interop/nbd_random
requests=${Q2S_REQUESTS:-100}
seed=${Q2S_SEED:-1}

# A base with data, zeros and holes; shorter than some overlays.
q2s-create -q -o extended_l2=on,cluster_size=64k \
	-w data@0+1M:1,zero@1M+512k,data@3M+2M:2,data@7M+64k:3 base.qcow2 8M
qemu-img convert -O raw base.qcow2 base.raw

# judge IMAGE SIZE [PARAMETER...]
judge() {
	local image=$1

	shift
	qemu-img convert -f qcow2 -O raw "$image" before.raw
	# shellcheck disable=SC2016 # nbdkit's shell knows $uri
	serve "$image" follow=any "$@" \
		--run "$nbd_random \"\$uri\" $((seed++)) $requests 4 before.raw after.raw" ||
		fail "requests to $image"
	qemu_same_content after.raw "$image"
	sound "$image"
	# again, over what is there now, on one connection
	# shellcheck disable=SC2016
	serve "$image" follow=any "$@" \
		--run "$nbd_random \"\$uri\" $((seed++)) $((requests / 4)) 1 after.raw last.raw" ||
		fail "more requests to $image"
	qemu_same_content last.raw "$image"
	sound "$image"
}

# options of the new image; with and without a backing file
for options in \
	cluster_size=512 cluster_size=4k,refcount_bits=1 cluster_size=64k cluster_size=64k,compat=0.10 \
	cluster_size=2M cluster_size=64k,refcount_bits=64 cluster_size=64k,lazy_refcounts=on \
	extended_l2=on,cluster_size=16k extended_l2=on,cluster_size=64k,refcount_bits=8 \
	extended_l2=on,cluster_size=128k extended_l2=on,cluster_size=2M \
	preallocation=metadata,extended_l2=on,cluster_size=64k; do
	q2s-create -q -o "$options" image.qcow2 9M
	judge image.qcow2
	rm image.qcow2
	case $options in preallocation=*) continue ;; esac
	q2s-create -q -o "$options" -b base.qcow2 -F qcow2 image.qcow2 10M
	judge image.qcow2
	rm image.qcow2
	q2s-create -q -o "$options" -b base.raw -F raw image.qcow2 7340544
	judge image.qcow2 cache=64k
	rm image.qcow2
done

# compressed clusters overwritten
for type in zlib zstd; do
	q2s-stream -q -f raw --compress="$type" base.raw image.qcow2 2>/dev/null ||
		q2s-stream -f raw --compress="$type" base.raw image.qcow2
	judge image.qcow2
	rm image.qcow2
done

# clusters that an internal snapshot shares, which stay what they were
qemu-img convert -f raw -O qcow2 base.raw image.qcow2
qemu-img snapshot -c first image.qcow2
judge image.qcow2
qemu-img convert -l first -O raw image.qcow2 first.raw
assert_same_bytes base.raw first.raw
rm image.qcow2

# an enabled bitmap, which learns of it all
qemu-img create -q -f qcow2 image.qcow2 9M
qemu-img bitmap --add -g 4k image.qcow2 changes
judge image.qcow2
qemu-img info --output=json image.qcow2 | grep -q '"in-use"' && fail "the bitmap is in use"
qemu-img convert -O raw image.qcow2 after.raw
q2s-inspect bitmap --output=json changes image.qcow2 | sed 's/[^0-9]\+/ /g' |
	awk 'NF >= 3 && $3 == 0 { print $1, $2 }' >clean
[ -s clean ] || fail "all of the disk is dirty"
while read -r offset length; do
	cmp -n "$length" -i "$offset:0" after.raw /dev/zero || fail "changed at $offset, but clean"
done <clean
rm image.qcow2

# external data file
qemu-img create -q -f qcow2 -o data_file=image.data image.qcow2 9M
judge image.qcow2
rm image.qcow2 image.data

if grep -q '^#define HAVE_LIBGCRYPT 1$' "$Q2S_BUILD/config.h"; then
	printf abc >key
	q2s-create -q -o encrypt.format=luks,encrypt.iter-time=10 --key-file=key luks.qcow2 4M
	head -c 4M /dev/zero >before.raw
	serve luks.qcow2 key-file=key \
		--run "$nbd_random \"\$uri\" $((seed++)) $requests 4 before.raw after.raw" ||
		fail "requests to luks.qcow2"
	qemu-img check --object secret,id=s,data=abc --image-opts \
		driver=qcow2,file.filename=luks.qcow2,encrypt.key-secret=s
	expect_exit 0 q2s-inspect check luks.qcow2
	qemu-img convert --object secret,id=s,data=abc --image-opts \
		driver=qcow2,file.filename=luks.qcow2,encrypt.key-secret=s -O raw got.raw
	assert_same_bytes after.raw got.raw
fi
