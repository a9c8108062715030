#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What was there before stays until the new image is complete: without --force, when a signal ends
# the tool, and when it runs into the user's limit.

. "$Q2S_SRC/tests/cli/lib.sh"

mkdir work
cd work
echo precious >image
echo 'precious too' >data
cp image data ..

# untouched: nothing but what was there before, as it was.
untouched() {
	assert_same_bytes image ../image
	assert_same_bytes data ../data
	assert_equal "data image" "$(find . -mindepth 1 -printf '%f\n' | sort | xargs)" "the folder"
}

expect_exit 1 q2s-create image 1M
expect_stderr '^q2s-create: image: exists already; --force replaces it$'
untouched
expect_exit 1 q2s-create ./../work/image 1M
untouched
expect_exit 1 q2s-create -o data_file=data new 1M
expect_stderr '^q2s-create: data: the data file exists already; --force replaces it, -o keep_data_file=on uses it as it is$'
untouched
expect_exit 1 q2s-create --force . 1M
untouched

# Refused for another reason: --force destroys nothing.
expect_exit 1 q2s-create --force -o cluster_size=3 image 1M
untouched
expect_exit 1 q2s-create --force -o cluster_size=512 image 1P
untouched
expect_exit 1 q2s-create --force -o data_file=image image 1M
expect_stderr 'data_file: is the new image itself'
untouched
expect_exit 1 q2s-create --force -b data -F raw -o data_file=../work/data image 1M
expect_stderr 'data_file: is the backing file'
untouched
expect_exit 1 q2s-create --force -b ../work/image -F raw image 1M
expect_stderr 'backing file: is the new image itself'
untouched

# A file that the backing file is made of, further down.
q2s-create -q -b image -F raw ../one
mv ../one .
q2s-create -q -o data_file="$PWD/data.raw" -b one -F qcow2 two
ln -s . here
q2s-create -q -b here/two -F qcow2 three
for target in one two data.raw; do
	cp "$target" "../$target"
	expect_exit 1 q2s-create --force -b three -F qcow2 "$target"
	expect_stderr "^q2s-create: new image: it is the same file as '[^']*$target', which is read"
	assert_same_bytes "$target" "../$target"
	expect_exit 1 q2s-create --force -b three -F qcow2 -o data_file="$target" new
	expect_stderr "^q2s-create: data_file: it is the same file as '[^']*$target', which is read"
	assert_same_bytes "$target" "../$target"
done
expect_exit 1 q2s-create --force -b three -F qcow2 image
expect_stderr "new image: it is the same file as '[^']*image', which is read"
rm one two three here data.raw
untouched

# The user's limit on file sizes, which needs no small disk.
got=0
(ulimit -f 64 && exec q2s-create --force -o cluster_size=512,preallocation=metadata image 100M) \
	2>"$tmp/stderr" || got=$?
assert_equal 1 "$got" "exit code at the limit"
expect_stderr '^q2s-create: image: .*File too large'
untouched

# written PID: bytes that it wrote so far.
written() {
	sed -n 's/^wchar: //p' "/proc/$1/io" 2>/dev/null || echo gone
}

# A signal in the middle: this image takes a second or more.
if [ -r /proc/self/io ]; then
	for signal in TERM INT HUP; do
		# A shell starts background jobs with SIGINT ignored, and we respect that.
		env --default-signal q2s-create -q --force \
			-o cluster_size=512,preallocation=metadata,data_file=data image 64G &
		pid=$!
		while bytes=$(written $pid) && [ "${bytes:-0}" != gone ] &&
			[ "${bytes:-0}" -lt 1000000 ]; do
			sleep 0.01
		done
		kill -s "$signal" $pid || fail "it ended before the signal came"
		got=0
		wait $pid || got=$?
		assert_equal $((128 + $(kill -l $signal))) "$got" "exit code after SIG$signal"
		untouched
	done
fi

# And at last, replaced; a symbolic link stays one, and permissions stay too.
chmod 640 image
ln -s image link
expect_exit 0 q2s-create --force -o data_file=data link 1M
expect_stderr '^q2s-create: warning: data: the data file is there already, and --force replaces what it holds; -o keep_data_file=on would use it as it is$'
[ -L link ] || fail "the symbolic link was replaced"
assert_equal 640 "$(stat -c %a image)" "mode"
assert_equal 514649fb "$(od -An -tx1 -N4 image | tr -d ' ')" "magic"
assert_equal 1048576 "$(stat -c %s data)" "length of the data file"

# A signal that comes between the name beside the final one and the final one: nothing is left but
# the one image or the other. strace holds the tool back there.
if command -v strace >/dev/null && strace -o "$tmp/trace" true 2>/dev/null; then
	echo precious >image
	env --default-signal strace -f -o "$tmp/trace" -e trace=linkat,rename,renameat2 \
		-e inject=rename:delay_enter=2000000 q2s-create -q --force image 1M &
	strace=$!
	until pid=$(sed -n 's/^\([0-9]*\) *linkat.*/\1/p' "$tmp/trace") && [ -n "$pid" ]; do
		kill -0 $strace || fail "no link was made"
		sleep 0.01
	done
	kill -s TERM "$pid" || fail "it ended before the signal came"
	got=0
	wait $strace || got=$?
	assert_equal 143 "$got" "exit code"
	assert_equal "data image link" "$(find . -mindepth 1 -printf '%f\n' | sort | xargs)" \
		"what is left"
fi
