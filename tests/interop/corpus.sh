#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The corpus is what its manifest says: of each image what q2s-inspect and QEMU find, whether QEMU
# opens it, and the content of the legal ones, read by QEMU and by q2s-stream, which survives the
# illegal ones. Making it again gives the same bytes.
#
# Of the images that differ in cluster size, refcount width and the like alone only some are looked
# at, but each kind, and each value of each option: Q2S_CORPUS=all looks at all of them.

. "$Q2S_SRC/tests/cli/lib.sh"
requires qemu-img qemu-io sha256sum jq

# What one pipe of a test can carry in good time; the manifest has no digest of larger ones.
readable=$((256 << 20))

# complain MESSAGE: the image has failed; the others are still tried.
complain() {
	echo "$file: $*"
}

# status CMD...: its exit code; its stdout in $tmp_dir/out, its stderr in $tmp_dir/err.
status() {
	local got=0

	"$@" >"$tmp_dir/out" 2>"$tmp_dir/err" || got=$?
	echo "$got"
}

check() {
	local got found

	# shellcheck disable=SC2086 # options are words
	got=$(status q2s-inspect check $options --output=json --max-findings=1000000 "$name")
	[ "$got" = "$exit" ] || complain "q2s-inspect check: exit $got instead of $exit"
	found=$(sed -n 's/^ *{"id": "\([a-z0-9-]*\)".*/\1/p' "$tmp_dir/out" | sort | uniq -c |
		awk '{ printf "%s:%s ", $2, $1 }')
	[ "$found" = "$findings" ] || complain "q2s-inspect check finds '$found', not '$findings'"

	got=$(status qemu-img check -f qcow2 "$name")
	[ "$got" = "$qemu_exit" ] || complain "qemu-img check: exit $got instead of $qemu_exit"
	# A header that QEMU opens takes its check along; only to refuse is a question of its own.
	[ "$legal$qemu_exit" != true0 ] || return 0
	got=$(status qemu-io -r -f qcow2 -c length "$name")
	[ "$got" = $((opens == 0)) ] || complain "QEMU opens it: exit $got"
}

# content DIGEST [SNAPSHOT]: the same from QEMU, from q2s-stream, and in the manifest.
content() {
	local theirs ours

	qemu-img convert ${2:+-l "snapshot.id=$2"} -f qcow2 -O raw "$name" "$tmp_dir/raw" \
		2>"$tmp_dir/err" || complain "qemu-img convert fails: $(<"$tmp_dir/err")"
	theirs=$(sha256sum <"$tmp_dir/raw")
	ours=$(q2s-stream ${2:+-s "$2"} -f qcow2 -O raw "$name" | sha256sum)
	[ "$theirs" = "$ours" ] || complain "read as $theirs by QEMU, $ours by q2s-stream ($2)"
	[ -z "$1" ] || [ "$theirs" = "$1  -" ] || complain "the digest is not $1, but $theirs ($2)"
	[ "$(stat -c %s "$tmp_dir/raw")" = "$size" ] || complain "the disk has another size"
}

# survive: a result or an error with a reason.
survive() {
	local got=0

	q2s-stream -f qcow2 --follow=beside "$name" 2>"$tmp_dir/err" >/dev/null || got=$?
	case $got in
	0) ;;
	1) grep -q '^q2s-stream: ' "$tmp_dir/err" || complain "q2s-stream fails without a reason" ;;
	*) complain "q2s-stream: exit $got: $(head -c 300 "$tmp_dir/err")" ;;
	esac
}

# one LINE: all that the manifest says of one image.
one() {
	local snapshot

	IFS='|' read -r file legal size digest exit options findings opens qemu_exit snapshots <<<"$1"
	name=${file##*/}
	[ "$name" = "$file" ] || cd illegal || exit
	check
	if [ "$legal" = false ]; then
		survive
	elif [ "$size" -le "$readable" ]; then
		content "$digest"
		for snapshot in $snapshots; do
			content "${snapshot#*:}" "${snapshot%:*}"
		done
	fi
}

# lines FILTER: the manifest as words for one(), of the images that the filter lets pass.
lines() {
	jq -rs "[group_by(.kind)[] | to_entries[] | select(.key as \$i | $1) | .value] | sort_by(.file)[] |
		[.file, .legal, .\"virtual-size\", .sha256 // \"\", .check.exit, .check.options // \"\",
		 (.check.findings | to_entries | sort_by(.key) | map(\"\(.key):\(.value) \") | add // \"\"),
		 (if .\"qemu-img\".opens then 1 else 0 end), .\"qemu-img\".\"check-exit\",
		 (.snapshots // {} | to_entries | map(\"\(.key):\(.value)\") | join(\" \"))] |
		map(tostring) | join(\"|\")" manifest.jsonl
}

q2s-corpus -q corpus
cd corpus

# Every fifth, and with them each value of each option, as it is in several kinds.
case ${Q2S_CORPUS:-some} in
all) lines true ;;
*) lines "\$i % 5 == (.value.kind | length) % 5 or \$i == 0" ;;
esac >../lines
count=$(wc -l <../lines)
kinds=$(jq -r .kind manifest.jsonl | sort -u | wc -l)
[ "$count" -ge "$kinds" ] && [ "$kinds" -gt 200 ] || fail "only $count images of $kinds kinds"

export readable tmp_dir=
export -f complain status check content survive one
# shellcheck disable=SC2016 # the shells that xargs starts expand it
tr '\n' '\0' <../lines | xargs -0 -P "$(nproc)" -n 8 bash -c '
	tmp_dir=$(mktemp -d) && trap "rm -r \"$tmp_dir\"" EXIT
	for line; do (one "$line") || echo "$line: fails"; done' _ >../complaints 2>&1
cat ../complaints
# Which is said of one whose last cluster is cut.
if grep -v '^q2s-stream: warning: .* its end is missing: ' ../complaints; then
	fail "not all images are as the manifest says"
fi

# The command is how it was made; here, where its backing file is.
mkdir ../by-hand
cp base.qcow2 ../by-hand
while read -r file command; do
	(cd ../by-hand && eval "$command") || fail "$command"
	assert_same_bytes "$file" "../by-hand/$file"
	rm -f "../by-hand/$file" ../by-hand/*.data
done < <(jq -r 'select(.command and (.file | test("backed-4k|data-file-64k|extended-64k|kept-64k|tables|size-|v2-4k"))) |
	"\(.file) \(.command)"' manifest.jsonl)

# All of it is the same each time.
cd ..
mkdir again
q2s-corpus -q again/
diff -r corpus again || fail "the second corpus differs"

echo "$count of $(wc -l <corpus/manifest.jsonl) images, each of $kinds kinds"
