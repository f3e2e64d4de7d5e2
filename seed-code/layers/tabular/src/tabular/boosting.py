"""XGBoost without scikit-learn, which it imports for classes such as ``XGBClassifier`` where it is installed.

Nothing here uses these, and their import takes as long as all others together. To use one, import scikit-learn first.
"""

from tabular.imports import without

with without("sklearn"):
    import xgboost as xgb
    from xgboost import collective
    from xgboost.core import XGBoostError
    from xgboost.tracker import RabitTracker

__all__ = ["RabitTracker", "XGBoostError", "collective", "xgb"]
