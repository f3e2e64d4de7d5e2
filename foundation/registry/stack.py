"""The central model registry: what approvals in the workload accounts set off, and what deployments read from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foundation.buckets import access_log_bucket, members
from foundation.hub_stack import HubStack
from foundation.registry.audit_trail import AuditTrail
from foundation.registry.events import add_bus, add_queues, route_decisions
from foundation.registry.models import ModelStore
from foundation.registry.notices import notify_alarms, notify_drift, watch_queues
from foundation.registry.promotion import add_promotion
from products.shared import names
from products.shared.alerts import AlertTopic

if TYPE_CHECKING:
    from constructs import Construct

    from foundation.settings import HubSettings


class RegistryStack(HubStack):
    """Bus, queue and function of the promotion, buckets and repository of promoted models, and the audit trail.

    What promoted models consist of, and the records of who decided what, outlive the stack.

    Args:
        settings: Settings of the hub.
        region: Region of the hub.

    Attributes:
        bus: Takes events about model packages from the accounts below the workloads OU, about drift from those below
            the deployment OU, and alarms from both.
        models: Artifacts and images of promoted models.
        audit: Append-only bucket with a record per decision.
        promotion: The function that copies approved models.
    """

    def __init__(self, scope: Construct, id_: str, *, settings: HubSettings, region: str) -> None:
        super().__init__(
            scope,
            id_,
            settings=settings,
            region=region,
            name="ml-platform-registry",
            description="central model registry",
        )
        deployment_accounts = members(settings, list(settings.deployment_ou_paths))
        self.bus = add_bus(self, settings=settings)
        access_logs = access_log_bucket(self, "AccessLogs")
        self.models = ModelStore(self, access_logs=access_logs, readers=deployment_accounts)
        self.audit = AuditTrail(self, access_logs=access_logs)
        queues = add_queues(self)
        alerts = AlertTopic(self, "Alerts", emails=settings.notification_emails).topic
        self.promotion = add_promotion(
            self,
            models=self.models,
            audit=self.audit,
            decisions=queues.decisions,
            readers=settings.deployment_account_ids,
        )
        route_decisions(self, self.bus, queues)
        drift = AlertTopic(self, "Drift", emails=settings.notification_emails, name=names.DRIFT_TOPIC).topic
        notify_drift(self, self.bus, drift, dead_letters=queues.undelivered)
        notify_alarms(self, self.bus, alerts, dead_letters=queues.undelivered)
        watch_queues(self, queues, alerts)
