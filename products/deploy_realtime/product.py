"""Deployment project that puts the newest approved model of a group behind a real-time endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

import aws_cdk as cdk
from aws_cdk import aws_servicecatalog as servicecatalog

from products.shared import names, template
from products.shared.deployment.answers import INSTANCE_PATTERN, Answers, questions_of, variable
from products.shared.deployment.project import DeploymentProject
from products.shared.form import patterns
from products.shared.form.parameters import Form, Question
from products.shared.spec import ProductSpec

if TYPE_CHECKING:
    from constructs import Construct

ENDPOINT, UPDATES, CAPTURE, API = (
    "Endpoint",
    "How a new model takes over in production",
    "Captured data and monitoring",
    "API in front of the endpoint",
)
INSTANCE, SERVERLESS = "instance", "serverless"
AT_ONCE, CANARY, LINEAR = "all-at-once", "canary", "linear"
NO_API, IAM_API, JWT_API = "none", "iam", "jwt"
_SHADOW_HOURS_MAX = 336
_MACHINES_MAX = 100
_BUCKET_PATTERN = rf"^$|^(?!{names.PROJECTS_PREFIX})" + r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$"
_POOL_PATTERN = r"^$|^arn:[a-z0-9-]+:cognito-idp:[a-z0-9-]+:[0-9]{12}:userpool/[a-z0-9-]+_[A-Za-z0-9]+$"

ENDPOINT_QUESTIONS: Final = (
    Question(
        id="EndpointType",
        group=ENDPOINT,
        label="Kind of endpoint in production",
        description="instance: machines that always run. serverless: nothing to pay between requests, slower "
        "first answers, no captured data, no shadow, no steps. Test has what environments.yaml says.",
        default=INSTANCE,
        choices=(
            INSTANCE,
            SERVERLESS,
        ),
    ),
    Question(
        id="InstanceType",
        group=ENDPOINT,
        label="Machine",
        description="Instance type of the endpoint, e.g. ml.m5.large. Not used for serverless.",
        default="ml.m5.large",
        pattern=INSTANCE_PATTERN,
        longest=40,
        problem="An instance type of SageMaker hosting, e.g. ml.m5.large",
    ),
    Question(
        id="InstanceCount",
        group=ENDPOINT,
        label="Minimum machines",
        description="How many run under light load, e.g. 2, which SageMaker spreads over zones.",
        default="2",
        pattern=patterns.whole(1, _MACHINES_MAX),
        problem="A whole number from 1 to 100, e.g. 2",
    ),
    Question(
        id="MaxInstanceCount",
        group=ENDPOINT,
        label="Maximum machines",
        description="How many run at most under load, e.g. 4; not less than the minimum.",
        default="4",
        pattern=patterns.whole(1, 1000),
        problem="A whole number from 1 to 1000, not less than the minimum, e.g. 4",
    ),
)
UPDATE_QUESTIONS: Final = (
    Question(
        id="TrafficPolicy",
        group=UPDATES,
        label="Traffic shifting",
        description="canary: a small part first, then the rest. linear: in equal steps. all-at-once: "
        "everything together. An alarm on the way takes all of it back.",
        default=CANARY,
        choices=(
            AT_ONCE,
            CANARY,
            LINEAR,
        ),
    ),
    Question(
        id="MaxLatencyMs",
        group=UPDATES,
        label="Maximum latency (milliseconds)",
        description="If the model takes longer to answer, an alarm goes off and a new model is rolled back. E.g. 500.",
        type="Number",
        default=500,
        bounds=(1, 60_000),
        problem="Milliseconds from 1 to 60000 (after which SageMaker gives up), e.g. 500",
    ),
    Question(
        id="MaxErrorPercent",
        group=UPDATES,
        label="Maximum error rate (percent)",
        description="If more answers are server errors, an alarm goes off and a new model is rolled back. E.g. 1.",
        type="Number",
        default=1,
        bounds=(0, 100),
        problem="Percent from 0 to 100, e.g. 1 or 0.5",
    ),
    Question(
        id="ShadowHours",
        group=UPDATES,
        label="Shadow period (hours)",
        description="How long a new model first gets copies of the requests while the old one answers, "
        "e.g. 24; then both are compared. 0 for none.",
        default="0",
        pattern=patterns.whole(0, _SHADOW_HOURS_MAX),
        problem=f"Hours from 0 (no shadow) to {_SHADOW_HOURS_MAX} (two weeks), e.g. 24",
    ),
)
CAPTURE_QUESTIONS: Final = (
    Question(
        id="CapturePercent",
        group=CAPTURE,
        label="Captured requests (percent)",
        description="How many requests and answers in production are kept, e.g. 100. The monitors look for "
        "drift in them; 0 captures nothing and switches the monitors off.",
        default="100",
        pattern=patterns.whole(0, 100),
        problem="Whole percent from 0 to 100, e.g. 100",
    ),
    Question(
        id="CaptureReplicaBucket",
        group=CAPTURE,
        label="Bucket for copies (optional)",
        description="Bucket of the data account that gets a copy of what is captured in production, e.g. "
        "acme-data-captured. Its owner must allow the copies.",
        default="",
        pattern=_BUCKET_PATTERN,
        longest=63,
        problem="Blank, or the name of a bucket (not of a project's), e.g. acme-data-captured",
    ),
    Question(
        id="CaptureReplicaKeyArn",
        group=CAPTURE,
        label="KMS key of the copies (with the bucket)",
        description="ARN of the key with which the copies are encrypted; it ends in e.g. "
        "key/1234abcd-12ab-34cd-56ef-1234567890ab. Blank without a bucket for copies.",
        default="",
        pattern=patterns.OPTIONAL_KEY,
        longest=200,
        problem="Blank, or the ARN of a KMS key (of the key, not of an alias)",
    ),
)
API_QUESTIONS: Final = (
    Question(
        id="ApiAuth",
        group=API,
        label="API",
        description="none: the endpoint itself, which only AWS credentials reach. iam: an HTTPS address for "
        "AWS credentials. jwt: one for tokens of a user pool.",
        default=NO_API,
        choices=(
            NO_API,
            IAM_API,
            JWT_API,
        ),
    ),
    Question(
        id="ApiUserPoolArn",
        group=API,
        label="User pool (for jwt)",
        description="ARN of the Cognito user pool in the production account whose tokens are accepted; it ends "
        "in e.g. userpool/ and the id of the pool. Blank unless API is jwt.",
        default="",
        pattern=_POOL_PATTERN,
        longest=200,
        problem="Blank, or the ARN of a Cognito user pool as its page in the console shows it",
    ),
)
CHOICES: Final = (*ENDPOINT_QUESTIONS, *UPDATE_QUESTIONS, *CAPTURE_QUESTIONS, *API_QUESTIONS)
"""What the form asks besides what every deployment product asks; the build gets each answer as a variable."""


class DeployRealtimeProduct(servicecatalog.ProductStack):
    """Seeded repository and pipeline: approved model, test endpoint, real test, approval, production endpoint."""

    SPEC: ClassVar[ProductSpec] = ProductSpec(
        id="deploy-realtime",
        title="Deploy to a real-time endpoint",
        summary="A repository and a pipeline that bring the newest approved model of a group to a test endpoint, "
        "try it with real records, ask the governance officer, and bring it to production, where it is watched.",
        seed_code="deploy-realtime",
    )

    def __init__(self, scope: Construct, id_: str) -> None:
        super().__init__(scope, id_, description=f"{self.SPEC.title}: {self.SPEC.summary}")
        form = Form(self, questions_of(CHOICES, example="acme-ml/churn-deployment"))
        answers = Answers.read(form)
        _refuse_what_sagemaker_cannot_do(form)
        has_shadow = cdk.CfnCondition(
            self,
            "HasShadow",
            expression=form.is_not("ShadowHours", "0"),
        )
        project = DeploymentProject(
            self,
            "Project",
            seed_code_template="deploy-realtime",
            answers=answers,
            choices={variable(question.id): form[question.id] for question in CHOICES},
            test_action="EndpointTest",
            test_step="endpoint-test",
            shadow=has_shadow,
        )
        template.tag_project(self, answers.cost_center)
        project.add_outputs(
            {
                f"{stage.capitalize()}EndpointName": (
                    f"Endpoint in the {stage} account, from its first deployment on",
                    template.sub(f"{names.PROJECT_PIPELINE}-{stage}"),
                )
                for stage in names.STAGES
            }
        )


def _refuse_what_sagemaker_cannot_do(form: Form) -> None:
    # https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html, "Feature exclusions"
    serverless = form.is_("EndpointType", SERVERLESS)
    form.refuse(
        "ServerlessCapturesNothing",
        when=serverless,
        unless=[form.is_("CapturePercent", "0")],
        problem="Captured requests: SageMaker captures nothing at serverless endpoints. Enter 0, or choose "
        "instance as the kind of endpoint.",
    )
    form.refuse(
        "ServerlessHasNoShadow",
        when=serverless,
        unless=[form.is_("ShadowHours", "0")],
        problem="Shadow period: SageMaker has no shadow at serverless endpoints. Enter 0, or choose instance as "
        "the kind of endpoint.",
    )
    # Deployment guardrails are for real-time and asynchronous endpoints:
    # https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails.html
    form.refuse(
        "ServerlessShiftsAllAtOnce",
        when=serverless,
        unless=[form.is_("TrafficPolicy", AT_ONCE)],
        problem="Traffic shifting: serverless endpoints are updated all at once. Choose all-at-once, or instance "
        "as the kind of endpoint.",
    )
    form.refuse(
        "StepsNeedTwoMachines",
        when=form.is_("InstanceCount", "1"),
        unless=[form.is_("TrafficPolicy", AT_ONCE)],
        problem="Traffic shifting: a step takes over at most half of the machines, so one machine has no steps. "
        "Enter a minimum of 2 or more machines, or choose all-at-once.",
    )
    form.refuse(
        "MachinesFromMinimumToMaximum",
        when=form.is_("EndpointType", INSTANCE),
        unless=[
            cdk.Fn.condition_or(
                form.is_not("MaxInstanceCount", str(most)),
                cdk.Fn.condition_contains([str(least) for least in range(1, most + 1)], form["InstanceCount"]),
            )
            for most in range(1, _MACHINES_MAX)
        ],
        problem="Maximum machines: fewer than the minimum. Enter as many as the minimum, or more.",
    )
    form.refuse(
        "ShadowNeedsCapture",
        when=form.is_not("ShadowHours", "0"),
        unless=[form.is_not("CapturePercent", "0")],
        problem="Shadow period: the models are compared by what is captured. Enter more than 0 percent of "
        "captured requests, or 0 hours.",
    )
    form.refuse(
        "CopiesNeedCapture",
        when=form.is_not("CaptureReplicaBucket", ""),
        unless=[form.is_not("CapturePercent", "0")],
        problem="Bucket for copies: nothing is captured, so there is nothing to copy. Enter more than 0 percent "
        "of captured requests, or leave the bucket blank.",
    )
    form.refuse(
        "CopiesNeedAKey",
        when=form.is_not("CaptureReplicaBucket", ""),
        unless=[form.is_not("CaptureReplicaKeyArn", "")],
        problem="KMS key of the copies: captured data is encrypted, so its copy needs a key as well. Enter the "
        "ARN of the key that the owner of the bucket names.",
    )
    form.refuse(
        "AKeyNeedsCopies",
        when=form.is_not("CaptureReplicaKeyArn", ""),
        unless=[form.is_not("CaptureReplicaBucket", "")],
        problem="KMS key of the copies: nothing is copied without a bucket. Enter the bucket for copies, or leave "
        "the key blank.",
    )
    form.refuse(
        "TokensNeedAUserPool",
        when=form.is_("ApiAuth", JWT_API),
        unless=[form.is_not("ApiUserPoolArn", "")],
        problem="User pool: jwt needs the user pool whose tokens are accepted. Enter its ARN, or choose none or iam.",
    )
    form.refuse(
        "AUserPoolNeedsTokens",
        when=form.is_not("ApiUserPoolArn", ""),
        unless=[form.is_("ApiAuth", JWT_API)],
        problem="User pool: only jwt uses it. Choose jwt, or leave the user pool blank.",
    )
