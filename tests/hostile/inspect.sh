#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Every bad image of specs/, seen by each verb of q2s-inspect: an answer or an error with a reason,
# never a crash; JSON that is JSON; ranges of `hex` that leave nothing out; and a file that stays as
# it was.

. "$Q2S_SRC/tests/cli/lib.sh"
requires jq

failures=0

# complain MESSAGE: the image has failed; the others are still tried.
complain() {
	echo "$name: $*"
	failures=$((failures + 1))
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

# json FILTER: what was printed is JSON for which FILTER is true.
json() {
	jq -e "$1" out >filtered 2>&1 || complain "JSON ($1): $(head -c 300 filtered)"
}

partition='(reduce .ranges[] as $r (0; if . == $r.offset and $r.length > 0 then . + $r.length
	else error("gap at \(.)") end)) == ."file-size"'

# part_of VERB: what narrows it for the two images of which it has hundreds of megabytes to tell.
part_of() {
	case "$name $1" in
	'l2-table-often dump') echo --guest=0+1M ;;
	'l2-table-often map') echo --max-length=1M ;;
	'snapshot-table-too-large dump') echo --only=header,l1,l2 ;;
	esac
}

count=0
for spec in "$Q2S_SRC"/src/specimen/specs/*.spec; do
	name=${spec##*/}
	name=${name%.spec}
	rm -f image
	"$Q2S_BUILD/tests/hostile/make_image" "$spec" image || fail "cannot make $name"
	before=$(cksum <image)
	for verb in info map 'map --raw-entries' 'explain 0' 'explain 131072' 'explain --host 0' \
		'explain --host 196613' 'explain --host 327680'; do
		# shellcheck disable=SC2046,SC2086  # words of the verb
		if inspect $verb $(part_of "${verb%% *}") --output=json image; then
			json 'type == "object" or type == "array"'
		fi
	done
	# These two show damaged images as well.
	# shellcheck disable=SC2046
	if inspect dump $(part_of dump) --output=json image || [ -s out ]; then
		json '.faults >= 0'
	fi
	if inspect hex --output=json image || [ -s out ]; then
		json "$partition"
	fi
	# shellcheck disable=SC2046
	inspect dump $(part_of dump) image || :
	inspect hex image || :
	inspect safety --output=json image || :
	json '.safe == (.findings | map(select(.severity == "unsafe")) == [])'
	[ "$before" = "$(cksum <image)" ] || complain 'the image was changed'
	count=$((count + 1))
done

[ "$failures" = 0 ] || fail "$failures faults in $count images"
echo "$count images"
