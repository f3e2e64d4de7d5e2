"""The hub baseline: what the hub has before a deployment product is launched in it.

The same contract as in workload accounts, made of the same parts, with a launch role for the deployment products.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Tags

from foundation.baseline import Baseline
from foundation.boundary import Boundary
from foundation.custom_resources import add_bucket_emptier, add_preflight, add_seed_checkin
from foundation.deployment_teardown import add_deployment_teardown
from foundation.hub_stack import HubStack
from foundation.launch_policy import launched_templates
from foundation.launch_role import LaunchRole
from foundation.launch_scopes import HUB
from products.shared import names
from products.shared.alerts import AlertTopic

if TYPE_CHECKING:
    from constructs import Construct

    from foundation.settings import HubSettings


class HubBaselineStack(HubStack):
    """The hub baseline in one region of the hub; the resources of IAM with a fixed name in its home region only.

    Args:
        settings: Settings of the hub.
        region: Region of the hub.
    """

    def __init__(self, scope: Construct, id_: str, *, settings: HubSettings, region: str) -> None:
        super().__init__(
            scope,
            id_,
            settings=settings,
            region=region,
            name="ml-platform-hub-baseline",
            description="what the hub needs before deployment products are launched in it",
        )
        if self.region == settings.home_region:
            Boundary(self, "Boundary", catalog=settings.source.repository)
            LaunchRole(
                self,
                "Launch",
                templates=launched_templates(in_hub=True),
                hub_account_id=settings.account_id,
                kind=HUB,
            )
        alerts = AlertTopic(self, "Alerts", emails=settings.notification_emails)
        baseline = Baseline(self, hub_account_id=settings.account_id, alerts=alerts.topic)
        baseline.write_contract()
        if settings.connection_arn:
            baseline.contract_value("connection-arn", settings.connection_arn)
        add_seed_checkin(baseline, catalog=settings.source.repository)
        add_bucket_emptier(baseline)
        add_preflight(baseline)
        add_deployment_teardown(baseline, regions=settings.regions)
        Tags.of(self).add(names.COMPONENT_TAG, names.BASELINE_COMPONENT)
