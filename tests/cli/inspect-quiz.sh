#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# `q2s-inspect quiz`: each question can be answered from its hex dump by the rules of the format, here
# in the arithmetic of a shell, and only the right answer is called right.
. "$Q2S_SRC/tests/cli/lib.sh"

# solve: the answer to the question in $tmp/stdout.
solve() {
	local raw size desc map alloc zero byte sub host bits=0 x

	size=$(sed -n 's/.*clusters of \([0-9]*\) bytes.*/\1/p' "$tmp/stdout")
	raw=$(sed -n 's/^[0-9a-f]\{10\}  //p' "$tmp/stdout" | tr -d ' ')
	[ ${#raw} = 32 ] || fail "not 16 bytes: $raw"
	desc=$((0x${raw:0:16})) zero=$((0x${raw:16:8})) alloc=$((0x${raw:24:8}))
	byte=$(sed -n 's/.*Of guest byte \(0x[0-9a-f]*\):$/\1/p' "$tmp/stdout")
	while [ $((1 << bits)) -lt "$size" ]; do bits=$((bits + 1)); done
	sub=$((byte % size / (size / 32)))
	x=$((70 - bits))
	host=$((desc & 0x00fffffffffffe00))
	if [ $((desc >> 62 & 1)) = 1 ]; then
		echo "compressed $((desc & ((1 << x) - 1))) not-copied"
	elif [ $((host % size)) != 0 ] || [ $((alloc & zero)) != 0 ] ||
		{ [ "$alloc" != 0 ] && [ $host = 0 ]; }; then
		echo invalid
	else
		[ $((zero >> sub & 1)) = 0 ] || map=zero
		[ $((alloc >> sub & 1)) = 0 ] || map=data
		echo "${map:-unallocated} $([ $host = 0 ] && echo none || echo $((host + byte % size)))" \
			"$([ $((desc >> 63 & 1)) = 1 ] || echo not-)copied"
	fi
}

kinds=
for seed in {1..60} 18446744073709551615; do
	expect_exit 0 q2s-inspect quiz "$seed"
	read -ra answer <<<"$(solve)"
	kinds+="${answer[0]} "
	expect_exit 0 q2s-inspect quiz "$seed" "${answer[@]}"
	! grep -q wrong "$tmp/stdout" || fail "a right answer is called wrong"
done
assert_equal 'compressed data invalid unallocated zero' "$(tr ' ' '\n' <<<"$kinds" | sort -u | xargs)" \
	'the states that are asked for'

# A wrong part is named, and the way to the right one is shown.
expect_exit 0 q2s-inspect quiz 3
read -ra answer <<<"$(solve)"
assert_equal 'data 61398273 copied' "${answer[*]}" 'the answer of seed 3'
expect_exit 2 q2s-inspect quiz 3 data 61398274 copied
expect_stdout '^state: right, data$'
expect_stdout '^host: wrong, it is 0x3a8dd01$'
expect_stdout '^copied: right, copied$'
expect_stdout 'bytes 8\.\.15 = 0x0000007f3fffff80, the subcluster bitmap'
expect_exit 2 q2s-inspect quiz 3 data none not-copied
expect_stdout '^host: wrong'
expect_stdout '^copied: wrong'
expect_exit 2 q2s-inspect quiz 3 invalid
expect_stdout '^state: wrong, it is data$'
expect_exit 0 q2s-inspect quiz --solution 3
expect_stdout '^   read     L2 entry at 0x89890: 80 00 00 00 03 a8 00 00 00 00 00 7f 3f ff ff 80$'

# Scripts.
requires jq
q2s-inspect quiz --output=json 3 data 61398273 copied >quiz.json
jq -e '.right == {state: true, host: true, copied: true} and .state == "data" and
	."host-offset" == 61398273 and .entry == "8000000003a800000000007f3fffff80"' quiz.json >/dev/null ||
	fail "$(cat quiz.json)"
jq -e 'has("state") | not' <(q2s-inspect quiz --output=json 3) >/dev/null || fail 'the question says the answer'

# usage REGEX WORD...
usage() {
	local regex=$1

	shift
	expect_exit 1 q2s-inspect quiz "$@"
	expect_stderr "$regex.*; see q2s-inspect --help\$"
}
usage 'SEED is missing'
usage "SEED 'x'" x
usage "STATE 'dtaa'" 3 dtaa 1 copied
usage 'HOST and COPIED are missing' 3 data
usage 'COPIED is missing' 3 data 1
usage "COPIED 'yes'" 3 data 1 yes
usage "HOST 'zz'" 3 data zz copied
usage "too many words: 'x'" 3 data 1 copied x
