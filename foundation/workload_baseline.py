"""The workload baseline: what every account of the workloads OU has before a product is launched in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Aws, CfnCondition, Fn, Tags
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_servicecatalog as sc

from foundation.baseline import Baseline, BaselineFunction
from foundation.boundary import Boundary
from foundation.custom_resources import add_bucket_emptier, add_preflight, add_seed_checkin
from foundation.data_permissions import add_data_permissions
from foundation.forwarding import forward_alarms, forward_to_hub
from foundation.launch_policy import launched_templates
from foundation.launch_role import LaunchRole
from foundation.stack_set import RollOutStack
from lambdas.enable_projects.environment import EnableProjectsEnvironment
from lambdas.model_promotion.names import DECISIONS, MODEL_EVENT, MODEL_SOURCE
from portfolios.catalog import PORTFOLIOS
from products.shared import names

if TYPE_CHECKING:
    from constructs import Construct


class BaselineTemplate(sc.ProductStack):
    """Template of the StackSet.

    A ProductStack is a stack whose template becomes a file asset of the stack around it instead of a deployment of its
    own, which is just what a StackSet needs; nothing of Service Catalog gets into the template.

    Args:
        hub_account_id: Account of the hub, 12 digits.
        catalog: Repository of this catalog, ``owner/name``.
        home_region: Region in which the resources of IAM are made, which has no regions itself.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        hub_account_id: str,
        catalog: str,
        home_region: str,
    ) -> None:
        super().__init__(
            scope, id_, description="ML platform: what an account needs before products are launched in it"
        )
        at_home = CfnCondition(self, "AtHome", expression=Fn.condition_equals(Aws.REGION, home_region))
        Boundary(self, "Boundary", catalog=catalog, condition=at_home)
        LaunchRole(
            self,
            "Launch",
            templates=launched_templates(in_hub=False),
            hub_account_id=hub_account_id,
            condition=at_home,
        )
        baseline = Baseline(self, hub_account_id=hub_account_id)
        baseline.write_contract()
        add_seed_checkin(baseline, catalog=catalog)
        add_bucket_emptier(baseline)
        self._add_enable_projects(baseline)
        add_preflight(baseline)
        add_data_permissions(baseline)
        self._forward_decisions(baseline)
        forward_alarms(baseline)
        Tags.of(self).add(names.COMPONENT_TAG, names.BASELINE_COMPONENT)

    def _add_enable_projects(self, baseline: Baseline) -> None:
        parameter = names.contract_parameter("connection-arn")
        # A portfolio that is shared keeps the account of its owner in its ARN.
        portfolios = f"arn:{Aws.PARTITION}:catalog:{Aws.REGION}:*:portfolio/*"
        (portfolio,) = (spec for spec in PORTFOLIOS if spec.id == "sagemaker-projects")
        baseline.function(
            "EnableProjects",
            BaselineFunction(
                name=names.ENABLE_PROJECTS_FUNCTION,
                folder="enable_projects",
                purpose="Custom::EnableProjects: lets the people of a Studio domain create projects.",
                timeout_s=300,
                environment=EnableProjectsEnvironment(connection_parameter=parameter, portfolio_name=portfolio.title),
                allowed=[
                    iam.PolicyStatement(
                        sid="EnableProjects",
                        actions=[
                            "sagemaker:EnableSagemakerServicecatalogPortfolio",
                            "servicecatalog:ListAcceptedPortfolioShares",
                        ],
                        resources=["*"],
                    ),
                    iam.PolicyStatement(
                        sid="AcceptSageMakerPortfolio",
                        # Enabling imports SageMaker's own portfolio in the name of the caller; AWS's samples of such a
                        # function (aws-samples/amazon-sagemaker-secure-mlops) have this permission for it.
                        actions=["servicecatalog:AcceptPortfolioShare"],
                        resources=[portfolios],
                    ),
                    iam.PolicyStatement(
                        sid="AssociatePersonas",
                        actions=[
                            "servicecatalog:AssociatePrincipalWithPortfolio",
                            "servicecatalog:DisassociatePrincipalFromPortfolio",
                        ],
                        resources=[portfolios],
                    ),
                    # Service Catalog looks the role up before it associates it.
                    iam.PolicyStatement(
                        sid="ReadPersonas",
                        actions=["iam:GetRole"],
                        resources=[f"arn:{Aws.PARTITION}:iam::{Aws.ACCOUNT_ID}:role/{names.PREFIX}/persona/*"],
                    ),
                    iam.PolicyStatement(
                        sid="DefaultConnection",
                        actions=["ssm:DeleteParameter", "ssm:GetParameter", "ssm:PutParameter"],
                        resources=[baseline.arn("ssm", f"parameter{parameter}")],
                    ),
                ],
                findings=baseline.wild("These actions have no resource level.", "*")
                | baseline.wild("The id of the shared portfolio is known at run time only.", portfolios)
                | baseline.wild(
                    "Roles of personas are made by domains and named by CloudFormation.",
                    f"arn:{Aws.PARTITION}:iam::{Aws.ACCOUNT_ID}:role/{names.PREFIX}/persona/*",
                ),
            ),
        )

    def _forward_decisions(self, baseline: Baseline) -> None:
        """Tell the hub what people decide about the models of this account; the hub copies what was approved."""
        forward_to_hub(
            baseline,
            subject="Decisions",
            purpose="Puts decisions about models on the bus of the hub.",
            rule_id="DecisionAboutModel",
            rule="Approvals and rejections of this account's models, for the central registry",
            pattern=events.EventPattern(
                source=[MODEL_SOURCE],
                detail_type=[MODEL_EVENT],
                detail={"ModelApprovalStatus": list(DECISIONS)},
            ),
            lost="A decision about a model did not reach the hub, so the central registry does not know "
            "it. The message holds the event and the reason; deciding again sends it again.",
        )


class WorkloadBaselineStack(RollOutStack):
    """Rolls the baseline out to the workloads OU."""

    NAME = "ml-platform-workload-baseline"
    PURPOSE = "rolls the workload baseline out to the accounts of the workloads OU"
    STACK_SET = names.WORKLOAD_STACK_SET
    GIVES = "What every account of the workloads OU has before an ML product is launched in it."

    @property
    def unit_id(self) -> str:
        """The workloads OU."""
        return self.settings.workloads_ou_id

    def make_template(self, id_: str) -> BaselineTemplate:
        """Return the workload baseline."""
        hub = self.settings
        return BaselineTemplate(
            self, id_, hub_account_id=hub.account_id, catalog=hub.source.repository, home_region=hub.home_region
        )
