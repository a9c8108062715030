#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Every image of the collection, seen by each verb of q2s-inspect: an answer or an error with a
# reason, never a crash; JSON that is JSON; ranges of `hex` that leave nothing out; and a file that
# stays as it was.

. "$Q2S_SRC/tests/cli/lib.sh"
requires jq

# complain MESSAGE: the image has failed; the others are still tried.
complain() {
	echo "$name: $*"
}

# inspect VERB... : run it on the image; its exit code must be 0, 1 with a reason, or 2 for safety.
inspect() {
	local status=0

	q2s-inspect "$@" >out 2>err || status=$?
	case $status.$1 in
	0.*) [ ! -s err ] || complain "$*: success with a message: $(head -c 300 err)" ;;
	1.*) grep -q '^q2s-inspect: ' err || complain "$*: exit 1 without a reason" ;;
	2.safety) ;;
	*) complain "$*: exit $status: $(head -c 300 err)" ;;
	esac
	[ "$status" = 0 ]
}

# part_of VERB: in $part, what narrows it for the two images of which it has hundreds of megabytes
# to tell; one dump of bytes is enough for them.
part_of() {
	case "$name $1" in
	'l2-table-often map') part=--max-length=1M ;;
	'snapshot-table-too-large dump') part=--only=header,l1,l2 ;;
	*) part= ;;
	esac
}

# one NAME: what was printed is left beside the image, as KIND.json or KIND-N.json. A verb that
# fails prints nothing, or JSON that is whole.
one() {
	local verb n=0

	name=$1
	cd "images/$name" || exit
	for verb in info map 'map --raw-entries' 'explain 0' 'explain 131072' 'explain --host 0' \
		'explain --host 196613' 'explain --host 327680'; do
		part_of "${verb%% *}"
		# shellcheck disable=SC2086  # words of the verb
		if inspect $verb $part --output=json image || [ -s out ]; then
			mv out "any-$((n++)).json"
		fi
	done
	part_of dump
	# shellcheck disable=SC2086
	if inspect dump $part --output=json image || [ -s out ]; then
		mv out dump.json
	fi
	# as it is, from a sound image, and back
	if inspect diff --output=json ../../sound image || [ -s out ]; then
		mv out "any-$((n++)).json"
	fi
	inspect diff image ../../sound || :
	inspect diff image image || :
	if inspect hex --output=json image || [ -s out ]; then
		mv out hex.json
	fi
	# shellcheck disable=SC2086
	inspect dump $part image || :
	[ -n "$part" ] || inspect hex image || :
	inspect safety --output=json image || :
	mv out safety.json
}

# holds FILTER FILE...: each file is one JSON value for which FILTER is true.
holds() {
	local filter=$1

	shift
	printf '%s\n' "$@" >files
	jq -r "if (try ($filter) catch false) then input_filename else empty end" "$@" \
		>good 2>jq-error || :
	diff files good >difference ||
		fail "not for all is '$filter': $(grep '^[<>]' difference | head -n 3) $(head -c 300 jq-error)"
}

mkdir images
q2s-create -q -o extended_l2=on -w data@0+8k,zero@8k+4k,compressed@1M+64k -w data@3M+64k sound 4M
"$Q2S_BUILD/tests/hostile/make_image" --all images
cksum images/*/image >before

export -f complain inspect part_of one
# shellcheck disable=SC2016 # the shells that xargs starts expand it
(cd images && printf "%s\n" *) | xargs -P "$(nproc)" -n 8 bash -c 'for name; do (one "$name") || echo "$name: fails"; done' _ \
	>complaints
cat complaints
[ ! -s complaints ] || fail "not every verb does well with all images"
cksum images/*/image | cmp - before || fail "an image was changed"

holds 'type == "object" or type == "array"' images/*/any-*.json
holds '.faults >= 0' images/*/dump.json
holds '(reduce .ranges[] as $r (0; if . == $r.offset and $r.length > 0 then . + $r.length
	else error("gap at \(.)") end)) == ."file-size"' images/*/hex.json
# What a hundred thousand entries lead to is shown once, and referred to in one line.
holds '(.l2 | length) == 1 and (."l2-repeated" | length) == 1 and
	.l2[0].offset == ."l2-repeated"[0].offset and
	1 + ."l2-repeated"[0].count == (.l1[0].entries | length)' images/l2-table-often/dump.json
holds '(."refcounts-repeated" | length) == 1 and
	(."refcounts-repeated"[0].offset as $at | .refcounts | any(.offset == $at))' \
	images/refcount-block-shared/dump.json
holds '.l1 | length == 3 and .[2]."shown-above-from" == 0' images/snapshot-l1-shared/dump.json
holds '.bitmaps.tables | length == 2 and .[1]."shown-above-from" == 0' \
	images/bitmap-table-shared/dump.json

holds '.safe == (.findings | map(select(.severity == "unsafe")) == [])' images/*/safety.json
echo "$(wc -l <before) images"
