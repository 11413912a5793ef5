#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The style rules that are checked: columns, sizes, SPDX lines, include arrows, leftovers.

    tests/style.py              checks the tree; a line FILE:LINE: what for each fault
    tests/style.py --format     names C files that clang-format-14 would change (a hint, no fault)
    tests/style.py --self-test  feeds every check a snippet that must fail it and one that must not

Each check is a function that is given a path (relative to the root) and its lines and yields (line,
what). So the self-test needs no files, and a check that can no longer fail is noticed.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
COLUMNS = 100
FUNCTION_LINES = 70
FILE_LINES = 600
SPDX = 'SPDX-License-Identifier: MIT'
# the words are put together here so that this file does not find itself
LEFTOVERS = re.compile(r'\b(TO' + r'DO|FIX' + r'ME|XX' + r'X)\b')


def folders_in_order(text: str) -> list[str]:
    """The folders of src, lowest first, as src/meson.build lists them."""
    return re.findall(r"^\s*subdir\('([\w-]+)'\)", text, re.M)


def read_order() -> list[str]:
    with open(os.path.join(ROOT, 'src/meson.build'), encoding='utf-8') as file:
        return folders_in_order(file.read())


def is_c(path: str) -> bool:
    return path.endswith(('.c', '.h'))


def is_product_c(path: str) -> bool:
    return is_c(path) and path.startswith(('src/', 'backends/'))


def is_script(lines: list[str]) -> bool:
    return bool(lines) and lines[0].startswith('#!')


def is_source(path: str, lines: list[str]) -> bool:
    name = os.path.basename(path)
    return (is_c(path) or path.endswith(('.py', '.sh', '.S', '.lua')) or is_script(lines)
            or name in ('meson.build', 'meson_options.txt'))


def check_columns(path, lines):
    """no line of a source file over 100 columns"""
    if not is_source(path, lines):
        return
    for number, line in enumerate(lines, 1):
        if len(line.expandtabs(8)) > COLUMNS:
            yield number, f'{len(line.expandtabs(8))} columns; at most {COLUMNS}'


def check_file_size(path, lines):
    """no file of src or backends over 600 lines"""
    if is_product_c(path) and len(lines) > FILE_LINES:
        yield len(lines), f'{len(lines)} lines; at most {FILE_LINES}: split the file'


def functions(lines):
    """(name, first line, last line) of each function; top-level braces close in column 0."""
    first, name, inside = 1, None, False
    for number, line in enumerate(lines, 1):
        if inside:
            if line.startswith('}'):
                if name:
                    yield name, first, number
                inside, first = False, number + 1
        elif line.endswith('{') and not line.startswith('#'):
            head = ' '.join(lines[first - 1:number])
            found = re.search(r'(\w+)\(', head)
            name = found.group(1) if found and '=' not in head else None
            inside = True
        elif not line or line.endswith((';', '*/', '\\')) or line.startswith('#'):
            first = number + 1


def check_function_size(path, lines):
    """no function of src or backends over 70 lines"""
    if not is_product_c(path):
        return
    for name, first, last in functions(lines):
        if last - first + 1 > FUNCTION_LINES:
            yield first, f'{name}() has {last - first + 1} lines; at most {FUNCTION_LINES}'


def check_spdx(path, lines):
    """each source file begins with its SPDX line (scripts: behind #!)"""
    if not is_source(path, lines):
        return
    at = 1 if is_script(lines) else 0
    if len(lines) <= at or SPDX not in lines[at]:
        yield at + 1, f'no "{SPDX}" here'


def check_leftovers(path, lines):
    """nothing left to do, no white space at line ends, a newline at the end"""
    for number, line in enumerate(lines, 1):
        found = LEFTOVERS.search(line)
        if found and path != 'LICENSE':
            yield number, f'{found.group(1)}: do it, or open an issue'
        if line != line.rstrip():
            yield number, 'white space at the end of the line'
    if lines and not lines[-1]:
        yield len(lines), 'empty line at the end of the file'


def check_arrows(path, lines):
    """a folder includes only folders above it in src/meson.build; src never includes backends"""
    if not is_product_c(path):
        return
    order = read_order()
    own = path.split('/')[1] if path.startswith('src/') and path.count('/') > 1 else None
    for number, line in enumerate(lines, 1):
        found = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if not found:
            continue
        fault = arrow_fault(path, own, found.group(1), order)
        if fault:
            yield number, fault


def arrow_fault(path, own, target, order):
    folder = target.split('/')[0] if '/' in target else None
    if target.startswith('.') or '/../' in target:
        return f'"{target}": name the folder, as in "loop/loop.h"'
    if path.startswith('backends/'):
        return None if folder in (None, 'loop', 'base') else f'backends may not include "{target}"'
    if folder not in order:
        return f'"{target}" is in no folder of src/meson.build'
    if own is None:  # main.c, on top of all
        return None
    if own not in order:
        return f'folder {own} is not in src/meson.build'
    if order.index(folder) > order.index(own):
        return f'{own} may not include "{target}": {folder} stands below it in src/meson.build'
    return None


def check_own_header(path, lines):
    """a .c file includes its own header first"""
    if not (is_product_c(path) and path.endswith('.c')):
        return
    header = path[:-2] + '.h'
    if not os.path.exists(os.path.join(ROOT, header)):
        return
    wanted = header.removeprefix('src/').removeprefix('backends/')
    for number, line in enumerate(lines, 1):
        found = re.match(r'\s*#\s*include\s+[<"]([^>"]+)[>"]', line)
        if found:
            if found.group(1) != wanted:
                yield number, f'the first include is not "{wanted}"'
            return
    yield 1, f'"{wanted}" is not included'


def check_typedefs(path, lines):
    """no struct, union or enum hidden behind a typedef"""
    if not is_product_c(path):
        return
    for number, line in enumerate(lines, 1):
        if re.match(r'\s*typedef\s+(struct|union|enum)\b(?!.*\()', line):
            yield number, 'a typedef hides a struct; write "struct x"'


CHECKS = [check_columns, check_file_size, check_function_size, check_spdx, check_leftovers,
          check_arrows, check_own_header, check_typedefs]


def tracked_files():
    """What belongs to the repository, or would once it is added; the tree itself without git."""
    git = subprocess.run(['git', 'ls-files', '-co', '--exclude-standard'], cwd=ROOT,
                         capture_output=True, text=True, check=False)
    if git.returncode == 0:
        return sorted(set(git.stdout.split('\n')) - {''})
    found = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [f for f in folders if f != '.git' and not f.startswith('build')]
        found += [os.path.relpath(os.path.join(folder, name), ROOT) for name in names]
    return sorted(found)


def read_lines(path):
    try:
        with open(os.path.join(ROOT, path), encoding='utf-8') as file:
            return file.read().removesuffix('\n').split('\n')
    except (FileNotFoundError, IsADirectoryError, UnicodeDecodeError):
        return None  # deleted in the work tree, or not text


def check_tree(results):
    files = {path: lines for path in tracked_files() if (lines := read_lines(path)) is not None}
    faults = 0
    for check in CHECKS:
        mine = [(path, number, what) for path, lines in files.items()
                for number, what in check(path, lines)]
        for path, number, what in mine:
            print(f'{path}:{number}: {what}')
        faults += len(mine)
        results.append(('FAIL' if mine else 'PASS', check.__name__.removeprefix('check_')))
    print(f'style: {len(files)} files, {faults} faults')
    return faults


def long_function(lines, head='static int long_one(int a) {'):
    return [head] + ['        a++;'] * (lines - 2) + ['}']


# check, path, lines that must fail it, lines that must pass
SNIPPETS = [
    (check_columns, 'tests/x.c', ['x' * 101], ['x' * 100]),
    (check_columns, 'tests/x.c', ['\t' * 13], ['\t' * 12]),
    (check_file_size, 'src/base/x.c', [''] * 601, [''] * 600),
    (check_function_size, 'src/base/x.c', long_function(71), long_function(70)),
    (check_function_size, 'backends/x.c',
     ['static int long_one(int a,', '                    int b) {'] + long_function(70)[1:],
     ['static int a(int a,', '             int b) {', '}']),
    (check_function_size, 'src/base/x.c', ['int', *long_function(70)],
     ['static const struct x table[] = {'] + ['        { f(1) },'] * 80 + ['};', '}']),
    (check_spdx, 'src/base/x.c', ['int x;'], [f'/* {SPDX} */']),
    (check_spdx, 'tests/run', ['#!/usr/bin/env bash', 'set -e'], ['#!/bin/sh', f'# {SPDX}']),
    (check_spdx, 'man/meson.build', ['x = 1'], [f'# {SPDX}']),
    (check_leftovers, 'README.md', ['to be done: ' + 'TO' + 'DO'], ['nothing to do']),
    (check_leftovers, 'README.md', ['text '], ['text']),
    (check_arrows, 'src/base/x.c', ['#include "loop/loop.h"'], ['#include "base/text.h"']),
    (check_arrows, 'src/loop/x.c', ['#include "backends.h"'], ['#include "base/text.h"']),
    (check_arrows, 'src/http/x.c', ['#include "../base/text.h"'], ['#include "http/date.h"']),
    (check_arrows, 'backends/x.c', ['#include "http/date.h"'], ['#include "backends.h"']),
    (check_arrows, 'src/main.c', ['#include "backends/backends.h"'], ['#include "base/log.h"']),
    (check_own_header, 'src/base/text.c', ['#include <errno.h>', '#include "base/text.h"'],
     ['#include "base/text.h"', '', '#include <errno.h>']),
    (check_typedefs, 'src/base/x.h', ['typedef struct x x;'], ['typedef void done(struct x *x);']),
]


def self_test(results):
    failed = 0
    for check, path, bad, good in SNIPPETS:
        wrong = []
        if not list(check(path, bad)):
            wrong.append('does not see the bad snippet')
        if list(check(path, good)):
            wrong.append(f'objects to the good one: {list(check(path, good))}')
        for what in wrong:
            print(f'self-test: {check.__name__} on {path}: {what}')
        failed += bool(wrong)
    missing = {c.__name__ for c in CHECKS} - {snippet[0].__name__ for snippet in SNIPPETS}
    for name in missing:
        print(f'self-test: no snippet for {name}')
    results.append(('FAIL' if failed or missing else 'PASS', 'self-test'))
    print(f'style: self-test of {len(SNIPPETS)} snippets, {failed + len(missing)} failed')
    return failed + len(missing)


def name_unformatted():
    tool = shutil.which('clang-format-14')
    if not tool:
        print('style: clang-format-14 is not installed')
        return
    for path in tracked_files():
        if is_c(path) and read_lines(path) is not None:
            done = subprocess.run([tool, '--dry-run', '-Werror', path], cwd=ROOT,
                                  capture_output=True, check=False)
            if done.returncode:
                print(f'{path}: clang-format would change it')


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--self-test', action='store_true')
    parser.add_argument('--format', action='store_true')
    parser.add_argument('--results', help='a file for tests/tally.py')
    options = parser.parse_args()
    results = []
    if options.format:
        name_unformatted()
        return 0
    faults = self_test(results) if options.self_test else check_tree(results)
    if options.results:
        with open(options.results, 'a', encoding='utf-8') as file:
            file.writelines(f'{outcome}\tstyle/{name}\t\n' for outcome, name in results)
    return 1 if faults else 0


sys.exit(main())
