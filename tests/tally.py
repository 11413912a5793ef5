#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Adds up what the steps of tests/run left in a folder, and prints the one line that counts.

    tests/tally.py FOLDER [--allow tests/allow-skips]

NAME.xml      pytest's --junitxml
NAME.json     meson's testlog.json: one object a line
NAME.results  lines OUTCOME<tab>TEST<tab>REASON with PASS, FAIL or SKIP

A skipped test that no line of the allow list names counts as failed: a test that quietly stops
running is worse than one that fails. The list has lines PATTERN: REASON, PATTERN as in fnmatch(3)
of "MODULE::TEST", or of "MODULE::TEST (WHY)" where only what the test gave as its reason will do.
"""
import argparse
import fnmatch
import json
import os
import sys
import xml.etree.ElementTree as xml


def from_junit(path):
    try:
        cases = list(xml.parse(path).getroot().iter('testcase'))
    except xml.ParseError as error:
        yield 'FAIL', 'results', f'{path}: {error}'
        return
    if not cases:
        yield 'FAIL', 'results', 'no test ran'
    for case in cases:
        name = f"{case.get('classname', '').split('.')[-1]}::{case.get('name')}"
        skipped = case.find('skipped')
        if case.find('failure') is not None or case.find('error') is not None:
            yield 'FAIL', name, ''
        elif skipped is not None:
            yield 'SKIP', name, skipped.get('message', '')
        else:
            yield 'PASS', name, ''


def from_meson(path):
    outcomes = {'OK': 'PASS', 'EXPECTEDFAIL': 'PASS', 'SKIP': 'SKIP'}
    with open(path, encoding='utf-8') as file:
        for line in file:
            test = json.loads(line)
            name = test['name'].split(' / ')[-1]
            suite = test.get('suite') or []
            suite = suite[0].split(':')[-1] if suite else 'test'
            yield outcomes.get(test['result'], 'FAIL'), f'{suite}::{name}', test['result']


def from_results(path):
    with open(path, encoding='utf-8') as file:
        for line in file:
            outcome, name, reason = (line.rstrip('\n').split('\t') + ['', ''])[:3]
            yield outcome, name, reason


READERS = {'.xml': from_junit, '.json': from_meson, '.results': from_results}


def read_allowed(path):
    allowed = []
    with open(path, encoding='utf-8') as file:
        for number, line in enumerate(file, 1):
            if not line.strip() or line.startswith('#'):
                continue
            pattern, _, reason = line.partition(': ')
            if not reason.strip():
                sys.exit(f'{path}:{number}: no reason; a line is PATTERN: REASON')
            allowed.append(pattern.strip())
    return allowed


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder')
    parser.add_argument('--allow', default=os.path.join(os.path.dirname(__file__), 'allow-skips'))
    options = parser.parse_args()
    allowed = read_allowed(options.allow)
    counts = {'PASS': 0, 'FAIL': 0, 'SKIP': 0}
    trouble = 0
    for entry in sorted(os.listdir(options.folder)):
        stem, extension = os.path.splitext(entry)
        if extension not in READERS:
            continue
        for outcome, name, reason in READERS[extension](os.path.join(options.folder, entry)):
            outcome = outcome if outcome in counts else 'FAIL'
            counts[outcome] += 1
            known = outcome == 'SKIP' and any(fnmatch.fnmatchcase(n, p) for p in allowed
                                              for n in (name, f'{name} ({reason})'))
            if outcome != 'PASS':
                note = '' if outcome == 'FAIL' or known else ' (not in tests/allow-skips)'
                print(f'{outcome} {stem}: {name}{": " + reason if reason else ""}{note}')
            trouble += outcome == 'FAIL' or (outcome == 'SKIP' and not known)
    print(f"{counts['PASS']} passed, {counts['FAIL']} failed, {counts['SKIP']} skipped")
    return 1 if trouble or not counts['PASS'] else 0


sys.exit(main())
