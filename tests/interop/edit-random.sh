#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Random requests of the write engine on images that QEMU made: QEMU sees what we wrote, and finds the
# image clean.
. "$Q2S_SRC/tests/cli/lib.sh"
requires qemu-img qemu-io

edit_disk=$Q2S_BUILD/tests/interop/edit_disk
count=${Q2S_REQUESTS:-150}

random_raw() { # NAME BYTES
	head -c "$2" /dev/urandom >"$1"
}

# edited NAME [BASE [DATA]]: change image NAME, whose content is the raw file `shown`, in two sittings.
edited() {
	local name=$1

	shift
	for seed in 1 2; do
		"$edit_disk" "$name" shown $seed "$count" "$@" || fail "$name: cannot be edited"
		qemu_check_clean "$name"
		q2s-inspect check "$name" >check.out || fail "$name: $(cat check.out)"
		qemu_same_content shown "$name"
	done
}

# content NAME: what the guest sees before.
content() {
	qemu-img convert -O raw "$1" shown
}

random_raw base.raw 3000000
truncate -s 3145728 base.raw
qemu-img convert -O qcow2 base.raw base.qcow2

# Sizes that end within a cluster; all kinds of tables.
for options in cluster_size=64k cluster_size=512,refcount_bits=64 cluster_size=4k,refcount_bits=1 \
	cluster_size=2M cluster_size=4k,compat=0.10 cluster_size=64k,lazy_refcounts=on \
	cluster_size=4k,refcount_bits=2 cluster_size=16k,extended_l2=on \
	cluster_size=64k,extended_l2=on,refcount_bits=32 cluster_size=128k,extended_l2=on \
	cluster_size=2M,extended_l2=on,refcount_bits=8; do
	qemu-img create -q -f qcow2 -o "$options" image 5120512
	content image
	edited image

	qemu-img create -q -f qcow2 -o "$options" -b base.qcow2 -F qcow2 image 4096512
	content image
	edited image base.qcow2

	qemu-img convert -O qcow2 -o "$options" base.raw image
	content image
	edited image
done

# Space that is there already.
for options in cluster_size=16k cluster_size=64k,extended_l2=on; do
	qemu-img create -q -f qcow2 -o "$options,preallocation=metadata" image 4M
	content image
	edited image
done
qemu-img create -q -f qcow2 -o cluster_size=64k,extended_l2=on,preallocation=metadata -b base.raw \
	-F raw image 4M
content image
edited image base.raw

# Compressed clusters, which give way to others.
for options in compression_type=zlib compression_type=zstd,cluster_size=16k,extended_l2=on; do
	head -c 1000000 base.raw | base64 >text
	truncate -s 2M text
	qemu-img convert -c -O qcow2 -o "$options" text image
	content image
	edited image
done

# What a snapshot holds stays.
for options in cluster_size=4k cluster_size=16k,extended_l2=on; do
	qemu-img convert -O qcow2 -o "$options" base.raw image
	for name in one two; do
		qemu-img snapshot -c $name image
		content image
		edited image
	done
	qemu-img convert -l snapshot.name=one -O raw image one
	assert_same_bytes one base.raw
	qemu-img snapshot -d one image
	content image
	edited image
done

# An external data file, which may have to make sense alone.
for options in cluster_size=16k cluster_size=16k,extended_l2=on cluster_size=64k,data_file_raw=on \
	cluster_size=16k,extended_l2=on,data_file_raw=on; do
	rm -f image.data
	qemu-img create -q -f qcow2 -o "$options,data_file=image.data" image 3M
	content image
	edited image - image.data
	if [[ $options == *raw=on* ]]; then
		assert_same_bytes image.data shown
	fi
done

# Encrypted sectors.
secret=(--object "secret,id=s,data=abc")
opened=driver=qcow2,encrypt.key-secret=s,file.filename=image
for options in format=luks format=aes; do
	rm -f image
	qemu_again qemu-img create -q -f qcow2 "${secret[@]}" \
		-o "encrypt.$options,encrypt.key-secret=s,cluster_size=16k,extended_l2=on" image 2M
	truncate -s 0 shown
	for seed in 1 2; do
		"$edit_disk" image shown $seed "$count" - - abc || fail "$options: cannot be edited"
		qemu-img check -q "${secret[@]}" --image-opts "$opened" || fail "$options: not clean"
		qemu-img convert "${secret[@]}" --image-opts "$opened" -O raw seen
		assert_same_bytes seen shown
	done
done

# A disabled bitmap stays as it is; an enabled one knows of all that has changed.
qemu-img convert -O qcow2 base.raw image
qemu-img bitmap --add --disable image old
content image
edited image
qemu-img info image | grep -q 'name: old' || fail "the bitmap is gone"

# clean_is_same BITMAP: where it is clean, `was` and `shown` are the same; and it is not all dirty.
clean_is_same() {
	local offset length clean=0

	qemu-img info --output=json image | grep -q '"in-use"' && fail "a bitmap is in use"
	while read -r offset length; do
		clean=$((clean + 1))
		cmp -n "$length" -i "$offset" was shown || fail "$1: changed at $offset, but clean"
	done < <(q2s-inspect bitmap --output=json "$1" image | sed 's/[^0-9]\+/ /g' |
		awk 'NF >= 3 && $3 == 0 { print $1, $2 }')
	[ $clean -gt 0 ] || fail "$1: all of it is dirty"
	q2s-inspect bitmap --output=json "$1" image | grep -q dirty || fail "$1: none of it is dirty"
}

for options in cluster_size=64k cluster_size=512 cluster_size=16k,extended_l2=on; do
	qemu-img convert -O qcow2 -o "$options" base.raw image
	qemu-img resize -q image 40M
	content image
	cp shown was
	qemu-img bitmap --add -g 512 image fine
	qemu-img bitmap --add -g 64k image coarse
	count=20 edited image
	clean_is_same fine
	clean_is_same coarse
done
