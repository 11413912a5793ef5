#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The manual pages: clean under mandoc and groff, and true to the program.

    tests/man.py    prints a line for each fault, and exits 1 if there was one

Needs no build: the program that makes emberd.conf(5) is compiled here, beside the tree.
"""
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MAKER = ['man/make-settings.c', 'src/config/settings-table.c', 'src/config/values.c',
         'src/base/text.c', 'src/base/buffer.c']
# of the pages that describe programs: the source with --help, and the sections
PROGRAMS = {
    'emberd.8': ('src/server/options.c', [
        'NAME', 'SYNOPSIS', 'DESCRIPTION', 'OPTIONS', 'SYSTEMD INTEGRATION', 'CONTROL', 'SIGNALS',
        'ENVIRONMENT', 'FILES', 'EXIT STATUS', 'EXAMPLES', 'DIAGNOSTICS', 'SEE ALSO', 'STANDARDS',
        'SECURITY CONSIDERATIONS']),
    'emberctl.1': ('src/ctl/ctl-options.c', [
        'NAME', 'SYNOPSIS', 'DESCRIPTION', 'OPTIONS', 'ENVIRONMENT', 'FILES', 'EXIT STATUS',
        'EXAMPLES', 'DIAGNOSTICS', 'SEE ALSO', 'SECURITY CONSIDERATIONS']),
}
SECONDS = 60


def run(*command: str) -> subprocess.CompletedProcess:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS,
                          check=False)


def read(path: str) -> str:
    with open(os.path.join(ROOT, path), encoding='utf-8') as file:
        return file.read()


def make_pages(folder: str) -> dict[str, str]:
    """The pages as they are installed: name to path. And emberd.conf, which is no page."""
    maker = os.path.join(folder, 'make-settings')
    done = run(os.environ.get('CC', 'cc'), '-std=gnu17', '-D_GNU_SOURCE', '-Isrc', '-o', maker,
               *MAKER)
    if done.returncode:
        sys.exit(f'man/make-settings.c does not compile:\n{done.stderr}')
    made = {name: os.path.join(ROOT, 'man', name) for name in PROGRAMS}
    for name in ('emberd.conf.5', 'emberd.conf'):
        done = run(maker, f'man/{name}.in')
        if done.returncode:
            sys.exit(f'man/{name}.in: {done.stderr}')
        made[name] = os.path.join(folder, name)
        with open(made[name], 'w', encoding='utf-8') as file:
            file.write(done.stdout)
    return made


def lint(name: str, path: str):
    """Yields what mandoc and groff say."""
    commands = [('mandoc', '-Tlint', '-W', 'warning', path),
                ('groff', '-ww', '-mandoc', '-Tutf8', '-z', path)]
    for command in commands:
        try:
            done = run(*command)
        except FileNotFoundError:
            yield f'{command[0]} is not installed'
            continue
        # mandoc's index of pages is the machine's; a page that is not in it is not our fault
        for line in (done.stdout + done.stderr).splitlines():
            if 'mandoc.db' not in line:
                yield f'{name}: {line}'
        if done.returncode and not (done.stdout + done.stderr).strip():
            yield f'{name}: {command[0]} ended with {done.returncode}'


def rendered(path: str) -> str:
    text = run('mandoc', '-Tutf8', '-O', 'width=200', path).stdout
    return re.sub('.\b', '', text)  # bold and underlined by overstriking


def help_options(path: str) -> list[str]:
    """The options that --help names, from the text in the source."""
    text = re.search(r'char help\[\] =(.*?)";\n', read(path), re.S)
    assert text, f'no help text in {path}'
    words = ''.join(re.findall(r'"((?:[^"\\]|\\.)*)"', text.group(1) + '"'))
    lines = [line for line in words.split(r'\n') if re.match(r' +-', line)]
    return [option for line in lines
            for option in re.findall(r'(?:^ +|, )(-\w|--[\w-]+)', line[:24])]


def long_options(path: str) -> list[str]:
    """The options that getopt_long(3) is told."""
    return re.findall(r'^\s*\{ "([\w-]+)", (?:required|no)_argument', read(path), re.M)


def ctl_verbs() -> list[str]:
    """What emberctl can ask, and emberd answer."""
    asked = re.search(r'\} verbs\[\] = \{(.*?)\n\};', read('src/ctl/ctl-options.c'), re.S)
    known = re.search(r'verbs\[\] = \{(.*?)\n\};', read('src/server/control-requests.c'), re.S)
    assert asked and known, 'no table of verbs'
    asked, known = (set(re.findall(r'\{ "(\w+)"', t.group(1))) for t in (asked, known))
    assert asked == known, f'emberctl asks {asked}, emberd knows {known}'
    return sorted(asked)


def settings() -> list[tuple[str, str]]:
    """Section and key of each row of the table."""
    table = re.sub(r'#ifdef EMBERD_TEST_BUILD\n.*?#endif\n', '',  # nothing that is installed
                   read('src/config/settings-table.c'), flags=re.S)
    return re.findall(r'\{\s*SECTION_(\w+),\s*"(\w+)"', table)


def check_options(name: str, page: str):
    path, sections = PROGRAMS[name]
    named, long = help_options(path), long_options(path)
    if min(len(named), len(long)) < 4:
        yield f'only {len(named)} options found in {path}: tests/man.py reads it wrongly'
    for option in long:
        if f'--{option}' not in named:
            yield f'{path}: --help does not name --{option}'
    items = '\n'.join(line for line in page.splitlines() if re.match(r' +-', line))
    for option in named:
        if not re.search(rf'(?:^ +|, ){re.escape(option)}(?![\w-])', items, re.M):
            yield f'{name}: has no {option}'
    for section in sections:
        if not re.search(rf'^{section}$', page, re.M):
            yield f'{name}: has no section {section}'


def check_verbs(page: str):
    for verb in ctl_verbs():
        if not re.search(rf'^ +{verb}\b', page, re.M):
            yield f'emberctl.1: has no {verb}'
        if not re.search(rf'"  {verb} ', read('src/ctl/ctl-options.c')):
            yield f'emberctl --help: has no {verb}'


def check_settings(page: str, example: str):
    rows = settings()
    if len(rows) < 20:
        yield f'only {len(rows)} settings found in the table: tests/man.py reads it wrongly'
    for section, key in rows:
        part = re.search(rf'^(?:THE )?{section} SECTIONS?$(.*?)(?=^\S|\Z)', page, re.M | re.S)
        if not part or not re.search(rf'^ +{key}=', part.group(1), re.M):
            yield f'emberd.conf.5: has no {key}= in [{section.capitalize()}]'
        if not re.search(rf'^#{key}=', example, re.M):
            yield f'emberd.conf: has no {key}='
    in_force = [line for line in example.splitlines() if line and line[0] not in '#[']
    if in_force != ['IdleExitSec=300']:
        yield f'emberd.conf: in force are {in_force}, not IdleExitSec=300 alone'
    for line in example.splitlines():
        if len(line) > 80:
            yield f'emberd.conf: more than 80 columns: {line}'


def faults():
    with tempfile.TemporaryDirectory(prefix='emberd-man-') as folder:
        made = make_pages(folder)
        for name in (*PROGRAMS, 'emberd.conf.5'):
            yield from lint(name, made[name])
        for name in PROGRAMS:
            yield from check_options(name, rendered(made[name]))
        yield from check_verbs(rendered(made['emberctl.1']))
        yield from check_settings(rendered(made['emberd.conf.5']), read(made['emberd.conf']))


def main() -> int:
    found = list(faults())
    for fault in found:
        print(fault)
    return 1 if found else 0


if __name__ == '__main__':
    sys.exit(main())
