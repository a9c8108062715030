#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What -w asks for is what QEMU finds: each state of an entry, standard and by subclusters, with and
# without a backing file, with preallocation and with a data file.

. "$Q2S_SRC/tests/cli/lib.sh"
requires qemu-img qemu-io

count=0

# map IMAGE: a line an extent, "start length: depth" and what it is; neighbours alike are one.
map() {
	qemu-img map --output=json "$1" | sed 's/[][{},"]//g' | awk '
		function show() { if (len != "") print start / 1024 " " len / 1024 ": " kind }
		{
			split("", f)
			for (i = 1; i < NF; i += 2) f[$i] = $(i + 1)
			# only newer ones say so: data without a place is compressed
			k = f["depth:"] " " (f["data:"] == "true" && !("offset:" in f) ? "compressed" \
				: f["data:"] == "true" ? "data" : f["zero:"] == "true" ? "zero" : "?")
			k = k (f["present:"] == "true" ? "" : " absent")
			k = k (f["data:"] != "true" && "offset:" in f ? " kept" : "")
			if (k == kind) { len += f["length:"]; next }
			show()
			start = f["start:"]; len = f["length:"]; kind = k
		}
		END { show() }'
}

# state WANT_MAP [ARG...]: q2s-create makes an image with this map ("; " between extents, in KiB).
state() {
	local want=$1

	shift
	rm -f new data
	q2s-create -q "$@"
	qemu_check_clean new
	map new >map.got
	sed 's/; /\n/g' <<<"$want" >map.want
	diff map.want map.got || fail "the map of q2s-create $*"
	# In a raw data file QEMU also looks for holes of the file system, which q2s-inspect does not.
	if command -v q2s-inspect >/dev/null && [[ $* != *data_file_raw* ]]; then
		q2s-inspect map --follow=beside --output=json new >inspect.map
		qemu-img map --output=json new >qemu.map
		grep -q '"compressed"' qemu.map || # before QEMU 8.2
			sed -i 's/, "compressed": [a-z]*//' inspect.map
		diff qemu.map inspect.map ||
			fail "q2s-inspect map of q2s-create $*"
	fi
	count=$((count + 1))
}

# reads OFFSET LENGTH BYTE: the guest reads this byte all over.
reads() {
	qemu-io -r -f qcow2 -c "read -P $3 $1 $2" new >io 2>&1 || fail "qemu-io: $(cat io)"
	! grep -q 'verification failed' io || fail "not $3 at $1: $(cat io)"
}

head -c 1M /dev/zero | tr '\0' '\252' >base
base="-b base -F raw"

# ---- standard entries ------------------------------------------------------------------------
for c in 512 4096 65536 2097152; do
	state "$(awk -v k="$c" 'BEGIN {
			k /= 1024
			printf "0 %s: 0 data; %s %s: 0 zero; %s %s: 0 zero absent", k, k, k, 2 * k, k
			printf "; %s %s: 0 zero kept; %s %s: 0 compressed", 3 * k, k, 4 * k, k
			printf "; %s %s: 0 zero absent", 5 * k, k }')" \
		-o cluster_size=$c -w "data@0+$c:0x11,zero@$c+$c,discard@$((2 * c))+$c" \
		-w "zero-alloc@$((3 * c))+$c" -w "compressed@$((4 * c))+$c:0x22" new $((6 * c))
	reads 0 $c 0x11
	reads $c $c 0
	reads $((3 * c)) $c 0
	reads $((4 * c)) $c 0x22
done
for type in zlib zstd; do
	state "0 64: 0 zero absent; 64 128: 0 compressed; 192 832: 0 zero absent" \
		-o compression_type=$type -w compressed@64k+128k new 1M
	state "0 1000: 0 compressed" -o compression_type=$type -w compressed@0+1000k new 1000k
done

# Over a backing file.
# shellcheck disable=SC2086
{
	state "0 64: 0 data; 64 64: 0 zero; 128 64: 1 data; 192 64: 0 zero kept; 256 64: 0 compressed; 320 704: 1 data" \
		$base -w data@0+64k:0x33,zero@64k+64k,discard@128k+64k,zero-alloc@192k+64k \
		-w compressed@256k+64k:7 new
	reads 64k 64k 0
	reads 128k 64k 0xaa
	reads 192k 64k 0
	reads 320k 704k 0xaa
	state "0 64: 0 data; 64 960: 1 data" $base -o compat=v2 -w data@0+64k new
}

# Version 2 has no zero clusters: zero is what it would be anyway.
state "0 64: 0 data; 64 64: 0 zero absent; 128 64: 0 compressed; 192 832: 0 zero absent" \
	-o compat=v2 -w data@0+64k:1,zero@64k+64k,compressed@128k+64k:1 new 1M

# A later region wins, in part or wholly, whatever the order on the disk.
state "0 64: 0 data; 64 64: 0 zero; 128 192: 0 data; 320 704: 0 zero absent" \
	-w data@0+320k:0x44 -w zero@64k+128k -w data@128k+64k:0x55 new 1M
reads 0 64k 0x44
reads 128k 64k 0x55
reads 192k 128k 0x44
state "0 1024: 0 zero absent" -w data@64k+64k -w discard@0+1M new 1M

# ---- extended entries ------------------------------------------------------------------------
# shellcheck disable=SC2086
for cluster in 16k 64k 128k; do
	sub=$((${cluster%k} * 32)) # bytes in a subcluster
	state "$(awk -v s=$sub 'BEGIN {
			k = s / 1024
			printf "0 %s: 0 data; %s %s: 0 zero kept; %s %s: 0 data", 2 * k, 2 * k, k, 3 * k, k
			printf "; %s %s: 0 zero absent kept; %s %s: 0 zero", 4 * k, 28 * k, 32 * k, 3 * k
			printf "; %s %s: 0 zero absent; %s %s: 0 zero kept", 35 * k, 61 * k, 96 * k, 2 * k
			printf "; %s %s: 0 zero absent kept; %s %s: 0 compressed", 98 * k, 30 * k, 128 * k, 32 * k
			printf "; %s %s: 0 zero absent", 160 * k, 32 * k }')" \
		-o extended_l2=on,cluster_size=$cluster \
		-w "data@0+$((2 * sub)):0x11,zero@$((2 * sub))+$sub,data@$((3 * sub))+$sub:0x12" \
		-w "zero@$((32 * sub))+$((3 * sub))" -w "discard@$((64 * sub))+$((5 * sub))" \
		-w "zero-alloc@$((96 * sub))+$((2 * sub))" -w "compressed@$((128 * sub))+$cluster:9" \
		new $((192 * sub))
	reads 0 $((2 * sub)) 0x11
	reads $((2 * sub)) $sub 0
	reads $((3 * sub)) $sub 0x12
	reads $((4 * sub)) $((124 * sub)) 0
	q2s-create -q $base -o extended_l2=on,cluster_size=$cluster --force \
		-w "data@0+$sub:0x13,zero@$((2 * sub))+$sub,zero-alloc@$((32 * sub))+$sub" new
	qemu_check_clean new
	reads 0 $sub 0x13
	reads $sub $sub 0xaa
	reads $((2 * sub)) $sub 0
	reads $((3 * sub)) $((29 * sub)) 0xaa
	reads $((32 * sub)) $sub 0
	reads $((33 * sub)) $((31 * sub)) 0xaa
done
# All 32 subclusters in turn are another state than their neighbours.
spec=
for ((i = 0; i < 32; i += 2)); do
	spec+=,data@$((i * 2))k+2k:0x$((i + 10))
done
q2s-create -q --force -o extended_l2=on -w "${spec#,}" new 64k
qemu_check_clean new
for ((i = 0; i < 32; i += 2)); do
	reads $((i * 2))k 2k 0x$((i + 10))
	reads $((i * 2 + 2))k 2k 0
done

# ---- with preallocation, and with a data file ------------------------------------------------
state "0 64: 0 data; 64 64: 0 zero kept; 128 64: 0 zero absent; 192 64: 0 compressed; 256 768: 0 data" \
	-o preallocation=metadata \
	-w data@0+64k:0x11,zero@64k+64k,discard@128k+64k,compressed@192k+64k new 1M
reads 64k 128k 0
reads 256k 768k 0
state "0 64: 0 data; 64 2: 0 zero kept; 66 958: 0 zero absent kept" \
	-o preallocation=metadata,extended_l2=on -w data@0+64k:0x11,zero@64k+2k new 1M
state "0 64: 0 data; 64 64: 0 zero; 128 64: 0 zero absent; 192 64: 0 zero kept; 256 768: 0 zero absent" \
	-o data_file=data -w data@0+64k:77,zero@64k+64k,zero-alloc@192k+64k new 1M
qemu_same_content data new
state "0 64: 0 data; 64 64: 0 zero kept; 128 896: 0 data" \
	-o data_file=data,data_file_raw=on -w data@0+64k:77,zero@64k+64k new 1M
qemu_same_content data new

# ---- content is the same by every road, and depends on seed and place alone --------------------
q2s-create -q --force -w data@0+2M:5,data@1M+64k:6 new 2M
q2s-create -q --force -o data_file=data,extended_l2=on -w data@0+1M:5,data@1088k+960k:5 \
	-w data@1M+64k:6 other 2M
qemu_same_content data new
qemu_same_content new other qcow2
q2s-create -q --force -o compression_type=zstd -w data@0+2M:4 other 2M
! qemu-img compare -q -f qcow2 -F qcow2 new other || fail "two seeds give the same bytes"

# A disk that ends within a cluster, and within a subcluster.
state "0 128: 0 zero absent; 128 1: 0 data" -w data@128k+1k new 129k
state "0 64: 0 zero absent; 64 2: 0 data; 66 1: 0 zero kept" -o extended_l2=on \
	-w data@64k+2k,zero@66k+1k new 67k
state "0 64: 0 zero absent; 64 3: 0 compressed" -o extended_l2=on -w compressed@64k+3k new 67k

# From a file.
cat >specs <<'END'
# states of one image
data@0+64k:0x11   # the first
zero@64k+64k,discard@128k+64k

	compressed@192k+64k:3
END
state "0 64: 0 data; 64 64: 0 zero; 128 64: 0 zero absent; 192 64: 0 compressed; 256 64: 0 data; 320 704: 0 zero absent" \
	--write-file specs -w data@256k+64k new 1M

echo "$count images"
