# SPDX-License-Identifier: MIT
"""One booted machine a suite; every test begins with emberd asleep and with its own settings."""
import os
import shutil
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))
# pylint: disable=wrong-import-position
from client import Inside  # noqa: E402
from machine import Machine  # noqa: E402
from waiting import wait_until  # noqa: E402

SUITES = os.environ.get('EMBERD_SUITES', 'trixie bookworm').split()
FOLDER = os.environ.get('EMBERD_SYSTEM', '')
UNITS = ['emberd.socket', 'emberd-tls.socket', 'emberd.service']


def pytest_addoption(parser):
    parser.addoption('--long', action='store_true', help='what takes longer than a few seconds')


def pytest_collection_modifyitems(items):
    # all tests of a suite before the next one's
    items.sort(key=lambda item: next((SUITES.index(value) for value in item.callspec.params.values()
                                      if value in SUITES), -1)
               if hasattr(item, 'callspec') else -1)


def boot(suite, name):
    assert FOLDER, 'run it as tests/system/run'
    m = Machine(suite, os.path.join(FOLDER, suite), os.path.join(FOLDER, 'share'),
                os.path.join(FOLDER, f'{name}-console.log'))
    m.start()
    return m


@pytest.fixture(scope='session', params=SUITES)
def machine(request):
    """A machine that all tests share, with the package installed."""
    m = boot(request.param, request.param)
    try:
        m.install()
        yield m
    finally:
        m.stop()


@pytest.fixture(params=SUITES)
def fresh(request):
    """A machine for one test, in which the package was never installed."""
    m = boot(request.param, f'{request.param}-fresh')
    try:
        yield m
    finally:
        m.stop()


@pytest.fixture(scope='session')
def next_package():
    """Where a machine finds the package as the next version."""
    made = subprocess.run([os.path.join(os.path.dirname(__file__), 'package'),
                           os.path.join(FOLDER, 'package-next'), '0.1.0-2'],
                          check=True, stdout=subprocess.PIPE, text=True)
    shutil.copy(made.stdout.strip(), os.path.join(FOLDER, 'share', 'emberd-next.deb'))
    return '/share/emberd-next.deb'


class Emberd:
    """emberd in a machine, for one test."""

    def __init__(self, machine):
        self.machine, self.inside = machine, Inside(machine)
        self.get, self.connect = self.inside.get, self.inside.connect
        self.since = machine.cursor()

    def sleep(self):
        """No process, the socket listens."""
        self.machine.run('systemctl', 'stop', *UNITS)
        self.machine.run('systemctl', 'reset-failed')
        # a last client of the test before may have come between the stop of the service and that of
        # the socket; then the service is up, and the socket cannot be opened
        for _ in range(5):
            if self.machine.call('systemctl', 'start', 'emberd.socket').returncode == 0:
                return
            self.machine.run('systemctl', 'stop', *UNITS)
        self.machine.run('systemctl', 'start', 'emberd.socket')

    def settings(self, text):
        self.machine.write('/etc/emberd/emberd.conf.d/50-test.conf', text)

    def drop_in(self, text, unit='emberd.service'):
        self.machine.write(f'/run/systemd/system/{unit}.d/50-test.conf', text)
        self.machine.run('systemctl', 'daemon-reload')

    def reset(self):
        self.machine.shell('rm -rf /etc/emberd/emberd.conf.d /etc/emberd/instances '
                           '/run/systemd/system/emberd*.d')
        self.machine.run('systemctl', 'daemon-reload')

    def log(self):
        return self.machine.journal(cursor=self.since)

    def status(self):
        """What systemd was told: the first visitor may be answered before it was."""
        wait_until(lambda: self.machine.show('emberd.service', 'ActiveState') != 'activating')
        return self.machine.show('emberd.service', 'StatusText')

    def pid(self):
        return self.machine.main_pid()


@pytest.fixture
def emberd(machine):
    e = Emberd(machine)
    e.sleep()
    yield e
    log = e.log()
    print(f'--- journal of emberd on {machine.suite}\n{log[-6000:]}')
    e.inside.end()
    e.reset()
