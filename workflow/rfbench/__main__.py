"""`python -m rfbench` is the command `rfbench`."""

import sys

from rfbench.cli import main

sys.exit(main())
