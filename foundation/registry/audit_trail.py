"""The audit trail: a locked record of every decision about a model, and the table over them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aws_cdk import Duration
from aws_cdk import aws_glue as glue
from aws_cdk import aws_s3 as s3

from foundation.buckets import lasting_bucket, lasting_key
from lambdas.model_promotion.names import AUDIT_PREFIX
from products.shared import names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aws_cdk import Stack

AUDIT_COLUMNS: Final[Mapping[str, str]] = {
    "what": "string",
    "who": "string",
    "at": "string",
    "reason": "string",
    "place": "string",
    "account": "string",
    "package": "string",
    "hub_package": "string",
    "digest": "string",
    "deployment": "string",
    "artifacts": (
        "array<struct<source:string,target:string,size:bigint,checksum:string,etag:string,target_etag:string>>"
    ),
}
"""Fields of a record (lambdas/model_promotion/audit.py) and their types in Athena."""

AUDIT_PARTITIONS: Final = {"year": "2026,2050", "month": "1,12", "day": "1,31"}
"""Partitions of the records, and the values that Athena looks for."""

_YEARS: Final = 7


class AuditTrail:
    """Append-only bucket with a record per decision, which outlives the stack, and its table in Athena.

    Args:
        stack: The stack, to which everything is added.
        access_logs: Takes the access logs of the bucket.

    Attributes:
        key: Encrypts the records.
        bucket: The bucket.
    """

    def __init__(self, stack: Stack, *, access_logs: s3.IBucket) -> None:
        self.key = lasting_key(stack, "AuditKey", "Records of decisions about models")
        self.bucket = lasting_bucket(
            stack,
            "Audit",
            name=names.audit_bucket(stack.account, stack.region),
            key=self.key,
            access_logs=access_logs,
            access_logs_prefix="audit/",
            object_lock=s3.ObjectLockRetention.governance(Duration.days(_YEARS * 365)),
        )
        self._table(stack)

    def _table(self, stack: Stack) -> None:
        """Describe the records for Athena; partitions follow from the keys, so nobody has to register them."""
        database = glue.CfnDatabase(
            stack,
            "AuditDatabase",
            catalog_id=stack.account,
            database_input=glue.CfnDatabase.DatabaseInputProperty(
                name=names.AUDIT_DATABASE, description="ML platform: decisions about models"
            ),
        )
        folder = f"s3://{self.bucket.bucket_name}/{AUDIT_PREFIX}"
        table = glue.CfnTable(
            stack,
            "AuditTable",
            catalog_id=stack.account,
            database_name=names.AUDIT_DATABASE,
            table_input=glue.CfnTable.TableInputProperty(
                name=names.AUDIT_TABLE,
                description="One row per decision about a model: who decided what, when, on which bytes",
                table_type="EXTERNAL_TABLE",
                parameters={
                    "classification": "json",
                    "projection.enabled": "true",
                    **{f"projection.{name}.type": "integer" for name in AUDIT_PARTITIONS},
                    **{f"projection.{name}.range": range_ for name, range_ in AUDIT_PARTITIONS.items()},
                    **{f"projection.{name}.digits": "2" for name in ("month", "day")},
                    "storage.location.template": f"{folder}{'/'.join(f'{n}=${{{n}}}' for n in AUDIT_PARTITIONS)}/",
                },
                partition_keys=[glue.CfnTable.ColumnProperty(name=name, type="int") for name in AUDIT_PARTITIONS],
                storage_descriptor=glue.CfnTable.StorageDescriptorProperty(
                    location=folder,
                    input_format="org.apache.hadoop.mapred.TextInputFormat",
                    output_format="org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
                    serde_info=glue.CfnTable.SerdeInfoProperty(
                        serialization_library="org.openx.data.jsonserde.JsonSerDe"
                    ),
                    columns=[
                        glue.CfnTable.ColumnProperty(name=name, type=type_) for name, type_ in AUDIT_COLUMNS.items()
                    ],
                ),
            ),
        )
        table.add_resource_dependency(database)
