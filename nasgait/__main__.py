"""``python -m nasgait``."""

import sys

from nasgait.cli.main import main

sys.exit(main())
