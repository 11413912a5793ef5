# SPDX-License-Identifier: MIT
"""Files beneath a root: what is found, what is sent, and that nothing outside is reached."""
import email.utils
import os
import shutil
import tempfile
import threading
import time

import pytest

from client import Client
from daemon import eventually


def write(path, data):
    with open(path, 'wb') as file:
        file.write(data)


def http_date(seconds):
    return email.utils.formatdate(seconds, usegmt=True)


@pytest.fixture(scope='session')
def settled():
    """
    Files whose last change lies back far enough for a strong ETag. The change of a file's status
    counts, which nobody can set, so the files are made once and then waited for.
    """
    path = tempfile.mkdtemp(prefix='emberd-settled-')
    os.chmod(path, 0o755)
    write(f'{path}/small.txt', b'small file\n')
    write(f'{path}/big.bin', bytes(range(256)) * 4096)
    write(f'{path}/empty', b'')
    then = int(time.time()) - 1000
    for name in os.listdir(path):
        os.utime(f'{path}/{name}', (then, then))
    time.sleep(2.2)
    yield path, then
    shutil.rmtree(path)


@pytest.fixture
def settled_client(emberd, settled):
    one = emberd(root=settled[0])
    with Client(one.connect()) as connected:
        yield connected


def test_index_and_redirect(client, root):
    """A folder answers with its index; without its slash it redirects, or relative links break."""
    assert client.request('/').body == b'<p>index</p>\n'
    assert client.request('/sub/').body == b'sub index\n'
    response = client.request('/sub?a=b')
    assert response.status in (301, 308)
    assert response.fields['location'] in ('/sub/?a=b', 'http://localhost/sub/?a=b')
    os.mkdir(f'{root}/bare')
    assert client.request('/bare/').status in (403, 404)
    os.mkdir(f'{root}/odd name')
    assert client.request('/odd%20name').fields['location'].endswith('/odd%20name/')
    assert client.request('/small.txt/').status == 404


def test_redirect_stays_on_this_host(client, root):
    """`//evil.example` in Location is another host: a folder's name must not become one."""
    os.makedirs(f'{root}/evil.example/x')
    for target in ['//evil.example', '//evil.example/x', '/%2Fevil.example', '/\\evil.example']:
        response = client.request(target)
        location = response.fields.get('location', '')
        assert not location.startswith(('//', '/\\')), target
        assert '\r' not in location and '\n' not in location


def test_redirect_carries_no_line_break(client, root):
    """A name with CR LF in it must not write fields of its own into the answer."""
    os.mkdir(f'{root}/a\r\nSet-Cookie: x=y')
    response = client.request('/a%0d%0aSet-Cookie:%20x=y')
    assert 'set-cookie' not in response.fields


def test_media_types(client, root):
    """A browser does with a file what its type says."""
    for name, wanted in [('a.html', 'text/html'), ('a.css', 'text/css'), ('a.png', 'image/png'),
                         ('a.svg', 'image/svg+xml'), ('a.json', 'application/json'),
                         ('a.JPG', 'image/jpeg'), ('unknown.zzz', 'application/octet-stream')]:
        write(f'{root}/{name}', b'x')
        got = client.request(f'/{name}').fields.get('content-type', 'application/octet-stream')
        assert got.startswith(wanted), name
    js = client.request('/absent.js')
    assert js.status == 404


def test_if_none_match(settled_client, settled):
    """A cache that has the file must not be sent it again."""
    tag = settled_client.request('/small.txt').fields['etag']
    assert not tag.startswith('W/')
    for value, status in [(tag, 304), (f'W/{tag}', 304), ('*', 304), (f'"x", {tag}', 304),
                          ('"x"', 200), (tag.strip('"'), 200)]:
        response = settled_client.request('/small.txt', fields=f'If-None-Match: {value}')
        assert response.status == status, value
        assert response.fields['etag'] == tag
        response = settled_client.request('/small.txt', 'HEAD', f'If-None-Match: {value}')
        assert response.status == status, value


def test_if_modified_since(settled_client, settled):
    """The older way to the same end; If-None-Match, where it is sent, decides alone."""
    then = settled[1]
    assert settled_client.request('/small.txt').fields['last-modified'] == http_date(then)
    for value, status in [(http_date(then), 304), (http_date(then + 50), 304),
                          (http_date(then - 1), 200), ('nonsense', 200),
                          (time.strftime('%A, %d-%b-%y %H:%M:%S GMT', time.gmtime(then)), 304),
                          (time.strftime('%a %b %e %H:%M:%S %Y', time.gmtime(then)), 304)]:
        response = settled_client.request('/small.txt', fields=f'If-Modified-Since: {value}')
        assert response.status == status, value
    both = f'If-Modified-Since: {http_date(then)}\nIf-None-Match: "x"'
    assert settled_client.request('/small.txt', fields=both).status == 200


def test_if_match(settled_client, settled):
    """A condition that fails says 412, so that a resumed download does not mix two files."""
    then = settled[1]
    tag = settled_client.request('/small.txt').fields['etag']
    assert settled_client.request('/small.txt', fields=f'If-Match: {tag}').status == 200
    assert settled_client.request('/small.txt', fields='If-Match: "x"').status == 412
    assert settled_client.request('/small.txt',
                          fields=f'If-Unmodified-Since: {http_date(then - 1)}').status == 412


RANGES = [('bytes=0-0', 206, 0, 1), ('bytes=0-', 206, 0, 1048576), ('bytes=-5', 206, 1048571, 5),
          ('bytes=1000-1999', 206, 1000, 1000), ('bytes=1048575-', 206, 1048575, 1),
          ('bytes=1048570-9999999', 206, 1048570, 6), ('bytes=-9999999', 206, 0, 1048576),
          ('bytes=1048576-', 416, 0, 0), ('bytes=-0', 416, 0, 0)]


@pytest.mark.parametrize('value, status, first, size', RANGES, ids=[r[0] for r in RANGES])
def test_range(settled_client, settled, value, status, first, size):
    """Players seek and downloads resume by ranges; each end is off by one in somebody's code."""
    response = settled_client.request('/big.bin', fields=f'Range: {value}')
    assert response.status == status
    if status == 416:
        assert response.fields['content-range'] == 'bytes */1048576'
        return
    assert response.fields['content-range'] == f'bytes {first}-{first + size - 1}/1048576'
    assert response.body == (bytes(range(256)) * 4096)[first:first + size]


def test_ranges_that_are_ignored(settled_client, settled):
    """What is no range, or several, may be answered with the whole file."""
    for value in ['lines=1-2', 'bytes=5-2', 'bytes=a-b', 'bytes=', 'bytes=0-1,3-4',
                  'bytes=18446744073709551616-']:
        response = settled_client.request('/small.txt', fields=f'Range: {value}')
        assert response.status in (200, 416), value
    response = settled_client.request('/small.txt', 'HEAD', 'Range: bytes=0-1')
    assert response.status == 200 and response.fields['content-length'] == '11'
    assert settled_client.request('/small.txt').fields.get('accept-ranges') == 'bytes'
    assert settled_client.request('/empty', fields='Range: bytes=0-0').status in (200, 416)


def test_if_range(settled_client, settled):
    """A resumed download goes on only if the file is still the same one."""
    then = settled[1]
    tag = settled_client.request('/small.txt').fields['etag']
    for value, status in [(tag, 206), ('"x"', 200), (f'W/{tag}', 200), (http_date(then), 206),
                          (http_date(then - 1), 200)]:
        fields = f'Range: bytes=0-1\nIf-Range: {value}'
        response = settled_client.request('/small.txt', fields=fields)
        assert response.status == status, value


ESCAPES = ['/../secret', '/sub/../../secret', '/..%2fsecret', '/%2e%2e/secret', '/.%2e/secret',
           '/sub/%2e%2e/%2e%2e/secret', '/%2e%2e%2fsecret', '/..%5csecret', '/..\\secret',
           '/sub%2f..%2f..%2fsecret', '/%c0%ae%c0%ae/secret', '/....//secret', '/..;/secret',
           '/out', '/out-absolute', '/out-folder/secret', '/proc-self/environ', '/%00/../secret',
           '/small.txt%00', '/%252e%252e/secret', '//../secret', '/./../secret']


@pytest.fixture
def around(root):
    """What lies beside the root, and links that lead there."""
    write(os.path.join(os.path.dirname(root), 'secret'), b'secret\n')
    os.symlink('../secret', f'{root}/out')
    os.symlink(os.path.join(os.path.dirname(root), 'secret'), f'{root}/out-absolute')
    os.symlink('..', f'{root}/out-folder')
    os.symlink('/proc/self', f'{root}/proc-self')
    os.symlink('small.txt', f'{root}/inside')
    os.symlink('sub', f'{root}/inside-folder')
    os.symlink('loop', f'{root}/loop')
    return root


@pytest.mark.parametrize('target', ESCAPES)
def test_nothing_escapes(around, client, target):
    """Whatever the path, nothing outside of the root is sent."""
    response = client.request(target)
    assert response.status in (400, 403, 404)
    assert b'secret\n' not in response.body


def test_links_inside(around, client):
    """A link that stays beneath the root is a file like another."""
    assert client.request('/inside').body == b'small file\n'
    assert client.request('/inside-folder/').body == b'sub index\n'
    assert client.request('/loop').status in (403, 404)


def test_dots_inside(client):
    """Dot segments that stay inside are removed as RFC 3986 says."""
    for target in ['/./small.txt', '/sub/../small.txt', '/%73mall.txt', '/sub/./../small.txt',
                   '/small.txt?../../x', '/small.txt?']:
        assert client.request(target).body == b'small file\n', target


def test_what_is_not_a_file(client, root, folder):
    """Opening a FIFO waits for a writer, a socket or device is nobody's business."""
    import socket
    os.mkfifo(f'{root}/fifo')
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f'{root}/socket')
    begun = time.monotonic()
    for target in ['/fifo', '/socket']:
        assert client.request(target).status in (403, 404)
    assert time.monotonic() - begun < 3
    listener.close()


def test_permission(client, root):
    """What the server may not read is refused, as a file and as a folder."""
    os.chmod(f'{root}/small.txt', 0)
    assert client.request('/small.txt').status == 403
    os.chmod(f'{root}/sub', 0)
    assert client.request('/sub/index.html').status == 403
    os.chmod(f'{root}/sub', 0o755)


def test_long_and_odd_names(client, root):
    """Names as people have them: spaces, umlauts, per cent signs, 255 bytes."""
    for name, target in [('a b', 'a%20b'), ('ü', '%C3%BC'), ('100%', '100%25'), ('a+b', 'a+b'),
                         ('x' * 255, 'x' * 255), ('q?', 'q%3F'), ('h#', 'h%23'), ('ä', 'ä')]:
        write(f'{root}/{name}', name.encode())
        if target == 'ä':  # not encoded, as some clients send it: refused or served, but answered
            assert client.request('/' + target.encode().decode('latin-1')).status in (200, 400)
            return
        assert client.request(f'/{target}').body == name.encode(), name
    assert client.request('/' + 'x' * 256).status == 404
    assert client.request('/' + 'a/' * 2000).status == 404


def test_large_file(client, root):
    """More than fits any buffer, and a hole of 3 GiB: offsets do not wrap at 2 or 4 GiB."""
    size = 5 << 30
    with open(f'{root}/hole', 'wb') as file:
        file.truncate(size)
        file.seek(size - 4)
        file.write(b'end!')
    assert client.request('/hole', 'HEAD').fields['content-length'] == str(size)
    response = client.request('/hole', fields=f'Range: bytes={size - 1000}-')
    assert response.status == 206 and response.body == b'\0' * 996 + b'end!'
    response = client.request('/hole', fields=f'Range: bytes={(4 << 30) - 10}-{4 << 30}')
    assert response.body == b'\0' * 11


def test_rewrite_of_equal_size(client, root):
    """
    A file rewritten with as many bytes, within one tick of the file system's clock, looks the same
    to stat. What was read then must not be served for ever.
    """
    for turn in range(3):
        for letter in b'abcdef':
            write(f'{root}/small.txt', bytes([letter]) * 11)
            client.request('/small.txt')
        write(f'{root}/small.txt', b'%011d' % turn)
        eventually(lambda: client.request('/small.txt').body == b'%011d' % turn, 4,
                   'the rewritten file')


def test_change_is_seen(client, root):
    """What is held in memory is looked at again within about a second."""
    for _ in range(5):
        assert client.request('/small.txt').body == b'small file\n'
    tag = client.request('/small.txt').fields['etag']
    write(f'{root}/small.txt', b'longer than before\n')
    eventually(lambda: client.request('/small.txt').body == b'longer than before\n', 4)
    assert client.request('/small.txt', fields=f'If-None-Match: {tag}').status == 200
    os.unlink(f'{root}/small.txt')
    eventually(lambda: client.request('/small.txt').status == 404, 4)
    write(f'{root}/small.txt', b'back\n')
    eventually(lambda: client.request('/small.txt').body == b'back\n', 4)
    write(f'{root}/new', b'renamed\n')
    os.rename(f'{root}/new', f'{root}/small.txt')
    eventually(lambda: client.request('/small.txt').body == b'renamed\n', 4)


def test_fresh_file_has_no_strong_tag(client, root):
    """A file may be changed again within the same tick: until 2 s have passed its tag is weak."""
    write(f'{root}/fresh', b'a')
    tag = client.request('/fresh').fields.get('etag', 'W/')
    assert tag.startswith('W/')


def test_half_written_file_is_not_kept(client, root):
    """A reader during a copy sees a part; the part must not stay when the copy is done."""
    with open(f'{root}/copy', 'wb', buffering=0) as file:
        for _ in range(20):
            file.write(b'x' * 100)
            client.request('/copy')
            time.sleep(0.01)
    eventually(lambda: len(client.request('/copy').body) == 2000, 4)


def test_deleted_while_sent(served, root):
    """A download under way keeps its file, as the kernel keeps it."""
    write(f'{root}/long', b'y' * (32 << 20))
    with Client(served.connect()) as client:
        client.ask('/long')
        client.until_begun()
        os.unlink(f'{root}/long')
        assert client.response().body == b'y' * (32 << 20)


def test_truncated_while_sent(served, root):
    """
    The length was promised and cannot be kept: the connection breaks visibly, nothing is made up,
    and the server lives (mmap would have meant SIGBUS).
    """
    write(f'{root}/long', b'y' * (32 << 20))
    with Client(served.connect()) as client:
        client.ask('/long')
        client.until_begun()
        os.truncate(f'{root}/long', 1 << 20)
        try:
            body = client.response().body
        except (EOFError, ConnectionResetError):
            body = None
        assert body is None or len(body) == 32 << 20
    with Client(served.connect()) as client:
        assert client.request('/small.txt').status == 200


def test_many_readers_of_one_file(served, root):
    """One file, many connections, each at its own place in it."""
    with open(f'{root}/big.bin', 'rb') as file:
        wanted = file.read()
    wrong = []

    def read():
        with Client(served.connect()) as client:
            for _ in range(5):
                if client.request('/big.bin').body != wanted:
                    wrong.append(1)

    readers = [threading.Thread(target=read) for _ in range(16)]
    for one in readers:
        one.start()
    for one in readers:
        one.join()
    assert not wrong


def test_openat2_forbidden(emberd, around, deny):
    """Where a filter forbids openat2 (old container runtimes), files are served just as safely."""
    one = emberd(root=around, prefix=deny('openat2'))
    with Client(one.connect()) as client:
        assert client.request('/small.txt').body == b'small file\n'
        assert client.request('/sub/').body == b'sub index\n'
        assert client.request('/inside').body == b'small file\n'
        for target in ESCAPES:
            assert b'secret\n' not in client.request(target).body, target


SITES = '''
[Site one.example]
Root={root}
Default=yes

[Site two.example]
Aliases=*.two.example
Root={root}/sub

[Route two.example /old/]
Redirect=308 https://new.example/

[Route two.example /gone]
Return=410 went away

[Route two.example /big/]
Root={root}
'''


def test_sites_and_routes(emberd, root):
    """Host names choose the site, the longest prefix chooses the route."""
    one = emberd(settings=SITES.format(root=root))
    with Client(one.connect()) as client:
        def ask(host, target):
            return client.request(target, host=host)

        assert ask('one.example', '/small.txt').body == b'small file\n'
        assert ask('unknown.example', '/small.txt').body == b'small file\n'
        assert ask('TWO.example:8080', '/').body == b'sub index\n'
        assert ask('www.two.example', '/').body == b'sub index\n'
        response = ask('two.example', '/old/page')
        assert response.status == 308
        assert response.fields['location'].startswith('https://new.example/')
        response = ask('two.example', '/gone')
        assert response.status == 410 and b'went away' in response.body


def test_no_default_site(emberd, root):
    """Several sites, none the default: a host that nobody names gets 404, not somebody's files."""
    one = emberd(settings=SITES.format(root=root).replace('Default=yes', ''))
    with Client(one.connect()) as client:
        assert client.request('/small.txt', host='unknown.example').status == 404
