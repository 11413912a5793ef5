# SPDX-License-Identifier: MIT
"""packaging/quickstart, the first thing that anybody runs."""
import os
import shutil
import subprocess

import pytest

from daemon import ROOT

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# with a network of its own, so that port 8080 is free whatever else runs here
ROUND = r'''
set -eu
ip link set lo up
packaging/quickstart >out 2>&1 &
pid=$!
for i in $(seq 600); do
        ! curl -fsS http://127.0.0.1:8080/ >page 2>/dev/null || break
        kill -0 $pid || { cat out; exit 1; }
        sleep 0.2
done
kill $pid
wait $pid
cmp page packaging/www/index.html
'''


@pytest.mark.once
def test_quickstart_twice(folder):
    """Two commands are what README promises: from a fresh clone to a served page, and again."""
    if not ROOT:
        pytest.skip('only root has a network of its own')
    clone = os.path.join(folder, 'clone')
    shutil.copytree(TOP, clone, ignore=shutil.ignore_patterns('build*', '.git', '__pycache__'))
    os.chmod(clone, 0o700)  # as a clone in /root is
    for _ in range(2):
        done = subprocess.run(['unshare', '-n', 'sh', '-c', ROUND], cwd=clone, timeout=300,
                              capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
