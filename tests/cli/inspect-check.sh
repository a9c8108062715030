#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# q2s-inspect check as a command: options, exit codes, both outputs. What it finds in which image is
# tested in tests/hostile.
. "$Q2S_SRC/tests/cli/lib.sh"
. "$Q2S_SRC/tests/cli/bytes.sh"
requires jq

q2s-create -q sound.qcow2 1G

# make NAME: an image from a spec on stdin.
make() {
	"$Q2S_BUILD/tests/hostile/make_image" /dev/stdin "$1"
}

make leaky.qcow2 <<'END'
data 0
leak 5
END
make corrupt.qcow2 <<'END'
data 0..3
leak 5
set refcount[5] = 0
set l2[0][2].copied = 0
END

# --- exit codes
expect_exit 0 q2s-inspect check sound.qcow2
expect_stdout '^No errors were found on the image\.$'
expect_stdout '^Image end offset: 262144$'
expect_silence
expect_exit 3 q2s-inspect check leaky.qcow2
expect_stdout '^LEAK refcount-leak: .*\(cluster at host offset 0x60000; found 1, expected 0\)$'
expect_stdout '^5 leaked clusters were found'
expect_exit 2 q2s-inspect check corrupt.qcow2
expect_stdout '^ERROR refcount-zero: .*\(cluster at host offset 0x50000; found 0, expected 1\)$'
expect_stdout '^ERROR l2-copied-clear: .*\(L2 entry at host offset 0x40010, guest offset 0x20000\)$'
expect_stdout '^3 errors were found'
make cut.qcow2 <<'END'
data 0
file-size old - 100
END
expect_exit 0 q2s-inspect check cut.qcow2
expect_stdout '^NOTE data-cluster-cut: '
expect_stdout '^1 note: odd, but sound'
expect_exit 1 q2s-inspect check missing.qcow2
expect_stderr '^q2s-inspect: missing.qcow2: '
truncate -s 1M raw
expect_exit 63 q2s-inspect check raw
expect_stderr '^q2s-inspect: raw: this image format does not support checks'
expect_exit 63 q2s-inspect check -f raw sound.qcow2
expect_exit 1 q2s-inspect check -f qcow2 raw
expect_exit 1 q2s-inspect check --output=json raw.missing

# --- usage
expect_exit 1 q2s-inspect check
expect_stderr 'FILE is missing; see q2s-inspect --help'
expect_exit 1 q2s-inspect check sound.qcow2 leaky.qcow2
for wrong in --max-findings= --max-findings=x --max-findings=-1 --max-findings=1x --frob \
	--output=xml --format=vmdk; do
	expect_exit 1 q2s-inspect check "$wrong" sound.qcow2
	expect_stderr '^q2s-inspect: .*see q2s-inspect --help'
done
expect_exit 0 q2s-inspect check --help
expect_stdout 'max-findings'

# --- how much is said: the counts and the exit code stay
expect_exit 3 q2s-inspect check --max-findings=2 leaky.qcow2
assert_equal 2 "$(grep -c '^LEAK' stdout)" 'findings shown'
expect_stdout '^3 more findings are not shown'
expect_stdout '^5 leaked clusters'
expect_exit 2 q2s-inspect check -q corrupt.qcow2
[ ! -s stdout ] || fail "-q is not quiet"

# --- JSON: qemu-img's keys, and ours
expect_exit 2 q2s-inspect check --output=json corrupt.qcow2
assert_equal 'corrupt.qcow2 qcow2 3 5 0 917504 16 4' "$(jq -r '[.filename, .format, .corruptions,
	.leaks, ."check-errors", ."image-end-offset", ."total-clusters",
	."allocated-clusters"] | join(" ")' stdout)" 'JSON'
assert_equal 'false' "$(jq 'has("findings-omitted")' stdout)" 'nothing was omitted'
assert_equal '8' "$(jq '.findings | length' stdout)" 'findings in JSON'
assert_equal 'refcount-zero corruption cluster 327680 null 0 1' "$(jq -r '.findings[] |
	select(.id == "refcount-zero") | [.id, .severity, .structure, ."host-offset",
	(."guest-offset" | tostring), .found, .expected] | join(" ")' stdout)" 'a finding'
assert_equal 131072 "$(jq '.findings[] | select(.id == "l2-copied-clear") | ."guest-offset"' stdout)" \
	'guest offset'
# A finding has the same keys on the page of report.
q2s-inspect report --output=json corrupt.qcow2 >report.json
assert_equal "$(jq -c '[.findings[] | keys]' stdout)" "$(jq -c '[.check.list[] | keys]' report.json)" \
	'the keys of a finding'

expect_exit 2 q2s-inspect check --output=json --max-findings=0 corrupt.qcow2
assert_equal '0 8' "$(jq -r '[(.findings | length), ."findings-omitted"] | join(" ")' stdout)" 'omitted'
expect_exit 0 q2s-inspect check --output=json sound.qcow2
assert_equal '["check-errors","filename","findings","format","image-end-offset","total-clusters"]' \
	"$(jq -c keys stdout)" 'keys of a sound image'

# --- an image that asks for more than a check may take: refused, and still JSON
cp sound.qcow2 huge.qcow2
if truncate -s 8E huge.qcow2 2>/dev/null || truncate -s 15T huge.qcow2; then
	poke huge.qcow2 20 00000009
	poke huge.qcow2 40 0000000000000000
	poke huge.qcow2 24 0000000000000000
	poke huge.qcow2 36 00000000
	status=0
	q2s-inspect check --output=json huge.qcow2 >stdout 2>stderr || status=$?
	jq -e . stdout >/dev/null || fail "not JSON"
	[ "$status" != 1 ] || jq -e .error stdout >/dev/null || fail "the JSON does not say why"
fi

# --- nobody reads it, nobody can store it
status=0
q2s-inspect check sound.qcow2 >/dev/full 2>stderr || status=$?
assert_equal 1 "$status" 'exit code with a full disk'
set +o pipefail
q2s-inspect check --max-findings=100000 leaky.qcow2 | :
set -o pipefail

# --- names are shown without their control characters
cp raw $'od\e[1md'
expect_exit 63 q2s-inspect check $'od\e[1md'
expect_stderr 'od\\x1b\[1md'
