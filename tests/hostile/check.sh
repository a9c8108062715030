#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Each spec in specs/: what `q2s-inspect check` must say about that image, that it leaves the file
# alone, and what qemu-img says; where the two differ, the spec must say why.

. "$Q2S_SRC/tests/cli/lib.sh"

specs=$Q2S_SRC/tests/hostile/specs
failures=0

# wants SPEC WORD: the rest of each line of the spec that starts with WORD ("check: finds").
wants() {
	sed -n "s/^$2 *//p" "$1"
}

# complain MESSAGE: the spec has failed; the others are still tried.
complain() {
	echo "$name: $*"
	failures=$((failures + 1))
}

# number KEY FILE: a top-level number of qemu-img's JSON or ours; 0 when it is not there.
number() {
	local got

	got=$(sed -n "s/^    \"$1\": \([0-9]*\),\{0,1\}\$/\1/p" "$2")
	echo "${got:-0}"
}

# found FILE: "ID xN" for each kind of finding in our JSON, sorted.
found() {
	sed -n 's/^ *{"id": "\([a-z0-9-]*\)".*/\1/p' "$1" | sort | uniq -c |
		awk '{ print $2 " x" $1 }'
}

# wanted SPEC: the same from the spec, where x1 may be left out.
wanted() {
	wants "$1" 'check: finds' | awk '{ print $1 " " (NF > 1 ? $2 : "x1") }' | sort
}

check_ours() {
	local spec=$1 status=0 before

	before=$(cksum <image)
	# shellcheck disable=SC2046 # options are words
	q2s-inspect check $(wants "$spec" 'check: option') --output=json \
		--max-findings=1000000 image >ours 2>stderr || status=$?
	[ "$status" = "$(wants "$spec" 'check: exit')" ] ||
		complain "check exits with $status: $(head -c 500 stderr)"
	[ "$before" = "$(cksum <image)" ] || complain "check wrote to the image"
	found ours >got
	wanted "$spec" >want
	diff -u want got >diff.out || complain "check finds something else: $(cat diff.out)"
}

# The counts are the same where both find nothing worse than leaks.
compare_counts() {
	local key

	for key in image-end-offset total-clusters allocated-clusters fragmented-clusters \
		compressed-clusters leaks; do
		[ "$(number "$key" ours)" = "$(number "$key" theirs)" ] ||
			complain "$key is $(number "$key" ours), qemu-img says $(number "$key" theirs)"
	done
}

check_theirs() {
	local spec=$1 ours theirs=0 want differs

	ours=$(wants "$spec" 'check: exit')
	want=$(wants "$spec" 'qemu: exit')
	differs=$(wants "$spec" 'qemu: differs')
	[ -z "$(wants "$spec" 'qemu: none')" ] || return 0
	qemu-img check -f qcow2 --output=json image >theirs 2>/dev/null || theirs=$?
	[ "$theirs" = "${want:-$ours}" ] || complain "qemu-img exits with $theirs"
	if [ "$theirs" = "$ours" ]; then
		[ -z "$differs" ] || complain "qemu-img does not differ any more"
	else
		[ -n "$differs" ] || complain "why qemu-img differs is not said"
	fi
	case $ours$theirs in 00 | 33) compare_counts ;; esac
}

count=0
for spec in "$specs"/*.spec; do
	name=${spec##*/}
	[ -n "$(wants "$spec" 'check: exit')" ] || continue
	count=$((count + 1))
	rm -f image ./*.raw
	"$Q2S_BUILD/tests/hostile/make_image" "$spec" image || {
		complain "cannot be made"
		continue
	}
	check_ours "$spec"
	! command -v qemu-img >/dev/null || check_theirs "$spec"
done

[ "$failures" = 0 ] || fail "$failures faults in $count specs"
command -v qemu-img >/dev/null || skip "$count images are judged as they should be, but not by qemu-img"
echo "$count images"
