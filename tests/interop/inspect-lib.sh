# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# What the tests of q2s-inspect share: images made by QEMU, and the comparison with what qemu-img
# says. Sourced after tests/cli/lib.sh.

. "$Q2S_SRC/tests/cli/bytes.sh"

# io IMAGE CMD...: let qemu-io do this to it.
io() {
	local image=$1 args=() cmd

	shift
	for cmd; do args+=(-c "$cmd"); done
	qemu-io -f qcow2 "${args[@]}" "$image" >qemu-io.log 2>&1 || fail "qemu-io: $(cat qemu-io.log)"
	! grep -qi 'failed\|error' qemu-io.log || fail "qemu-io: $(cat qemu-io.log)"
}

# A filter that keeps of the input what $want has keys for: QEMU learns new ones now and then.
# shellcheck disable=SC2016  # jq's dollars
only_known='def only($w):
	if type == "object" and ($w | type) == "object" then
		with_entries(select(.key as $k | $w | has($k)) | .key as $k | .value |= only($w[$k]))
	elif type == "array" and ($w | type) == "array" then
		[range(length) as $i | .[$i] | only($w[$i])]
	else . end; only($want)'

# same_info IMAGE [qemu-img options]: the same keys with the same values.
same_info() {
	local image=$1 want got

	shift
	want=$(qemu-img info --output=json "$@" -- "$image" | jq -S -c .) ||
		fail "qemu-img info $image"
	got=$(q2s-inspect info --output=json -- "$image" | jq -S -c "del(.q2s)") ||
		fail "q2s-inspect info $image"
	if ! jq -e 'has("children")' <<<"$want" >has-children; then # before QEMU 8
		got=$(jq -S -c --argjson want "$want" "$only_known" <<<"$got")
	fi
	assert_equal "$want" "$got" "info of $image"
}

# same_map IMAGE [options of both]: byte for byte what qemu-img prints. Both ask the file system
# for holes, and its answer changes when it writes a file back or drops pages that were read: all
# files that the map may ask for are written first, and where QEMU answers otherwise afterwards,
# both are asked again.
same_map() {
	local image=$1 tries

	shift
	find . -maxdepth 1 -type f -exec sync -- {} +
	for tries in 1 2 3 4 5; do
		qemu-img map --output=json "$@" -- "$image" >want.map || fail "qemu-img map $image"
		q2s-inspect map --output=json --follow any "$@" -- "$image" >got.map ||
			fail "q2s-inspect map $image"
		qemu-img map --output=json "$@" -- "$image" | cmp -s - want.map && break
		echo "the holes of $image changed while they were asked for (look $tries)"
	done
	grep -q '"compressed"' want.map || # before QEMU 8.2
		sed -i 's/, "compressed": [a-z]*//' got.map
	cmp -s want.map got.map || fail "map of $image $*: $(diff want.map got.map | head -20)"
}
