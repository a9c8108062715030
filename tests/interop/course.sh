#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Each command of the course is run, in the order of its page, and what it prints is what the page says.
#
# A command stands behind "    $ ", in a folder of its page alone; the indented lines below it, up to
# a line that is not indented, are its output. With Q2S_COURSE=FOLDER the pages are written there with the
# output that the commands give now, for whoever changes them; read the difference before you take it.

. "$Q2S_SRC/tests/cli/lib.sh"
requires qemu-img qemu-io

# What the page's command printed, indented as in the page.
run_command() {
	bash -c "$1" 2>&1 </dev/null | sed -e 's/^/    /' -e 's/ *$//' || :
}

# play PAGE: its text, with each output as it is now.
play() {
	local line pending=

	while IFS= read -r line; do
		case $line in
		'    $ '*)
			# a blank line above is of the text, or of the output of another command
			[ -z "$pending" ] || [ -n "$told" ] || printf '\n'
			printf '%s\n' "$line"
			run_command "${line#'    $ '}"
			pending=
			told=1
			;;
		'    '*)
			# output of the command above, or an indented table of the text
			if [ -z "$told" ]; then
				printf '%s%s\n' "$pending" "$line"
				pending=
			fi
			;;
		'')
			pending=$'\n'
			;;
		*)
			printf '%s%s\n' "$pending" "$line"
			pending=
			told=
			;;
		esac
	done <"$1"
}

# Proved on a page that is wrong.
printf '%s\n' 'Text.' '' '    $ echo one; echo; echo 2; echo' '    one' '' '    two' '' '    $ true' '' 'More.' >page
printf '%s\n' 'Text.' '' '    $ echo one; echo; echo 2; echo' '    one' '' '    2' '' '    $ true' '' 'More.' >right
told=
play page >page.got
assert_same_bytes right page.got
told=
play right >page.got
assert_same_bytes right page.got

pages=0 commands=0
for page in "$Q2S_SRC"/doc/course/[0-9]*; do
	name=${page##*/}
	mkdir "$name"
	told=
	(cd "$name" && play "$page") >"$name.got"
	if [ -n "${Q2S_COURSE:-}" ]; then
		cp "$name.got" "$Q2S_COURSE/$name"
	else
		diff -u "$page" "$name.got" || fail "the page $name does not say what its commands print"
	fi
	pages=$((pages + 1))
	commands=$((commands + $(grep -c '^    \$ ' "$page")))
done
[ $pages -ge 12 ] || fail "only $pages pages"
[ $commands -gt 100 ] || fail "only $commands commands"

# The list of lessons is complete, and so is what is installed.
for page in "$Q2S_SRC"/doc/course/*; do
	name=${page##*/}
	[ "$name" = README ] || grep -q "^    $name  " "$Q2S_SRC/doc/course/README" || fail "README lacks $name"
	grep -Eq " doc/course/$name( |\$)" "$Q2S_SRC/doc/Makemodule.am" || fail "$name is not installed"
done
