# SPDX-License-Identifier: MIT
import time


def wait_until(condition, seconds=10.0):
    """Whether the condition came to hold in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.05)
    return False
