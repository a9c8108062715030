#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The library never prints, exits or installs a signal handler: no file of lib/ calls what does.

set -u

forbidden='v?f?printf|v?dprintf|f?puts|f?putc|putchar|perror|psignal|v?errx?|v?warnx?'
forbidden+='|error|v?syslog|exit|_exit|_Exit|quick_exit|at_quick_exit|atexit|abort|assert'
forbidden+='|signal|sigaction|sigset|raise|setlocale|umask|chdir'

# calls DIRECTORY: each line of code below it that calls a forbidden function or names a standard
# stream. A member of a struct (ops->exit) is nobody's libc function.
calls() {
	find "$1" -name '*.[ch]' -print0 | LC_ALL=C sort -z | xargs -0 -r awk -f "$Q2S_SRC/tests/code.awk" |
		grep -E "^[^:]*:[0-9]+:(.*[^A-Za-z0-9_.>])?(($forbidden)[[:space:]]*\(|(stdout|stderr)([^A-Za-z0-9_]|\$))"
}

small=$(mktemp -d) || exit 1
trap 'rm -rf "$small"' EXIT

cat >"$small/bad.c" <<'END'
/* printf( in a comment */ fprintf (f, "x");
	abort();
	x = "exit(1)"; y = '"'; exit(1);
	fwrite(p, 1, 2, stderr);
END
cat >"$small/good.c" <<'END'
/* a comment with exit(1)
   and abort() */
	snprintf(buf, n, "printf(\"%d\")", 1); // abort()
	ops->exit(x); ops.signal(y); q2si_abort(z); my_stderr = 0; on_exit_of(w);
	_Static_assert(1, "assert(1)"); pthread_sigmask(a, b, c);
END
found=$(calls "$small" | sed 's|.*/||; s|:[^:]*$||' | tr '\n' ' ')
if [ "$found" != 'bad.c:1 bad.c:2 bad.c:3 bad.c:4 ' ]; then
	echo "self-test: the check found $found"
	exit 1
fi

if calls "$Q2S_SRC/lib"; then
	echo "a library must not do this: return an error instead"
	exit 1
fi

# Nor does it know the options of a tool: advice is the tool's to give. Long options, -o's keys, follow=.
advice() {
	find "$1" -name '*.c' -exec grep -HnE '"[^"]*([^-]--[a-z]|[^a-z](compat|follow)=|[^a-z]-o [a-z])' {} +
}
printf '%s\n' 'fail("use --key-file")' 'fail("it - or -- that")' >"$small/bad.c"
if [ "$(advice "$small" | sed 's|.*/||; s|:[^:]*$||')" != bad.c:1 ]; then
	echo "self-test: the search for advice found $(advice "$small")"
	exit 1
fi
if advice "$Q2S_SRC/lib" | grep -v '/edit/amend_features\.c:'; then # whose rules are about compat itself
	echo "a library message speaks of options"
	exit 1
fi
exit 0
