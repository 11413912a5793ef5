# SPDX-License-Identifier: MIT
"""The journal explains what an administrator must act on."""
import json

import pytest
from waiting import wait_until

SETTINGS_FAULTY = '38ee82b1b1ca4af0b06c1e252b1cb400'
RELOAD_FAULTY = '39506dbf47244271b1871a0b41ad3258'


@pytest.fixture
def begun(emberd):
    """
    When the test began, in microseconds. Not a cursor: with --after-cursor and a match systemd 252
    leaves out the first that matches.
    """
    return int(emberd.machine.run('date', '+%s%6N'))


def messages(emberd, begun, identifier):
    emberd.machine.run('journalctl', '--sync', check=False)
    found = emberd.machine.run('journalctl', '-q', '-o', 'json', f'MESSAGE_ID={identifier}')
    return [entry for entry in map(json.loads, found.splitlines())
            if int(entry['__REALTIME_TIMESTAMP']) >= begun]


def explained(emberd, identifier):
    return emberd.machine.run('journalctl', '-q', '-x', '-n', '1', f'MESSAGE_ID={identifier}')


def test_catalog_is_known(machine):
    """The package's installation has put it into the database; nothing in it is doubtful."""
    listed = machine.run('journalctl', '--list-catalog')
    assert listed.count(' emberd: ') == 8, listed
    assert f'{SETTINGS_FAULTY} emberd: emberd\'s settings are faulty' in listed
    assert 'emberd' not in machine.run('journalctl', '--update-catalog')


def test_faulty_settings(emberd, begun):
    """File and line are fields; -x says what becomes of the visitors, and how to go on."""
    emberd.settings('[Server]\nKeepAliveSeconds=3\n')
    assert emberd.get().status == 503
    assert wait_until(lambda: messages(emberd, begun, SETTINGS_FAULTY))
    one = messages(emberd, begun, SETTINGS_FAULTY)[0]
    assert one['CONFIG_FILE'] == '/etc/emberd/emberd.conf.d/50-test.conf'
    assert one['CONFIG_LINE'] == '2' and one['PRIORITY'] == '3'
    assert one['SYSLOG_IDENTIFIER'] == 'emberd'
    assert one['_SYSTEMD_UNIT'] == 'emberd.service'
    text = explained(emberd, SETTINGS_FAULTY)
    assert 'Subject: emberd\'s settings are faulty' in text
    assert 'systemctl reload emberd.service' in text
    assert '50-test.conf:2:' in emberd.status()


def test_faulty_reload(emberd, begun):
    assert emberd.get().status == 200
    emberd.settings('[Server]\n\nIdleExitSecs=1\n')
    assert emberd.machine.call('systemctl', 'reload', 'emberd').returncode != 0
    assert wait_until(lambda: messages(emberd, begun, RELOAD_FAULTY))
    assert messages(emberd, begun, RELOAD_FAULTY)[0]['CONFIG_LINE'] == '3'
    assert not messages(emberd, begun, SETTINGS_FAULTY)
    assert 'The settings before them stay in force' in explained(emberd, RELOAD_FAULTY)
