"""What whoever queries a lake through Athena asks for: projects' jobs and people in Studio alike."""

from __future__ import annotations

from typing import Final

QUERY: Final = (
    "athena:GetQueryExecution",
    "athena:GetQueryResults",
    "athena:GetWorkGroup",
    "athena:StartQueryExecution",
    "athena:StopQueryExecution",
)
"""Actions on the work group in which somebody queries."""

SEE_TABLES: Final = (
    "glue:BatchGetPartition",
    "glue:GetDatabase",
    "glue:GetDatabases",
    "glue:GetPartition",
    "glue:GetPartitions",
    "glue:GetTable",
    "glue:GetTables",
)
"""What Athena asks the catalog in the name of whoever queries, for a link and for its target."""

READ: Final = ("lakeformation:GetDataAccess",)
"""What lets Lake Formation give access to what it granted; this action has no resources."""
