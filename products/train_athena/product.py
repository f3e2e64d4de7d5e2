"""Training project whose data is one table or view that Athena reads, as a rule through a resource link."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

import aws_cdk as cdk
from aws_cdk import aws_athena as athena
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3

from products.shared import custom_resources, lake, names, template
from products.shared.form import patterns
from products.shared.form.parameters import Question
from products.shared.readable_folder import ReadableFolder, key_or_none
from products.shared.roles import Grant
from products.shared.spec import ProductSpec
from products.shared.training.project import DATA, DataSource, TrainingProject

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from constructs import Construct, IConstruct

    from products.shared.form.parameters import Form
    from products.shared.storage import ProjectStorage

LIMITS: Final = "Limits and special cases"
"""Heading of the form under which rarer questions are asked."""

UNLOADED: Final = "data/"
"""Prefix of the project's bucket for what Athena unloads for trainings (seed code, ``query/``)."""

RETIRED_TAG: Final = "ml-retired"
"""Tag that the query step puts on unloaded files which no training and no registered model needs any more."""

_PEOPLE: Final = f"arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:role/{names.PREFIX}/persona/*"

_COLUMN: Final = r"[a-z_][a-z0-9_]{0,126}"
_COLUMNS: Final = rf"^$|^{_COLUMN}(,{_COLUMN}){{0,199}}$"
_KEY: Final = rf"^$|^{_COLUMN}(,{_COLUMN}){{0,4}}$"
_DEPTH: Final = 4
"""How deep parentheses of a condition may be nested; that they are balanced is not a regular language otherwise."""


def _condition() -> str:
    """Return the pattern of one condition: quotes and parentheses are closed, and no second statement gets in."""
    free = r"`$\\\x00-\x1f\x7f"
    part = rf"[^'\"();{free}]|'[^'{free}]*'|\"[^\"{free}]*\""
    nested = part
    for _ in range(_DEPTH):
        nested = rf"{part}|\(({nested})*\)"
    return rf"^$|^(?=\S)(?!.*(--|/\*|\*/))({nested})*$"


_SNAPSHOT: Final = r"^$|^[0-9]{1,19}$|^[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]Z$"
_RANGE: Final = rf"^$|^{_COLUMN}=[A-Za-z0-9_:-]{{1,64}}\.\.[A-Za-z0-9_:-]{{1,64}}$"


class AthenaTable(DataSource):
    """One table or view; Athena does the heavy work, and the project's roles see what Lake Formation lets them see.

    Without Lake Formation the form names where the files are, and the roles read them with their own rights.
    """

    QUESTIONS: ClassVar = (
        Question(
            id="Database",
            group=DATA,
            label="Database",
            description="Database of the table in this account: the resource link that the data access product made "
            "(its output DatabaseName), or a database of this account with its files named below. E.g. "
            "credit_risk_0a1b2c3d.",
            pattern=r"^[a-z0-9_]{1,127}$",
            problem="1 to 127 lower-case letters, digits and _, e.g. credit_risk_0a1b2c3d",
        ),
        Question(
            id="Table",
            group=DATA,
            label="Table or view",
            description="Name of the table or view in that database. E.g. loans.",
            pattern=r"^[a-z0-9_]{1,127}$",
            problem="1 to 127 lower-case letters, digits and _, e.g. loans",
        ),
        Question(
            id="Columns",
            group=DATA,
            label="Columns (optional)",
            description="Columns to learn from, with commas and without spaces; the column to predict and the record "
            "key are added. Blank means every column that the project may see. E.g. income,amount,region.",
            default="",
            pattern=_COLUMNS,
            longest=4000,
            problem="Blank, or up to 200 names of columns in lower case with commas between, e.g. income,amount,region",
        ),
        Question(
            id="Where",
            group=DATA,
            label="Only rows where (optional)",
            description="Condition in Athena's SQL that rows must meet, without the word WHERE. E.g. amount > 1000 AND "
            "country IN ('DE', 'FR').",
            default="",
            pattern=_condition(),
            longest=2000,
            problem="Blank, or one condition on one line of up to 2,000 characters, with quotes and parentheses "
            f"closed, at most {_DEPTH} parentheses deep, without ; -- /* */ ` $ and \\, e.g. amount > 1000 AND "
            "country IN ('DE', 'FR')",
        ),
        Question(
            id="RecordKey",
            group=DATA,
            label="Record key (optional)",
            description="Columns that say which rows belong together, with commas; such rows stay in one of training, "
            "validation and test. E.g. customer_id. Blank: every row stands for itself.",
            default="",
            pattern=_KEY,
            problem="Blank, or up to 5 names of columns in lower case with commas between, e.g. customer_id",
        ),
    )
    MORE_QUESTIONS: ClassVar = (
        Question(
            id="Snapshot",
            group=LIMITS,
            label="State of an Iceberg table (optional)",
            description="Id of a snapshot, or a time in UTC: the table is read as it was then. Blank reads it as it "
            "is. E.g. 4711815 or 2026-11-01T00:00:00Z.",
            default="",
            pattern=_SNAPSHOT,
            problem="Blank, the id of a snapshot (digits), or a time such as 2026-11-01T00:00:00Z",
        ),
        Question(
            id="Partitions",
            group=LIMITS,
            label="Range of partitions (optional)",
            description="Partition key with its first and last value: only these partitions are read, and paid for. "
            "E.g. day=2026-01-01..2026-06-30.",
            default="",
            pattern=_RANGE,
            problem="Blank, or key=first..last, e.g. day=2026-01-01..2026-06-30",
        ),
        Question(
            id="ScanLimitGb",
            group=LIMITS,
            label="Most data that one query may scan (GB)",
            description="Athena stops a query of this project that scans more, and charges what it has scanned. "
            "E.g. 100.",
            default="100",
            pattern=patterns.whole(1, 100_000),
            problem="A whole number of gigabytes from 1 to 100000, e.g. 100",
        ),
        Question(
            id="Location",
            group=LIMITS,
            label="Files of the table (only without Lake Formation)",
            description="S3 folder of the table, with a slash at the end, where Lake Formation does not govern it: the "
            "project then reads the files with its own rights. Blank, as a rule: Lake Formation decides. "
            "E.g. s3://sales-lake/loans/.",
            default="",
            pattern=f"^$|{patterns.S3_FOLDER}",
            longest=500,  # it is in the policy of a role, three times
            problem=f"Blank, or s3://bucket/folder/ of up to 500 characters, with 1 to {patterns.S3_DEPTH} folders and "
            "a slash at the end, e.g. s3://sales-lake/loans/",
        ),
        Question(
            id="DataKeyArn",
            group=LIMITS,
            label="KMS key of these files (optional)",
            description="Only with the folder above: ARN of the customer key that encrypts the files. It ends in e.g. "
            "key/1234abcd-12ab-34cd-56ef-1234567890ab.",
            default="",
            pattern=patterns.OPTIONAL_KEY,
            problem="Blank, or the ARN of a KMS key (of the key, not of an alias)",
        ),
    )

    def __init__(self, form: Form) -> None:
        self._form = form
        stack = form.stack
        governed = cdk.CfnCondition(stack, "IsGoverned", expression=form.is_("Location", ""))
        self._columns = self._asked_columns(form)
        # Where Lake Formation decides, roles need no right on files: the grants then name what cannot exist.
        nothing = template.sub(f"s3://{names.PROJECT_BUCKET}/none/")
        has_key = cdk.CfnCondition(stack, "HasDataKey", expression=form.is_not("DataKeyArn", ""))
        self._files = ReadableFolder(
            uri=cdk.Fn.condition_if(governed.logical_id, nothing, form["Location"]).to_string(),
            key_arn=key_or_none(has_key, form["DataKeyArn"]),
            noun="Files",
            because="A table is every file in its folder; without Lake Formation the role reads them itself.",
        )
        form.refuse(
            "KeyNeedsLocation",
            when=form.is_not("DataKeyArn", ""),
            unless=[form.is_not("Location", "")],
            problem="KMS key of these files: this goes with the S3 folder above it. Where Lake Formation governs the "
            "table, its own role reads the files and knows the key: leave both blank.",
        )

    @staticmethod
    def _asked_columns(form: Form) -> cdk.IResolvable:
        """Return the columns that the project asks for as a list, empty for all; a name may be there twice."""
        chosen = cdk.CfnCondition(form.stack, "HasColumns", expression=form.is_not("Columns", ""))
        keyed = cdk.CfnCondition(form.stack, "HasRecordKey", expression=form.is_not("RecordKey", ""))
        named = [form["Columns"], form["Label"]]
        every, without = (cdk.Fn.split(",", cdk.Fn.join(",", parts)) for parts in ([*named, form["RecordKey"]], named))
        listed = cdk.Fn.condition_if(keyed.logical_id, every, without)
        return cdk.Fn.condition_if(chosen.logical_id, listed, [])

    @property
    def checks(self) -> Mapping[str, Mapping[str, Any]]:
        """See `DataSource`."""
        wanted = {"Database": self._form["Database"], "Table": self._form["Table"], "Columns": self._columns}
        return {"data": {**wanted, "Location": self._form["Location"]}}

    def make(self, scope: Construct, *, checked: cdk.CustomResource, storage: ProjectStorage) -> list[IConstruct]:
        """See `DataSource`."""
        self._owner = checked.get_att_string("CatalogId")
        self._target = checked.get_att_string("TargetDatabase")
        self._limit_life(storage.bucket)
        self._keep_rows(storage.bucket)
        group = athena.CfnWorkGroup
        made = group(
            scope,
            "WorkGroup",
            name=template.sub(names.PROJECT_WORK_GROUP),
            description=template.sub("Queries of SageMaker project ${SageMakerProjectName} (${SageMakerProjectId})"),
            state="ENABLED",
            recursive_delete_option=True,  # a group with queries in its history is not deleted otherwise
            work_group_configuration=group.WorkGroupConfigurationProperty(
                enforce_work_group_configuration=True,
                publish_cloud_watch_metrics_enabled=True,
                bytes_scanned_cutoff_per_query=cdk.Token.as_number(
                    cdk.Fn.join("", [self._form["ScanLimitGb"], "000000000"])
                ),
                engine_version=group.EngineVersionProperty(selected_engine_version="Athena engine version 3"),
                result_configuration=group.ResultConfigurationProperty(
                    output_location=template.sub(f"s3://{names.PROJECT_BUCKET}/{names.ATHENA_PREFIX}"),
                    encryption_configuration=group.EncryptionConfigurationProperty(
                        encryption_option="SSE_KMS", kms_key=storage.key.key_arn
                    ),
                    expected_bucket_owner=cdk.Aws.ACCOUNT_ID,
                ),
            ),
        )
        # On termination: first the group that writes, then the emptying of the bucket.
        made.node.add_dependency(storage.contents)
        return [made]

    @staticmethod
    def _limit_life(bucket: s3.Bucket) -> None:
        """Let Athena's results go after a day, and unloaded files a day after the query step has retired them."""
        day = cdk.Duration.days(1)
        bucket.add_lifecycle_rule(
            id="AthenaResults",
            prefix=names.ATHENA_PREFIX,
            expiration=day,
            noncurrent_version_expiration=day,
            abort_incomplete_multipart_upload_after=day,
        )
        bucket.add_lifecycle_rule(
            id="UnloadedData",
            prefix=UNLOADED,
            noncurrent_version_expiration=day,
            abort_incomplete_multipart_upload_after=day,
        )
        # S3 takes no rule for uploads together with tags, hence two.
        bucket.add_lifecycle_rule(id="RetiredData", prefix=UNLOADED, tag_filters={RETIRED_TAG: "true"}, expiration=day)

    @staticmethod
    def _keep_rows(bucket: s3.Bucket) -> None:
        """Deny people, who ask Athena with grants of their own, and the hub the rows that the project was granted.

        People read results of all projects of their account otherwise, and the hub reads what it may promote, which is
        the sample records with which endpoints are tried, but neither unloaded data nor the divided records.
        """
        runs = f"{names.PROJECT_PIPELINE}/runs/*"
        for sid, keys, readers in (
            ("NoRows", (f"{UNLOADED}*", f"{runs}/prepare/*"), (_PEOPLE, template.hub_roles())),
            ("NoSamples", (f"{runs}/evaluate/samples/*",), (_PEOPLE,)),
        ):
            bucket.add_to_resource_policy(
                iam.PolicyStatement(
                    sid=sid,
                    effect=iam.Effect.DENY,
                    principals=[iam.AnyPrincipal()],
                    actions=["s3:GetObject", "s3:GetObjectVersion"],
                    resources=[template.sub(template.bucket_arn(names.PROJECT_BUCKET, key)) for key in keys],
                    conditions={"ArnLike": {"aws:PrincipalArn": [template.sub(reader) for reader in readers]}},
                )
            )

    def admit(self, scope: Construct, roles: Sequence[iam.IRole]) -> list[IConstruct]:
        """See `DataSource`."""
        return [
            custom_resources.project_data_access(
                scope,
                database=self._form["Database"],
                table=self._form["Table"],
                columns=self._columns,
                location=self._form["Location"],
                role_arns=[role.role_arn for role in roles],
            )
        ]

    @property
    def environment(self) -> Mapping[str, str]:
        """See `DataSource`."""
        asked = {
            "DATA_DATABASE": "Database",
            "DATA_TABLE": "Table",
            "DATA_COLUMNS": "Columns",
            "DATA_WHERE": "Where",
            "DATA_SNAPSHOT": "Snapshot",
            "DATA_PARTITIONS": "Partitions",
            "RECORD_KEY": "RecordKey",
        }
        return {
            "DATA_WORK_GROUP": template.sub(names.PROJECT_WORK_GROUP),
            **{variable: self._form[question] for variable, question in asked.items()},
        }

    @property
    def look(self) -> list[Grant]:
        """See `DataSource`: what Athena asks the catalog as well, because a role has no room for saying it twice."""
        owner = f"arn:{cdk.Aws.PARTITION}:glue:{cdk.Aws.REGION}:{self._owner}:"
        return [
            Grant(
                sid="LookAtTable",
                actions=lake.SEE_TABLES,
                resources=[
                    template.arn("glue", "catalog"),
                    template.arn("glue", "database/default"),
                    template.arn("glue", "database/${Database}"),
                    template.arn("glue", "table/${Database}/*"),
                    f"{owner}catalog",
                    f"{owner}database/{self._target}",
                    f"{owner}table/{self._target}/{self._form['Table']}",
                ],
                because="A link has no tables of its own: Glue asks for its name with that of a table of the target.",
            )
        ]

    @property
    def read(self) -> list[Grant]:
        """See `DataSource`."""
        return [
            Grant(
                sid="Query",
                actions=lake.QUERY,
                resources=[template.arn("athena", f"workgroup/{names.PROJECT_WORK_GROUP}")],
            ),
            Grant(
                sid="ReadWhatIsGranted",
                actions=lake.READ,
                resources=["*"],
                because="GetDataAccess has no resources: Lake Formation's grants say what it opens.",
            ),
            Grant(
                sid="FinishUploads",
                actions=["s3:ListBucketMultipartUploads", "s3:ListMultipartUploadParts"],
                resources=[
                    template.bucket_arn(names.PROJECT_BUCKET, keys)
                    for keys in (None, f"{names.ATHENA_PREFIX}*", f"{UNLOADED}*")
                ],
                because="Athena names results and unloaded files itself.",
            ),
            Grant(
                sid="RemoveResults",
                actions=["s3:DeleteObject"],
                resources=[template.bucket_arn(names.PROJECT_BUCKET, f"{names.ATHENA_PREFIX}*")],
                because="Athena names its results by the query's id.",
            ),
            Grant(
                sid="RetireData",
                actions=["s3:PutObjectTagging"],
                resources=[template.bucket_arn(names.PROJECT_BUCKET, f"{UNLOADED}*")],
                because="Athena names unloaded files itself.",
            ),
            self._files.reading(),
            self._files.listing(),
            self._files.locating(),
            self._files.decrypting(),
        ]


class TrainAthenaProduct(TrainingProject):
    """Seeded repository, SageMaker pipeline, model package group, work group and everything between them."""

    SPEC: ClassVar[ProductSpec] = ProductSpec(
        id="train-athena",
        title="Train on an Athena table",
        summary="A repository with a working ML workflow that trains on a governed table of a data lake, read by "
        "Athena, and registers the model: query, validate, prepare, train, evaluate, gate, register.",
        seed_code="train-athena",
    )
    SOURCE: ClassVar = AthenaTable
