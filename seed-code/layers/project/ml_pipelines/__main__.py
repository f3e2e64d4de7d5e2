"""Entry point of ``python -m ml_pipelines``."""

import sys

from ml_pipelines.cli import main

sys.exit(main())
