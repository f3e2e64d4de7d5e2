"""Service Catalog and SageMaker: projects in Studio and who may create them."""

from __future__ import annotations

import boto3
from botocore.exceptions import ClientError

from lambdas.enable_projects.core import Portfolio
from lambdas.shared.clients import CONFIG


class Catalog:
    """Service Catalog of this account and region, as SageMaker uses it."""

    def __init__(self) -> None:
        self._catalog = boto3.client("servicecatalog", config=CONFIG)
        self._sagemaker = boto3.client("sagemaker", config=CONFIG)

    def enable(self) -> None:
        """Let SageMaker show projects in Studio; no change when it does already."""
        self._sagemaker.enable_sagemaker_servicecatalog_portfolio()

    def shared_portfolios(self) -> list[Portfolio]:
        """Return the portfolios that the organisation shares with this account."""
        pages = self._catalog.get_paginator("list_accepted_portfolio_shares").paginate(
            PortfolioShareType="AWS_ORGANIZATIONS"
        )
        return [
            Portfolio(id=detail["Id"], name=detail["DisplayName"])
            for page in pages
            for detail in page["PortfolioDetails"]
        ]

    def associate(self, portfolio: Portfolio, role_arn: str) -> None:
        """Let a role use the portfolio; no change when it may already."""
        self._catalog.associate_principal_with_portfolio(
            PortfolioId=portfolio.id, PrincipalARN=role_arn, PrincipalType="IAM"
        )

    def disassociate(self, portfolio: Portfolio, role_arn: str) -> None:
        """Take a role off the portfolio; no change when it is not on it."""
        try:
            self._catalog.disassociate_principal_from_portfolio(
                PortfolioId=portfolio.id, PrincipalARN=role_arn, PrincipalType="IAM"
            )
        except ClientError as err:
            if err.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
