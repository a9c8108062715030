# SPDX-License-Identifier: GPL-2.0-or-later
# read_qcow.py IMAGE OFFSET LENGTH: what libqcow reads there, in hexadecimal, or "error".
import sys

import pyqcow

name, offset, length = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
try:
    image = pyqcow.file()
    image.open(name)
    print(image.read_buffer_at_offset(length, offset).hex())
except IOError:
    print("error")
