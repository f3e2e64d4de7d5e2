"""The pipeline of this project: what it is, how it is published, and how it runs on one machine."""

import sys
from pathlib import Path

# The package `tabular` lives with the jobs, which get a copy of src/; the pipeline shares its configuration with them.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
