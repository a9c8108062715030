#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# q2s-stream --extents: a map is believed, or refused with the item that is wrong.

. "$Q2S_SRC/tests/cli/lib.sh"

head -c 1048576 /dev/zero | tr '\0' x >source.raw

# item START LENGTH ZERO DATA [MORE]
item() {
	echo "{ \"start\": $1, \"length\": $2, \"depth\": 0, \"zero\": $3, \"data\": $4${5:-} }"
}

# apply ITEM...: make an image by the map of these items.
apply() {
	(
		IFS=,
		echo "[$*]"
	) >map.json
	q2s-stream --extents map.json source.raw out.qcow2
	q2s-stream out.qcow2 -f qcow2 -O raw out.raw
}

# expect SPEC...: out.raw is made of pieces, "x LENGTH" or "0 LENGTH".
expect() {
	while [ $# -gt 0 ]; do
		head -c "$2" /dev/zero | tr '\0' "$1"
		shift 2
	done >want.raw
	assert_same_bytes want.raw out.raw
}

# What is called zero is believed to be zero, though it is not; what is not known to be is read.
apply "$(item 0 1048576 false true)"
expect x 1048576
apply "$(item 0 1048576 true false)"
expect '\0' 1048576
assert_equal 4 "$(($(stat -c %s out.qcow2) / 65536))" "clusters without data"
apply "$(item 0 100000 false true)" "$(item 100000 60000 true false)" "$(item 160000 888576 false false)"
expect x 100000 '\0' 60000 x 888576
apply "$(item 0 512 true true)" "$(item 512 512 true false ', "present": false')" \
	"$(item 1024 1047552 false true ', "present": true, "offset": 7, "compressed": true')"
expect '\0' 1024 x 1047552

# The same for raw output, over a base, and with what else there is.
apply "$(item 0 65536 true false)" "$(item 65536 983040 false true)"
q2s-stream --extents map.json -O raw source.raw raw
assert_same_bytes raw out.raw
q2s-stream --extents map.json -b source.raw -F raw -c 64k source.raw delta.qcow2
q2s-stream delta.qcow2 -f qcow2 -O raw raw
assert_same_bytes raw out.raw
# Zeros need no space.
assert_equal 5 "$(($(stat -c %s delta.qcow2) / 65536))" "clusters of the difference"
q2s-stream --extents map.json --measure source.raw >measure
grep -q '^exact length: 1310720$' measure

# White space does not matter, and a map that goes on for long is read in pieces.
printf ' [\n%s\r\n\t] \n' "$(item 0 1048576 true false)" >map.json
q2s-stream --extents map.json -O raw source.raw out.raw
expect '\0' 1048576
awk 'BEGIN {
	printf "["
	for (i = 0; i < 2048; i++)
		printf "%s{\"start\":%d,\"length\":512,\"zero\":%s,\"data\":true}", i ? "," : "",
			i * 512, i % 2 ? "true" : "false"
	print "]"
}' >map.json
q2s-stream --extents map.json -O raw source.raw out.raw
assert_equal 524288 "$(tr -d '\0' <out.raw | wc -c)"

# A disk that is no multiple of 512: QEMU tells of what follows up to the next one.
head -c 1000 source.raw >odd.raw
for size in 1000 1024; do
	item 0 "$size" false true | sed 's/.*/[&]/' >map.json
	q2s-stream --extents map.json -O raw odd.raw out.raw
	head -c 1000 out.raw | cmp - odd.raw
done
echo "[$(item 0 1010 false true),$(item 1010 14 true false)]" >map.json
q2s-stream --extents map.json -O raw odd.raw out.raw
head -c 1000 out.raw | cmp - odd.raw
: >empty.raw
for map in '[]' "[$(item 0 0 false false)]"; do
	echo "$map" >map.json
	q2s-stream --extents map.json -O raw empty.raw empty.out
	[ ! -s empty.out ]
done

# --- what is wrong ----------------------------------------------------------------------------

# refused WHY TEXT: a map of this text.
refused() {
	printf '%s' "$2" >map.json
	expect_exit 1 q2s-stream --extents map.json source.raw bad
	expect_stderr "^q2s-stream: map.json: --extents: $1"
	[ ! -e bad ] || fail "an image is there"
}

good=$(item 0 524288 false true)
refused 'no array' ''
refused 'no array' '{}'
refused 'no array' "$good"
refused 'item 0: .*' '['
refused 'item 0: it is no object' '[[]]'
refused 'item 0: ' '[1]'
refused 'item 0: ' '[,]'
refused 'item 1: ' "[$good,"
refused 'item 1: ' "[$good,]"
refused "item 0: neither ',' nor ']' behind it" "[$good $good]"
refused "item 0: neither ',' nor ']' behind it" "[$good"
refused 'something follows the array' "[$good,$(item 524288 524288 false true)] x"
refused 'item 0: .*duplicate' '[{"start":0,"start":0}]'
refused 'item 0: "start" is missing' '[{"length":5,"zero":true,"data":true}]'
refused 'item 0: "start" is missing or no number' '[{"start":"0","length":5,"zero":true,"data":true}]'
refused 'item 0: "start".*from 0 up' '[{"start":-1,"length":5,"zero":true,"data":true}]'
refused 'item 0: "start"' '[{"start":0.0,"length":5,"zero":true,"data":true}]'
refused 'item 0: .*' '[{"start":0,"length":99999999999999999999,"zero":true,"data":true}]'
refused 'item 0: "length" is missing' '[{"start":0,"zero":true,"data":true}]'
refused 'it tells of 0 bytes' '[{"start":0,"length":0,"zero":true,"data":true}]'
refused 'item 0: "zero" is missing' '[{"start":0,"length":5,"data":true}]'
refused 'item 0: "data" is missing, or neither' '[{"start":0,"length":5,"zero":true,"data":1}]'
refused 'item 0: "present"' '[{"start":0,"length":5,"zero":true,"data":false,"present":null}]'
refused 'item 0: it is data, and not present' "[$(item 0 5 false true ', "present": false')]"
refused 'item 1: it starts at 524289, where 524288 is expected' "[$good,$(item 524289 5 false true)]"
refused 'item 1: it starts at 0, where 524288 is expected' "[$good,$good]"
refused 'item 1: it ends behind 2\^63' "[$good,$(item 524288 9223372036854775807 false true)]"
refused 'it tells of 524288 bytes, but the disk has 1048576' "[$good]"
refused 'it tells of 1049088 bytes, but the disk has 1048576' "[$good,$(item 524288 524800 false true)]"
refused 'item 1: it is too long' "[$good,$(printf '{"x":"%0100000d"}' 0)]"
expect_exit 1 q2s-stream --extents none source.raw bad
expect_stderr '^q2s-stream: none: --extents: cannot be opened: No such file'
mkdir folder
expect_exit 1 q2s-stream --extents folder source.raw bad
expect_stderr '^q2s-stream: folder: --extents: reading failed'
