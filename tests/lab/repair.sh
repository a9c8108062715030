#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Repair, ended at every write: the same plan finishes it, and the undo takes it back. That the flushes
# between its stages are needed is proved by doing without them.

set -eu

"$Q2S_BUILD/tests/lab/repair" short
"$Q2S_BUILD/tests/lab/repair" mutation
