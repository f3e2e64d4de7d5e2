"""An example of this kind of data source, for the tests of the pipeline."""

from __future__ import annotations

BUILD = {"DATA_URI": "s3://lake/churn/"}
"""Variables of the build that say which data."""

PARAMETERS = {"DataUri": "s3://lake/churn/"}
"""Parameters of the pipeline that say the same, with their defaults."""

LINEAGE = {"data_uri": {"Get": "Parameters.DataUri"}}
"""What the definition keeps about the data in the registry."""
