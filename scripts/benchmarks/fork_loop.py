"""Forks children that do nothing, some at a time, and prints how many a second."""

import os
import sys
import time

COUNT, AT_A_TIME = map(int, sys.argv[1:])

started_at = time.perf_counter()
running = 0
for _ in range(COUNT):
    if running == AT_A_TIME:
        os.wait()
        running -= 1
    if os.fork() == 0:
        os._exit(0)
    running += 1
while running > 0:
    os.wait()
    running -= 1
print(COUNT / (time.perf_counter() - started_at))
