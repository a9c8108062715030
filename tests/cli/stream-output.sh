#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Where the image may go: each kind of output gets the same bytes, and what lies around them stays.

. "$Q2S_SRC/tests/cli/lib.sh"

make_disk=$Q2S_BUILD/tests/interop/make_disk
"$make_disk" disk 10000000 data@5000+100000 zero@300000+200000 data@700000+1 data@9000000+1000000
q2s-stream disk image
length=$(stat -c %s image)
assert_equal "exact length: $length" "$(q2s-stream --measure disk | tail -n 1)" "--measure"

# Pipe, -, new file, replaced file, file by redirection.
q2s-stream disk | cat >got
assert_same_bytes image got
q2s-stream disk - | cat >got
assert_same_bytes image got
q2s-stream disk >got
assert_same_bytes image got
head -c 3000000 /dev/zero | tr '\0' x >got
chmod 604 got
q2s-stream disk got
assert_same_bytes image got
assert_equal 604 "$(stat -c %a got)" "mode of a replaced file"

# A file in append mode grows at its end.
printf before >got
q2s-stream disk >>got
tail -c +7 got | cmp - image || fail ">> differs"
assert_equal before "$(head -c 6 got)" "what was there"

# A larger file that is not truncated: overwritten from the present offset on, zeros included.
head -c 3000000 /dev/zero | tr '\0' x >old
cp old got
{
	head -c 1000 <&1 >/dev/null
	q2s-stream disk
	printf after
} 1<>got
{
	head -c 1000 old
	cat image
	printf after
	tail -c +$((1000 + length + 5 + 1)) old
} >want
assert_same_bytes want got

# A symbolic link stays one; without it, nothing stays of a name beside.
mkdir folder
printf old >folder/target
ln -s folder/target link
q2s-stream disk link
[ -L link ] || fail "the link is gone"
assert_same_bytes image folder/target
q2s-stream disk folder/new
assert_equal "new target " "$(ls -A folder | tr '\n' ' ')" "what is in the folder"

# SOURCE is not written over, under whatever name.
cp disk kept
ln disk hard
ln -s disk soft
for dest in disk ./disk hard soft; do
	expect_exit 1 q2s-stream disk "$dest"
	expect_stderr 'same file'
done
expect_exit 1 bash -c 'q2s-stream disk 1<>disk'
expect_stderr 'same file'
expect_exit 1 bash -c 'q2s-stream disk >>hard'
assert_same_bytes kept disk

# Descriptors that came closed are not given to files.
expect_exit 1 bash -c 'q2s-stream disk >&-'
expect_stderr 'standard output'
q2s-stream disk got <&- >&- 2>&-
assert_same_bytes image got
rm got
bash -c 'q2s-stream --progress=json disk got <&- >&- 2>&-' || true
assert_same_bytes image got

# A terminal is spared, as standard output and by name.
requires terminal
mkdir terminal
cat >terminal/try <<'END'
q2s-stream disk; echo "exit $?"
q2s-stream disk /dev/tty; echo "exit $?"
q2s-stream --measure disk; echo "exit $?"
END
script -qec 'sh terminal/try' /dev/null </dev/null | tr -d '\r' >terminal/said
assert_equal 2 "$(grep -c '^q2s-stream: refusing to write an image to a terminal' terminal/said)" \
	"refusals: $(cat -v terminal/said)"
assert_equal "exit 1 exit 1 exit 0" "$(grep '^exit' terminal/said | xargs)" "exit codes"
[ "$(wc -c <terminal/said)" -lt 2000 ] || fail "an image went to the terminal"
