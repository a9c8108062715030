#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Snapshots, backing chains and external data files: QEMU and we must read the same.
. "$Q2S_SRC/tests/cli/lib.sh"
requires qemu-img qemu-io

to_raw=$Q2S_BUILD/tests/interop/disk_to_raw

same() {
	"$to_raw" "$1" out.raw || fail "$2 cannot be read"
	qemu_same_content out.raw "$1"
}

io() {
	qemu-io -f qcow2 "$@" >qemu-io.log
	if grep -iE 'error|failed' qemu-io.log; then
		fail "qemu-io $*"
	fi
}

# --- snapshots: each as it was, and the active layer as it is ---

for option in compat=0.10 cluster_size=4k extended_l2=on; do
	qemu-img create -q -f qcow2 -o "$option" image 4M
	for i in 1 2 3; do
		io -c "write -P $i ${i}00k 300k" -c "write -P 8 $((i * 1000))k 5000" image
		[ "$option" = compat=0.10 ] || io -c "write -z $((i * 150))k 70k" image
		qemu-img convert -q -f qcow2 -O raw image "want$i"
		qemu-img snapshot -c "name$i" image
	done
	[ "$option" = compat=0.10 ] || qemu-img resize -q image 6M
	io -c 'write -P 9 0 1M' image
	same image "$option"
	for i in 1 2 3; do
		for name in "$i" "name$i"; do
			"$to_raw" image got "$name"
			assert_same_bytes "want$i" got
		done
	done
	expect_exit 1 "$to_raw" image got 4
	expect_stderr "none has the ID or name '4'"
done

# --- chains: kinds, cluster sizes and lengths are mixed ---

seq 1 100000 >base.raw
truncate -s 300100 base.raw # no multiple of 512
qemu-img create -q -f qcow2 -o cluster_size=4k -b base.raw -F raw middle 1M
io -c 'write -P 1 10k 20k' -c 'write -z 100k 30k' -c 'write -P 2 900k 100k' middle
qemu-img create -q -f qcow2 -o cluster_size=64k,extended_l2=on -b middle -F qcow2 upper 700k
io -c 'write -P 3 0 3000' -c 'write -z -u 200k 70k' -c 'write -P 4 650k 50k' upper
qemu-img create -q -f qcow2 -o cluster_size=2M,compression_type=zstd -b upper -F qcow2 top 5M
io -c 'write -P 5 4M 10k' top
for image in middle upper top; do
	same "$image" "$image of the chain"
done
mkdir -p folder/below
qemu-img create -q -f qcow2 -b ../top -F qcow2 folder/image 5M
same folder/image 'a relative name'
qemu-img create -q -f qcow2 -b "$PWD/top" -F qcow2 folder/image 5M
same folder/image 'an absolute name'
qemu-img create -q -f qcow2 \
	-b "json:{\"driver\":\"qcow2\",\"file\":{\"driver\":\"file\",\"filename\":\"$PWD/top\"}}" \
	-F qcow2 folder/image 5M
same folder/image 'a json: name'
qemu-img create -q -f qcow2 -u -b top -F qcow2 compressed 3M
qemu-img convert -c -f raw -O qcow2 -B top -F qcow2 base.raw compressed
same compressed 'compressed over a chain'

# --- external data files ---

for option in data_file_raw=off data_file_raw=on data_file_raw=off,extended_l2=on; do
	rm -f data
	qemu-img create -q -f qcow2 -o "data_file=data,$option" image 4M
	io -c 'write -P 1 0 100k' -c 'write -P 2 1M 300k' -c 'write -z 1100k 100k' \
		-c 'write -z -u 64k 64k' image
	same image "data file, $option"
	truncate -s 1200k data # as if it had holes at its end
	same image "data file, $option, shorter"
done
rm -f data
qemu-img create -q -f qcow2 -o data_file=data -b top -F qcow2 image 4M
io -c 'write -P 1 100k 100k' -c 'write -z 4000k 50k' image
same image 'data file over a chain'
