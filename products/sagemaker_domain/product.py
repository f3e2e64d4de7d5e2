"""Studio domain of a team: network, key, bucket, personas with a role each, Git connection, projects switched on."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

import aws_cdk as cdk
from aws_cdk import aws_codeconnections as codeconnections
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sagemaker as sagemaker
from aws_cdk import aws_servicecatalog as servicecatalog

from products.sagemaker_domain import personas
from products.sagemaker_domain.exploring import exploring_policy
from products.shared import custom_resources, names, template
from products.shared.form import patterns
from products.shared.form.parameters import Form, Question
from products.shared.roles import ServiceRole
from products.shared.spec import ProductSpec
from products.shared.storage import private_bucket
from products.shared.training.jobs import in_vpc

if TYPE_CHECKING:
    from collections.abc import Mapping

    from constructs import Construct

DOMAIN, NETWORK, PEOPLE, SOURCE, COSTS = "Domain", "Network", "People", "Source code", "Costs and clean-up"
_PERSONA_IDS = {persona: "".join(word.title() for word in persona.split("-")) for persona in names.PERSONAS}
_REPOSITORY = r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.*-]+)+"
_REPOSITORIES = rf"^$|^{_REPOSITORY}(,{_REPOSITORY})*$"
_USER_NAME = r"^[A-Za-z0-9+=,.@_-]{0,128}$"
_NEXT_STEP = (
    "Open ConnectionUrl and finish the handshake of the connection if it is pending. Then people open StudioUrl (SSO) "
    "or their profile at DomainConsoleUrl (IAM) and create a project."
)
_AMONG_APPS = "Apps of the domain among themselves"
_TAG_PROBLEM = (
    "1 to 64 letters, digits, spaces or _.:/=+@- beginning with a letter or digit, and not with aws:, e.g. ml-1000"
)

QUESTIONS: Final = (
    Question(
        id="DomainName",
        group=DOMAIN,
        label="Domain name",
        description="Short name of the team or purpose, part of other names. E.g. claims-lab.",
        pattern=names.DOMAIN_NAME_PATTERN,
        longest=names.DOMAIN_NAME_MAX,
        problem=f"1 to {names.DOMAIN_NAME_MAX} lower-case letters, digits and inner hyphens, e.g. claims-lab",
    ),
    Question(
        id="VpcId",
        group=NETWORK,
        label="VPC (SSM parameter)",
        description="SSM parameter with the id of the VPC. The default is the ML network of the account.",
        default=names.VPC_ID_PARAMETER,
        type="AWS::SSM::Parameter::Value<AWS::EC2::VPC::Id>",
    ),
    Question(
        id="SubnetIds",
        group=NETWORK,
        label="Private subnets (SSM parameter)",
        description="SSM parameter (StringList) with the ids of the private subnets. The default is "
        "the ML network of the account.",
        default=names.SUBNET_IDS_PARAMETER,
        type="AWS::SSM::Parameter::Value<List<AWS::EC2::Subnet::Id>>",
    ),
    Question(
        id="NetworkAccess",
        group=NETWORK,
        label="Internet access",
        description="VpcOnly: all traffic goes through the VPC, which needs a NAT gateway or VPC endpoints. "
        "PublicInternetOnly: Studio reaches the internet directly, bypassing the VPC.",
        default="VpcOnly",
        choices=(
            "VpcOnly",
            "PublicInternetOnly",
        ),
    ),
    Question(
        id="AuthMode",
        group=PEOPLE,
        label="Sign-in",
        description="IAM: people open their profile from the AWS console. SSO: people sign in with IAM Identity "
        "Center, which the organization must have. Cannot be changed later.",
        default="IAM",
        choices=(
            "IAM",
            "SSO",
        ),
    ),
    *(
        Question(
            id=f"{id_}User",
            group=PEOPLE,
            label=f"First {persona.replace('-', ' ').replace('ml', 'ML')} (SSO only)",
            description="For SSO: user name in IAM Identity Center, e.g. ana@example.com. Blank makes no profile "
            "yet. With IAM leave it blank; there is one profile per persona.",
            default="",
            pattern=_USER_NAME,
            problem="A user name of IAM Identity Center, e.g. ana@example.com, or blank",
        )
        for persona, id_ in _PERSONA_IDS.items()
    ),
    Question(
        id="ProviderType",
        group=SOURCE,
        label="Git provider",
        description="Where the repositories of projects are. Used when a connection is created.",
        default="GitHub",
        choices=(
            "GitHub",
            "GitLab",
            "Bitbucket",
        ),
    ),
    Question(
        id="ExistingConnectionArn",
        group=SOURCE,
        label="Existing connection (optional)",
        description="ARN of an available CodeConnection of this account, as the Developer Tools console shows it; "
        "it ends in e.g. connection/1234abcd-12ab-34cd-56ef-1234567890ab. Blank creates one, whose handshake "
        "a person finishes in the console.",
        default="",
        pattern=r"^$|^arn:[a-z0-9-]+:(codeconnections|codestar-connections):[a-z0-9-]+:[0-9]{12}:connection/[0-9a-f-]{36}$",
        problem="Blank, or the ARN of a CodeConnection, which ends in connection/ and its id",
    ),
    Question(
        id="Repositories",
        group=SOURCE,
        label="Repositories of the team (optional)",
        description="Repositories that leads and data scientists reach from Studio through the connection, as "
        "owner/name with commas between; * in a name stands for anything. E.g. acme-ml/claims-*,acme-ml/notebooks. "
        "Blank: none by hand; projects build from their own repositories in any case.",
        default="",
        pattern=_REPOSITORIES,
        longest=200,
        problem="Blank, or owner/name with commas and no spaces between; no * in the owner, e.g. acme-ml/claims-*",
    ),
    Question(
        id="CostCenter",
        group=COSTS,
        label="Cost center",
        description="Tag CostCenter of everything in the domain, apps included. E.g. ml-1000.",
        pattern=patterns.TAG_VALUE,
        problem=_TAG_PROBLEM,
    ),
    Question(
        id="Owner",
        group=COSTS,
        label="Team or owner",
        description="Tag Owner of everything in the domain: whom to ask about it. E.g. claims-analytics.",
        pattern=patterns.TAG_VALUE,
        problem=_TAG_PROBLEM,
    ),
    Question(
        id="IdleShutdown",
        group=COSTS,
        label="Stop idle apps",
        description="ENABLED stops JupyterLab and Code Editor when nobody uses them; files stay.",
        default="ENABLED",
        choices=(
            "ENABLED",
            "DISABLED",
        ),
    ),
    Question(
        id="IdleMinutes",
        group=COSTS,
        label="Idle minutes before stopping",
        description="Minutes without activity, 60 to 525600. E.g. 120 for two hours.",
        default="120",
        pattern=patterns.whole(60, 525_600),
        problem="A whole number from 60 (SageMaker's smallest) to 525600 (a year), e.g. 120",
    ),
    Question(
        id="BucketOnDeletion",
        group=COSTS,
        label="Bucket when the domain is terminated",
        description="Keep: the objects stay. Empty: all versions of all objects are removed; the bucket stays.",
        default="Keep",
        choices=(
            "Keep",
            "Empty",
        ),
    ),
)
"""The form."""


class SageMakerDomainProduct(servicecatalog.ProductStack):
    """Studio domain in which leads, data scientists and ML engineers work with a role each."""

    SPEC: ClassVar[ProductSpec] = ProductSpec(
        id="sagemaker-domain",
        title="SageMaker Studio domain",
        summary="A Studio domain for a team: private network, own key and bucket, a role per persona, idle shutdown, "
        "a Git connection, and SageMaker projects switched on.",
    )

    def __init__(self, scope: Construct, id_: str) -> None:
        super().__init__(scope, id_, description=f"{self.SPEC.title}: {self.SPEC.summary}")
        form = Form(self, QUESTIONS)
        name, vpc_id, subnet_ids = form["DomainName"], form["VpcId"], form.list("SubnetIds")
        access, auth_mode, existing_connection = form["NetworkAccess"], form["AuthMode"], form["ExistingConnectionArn"]
        users = {persona: form[f"{id_}User"] for persona, id_ in _PERSONA_IDS.items()}
        form.refuse(
            "UsersNeedSso",
            when=form.is_("AuthMode", "IAM"),
            unless=[form.is_(f"{id_}User", "") for id_ in _PERSONA_IDS.values()],
            problem="Sign-in is IAM, which knows no Identity Center users: leave the users blank or choose SSO.",
        )
        self._is_sso = cdk.CfnCondition(self, "IsSso", expression=form.is_("AuthMode", "SSO"))
        self._creates_connection = cdk.CfnCondition(
            self, "CreatesConnection", expression=form.is_("ExistingConnectionArn", "")
        )
        checked = self._check_first(name, vpc_id, subnet_ids, auth_mode, existing_connection)
        key = kms.Key(
            self,
            "Key",
            description=template.sub("Studio domain ${DomainName}: home directories, spaces and bucket"),
            enable_key_rotation=True,
            # Home directories, and a bucket that is kept, can be read only while the key exists.
            removal_policy=cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
        )
        bucket = self._bucket(key, form["BucketOnDeletion"])
        connection, connection_arn = self._connection(form["ProviderType"], existing_connection)
        security_group = self._security_group(vpc_id)
        parts = personas.DomainParts(
            bucket_arn=bucket.bucket_arn,
            bucket_objects_arn=bucket.arn_for_objects("*"),
            key_arn=key.key_arn,
            connection_arn=connection_arn,
            repositories=cdk.Fn.split(",", form["Repositories"]),
            job_network=self._job_network(access, subnet_ids, security_group.attr_group_id),
        )
        execution_role = ServiceRole(
            self,
            "ExecutionRole",
            service="sagemaker",
            path=names.STUDIO_ROLE_PATH,
            purpose="Studio without a persona: own spaces and the bucket of the domain",
            grants=personas.studio(parts),
            source_identity=True,
        )
        roles = {persona: self._persona_role(persona, parts) for persona in names.PERSONAS}
        self._let_the_lead_act(roles[names.LEAD].role, roles[names.DATA_SCIENTIST].role)
        exploring_policy(self, "Exploring", roles=[roles[names.LEAD].role, roles[names.DATA_SCIENTIST].role])
        domain = self._domain(
            key=key,
            execution_role=execution_role.role,
            security_group=security_group,
            auth_mode=auth_mode,
            access=access,
            vpc_id=vpc_id,
            subnet_ids=subnet_ids,
            idle=(form["IdleShutdown"], form.number("IdleMinutes")),
        )
        for persona, role in roles.items():
            self._profile(persona, domain, role.role, users[persona])
        enabled = custom_resources.enable_projects(
            self,
            domain_name=name,
            connection_arn=connection_arn,
            persona_role_arns=[role.role.role_arn for role in roles.values()],
        )
        enabled.node.add_dependency(domain, bucket)
        for part in (key, bucket, connection, execution_role, *roles.values(), security_group, domain):
            part.node.add_dependency(checked)
        template.tag_everything(self, {names.COST_CENTER_TAG: form["CostCenter"], "Owner": form["Owner"]})
        application = cdk.CfnOutput(
            self,
            "SingleSignOnApplicationArn",
            description="With SSO: the application of IAM Identity Center to which people are assigned",
            value=domain.attr_single_sign_on_application_arn,
        )
        application.condition = self._is_sso
        self._add_outputs(
            domain,
            bucket,
            {
                "KeyArn": ("Key of home directories, spaces and bucket", key.key_arn),
                "ExecutionRoleArn": ("Role of profiles without a persona", execution_role.role.role_arn),
                "ConnectionArn": ("Connection to the Git provider", connection_arn),
                **{
                    f"{_PERSONA_IDS[persona]}RoleArn": (f"Role of the persona {persona}", role.role.role_arn)
                    for persona, role in roles.items()
                },
            },
        )

    # ---- the resources ----------------------------------------------------------------------------------------------

    def _check_first(
        self, name: str, vpc_id: str, subnet_ids: list[str], auth_mode: str, existing_connection: str
    ) -> cdk.CustomResource:
        identity_center = cdk.Fn.condition_if(self._is_sso.logical_id, "identity-center", cdk.Aws.NO_VALUE)
        connection = cdk.Fn.condition_if(self._creates_connection.logical_id, cdk.Aws.NO_VALUE, "connection")
        return custom_resources.preflight(
            self,
            ["vpc", "subnets", "domain-name", identity_center, connection],
            {
                "VpcId": vpc_id,
                "SubnetIds": subnet_ids,
                "NetworkAccess": cdk.Fn.ref("NetworkAccess"),
                "AuthMode": auth_mode,
                "DomainName": name,
                "ConnectionArn": existing_connection,
            },
        )

    def _bucket(self, key: kms.Key, on_deletion: str) -> s3.Bucket:
        # The first group of the stack's UUID: a domain of the same name launched later gets a bucket of its own.
        unique = cdk.Fn.select(0, cdk.Fn.split("-", cdk.Fn.select(2, cdk.Fn.split("/", cdk.Aws.STACK_ID))))
        bucket = private_bucket(
            self,
            "Bucket",
            name=cdk.Fn.sub(names.DOMAIN_BUCKET, {"Unique": unique}),
            key=key,
            removal_policy=cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
            access_logs="would need a second bucket for every domain",
        )
        contents = custom_resources.bucket_contents(self, bucket.bucket_name)
        empties = cdk.CfnCondition(self, "EmptiesBucket", expression=cdk.Fn.condition_equals(on_deletion, "Empty"))
        for child in contents.node.find_all():
            if isinstance(child, cdk.CfnResource):
                child.cfn_options.condition = empties
        return bucket

    def _connection(self, provider: str, existing: str) -> tuple[codeconnections.CfnConnection, str]:
        connection = codeconnections.CfnConnection(
            self,
            "Connection",
            connection_name=template.sub(names.DOMAIN_CONNECTION),
            provider_type=provider,
        )
        connection.cfn_options.condition = self._creates_connection
        arn = cdk.Fn.condition_if(self._creates_connection.logical_id, connection.attr_connection_arn, existing)
        return connection, arn.to_string()

    def _persona_role(self, persona: str, parts: personas.DomainParts) -> ServiceRole:
        return ServiceRole(
            self,
            f"{_PERSONA_IDS[persona]}Role",
            service="sagemaker",
            path=names.persona_role_path(persona),
            purpose=f"What a {persona.replace('-', ' ')} does in Studio",
            named=False,
            grants=personas.grants(persona, parts),
            source_identity=True,
        )

    def _job_network(self, access: str, subnet_ids: list[str], security_group_id: str) -> dict[str, cdk.IResolvable]:
        """Return the conditions on the network of jobs: that of the domain with VpcOnly, else none."""
        inside = cdk.CfnCondition(self, "IsVpcOnly", expression=cdk.Fn.condition_equals(access, "VpcOnly"))
        return {
            operator: cdk.Fn.condition_if(inside.logical_id, keys, cdk.Aws.NO_VALUE)
            for operator, keys in in_vpc(subnet_ids, [security_group_id]).items()
        }

    @staticmethod
    def _let_the_lead_act(lead: iam.Role, data_scientist: iam.Role) -> None:
        """Let the lead of this domain open sessions as its data scientists, with `names.ACTS_AS_TAG` and never without.

        The lead's role is named by its path, because it names the data scientists' role itself.
        """
        cdk.Tags.of(data_scientist).add(names.ACTS_AS_TAG, names.DATA_SCIENTIST, priority=300)
        for grant in personas.leading(data_scientist.role_arn):
            lead.add_to_policy(grant.statement())
        leads = template.sub(template.arn("iam", f"role{names.persona_role_path(names.LEAD)}*"))
        principal = iam.AccountRootPrincipal().with_conditions({"ArnLike": {"aws:PrincipalArn": leads}})
        tagged = principal.with_conditions({"StringEquals": {f"aws:RequestTag/{names.ACTS_AS_TAG}": names.LEAD}})
        if data_scientist.assume_role_policy:
            data_scientist.assume_role_policy.add_statements(
                iam.PolicyStatement(actions=["sts:AssumeRole", "sts:TagSession"], principals=[tagged]),
                iam.PolicyStatement(actions=["sts:SetSourceIdentity"], principals=[principal]),
            )

    def _security_group(self, vpc_id: str) -> ec2.CfnSecurityGroup:
        group = ec2.CfnSecurityGroup(
            self,
            "SecurityGroup",
            group_description="Apps of a SageMaker Studio domain",
            vpc_id=vpc_id,
            # https://docs.aws.amazon.com/sagemaker/latest/dg/studio-notebooks-and-internet-access.html
            security_group_egress=[
                ec2.CfnSecurityGroup.EgressProperty(
                    ip_protocol="tcp",
                    from_port=port,
                    to_port=port,
                    cidr_ip="0.0.0.0/0",
                    description=description,
                )
                for port, description in (
                    (443, "AWS APIs, Git and package indexes over TLS"),
                    (2049, "Home directories, whose EFS mount targets SageMaker makes in the subnets"),
                )
            ],
        )
        ec2.CfnSecurityGroupIngress(
            self,
            "FromApps",
            description=_AMONG_APPS,
            group_id=group.attr_group_id,
            source_security_group_id=group.attr_group_id,
            ip_protocol="tcp",
            from_port=8192,
            to_port=65_535,
        )
        ec2.CfnSecurityGroupEgress(
            self,
            "ToApps",
            description=_AMONG_APPS,
            group_id=group.attr_group_id,
            destination_security_group_id=group.attr_group_id,
            ip_protocol="tcp",
            from_port=8192,
            to_port=65_535,
        )
        return group

    def _domain(
        self,
        *,
        key: kms.Key,
        execution_role: iam.IRole,
        security_group: ec2.CfnSecurityGroup,
        auth_mode: str,
        access: str,
        vpc_id: str,
        subnet_ids: list[str],
        idle: tuple[str, float],
    ) -> sagemaker.CfnDomain:
        domain = sagemaker.CfnDomain
        lifecycle = domain.AppLifecycleManagementProperty(
            idle_settings=domain.IdleSettingsProperty(lifecycle_management=idle[0], idle_timeout_in_minutes=idle[1])
        )
        jupyter_lab = domain.JupyterLabAppSettingsProperty(app_lifecycle_management=lifecycle)
        groups = [security_group.attr_group_id]
        return sagemaker.CfnDomain(
            self,
            "Domain",
            domain_name=template.sub("${DomainName}"),
            auth_mode=auth_mode,
            app_network_access_type=access,
            vpc_id=vpc_id,
            subnet_ids=subnet_ids,
            kms_key_id=key.key_id,
            tag_propagation="ENABLED",
            default_user_settings=domain.UserSettingsProperty(
                execution_role=execution_role.role_arn,
                security_groups=groups,
                studio_web_portal="ENABLED",
                default_landing_uri="studio::",
                jupyter_lab_app_settings=jupyter_lab,
                code_editor_app_settings=domain.CodeEditorAppSettingsProperty(app_lifecycle_management=lifecycle),
            ),
            default_space_settings=domain.DefaultSpaceSettingsProperty(
                execution_role=execution_role.role_arn,
                security_groups=groups,
                jupyter_lab_app_settings=jupyter_lab,
            ),
            domain_settings=domain.DomainSettingsProperty(
                # CloudTrail then shows which profile acted, not only which role.
                execution_role_identity_config="USER_PROFILE_NAME",
                security_group_ids=groups,
            ),
        )

    def _profile(self, persona: str, domain: sagemaker.CfnDomain, role: iam.IRole, user: str) -> None:
        id_ = _PERSONA_IDS[persona]
        wanted = cdk.CfnCondition(
            self,
            f"Has{id_}",
            expression=cdk.Fn.condition_not(
                cdk.Fn.condition_and(
                    cdk.Fn.condition_equals(cdk.Fn.ref("AuthMode"), "SSO"), cdk.Fn.condition_equals(user, "")
                )
            ),
        )
        # Users are given with SSO only (rule UsersNeedSso), and only then may a profile name one.
        named = cdk.CfnCondition(
            self, f"Names{id_}", expression=cdk.Fn.condition_not(cdk.Fn.condition_equals(user, ""))
        ).logical_id
        profile = sagemaker.CfnUserProfile(
            self,
            f"{id_}Profile",
            domain_id=domain.attr_domain_id,
            user_profile_name=persona,
            single_sign_on_user_identifier=cdk.Fn.condition_if(named, "UserName", cdk.Aws.NO_VALUE).to_string(),
            single_sign_on_user_value=cdk.Fn.condition_if(named, user, cdk.Aws.NO_VALUE).to_string(),
            user_settings=sagemaker.CfnUserProfile.UserSettingsProperty(execution_role=role.role_arn),
        )
        profile.cfn_options.condition = wanted

    def _add_outputs(self, domain: sagemaker.CfnDomain, bucket: s3.Bucket, arns: Mapping[str, tuple[str, str]]) -> None:
        console = template.Console(self)
        outputs = {
            "DomainId": ("Id of the domain", domain.attr_domain_id),
            "StudioUrl": ("Address of Studio", domain.attr_url),
            "DomainConsoleUrl": (
                "The domain in the console: profiles, apps, settings",
                console.link("sagemaker/home?region=${AWS::Region}#/studio/${Domain}"),
            ),
            "BucketName": ("Bucket of the people of the domain", bucket.bucket_name),
            **arns,
            "ConnectionUrl": (
                "Where a person finishes the handshake with the Git provider (Update pending connection)",
                console.link("codesuite/settings/connections?region=${AWS::Region}"),
            ),
            "NextStep": (
                "What to do now",
                _NEXT_STEP,
            ),
        }
        for name, (description, value) in outputs.items():
            cdk.CfnOutput(self, name, description=description, value=value)
