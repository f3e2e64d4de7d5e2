"""Training project whose data is one S3 prefix of the launching account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import aws_cdk as cdk

from products.shared.form import patterns, questions, s3_uri
from products.shared.form.parameters import Question
from products.shared.readable_folder import ReadableFolder, key_or_none
from products.shared.spec import ProductSpec
from products.shared.training.project import DATA, RETRAINING, DataSource, NewData, TrainingProject

if TYPE_CHECKING:
    from collections.abc import Mapping

    from products.shared.form.parameters import Form
    from products.shared.roles import Grant


class S3Folder(DataSource):
    """CSV or Parquet files below one prefix; new objects can start a training."""

    QUESTIONS: ClassVar = (
        Question(
            id="DataUri",
            group=DATA,
            label="Data set (S3)",
            description="Folder with the CSV or Parquet files of the data set, in this account and Region, with a "
            "slash at the end. E.g. s3://sales-lake/churn/2026/.",
            pattern=patterns.S3_FOLDER,
            problem=f"s3://bucket/folder/ with 1 to {patterns.S3_DEPTH} folders, ending in a slash, without spaces "
            "or * ? $, and not in the bucket of another project (mlp-p-...), e.g. s3://sales-lake/churn/2026/",
        ),
        Question(
            id="DataKeyArn",
            group=DATA,
            label="KMS key of the data (optional)",
            description="ARN of the customer key that encrypts the data set, as KMS shows it; it ends in e.g. "
            "key/1234abcd-12ab-34cd-56ef-1234567890ab. Leave blank if S3's own keys do.",
            default="",
            pattern=patterns.OPTIONAL_KEY,
            problem="Blank, or the ARN of a KMS key (of the key, not of an alias)",
        ),
    )
    NEW_DATA: ClassVar = NewData(
        means="objects arrive in the data folder (its bucket must send events to EventBridge)",
        questions=(
            Question(
                id="NewDataSuffix",
                group=RETRAINING,
                label="Only objects ending in (optional)",
                description="For new-data: start only for objects whose name ends like this, e.g. _SUCCESS, which "
                "Spark and Glue write last. Blank starts for every object.",
                default="",
                pattern=questions.SUFFIX_PATTERN,
                problem="Up to 64 letters, digits or _.=-, e.g. _SUCCESS or .parquet",
            ),
        ),
    )

    def __init__(self, form: Form) -> None:
        self._uri, self._suffix = form["DataUri"], form["NewDataSuffix"]
        has_key = cdk.CfnCondition(form.stack, "HasDataKey", expression=form.is_not("DataKeyArn", ""))
        self._folder = ReadableFolder(
            uri=self._uri,
            key_arn=key_or_none(has_key, form["DataKeyArn"]),
            noun="Data",
            because="The data set is every object below one prefix; their names are the owner's.",
        )
        form.refuse(
            "SuffixNeedsNewData",
            when=form.is_not("NewDataSuffix", ""),
            unless=[form.is_("Trigger", questions.NEW_DATA)],
            problem="Only objects ending in: this works with Train again = new-data only. Choose new-data or leave it "
            "blank.",
        )

    @property
    def environment(self) -> Mapping[str, str]:
        """See `DataSource`."""
        return {"DATA_URI": self._uri}

    @property
    def look(self) -> list[Grant]:
        """See `DataSource`."""
        return [self._folder.listing(), self._folder.locating()]

    @property
    def read(self) -> list[Grant]:
        """See `DataSource`."""
        return [self._folder.reading(), self._folder.decrypting()]

    @property
    def new_data(self) -> Mapping[str, Any]:
        """See `DataSource`."""
        keys = cdk.Fn.join("", [s3_uri.prefix(self._uri), "*", self._suffix])
        return {
            "source": ["aws.s3"],
            "detail-type": ["Object Created"],
            "detail": {"bucket": {"name": [s3_uri.bucket(self._uri)]}, "object": {"key": [{"wildcard": keys}]}},
        }


class TrainS3Product(TrainingProject):
    """Seeded repository, SageMaker pipeline, model package group and everything between them."""

    SPEC: ClassVar[ProductSpec] = ProductSpec(
        id="train-s3",
        title="Train on S3 data",
        summary="A repository with a working ML workflow that trains on one S3 prefix and registers the model: "
        "validate, prepare, train, evaluate, gate, register.",
        seed_code="train-s3",
    )
    SOURCE: ClassVar = S3Folder
