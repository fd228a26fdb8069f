"""The child of the bare lines in bare_messages.ts: writes back what it reads."""

import sys

for line in sys.stdin.buffer:
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()
