#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What ./run says and does around a build, tried on a tree that has nothing to build.

. "$Q2S_SRC/tests/cli/lib.sh"
unset CI Q2S_CONFIGURE Q2S_BUILD

mkdir -p tree/scripts tree/lib tree/include bin
cp "$Q2S_SRC/run" tree/
cp "$Q2S_SRC/scripts/env.sh" tree/scripts/
: >tree/scripts/packages
cat >tree/configure <<'END'
#!/bin/sh
echo "much that nobody reads"
echo "$*" >config.status
: >config.h
printf 'all:\n\t@echo CC x.c\ncheck-programs:\nclean:\n\t@touch cleaned\n' >Makefile
END
chmod +x tree/configure
cd tree

# stderr_is LINE...: these and no others.
stderr_is() {
	assert_equal "$(printf '%s\n' "$@")" "$(cat "$tmp/stderr")" "stderr"
}

# --- the usage, at once
expect_exit 0 ./run --help
expect_stdout '^\./run check-quick '
expect_silence
expect_exit 1 ./run --no-such-option
expect_stderr 'neither a command nor --help'
expect_exit 1 ./run
[ ! -e build ] || fail 'something was built for the usage'

# --- a build, which says little; nothing to build, which says nothing more
expect_exit 3 ./run sh -c 'echo "$1"; exit 3' - out
expect_stdout '^out$'
stderr_is 'run: configure' 'run: building'
printf 'all:\n' >build/Makefile
expect_exit 0 ./run true
expect_silence

# --- other arguments for configure
Q2S_CONFIGURE='--one "CFLAGS=-O0 -g"' expect_exit 0 ./run true
expect_stderr "^run: Q2S_CONFIGURE was ''"
assert_equal '-q --one CFLAGS=-O0 -g' "$(cat build/config.status)" "configure's arguments"
[ -e build/cleaned ] || fail 'objects of other options were kept'
rm build/cleaned
Q2S_CONFIGURE='--one "CFLAGS=-O0 -g"' expect_exit 0 ./run true
expect_exit 0 ./run true
[ ! -e build/cleaned ] || fail 'all was built again without a reason'
Q2S_CONFIGURE='' expect_exit 0 ./run true
assert_equal '-q' "$(cat build/config.status)" "configure's arguments"

# --- one who waits is told
exec {lock}>build/.run.lock
flock "$lock"
./run echo ran >waited 2>waiting {lock}>&- &
for ((i = 0; i < 1200; i++)); do
	! grep -q 'waiting for another ./run' waiting || break
	sleep 0.05
done
grep -q '^run: waiting for another ./run, which builds in ' waiting || fail 'it waits and does not say so'
[ ! -s waited ] || fail 'it did not wait'
exec {lock}>&-
wait $!
assert_equal ran "$(cat waited)" 'what ran in the end'

# --- packages: what apt says goes into a log, and is shown when it does not help
cat >../bin/apt-get <<'END'
#!/bin/sh
seq 1000
case "$* " in *" install "*" here "*) touch here ;; esac
END
printf '#!/bin/sh\nexec "$@"\n' >../bin/sudo
chmod +x ../bin/*
PATH=$tmp/bin:$PATH
echo "build here file:$PWD/here" >scripts/packages
expect_exit 0 ./run true
expect_stderr '^run: installing: here'
[ "$(wc -l <"$tmp/stderr")" -le 3 ] || fail 'apt-get fills the screen'
assert_equal 2000 "$(wc -l <build/.apt.log)" 'lines of the log of apt-get'
echo "build nowhere cmd:no-such-command-1 no-such-command-2" >>scripts/packages
echo "build there cmd:no-such-command-1 sh" >>scripts/packages
expect_exit 1 ./run true
expect_stderr '^run: q2s cannot be built without these packages: nowhere $'
expect_stderr '^  1000$'
: >scripts/packages

# --- an optional library that breaks the build
echo 'int libnbd;' >include/libnbd.h
echo '#include <libnbd.h>' >lib/x.c
: >lib/y.c
printf '#define HAVE_%s 1\n' LIBNBD LIBISAL >build/config.h
printf 'CC = %s\nall: lib/%s.lo\nlib/%s.lo:\n\t@echo %s >&2; exit 1\n' "${CC:-cc}" x x 'oops' >build/Makefile
expect_exit 1 ./run true
expect_stderr '^oops$'
expect_stderr "^run: if libnbd is the reason, .*Q2S_CONFIGURE='--without-libnbd' ./run"
expect_stderr '^run: the build failed$'
! grep -q 'libisal' "$tmp/stderr" || fail 'a library is blamed that has nothing to do with it'
printf 'CC = %s\nall: lib/%s.lo\nlib/%s.lo:\n\t@echo %s >&2; exit 1\n' "${CC:-cc}" y y 'ld: cannot find -lisal' \
	>build/Makefile
expect_exit 1 ./run true
expect_stderr "^run: if libisal is the reason"
! grep -q 'libnbd' "$tmp/stderr" || fail 'a library is blamed that has nothing to do with it'

# --- a tree that cannot be written
rm -r build
: >build
expect_exit 1 ./run true
expect_stderr "^run: $PWD cannot be written, and ./run builds in it: take a copy"
