#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""release.py PROGRAM    fails if a release could misbehave: by a symbol, or a word in its data."""
import re
import subprocess
import sys

WORDS = re.compile(r'misbehav|hostile|\becho_handler|read_shadow|read-shadow|NO_SANDBOX', re.I)


def output(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True,
                          errors='replace').stdout


program = sys.argv[1]
# -d: what is loaded, and not what debuggers read
found = [line for said in (output('nm', program), output('strings', '-d', program))
         for line in said.splitlines() if WORDS.search(line)]
print('\n'.join(found))
sys.exit(1 if found else 0)
