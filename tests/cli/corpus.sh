#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# --corpus makes a folder or nothing: what is there is kept, and what fails or is stopped vanishes.

. "$Q2S_SRC/tests/cli/lib.sh"

# only NAME...: what the folder holds, but for what expect_exit keeps.
only() {
	assert_equal "$*" "$(find . -mindepth 1 -maxdepth 1 ! -name std\* -printf '%f\n' | sort | xargs)" \
		"the folder"
}

mkdir full
echo mine >full/file
expect_exit 1 q2s-create --corpus full
expect_stderr '^q2s-corpus: full: corpus: needs a new folder, or an empty one: '
only full
assert_equal mine "$(cat full/file)" "the file in it"
expect_exit 1 q2s-create --corpus full/file
expect_exit 1 q2s-create --corpus nowhere/corpus
expect_stderr '^q2s-corpus: nowhere/corpus: '
expect_exit 1 q2s-create --corpus ''
expect_exit 1 q2s-create --corpus new image
expect_stderr "unexpected 'image' with --corpus"
expect_exit 1 q2s-create --corpus new -o cluster_size=4k
expect_stderr 'takes no option but --quiet'
expect_exit 1 q2s-corpus
expect_stderr 'DIR is missing'
expect_exit 1 q2s-corpus new another
expect_stderr "unexpected 'another' after DIR"
expect_exit 1 q2s-corpus ''
expect_exit 1 env PATH=/nowhere "$(type -P q2s-corpus)" new
expect_stderr "^q2s-corpus: .*'q2s-create' cannot be run"
expect_exit 1 env PATH=/nowhere "$(type -P q2s-create)" --corpus new
expect_stderr '^q2s-create: q2s-corpus, .* cannot be run'
only full

# Stopped by a signal, or by the user's limit, in the middle.
for sign in 'states-*' 'illegal/*'; do
	env --default-signal q2s-corpus -q new &
	pid=$!
	until compgen -G "new.*/$sign" >/dev/null; do
		kill -0 $pid || fail "it ended too early"
		sleep 0.01
	done
	kill -s TERM $pid
	got=0
	wait $pid || got=$?
	assert_equal 143 "$got" "exit code after SIGTERM"
	only full
done
got=0
(ulimit -f 1024 && exec q2s-create --corpus new) 2>stderr || got=$?
assert_equal 1 "$got" "exit code at the limit"
expect_stderr '^q2s-c[a-z]*: .*File too large'
only full

expect_exit 0 q2s-create --corpus new
expect_stdout '^new: [0-9]+ images'
assert_equal "$(find new -name '*.qcow2' | wc -l)" "$(wc -l <new/manifest.jsonl)" "lines and images"
[ "$(find new/illegal -name '*.qcow2' | wc -l)" -gt 100 ] || fail "few illegal images"

# Each key of the manifest is explained, and each that is explained is there.
requires jq
jq -r '[paths | map(strings) | select(length > 0)] | unique[] |
	select(.[1:2] != ["findings"] or length == 2) | select(.[0] != "snapshots" or length == 1) | .[-1]' \
	new/manifest.jsonl | sort -u >keys
sed -n '/^The manifest$/,/^What is in it$/s/^ \{4,8\}\([a-z0-9-][a-z0-9-]*\)  .*/\1/p' "$Q2S_SRC/doc/corpus" |
	sort -u >explained
echo breaks >>explained
echo snapshots >>explained
diff <(sort -u explained) keys || fail "doc/corpus does not explain these keys, or too many"
