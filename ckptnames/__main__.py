"""``python -m ckptnames`` is the command ``ckptnames``."""

import sys

from ckptnames.cli.main import main

sys.exit(main())
