#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# collect.sh RULES FOLDER: the rules, and each FOLDER/NAME.spec, as a C file for test_image.h.

set -e

strings() {
	sed -e 's/[\\"]/\\&/g' -e 's/^/	"/' -e 's/$/\\n"/' "$1"
}

echo '#include "corpus/test_image.h"'
echo
echo 'const char test_image_rules[] ='
strings "$1"
echo '	;'
echo
echo 'const struct test_image_spec test_image_specs[] = {'
for spec in "$2"/*.spec; do
	name=${spec##*/}
	echo "	{ \"${name%.spec}\","
	strings "$spec"
	echo '	},'
done
echo '	{ 0, 0 },'
echo '};'
