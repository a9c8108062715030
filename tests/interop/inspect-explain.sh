#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# `q2s-inspect explain`: it arrives where qemu-img map arrives, its sums are right, the bytes are
# those that the guest sees, and the way back leads to where one came from.
. "$Q2S_SRC/tests/cli/lib.sh"
. "$Q2S_SRC/tests/interop/inspect-lib.sh"
requires qemu-img qemu-io jq

create() {
	qemu-img create -q -f qcow2 "$@" || fail "qemu-img create $*"
}

# sums: each calculation of the steps in explain.json is right. They have the form
# "words = NUMBERS = NUMBERS [unit], words = ..."; steps with words only are passed over.
sums() {
	local line part terms i

	jq -r '.. | .formulas? // empty | .[]' explain.json | tr ',' '\n' >formulas
	[ -s formulas ] || fail 'no calculation at all'
	while read -r line; do
		IFS='=' read -ra terms <<<"$line"
		part=
		for ((i = 0; i < ${#terms[@]}; i++)); do
			# only numbers and operators, with something to calculate or to compare
			[[ ${terms[i]} =~ ^\ *[0-9\(][-0-9a-fx\ +*/%\(\)\<]*$ ]] || continue
			if [ -n "$part" ]; then
				assert_equal "$((part))" "$((terms[i]))" "in '$line', the result"
				count=$((count + 1))
			fi
			part=${terms[i]}
		done
	done <formulas
}

# by_hand: what explain.json says of bits follows from the bytes that it says were read: a shifted
# field is its number shifted, and the byte and bit of a subcluster are where its two states are.
by_hand() {
	local entry name text byte bit state

	jq -e '[.. | .bits? | arrays | .[] | select(.shift) | (.number * pow(2; .shift)) == .value] |
		all and length > 0' explain.json >found || fail "a shifted field: $(cat explain.json)"
	entry=$(jq -r '[.layers[-1].steps[] | select(.id == "l2").read[].hex][0] // empty' explain.json)
	while IFS=: read -r name text; do
		byte=$(sed 's/.* = \([0-9]*\), .*/\1/' <<<"$text")
		bit=${text##* = }
		state=$(jq -r --arg name "$name" '.layers[-1].steps[] | select(.id == "subcluster").bits[] |
			select(.bits | test(if $name == "zero" then "^bit 32\\+" else "^bit [0-9]+$" end)).value' \
			explain.json)
		assert_equal "$(((0x${entry:2 * byte:2} >> bit) & 1))" "$state" "the $name bit of $entry"
		bits=$((bits + 1))
	done < <(jq -r '.layers[-1].steps[] | select(.id == "subcluster").formulas[] |
		select(test("in byte"))' explain.json)
}

# arrives IMAGE OFFSET: as in the map of QEMU for the whole chain.
arrives() {
	local want got

	want=$(jq -c --argjson at "$2" '.[] | select(.start <= $at and $at < .start + .length) |
		[(if .data and (has("offset") | not) then "compressed" elif .data then "data" else "zero" end),
		if .data then .depth else null end,
		if .data and has("offset") then .offset + $at - .start else null end]' map.json)
	q2s-inspect explain --follow any --output=json "$2" "$1" >explain.json ||
		fail "explain $2 $1"
	got=$(jq -c '.result | [.state,
		if .state == "zero" then null else .depth end, ."host-offset"]' explain.json)
	assert_equal "$want" "$got" "the way of $2 in $1"
	sums
	[ "$(jq '.layers[-1].steps | length' explain.json)" -lt 3 ] || by_hand
}

# guest_bytes IMAGE OFFSET: the last bytes that were read are what the guest reads there, up to 16
# and to the end of the (sub)cluster.
guest_bytes() {
	local want got

	want=$(qemu-io -r -f qcow2 -c "read -v $2 16" "$1" | sed -n 's/^[0-9a-f]*:  \(\([0-9a-f]\{2\} \)*\).*/\1/p' | tr -d ' ')
	got=$(jq -r '[.layers[-1].steps[] | select(.id == "host" or .id == "decompress") |
		.read[].hex][-1]' explain.json)
	[ -n "$got" ] || fail "no guest bytes at $2 of $1"
	assert_equal "${want:0:${#got}}" "$got" "guest bytes at $2 of $1"
}

# back IMAGE HOST GUEST: the owner of the host byte is that guest byte.
back() {
	q2s-inspect explain --host --output=json "$2" "$1" >back.json || fail "explain --host $2 $1"
	# small streams share their sectors with many others, of which only some are told
	jq -e --argjson guest "$3" '.owners > 16 or ([.steps[] |
		select(.id == "owner")."guest-offset"] | index($guest) != null)' back.json >found || fail "host $2 of $1 does not lead back to $3"
}

count=0
bits=0
for options in cluster_size=512 cluster_size=2M compat=0.10 extended_l2=on,cluster_size=16k; do
	rm -f image.qcow2
	create -o "$options" image.qcow2 24M
	io image.qcow2 'write -P 1 0 128k' 'write -P 3 256k 128k' 'write -P 6 640k 128k' \
		'write -P 77 4M 4k' 'write -c -P 99 6M 2M' 'write -P 55 20M 512'
	[ $options = compat=0.10 ] || io image.qcow2 'write -z 10M 64k'
	qemu-img map --output=json image.qcow2 >map.json
	for at in 0 300001 786431 4196352 4198400 6291456 7000000 10485760 20971521 25165823; do
		arrives image.qcow2 $at
		case $(jq -r .result.state explain.json) in
		data)
			guest_bytes image.qcow2 $at
			back image.qcow2 "$(jq '.result."host-offset"' explain.json)" $at
			;;
		compressed)
			guest_bytes image.qcow2 $at
			stream=$(jq '.layers[].steps[] | ."stream-offset" // empty' explain.json)
			cluster=$(jq '.layers[0].steps[0]."cluster-size"' explain.json)
			back image.qcow2 "$stream" $((at / cluster * cluster))
			;;
		esac
	done
done
[ "$count" -gt 200 ] || fail "only $count sums were checked"
[ "$bits" -gt 0 ] || fail 'no bit of a subcluster was looked up'

# --- each value that a step uses was read, or comes from an earlier step
fields() {
	q2s-inspect explain --output=json "$1" "$2" |
		jq -r '[.layers[].steps[].read // [] | .[].what | select(test("_"))] | join(" ")'
}
assert_equal 'cluster_bits incompatible_features l1_table_offset refcount_order refcount_table_offset' \
	"$(fields 0 image.qcow2)" 'fields that a data cluster needs'
assert_equal 'cluster_bits incompatible_features l1_table_offset compression_type refcount_order refcount_table_offset' \
	"$(fields 6M image.qcow2)" 'fields that a compressed cluster needs'
create -o compat=0.10 old.qcow2 1M
io old.qcow2 'write 0 64k'
assert_equal 'cluster_bits l1_table_offset refcount_table_offset' "$(fields 0 old.qcow2)" 'fields of version 2'
expect_exit 0 q2s-inspect explain 0 old.qcow2
expect_stdout 'a refcount of version 2 has 16 bits'
expect_stdout 'numbers are big-endian'
expect_stdout '^   bits 9\.\.55  = 0x280 +0x280 << 9 = 0x50000, host offset of the cluster$'

# --- what is unallocated, or zero, and has its place in the host cluster
q2s-create -q -o extended_l2=on,cluster_size=16k -w data@0+1k,zero@1k+512 -w data@64k+512,discard@64k+16k \
	partly.qcow2 1M
expect_exit 0 q2s-inspect explain 5000 partly.qcow2
expect_stdout 'bytes 8\.\.15 = 0x0000000400000003, the subcluster bitmap'
expect_stdout 'neither bit: unallocated'
expect_stdout 'its place = host cluster \+ subcluster \* 512 = 0x[0-9a-f]+ \+ 9 \* 512 = 0x'
expect_stdout 'its space is preallocated'
expect_exit 0 q2s-inspect explain 1030 partly.qcow2
expect_stdout 'its space is preallocated'
expect_exit 0 q2s-inspect explain 70k partly.qcow2
! grep -q preallocated "$tmp/stdout" || fail 'space is called preallocated that is not there'

# --- refcounts and COPIED, also of shared clusters
qemu-img snapshot -c one image.qcow2
q2s-inspect explain --output=json 0 image.qcow2 >explain.json
assert_equal 2 "$(jq '.layers[0].steps[] | select(.id == "refcount").refcount' explain.json)" 'refcount'
q2s-inspect explain --host --output=json "$(jq '.result."host-offset"' explain.json)" image.qcow2 >back.json
assert_equal 1 "$(jq .owners back.json)" 'owners: the L2 table is shared, the entry is one'
assert_equal 2 "$(jq '.steps[0]."l1-entries"' back.json)" 'L1 entries that lead to the shared table'
io image.qcow2 'write 64k 64k' # the active L1 gets its own L2 table
q2s-inspect explain --host --output=json "$(jq '.result."host-offset"' explain.json)" image.qcow2 >back.json
assert_equal 2 "$(jq .owners back.json)" 'owners: one entry in each table'

# --- each structure is found from its bytes
qemu-img bitmap --add image.qcow2 bits
owner() {
	q2s-inspect explain --host --output=json "$1" image.qcow2 >back.json
	assert_equal "$2" "$(jq -r '[.steps[] | select(.id == "owner").structure] | unique | join(",")' \
		back.json)" "owner of $1"
}
place() {
	q2s-inspect info --output=json image.qcow2 |
		jq ".q2s.layout[] | select(.structure == \"$1\").offset"
}
owner 0 'header cluster'
assert_equal 'header field size' "$(q2s-inspect explain --host --output=json 27 image.qcow2 |
	jq -r '.steps[0].name')" 'the field of byte 27'
for structure in 'L1 table' 'refcount table' 'snapshot table' 'bitmap directory'; do
	owner "$(place "$structure")" "$structure"
done
owner "$(q2s-inspect dump --output=json --only l2 image.qcow2 | jq '.l2[0].offset + 7')" 'L2 table'
owner "$(q2s-inspect dump --output=json --only reftable image.qcow2 |
	jq '.reftable.entries[0].offset + 1')" 'refcount block'

# --- chains
create layer0.qcow2 4M
io layer0.qcow2 'write -P 1 0 1M' 'write -c -P 2 1M 128k' 'write -z 2M 128k'
create -b layer0.qcow2 -F qcow2 layer1.qcow2 2100k
io layer1.qcow2 'write -P 3 512k 128k'
create -o extended_l2=on -b layer1.qcow2 -F qcow2 layer2.qcow2 6M
io layer2.qcow2 'write -P 4 700k 20k' 'write -z 5M 10k'
qemu-img map --output=json layer2.qcow2 >map.json
for at in 0 524288 716800 735000 1048576 1500000 2150399 2150400 5242880 6291455; do
	arrives layer2.qcow2 $at
done
expect_exit 0 q2s-inspect explain 0 layer2.qcow2
expect_stdout '^Guest offset 0x0: unallocated here; its backing file was not opened'
expect_exit 0 q2s-inspect explain --follow beside 0 layer2.qcow2
expect_stdout '^Guest offset 0x0: data, at host offset 0x50000 of layer 2$'
expect_exit 0 q2s-inspect explain --follow beside 3M layer2.qcow2
expect_stdout 'zero: the backing file ends before'
truncate -s 1M base.raw
create -b base.raw -F raw over.qcow2 1M
qemu-img map --output=json over.qcow2 | sed 's/"zero": true, "data": false/"data": true/' >map.json
arrives over.qcow2 5000 # a raw layer is data, also where its file has a hole

# --- external data file, encryption
create -o data_file=data.raw data.qcow2 4M
io data.qcow2 'write -P 9 1M 64k'
qemu-img map --output=json data.qcow2 >map.json
arrives data.qcow2 1050000
expect_exit 0 q2s-inspect explain 1050000 data.qcow2
expect_stdout 'external data file "data.raw"'
