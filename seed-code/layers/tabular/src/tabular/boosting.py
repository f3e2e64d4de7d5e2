"""XGBoost without scikit-learn, which it imports for classes such as ``XGBClassifier`` where it is installed.

Nothing here uses these, and their import takes as long as all others together. To use one, import scikit-learn first.
"""

import sys

_is_wanted = "sklearn" in sys.modules
if not _is_wanted:
    sys.modules["sklearn"] = None  # type: ignore[assignment]  # what Python takes for "not installed"

import xgboost as xgb  # noqa: E402
from xgboost import collective  # noqa: E402
from xgboost.core import XGBoostError  # noqa: E402
from xgboost.tracker import RabitTracker  # noqa: E402

if not _is_wanted:
    del sys.modules["sklearn"]

__all__ = ["RabitTracker", "XGBoostError", "collective", "xgb"]
