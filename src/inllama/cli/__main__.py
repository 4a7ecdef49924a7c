"""``python -m inllama.cli``, for an installation whose scripts are not on the path."""

import sys

from inllama.cli import main

sys.exit(main())
