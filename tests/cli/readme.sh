#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The README's commands work, and what it says of other readers is what doc/readers says.
. "$Q2S_SRC/tests/cli/lib.sh"

head -c 3M "$Q2S_BUILD/config.h" >disk.raw
truncate -s 3M disk.raw
count=0
while IFS= read -r command; do
	expect_exit 0 bash -euo pipefail -c "$command"
	count=$((count + 1))
done < <(sed -n 's/^    \.\/run \(q2s-\)/\1/p' "$Q2S_SRC/README")
[ $count -ge 6 ] || fail "only $count commands"
[ -s lesson.html ] || fail 'no page'
for image in disk.qcow2 sub.qcow2 portable.qcow2; do
	expect_exit 0 q2s-inspect check $image
	expect_exit 0 q2s-stream --compare disk.raw $image
done

# Each tool, verb and page that it names is there.
while read -r tool; do
	command -v "$tool" >/dev/null || fail "README names $tool"
done < <(sed -n 's/^    \(q2s-[a-z]*\)  .*/\1/p' "$Q2S_SRC/README")
for verb in $(sed -n 's/^    q2s-inspect  *\(.*\): .*/\1/p' "$Q2S_SRC/README" | tr -d ,); do
	q2s-inspect --help | grep -q "^  $verb " || fail "README names the verb $verb"
done
[ -s "$Q2S_SRC/doc/course/README" ]

# The table is rows of the other one.
rows=0
while IFS= read -r row; do
	grep -qxF -- "$row" "$Q2S_SRC/doc/readers" || fail "doc/readers does not say: $row"
	rows=$((rows + 1))
done < <(sed -n '/^Who reads what/,/^This is/{/  yes\|refuses\|WRONG/p}' "$Q2S_SRC/README")
[ $rows -ge 5 ] || fail "only $rows rows"
