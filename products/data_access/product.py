"""Access to governed data: tables that another account shares by Lake Formation, and files of one prefix in S3."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_servicecatalog as servicecatalog

from lambdas.shared import product_names
from products.shared import custom_resources, names, template
from products.shared.form import patterns
from products.shared.form.parameters import Form, Question
from products.shared.readable_folder import ReadableFolder, key_or_none
from products.shared.spec import ProductSpec

if TYPE_CHECKING:
    from constructs import Construct

LAKE, WHOM, FILES = "Tables (Lake Formation)", "For whom", "Files (S3)"
_NAME = "[a-z0-9_]{1,128}"
_TAG = r"[^=|,\s][^=|,]{0,127}"
_LAKE_ANSWERS = ("LakeDatabase", "Tables", "Columns", "DataCellsFilter", "TagExpression", "ProjectIds", "ProjectTag")
_PERSONA_IDS: Final = {persona: "".join(word.title() for word in persona.split("-")) for persona in names.PERSONAS}
_ROLES = tuple(f"{id_}RoleArn" for id_ in _PERSONA_IDS.values())
_NAMES = "a-z, 0-9 and _, with commas and no spaces between"
_NEXT_STEP = (
    "People query the tables in Studio through the database DatabaseName, and projects that are named here use it as "
    "their Database. Files are read at their address."
)

QUESTIONS: Final = (
    Question(
        id="LakeAccountId",
        group=LAKE,
        label="Account that owns the data (optional)",
        description="Account whose data steward shares a database with this account, e.g. that of data governance; 12 "
        "digits. Blank: no tables, only files in S3.",
        default="",
        pattern=r"^$|^\d{12}$",
        problem="Blank, or an account id of 12 digits",
    ),
    Question(
        id="LakeDatabase",
        group=LAKE,
        label="Database there",
        description="Name of the database in the owner's account, in this Region. E.g. credit_risk.",
        default="",
        pattern=rf"^$|^{_NAME}$",
        problem="Blank, or a database: a-z, 0-9 and _",
    ),
    Question(
        id="Tables",
        group=LAKE,
        label="Tables",
        description="Names with commas between, or * for all tables, also later ones. Blank: LF-tags choose them. E.g. "
        "loans,payments.",
        default="",
        pattern=rf"^$|^\*$|^{_NAME}(,{_NAME})*$",
        longest=1000,
        problem=f"Blank, *, or tables: {_NAMES}",
    ),
    Question(
        id="Columns",
        group=LAKE,
        label="Columns (optional)",
        description="Columns that all these tables have, with commas between; nothing else of them can be read. Blank: "
        "all columns. E.g. age,income.",
        default="",
        pattern=r"^$|^[^,\s*]{1,255}(,[^,\s*]{1,255})*$",
        longest=4000,
        problem="Blank, or columns as in the catalog, with commas and no spaces between",
    ),
    Question(
        id="DataCellsFilter",
        group=LAKE,
        label="Data cells filter (optional)",
        description="Filter of rows and columns that the data steward made for these tables and shares. E.g. released.",
        default="",
        pattern=r"^$|^[A-Za-z0-9_.-]{1,128}$",
        problem="Blank, or the name of a data cells filter",
    ),
    Question(
        id="TagExpression",
        group=LAKE,
        label="LF-tags (optional)",
        description="Instead of tables: LF-tags of the owner that choose tables and columns, all of which must match. "
        "E.g. area=risk|fraud,class=public.",
        default="",
        pattern=rf"^$|^{_TAG}={_TAG}(\|{_TAG})*(,{_TAG}={_TAG}(\|{_TAG})*)*$",
        longest=900,
        problem="Blank, or key=value|value with commas between, e.g. area=risk|fraud,class=public",
    ),
    Question(
        id="Hybrid",
        group=LAKE,
        label="Hybrid access",
        description="Yes while the lake is in transition, i.e. while IAMAllowedPrincipals still has the tables: opts "
        "the roles in to Lake Formation's decision.",
        default="No",
        choices=("No", "Yes"),
    ),
    *(
        Question(
            id=f"{id_}RoleArn",
            group=WHOM,
            label=f"{persona.replace('-', ' ').capitalize().replace('Ml', 'ML')}s (role, optional)",
            description=f"Role that gets the data: the output {id_}RoleArn of a Studio domain of this account, e.g. "
            f"copied from its provisioned product. Blank: none.",
            default="",
            pattern=rf"^$|^arn:[a-z0-9-]+:iam::\d{{12}}:role{names.persona_role_path(persona)}[\w+=,.@-]{{1,64}}$",
            problem=f"Blank, or the output {id_}RoleArn of a Studio domain",
        )
        for persona, id_ in _PERSONA_IDS.items()
    ),
    Question(
        id="ProjectIds",
        group=WHOM,
        label="Projects (optional)",
        description="Ids of projects that may train on the tables, with commas between. E.g. p-abc123,p-def456.",
        default="",
        pattern=f"^$|^{product_names.PROJECT_ID}(,{product_names.PROJECT_ID})*$",
        longest=2000,
        problem="Blank, or ids of projects with commas and no spaces between, e.g. p-abc123",
    ),
    Question(
        id="ProjectTag",
        group=WHOM,
        label="Projects with the tag (optional)",
        description="Tag key=value of SageMaker projects that may train on the tables, also of later ones. Whoever "
        "creates projects chooses their tags. E.g. data=credit-risk.",
        default="",
        pattern=r"^$|^(?![Aa][Ww][Ss]:)[A-Za-z0-9 _.:/+@-]{1,128}=[A-Za-z0-9 _.:/=+@-]{0,256}$",
        problem="Blank, or key=value, e.g. data=credit-risk",
    ),
    Question(
        id="DataUri",
        group=FILES,
        label="Folder in S3 (optional)",
        description="Folder whose files the roles above may read, with a slash at the end. E.g. s3://sales-lake/churn/.",
        default="",
        pattern=rf"^$|^(?!s3://(mlp-|{names.PREFIX}-)){patterns.S3_FOLDER.removeprefix('^')}",
        problem=f"Blank, or s3://bucket/folder/ with 1 to {patterns.S3_DEPTH} folders, ending in a slash, and not in a "
        "bucket of the platform or of a project",
    ),
    Question(
        id="DataKeyArn",
        group=FILES,
        label="KMS key of the files (optional)",
        description="ARN of the customer key that encrypts them; it ends in e.g. "
        "key/1234abcd-12ab-34cd-56ef-1234567890ab. Blank if S3's own keys do.",
        default="",
        pattern=patterns.OPTIONAL_KEY,
        problem="Blank, or the ARN of a KMS key (of the key, not of an alias)",
    ),
)
"""The form."""


class DataAccessProduct(servicecatalog.ProductStack):
    """Opens tables of another account, or files of one prefix, to people and projects of this account."""

    SPEC: ClassVar[ProductSpec] = ProductSpec(
        id="data-access",
        title="Access to governed data",
        summary="Opens tables that another account shares by Lake Formation, down to columns and rows, or a folder in "
        "S3, to the people of a Studio domain and to named projects. Terminating it takes that back.",
    )

    def __init__(self, scope: Construct, id_: str) -> None:
        super().__init__(scope, id_, description=f"{self.SPEC.title}: {self.SPEC.summary}")
        form = Form(self, QUESTIONS)
        self._form = form
        self._refuse_what_does_not_fit()
        self._has_lake = self._condition("HasTables", form.is_not("LakeAccountId", ""))
        self._has_files = self._condition("HasFiles", form.is_not("DataUri", ""))
        self._has_key = self._condition("HasKey", form.is_not("DataKeyArn", ""))
        hybrid = self._condition("IsHybrid", form.is_("Hybrid", "Yes"))
        lake = {
            "CatalogId": form["LakeAccountId"],
            "TargetDatabase": form["LakeDatabase"],
            "Tables": cdk.Fn.split(",", form["Tables"]),
            "Columns": cdk.Fn.split(",", form["Columns"]),
            "Hybrid": cdk.Fn.condition_if(hybrid.logical_id, "true", "false"),
        }
        checked = custom_resources.preflight(
            self,
            [
                cdk.Fn.condition_if(self._has_lake.logical_id, "data", cdk.Aws.NO_VALUE),
                cdk.Fn.condition_if(self._has_key.logical_id, "data-key", cdk.Aws.NO_VALUE),
            ],
            {**lake, "DataKeyArn": form["DataKeyArn"]},
        )
        access = custom_resources.data_access(
            self,
            {
                **lake,
                "DataCellsFilter": form["DataCellsFilter"],
                "TagExpression": cdk.Fn.split(",", form["TagExpression"]),
                "Personas": [form[role] for role in _ROLES],
                "Projects": cdk.Fn.split(",", form["ProjectIds"]),
                "ProjectTag": form["ProjectTag"],
            },
        )
        self._only_if(self._has_lake, access)
        policy = self._files_policy()
        for part in (access, policy):
            part.node.add_dependency(checked)
        database = cdk.CfnOutput(
            self,
            "DatabaseName",
            description="Database of this account through which the tables are queried",
            value=access.get_att_string("Database"),
        )
        database.condition = self._has_lake
        cdk.CfnOutput(self, "NextStep", description="What to do now", value=_NEXT_STEP)

    def _refuse_what_does_not_fit(self) -> None:
        form = self._form
        lake, files = form.is_not("LakeAccountId", ""), form.is_not("DataUri", "")
        people = cdk.Fn.condition_or(*(form.is_not(role, "") for role in _ROLES))
        named = cdk.Fn.condition_or(people, form.is_not("ProjectIds", ""), form.is_not("ProjectTag", ""))
        refusals = (
            (
                "TablesOrFiles",
                form.is_("LakeAccountId", ""),
                [files],
                "Nothing is opened: enter an account or a folder.",
            ),
            (
                "TablesNeedAnAccount",
                form.is_("LakeAccountId", ""),
                [form.is_(answer, "") for answer in _LAKE_ANSWERS],
                "Tables and projects belong to an account that owns the data: enter it, or leave these blank.",
            ),
            ("TablesNeedADatabase", lake, [form.is_not("LakeDatabase", "")], "Enter the database of the tables."),
            (
                "TablesOrTags",
                cdk.Fn.condition_and(lake, form.is_("Tables", "")),
                [form.is_not("TagExpression", "")],
                "Enter the tables, or * for all, or LF-tags that choose them.",
            ),
            (
                "TablesNotTags",
                form.is_not("Tables", ""),
                [form.is_("TagExpression", "")],
                "Enter either tables or LF-tags, not both.",
            ),
            (
                "ColumnsOfTables",
                cdk.Fn.condition_or(form.is_not("Columns", ""), form.is_not("DataCellsFilter", "")),
                [form.is_not("Tables", "*"), form.is_("TagExpression", "")],
                "Columns and data cells filters belong to tables by name: name them instead of * or LF-tags.",
            ),
            (
                "ColumnsOrFilter",
                form.is_not("DataCellsFilter", ""),
                [form.is_("Columns", "")],
                "A data cells filter has its own columns: leave the columns blank.",
            ),
            ("TablesForSomebody", lake, [named], "Nobody is named: enter a role, a project or a tag of projects."),
            (
                "FilesForPeople",
                files,
                [people],
                "Files are opened to people only: enter a role. A project names its own folder in its own form.",
            ),
            (
                "KeyOfFiles",
                form.is_not("DataKeyArn", ""),
                [files],
                "The key belongs to a folder in S3: enter the folder.",
            ),
        )
        for id_, when, unless, problem in refusals:
            form.refuse(id_, when=when, unless=unless, problem=problem)

    def _files_policy(self) -> iam.CfnManagedPolicy:
        """Return the policy of the files, on the roles of people; their boundary goes on holding."""
        files = ReadableFolder(
            uri=self._form["DataUri"],
            key_arn=key_or_none(self._has_key, self._form["DataKeyArn"]),
            noun="Files",
            because="The data set is every object below one prefix; their names are the owner's.",
        )
        grants = (files.listing(), files.locating(), files.reading(), files.decrypting())
        policy = iam.CfnManagedPolicy(
            self,
            "FilesPolicy",
            path=names.DATA_POLICY_PATH,
            description="Files that a data-access product opens to the people of a Studio domain",
            policy_document=iam.PolicyDocument(statements=[grant.statement() for grant in grants]),
            roles=[self._role_name(role) for role in _ROLES],
        )
        for grant in grants:
            template.acknowledge(policy, grant.findings(self))
        self._only_if(self._has_files, policy)
        return policy

    def _role_name(self, question: str) -> str:
        """Return the name of a persona's role, behind four parts of its path; nothing when the answer is blank."""
        given = self._condition(f"Has{question}", self._form.is_not(question, ""))
        # Padded, because Fn::Select fails on a list that is too short.
        parts = cdk.Fn.split("/", cdk.Fn.join("", [self._form[question], "////"]))
        return cdk.Fn.condition_if(given.logical_id, cdk.Fn.select(4, parts), cdk.Aws.NO_VALUE).to_string()

    def _condition(self, id_: str, expression: cdk.ICfnConditionExpression) -> cdk.CfnCondition:
        return cdk.CfnCondition(self, id_, expression=expression)

    @staticmethod
    def _only_if(condition: cdk.CfnCondition, part: Construct) -> None:
        for child in part.node.find_all():
            if isinstance(child, cdk.CfnResource):
                child.cfn_options.condition = condition
