"""`python -m lineas.cli` is the command `lineas`."""

import sys

from lineas.cli import main

sys.exit(main())
