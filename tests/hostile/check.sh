#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Each spec of the collection: what `q2s-inspect check` must say about that image, that it leaves the
# file alone, and what qemu-img says; where the two differ, the spec must say why.

. "$Q2S_SRC/tests/cli/lib.sh"

specs=$Q2S_SRC/src/corpus/specs

# read_spec FILE: what it expects, in these variables; `finds` is sorted lines of "ID xN".
read_spec() {
	local line rest ids=()

	want_exit='' options=() qemu_exit='' differs='' qemu=asked opens=yes finds=''
	while IFS= read -r line; do
		rest=${line#*: }
		rest=${rest#* }
		case $line in
		'check: exit '*) want_exit=$rest ;;
		'check: option '*) read -ra options <<<"$rest" ;;
		'check: finds '*' x'*) ids+=("$rest") ;;
		'check: finds '*) ids+=("$rest x1") ;;
		'qemu: exit '*) qemu_exit=$rest ;;
		'qemu: differs '*) differs=$rest ;;
		'qemu: refuses') opens=no ;;
		'qemu: none '*) qemu=none ;;
		esac
	done <"$1"
	[ "${#ids[@]}" = 0 ] || finds=$(printf '%s\n' "${ids[@]}" | sort)
}

# complain MESSAGE: the spec has failed; the others are still tried.
complain() {
	echo "$name: $*"
}

# number KEY TEXT: a top-level number of qemu-img's JSON or ours; 0 when it is not there.
number() {
	if [[ $2 =~ $'\n    "'"$1"'": '([0-9]+) ]]; then
		echo "${BASH_REMATCH[1]}"
	else
		echo 0
	fi
}

check_ours() {
	local status=0 found

	q2s-inspect check "${options[@]}" --output=json --max-findings=1000000 image \
		>ours 2>stderr || status=$?
	[ "$status" = "$want_exit" ] ||
		complain "check exits with $status: $(head -c 500 stderr)"
	found=$(sed -n 's/^ *{"id": "\([a-z0-9-]*\)".*/\1/p' ours | sort | uniq -c |
		awk '{ print $2 " x" $1 }')
	[ "$found" = "$finds" ] || complain "check finds" $found "instead of" $finds
}

# The counts are the same where both find nothing worse than leaks.
compare_counts() {
	local key ours theirs

	ours=$(<ours)
	theirs=$(<theirs)
	for key in image-end-offset total-clusters allocated-clusters fragmented-clusters \
		compressed-clusters leaks; do
		[ "$(number "$key" "$ours")" = "$(number "$key" "$theirs")" ] || complain \
			"$key is $(number "$key" "$ours"), qemu-img says $(number "$key" "$theirs")"
	done
}

check_theirs() {
	local status=0 opened=yes

	qemu-img check -f qcow2 --output=json image >theirs 2>/dev/null || status=$?
	[ "$status" = "${qemu_exit:-$want_exit}" ] || complain "qemu-img exits with $status"
	if [ "$status" = "$want_exit" ]; then
		[ -z "$differs" ] || complain "qemu-img does not differ any more"
	else
		[ -n "$differs" ] || complain "why qemu-img differs is not said"
	fi
	case $want_exit$status in 00 | 33) compare_counts ;; esac
	qemu-io -r -f qcow2 -c length image >theirs 2>&1 || opened=no
	[ "$opened" = "$opens" ] || complain "QEMU opens it: $opened; $(head -n 1 theirs)"
}

# one NAME: complains of whatever is wrong.
one() {
	name=$1
	read_spec "$specs/$name.spec"
	[ -n "$want_exit" ] || complain "expects nothing"
	cd "images/$name" || exit
	check_ours
	if [ "$qemu" = asked ] && command -v qemu-img qemu-io >/dev/null; then
		check_theirs
	fi
}

mkdir images
"$Q2S_BUILD/tests/hostile/make_image" --all images
cksum images/*/image >before

export specs
export -f read_spec complain number check_ours compare_counts check_theirs one
# shellcheck disable=SC2016 # the shells that xargs starts expand it
(cd images && printf "%s\n" *) | xargs -P "$(nproc)" -n 8 bash -c 'for name; do (one "$name") || echo "$name: fails"; done' _ \
	>complaints

cat complaints
[ ! -s complaints ] || fail "not all images are judged as they should be"
cksum images/*/image | cmp - before || fail "check wrote to an image"
count=$(wc -l <before)
command -v qemu-img qemu-io >/dev/null ||
	skip "$count images are judged as they should be, but not by qemu-img"
echo "$count images"
