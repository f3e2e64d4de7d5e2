"""The model package group of a project."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from products.shared import names, template

_GROUP_ARN = template.arn("sagemaker", f"model-package-group/{names.PROJECT_PIPELINE}")
_PACKAGES_ARN = template.arn("sagemaker", f"model-package/{names.PROJECT_PIPELINE}/*")
ARNS = (_GROUP_ARN, _PACKAGES_ARN)
"""The group and the packages in it, as text for ``Fn::Sub``; registry actions are decided on either."""


class ModelGroup(Construct):
    """Model package group whose packages the hub account may read, and nobody outside the account may change.

    The group stays when the project goes: SageMaker deletes a group only when it is empty, and registered models are
    the record of what was trained, approved and promoted. Its name holds the project id, so it is never in the way.

    Args:
        bucket: Bucket of the project, which is made first. Promotion takes the project from the name of the group: a
            launch with the id of another project ends at that project's bucket, before it has a group with the id.

    Attributes:
        group: The group.
    """

    def __init__(self, scope: Construct, id_: str, *, bucket: s3.IBucket) -> None:
        super().__init__(scope, id_)
        self.group = sagemaker.CfnModelPackageGroup(
            self,
            "Group",
            model_package_group_name=template.sub(names.PROJECT_PIPELINE),
            model_package_group_description=template.sub(
                "Models of SageMaker project ${SageMakerProjectName} (${SageMakerProjectId})"
            ),
            model_package_group_policy={
                "Version": "2012-10-17",
                "Statement": [
                    {
                        # These three actions and no condition, as in
                        # https://docs.aws.amazon.com/sagemaker/latest/dg/model-registry-ram-discover.html: metadata
                        # only. What the packages point to is open to fewer roles (ProjectStorage).
                        "Sid": "HubReads",
                        "Effect": "Allow",
                        "Principal": {"AWS": template.sub(template.hub_principal())},
                        "Action": [
                            "sagemaker:DescribeModelPackage",
                            "sagemaker:DescribeModelPackageGroup",
                            "sagemaker:ListModelPackages",
                        ],
                        "Resource": [template.sub(text) for text in ARNS],
                    }
                ],
            },
        )
        self.group.node.add_dependency(bucket)
        self.group.apply_removal_policy(cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE)
