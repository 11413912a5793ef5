# SPDX-License-Identifier: MIT
"""The loads: wrk, h2load, and a client of ours; each says how much it got, and what went wrong."""
import os
import re
import socket
import ssl
import statistics
import subprocess
import time

from servers import BUILD, Place, emberd_settings, write

CIPHER, GROUP = 'TLS_AES_128_GCM_SHA256', 'X25519'  # those of client.c
CLIENT = f'{BUILD}/tests/bench/bench-client'
MSEC = {'us': 0.001, 'ms': 1, 's': 1000}
COLD_TURNS = 10  # in a round
SETTLE_SEC = 2  # a handshake ends later for the server than for the client


def processes(pid):
    """The process and all below it."""
    found, left = [], [pid]
    while left:
        pid = left.pop()
        found.append(pid)
        try:
            for task in os.listdir(f'/proc/{pid}/task'):
                with open(f'/proc/{pid}/task/{task}/children', encoding='ascii') as file:
                    left += map(int, file.read().split())
        except OSError:
            pass
    return found


def cpu_usec(pid):
    total = 0
    for one in processes(pid):
        for task in os.listdir(f'/proc/{one}/task'):
            with open(f'/proc/{one}/task/{task}/schedstat', encoding='ascii') as file:
                total += int(file.read().split()[0])
    return total / 1000


def pss_kib(pid):
    total = 0
    for one in processes(pid):
        with open(f'/proc/{one}/smaps_rollup', encoding='ascii') as file:
            total += int(re.search(r'^Pss:\s+(\d+)', file.read(), re.M).group(1))
    return total


def run(processor, command, seconds, **more):
    return subprocess.run(['taskset', '-c', processor, *command], capture_output=True, text=True,
                          timeout=seconds + 60, check=True, **more).stdout


def wrk(place, seconds, processor):
    work = place.work
    command = ['wrk', '-t1', f'-c{work.connections}', f'-d{seconds}', '--latency', '--timeout',
               '10']
    if work.close:
        command += ['-H', 'Connection: close']
    if work.pipeline > 1:
        command += ['-s', write(f'{place.folder}/pipeline.lua', f'''
local all
init = function()
  local one = wrk.format("GET", "/f.txt")
  all = string.rep(one, {work.pipeline})
end
request = function() return all end
''')]
    # wrk takes what OpenSSL's settings say
    openssl = write(f'{place.folder}/openssl.cnf', f'''openssl_conf = all
[all]
ssl_conf = ssl
[ssl]
system_default = client
[client]
MinProtocol = TLSv1.3
Ciphersuites = {CIPHER}
Groups = {GROUP}
''')
    done = run(processor, [*command, url(place)], seconds,
               env={**os.environ, 'OPENSSL_CONF': openssl})
    p99 = re.search(r'99%\s+([\d.]+)(us|ms|s)', done)
    return {'requests': int(re.search(r'(\d+) requests in', done).group(1)),
            'rate': float(re.search(r'Requests/sec:\s+([\d.]+)', done).group(1)),
            'latency_msec': float(p99.group(1)) * MSEC[p99.group(2)] if p99 else 0.0,
            'trouble': ' '.join(re.findall(r'Socket errors:.*|Non-2xx.*', done))}


def h2load(place, seconds, processor):
    work = place.work
    done = run(processor, ['h2load', '-t1', f'-c{work.connections}', f'-m{work.streams}',
                           f'-D{seconds}', f'--tls13-ciphers={CIPHER}', f'--groups={GROUP}',
                           url(place)], seconds)
    rate = re.search(r'finished in [\d.]+\w+, ([\d.]+) req/s', done)
    counts = dict(reversed(x.split()) for x in
                  re.search(r'requests: (.*)', done).group(1).split(', '))
    bad = [f'{counts[x]} {x}' for x in ('failed', 'errored', 'timeout') if counts[x] != '0']
    mean = re.search(r'time for request: +[\d.]+\w+ +[\d.]+\w+ +([\d.]+)(us|ms|s)', done)
    if work.tls and f'Cipher: {CIPHER}\n' not in done:
        bad.append('another cipher')
    return {'requests': int(counts['succeeded']), 'rate': float(rate.group(1)),
            'latency_msec': float(mean.group(1)) * MSEC[mean.group(2)], 'trouble': ' '.join(bad)}


def connect(place, seconds, processor):
    work = place.work
    done = run(processor, [CLIENT, 'connect', str(place.port), work.asks, str(work.connections),
                           str(seconds)], seconds).split()
    count, resumed, renewed, failed = map(int, done[:4])
    bad = [f'{failed} failed'] if failed else []
    if work.asks == 'resumed' and resumed < 0.9 * count:
        bad.append('not all were resumed')
    # who gives none for the next time has less to do; browsers use each but once
    note = 'no new tickets' if work.asks == 'resumed' and renewed < 0.9 * resumed else ''
    return {'requests': count, 'rate': float(done[4]), 'latency_msec': float(done[5]),
            'trouble': ', '.join(bad), 'note': note}


LOADS = {'wrk': wrk, 'h2load': h2load, 'connect': connect}


def url(place):
    return f"http{'s' if place.work.tls else ''}://127.0.0.1:{place.port}/f.txt"


def load(place, seconds, processor):
    return LOADS[place.work.tool](place, seconds, processor)


def idle(place, processor, pid):
    """KiB of PSS for each connection that says no more, and what there was without any."""
    work, before = place.work, pss_kib(pid)
    with subprocess.Popen(['taskset', '-c', processor, CLIENT, 'idle', str(place.port),
                           str(work.connections), work.asks], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as client:
        try:
            if client.stdout.readline() != 'ready\n':
                raise RuntimeError(f'{work.connections} connections could not be had')
            time.sleep(SETTLE_SEC)
            held = sum(len(os.listdir(f'/proc/{one}/fd')) for one in processes(pid))
            after = pss_kib(pid)
        finally:
            client.stdin.close()
            client.wait(10)
    return {'pss_kib': before, 'kib_each': (after - before) / work.connections,
            'trouble': '' if held > work.connections else f'it holds {held} descriptors'}


def cold(backend, folder, work, certificate, processors):
    """The first byte of emberd after execve(2): in clear, by TLS, and by TLS without HTTP/2."""
    place = Place(folder, 0, work, certificate)
    tls = emberd_settings(place).replace('HTTP2=no\n', '')
    plain = tls.split('Certificate=')[0]
    files = [f'{name}:{write(f"{folder}/{file}.conf", text)}' for name, file, text in (
        ('http', 'plain', plain), ('https', 'tls', tls),
        ('https', 'tls-alone', tls.replace('[Server]\n', '[Server]\nHTTP2=no\n')))]
    done = run(processors[1], [CLIENT, 'cold', str(COLD_TURNS), processors[0],
                               f'{BUILD}/emberd', backend, *files], 120)
    turns = [list(map(float, line.split())) for line in done.splitlines()]
    names = [x + y for x in ('plain', 'tls', 'tls_alone') for y in ('_msec', '_cpu_msec')]
    return [dict(zip(names, turn)) for turn in turns]


# ---- is it there? ----

SETTINGS_FRAME = b'\0\0\0\x04\0\0\0\0\0'


def ask(place):
    """
    One request like those of wrk, by whose length the floor goes; where HTTP/2 is spoken in clear,
    its preface.
    """
    with socket.create_connection(('127.0.0.1', place.port), 1) as probe:
        if place.work.tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            probe = context.wrap_socket(probe, server_hostname='localhost')
        elif place.work.streams:
            probe.sendall(b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + SETTINGS_FRAME)
            return probe.recv(9)[3:4] == b'\x04'
        close = 'Connection: close\r\n' if place.work.close else ''
        request = f'GET /f.txt HTTP/1.1\r\nHost: 127.0.0.1:{place.port}\r\n{close}\r\n'
        probe.sendall(request.encode())
        answer = probe.recv(12)
        if place.work.tls:
            probe.close()
        return answer == b'HTTP/1.1 200'


def wait_answer(place, process, log):
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            if ask(place):
                return
        except OSError:
            pass
        time.sleep(0.05)
    with open(log, encoding='utf-8', errors='replace') as file:
        raise RuntimeError(f'no answer: {file.read()[-1000:]}')


def median(rows):
    words = ('trouble', 'note')
    row = {key: statistics.median(r[key] for r in rows) for key in rows[0] if key not in words}
    for key in words:
        row[key] = '; '.join(sorted({r[key] for r in rows if r.get(key)}))
    return row
