#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# collect.sh RULES FOLDER: the rules, and each FOLDER/NAME.spec, as a C file for specimen.h.

set -e

strings() {
	sed -e 's/[\\"]/\\&/g' -e 's/^/	"/' -e 's/$/\\n"/' "$1"
}

echo '#include "specimen/specimen.h"'
echo
echo 'const char specimen_rules[] ='
strings "$1"
echo '	;'
echo
echo 'const struct specimen_spec specimen_specs[] = {'
for spec in "$2"/*.spec; do
	name=${spec##*/}
	echo "	{ \"${name%.spec}\","
	strings "$spec"
	echo '	},'
done
echo '	{ 0, 0 },'
echo '};'
