"""EC2: rules of security groups as resources of their own, for groups that refer to themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aws_emulator import core
from aws_emulator.clock import clock
from aws_emulator.cloudformation.resources import resource_type

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aws_emulator.core import Json

_PEERS: Final[Mapping[str, Mapping[str, tuple[str, str]]]] = {
    direction: {
        "CidrIp": ("IpRanges", "CidrIp"),
        "CidrIpv6": ("Ipv6Ranges", "CidrIpv6"),
        f"{other}SecurityGroupId": ("UserIdGroupPairs", "GroupId"),
        f"{other}PrefixListId": ("PrefixListIds", "PrefixListId"),
    }
    for direction, other in (("Ingress", "Source"), ("Egress", "Destination"))
}
"""Property of the resource -> where the API keeps it in a permission."""


def _permission(direction: str, properties: Json) -> Json:
    permission: Json = {"IpProtocol": str(properties["IpProtocol"])}
    for port in ("FromPort", "ToPort"):
        if port in properties:
            permission[port] = int(properties[port])
    for name, (members, key) in _PEERS[direction].items():
        if name in properties:
            peer = {key: properties[name]}
            if "Description" in properties:
                peer["Description"] = properties["Description"]
            permission[members] = [peer]
    return permission


def _register(direction: str) -> None:
    suffix = direction.lower()

    def create(properties: Json, logical_id: str, stack_name: str) -> Json:
        authorize = getattr(core.client("ec2"), f"authorize_security_group_{suffix}")
        rules = authorize(GroupId=properties["GroupId"], IpPermissions=[_permission(direction, properties)])
        found = rules.get("SecurityGroupRules") or [{"SecurityGroupRuleId": f"sgr-{clock.random_id(17)}"}]
        return {"Id": found[0]["SecurityGroupRuleId"]}

    def update(rule_id: str, old: Json, new: Json) -> Json:  # only the description can change in place
        return {"Id": rule_id}

    def delete(rule_id: str, properties: Json) -> None:
        revoke = getattr(core.client("ec2"), f"revoke_security_group_{suffix}")
        revoke(GroupId=properties["GroupId"], IpPermissions=[_permission(direction, properties)])

    resource_type(f"AWS::EC2::SecurityGroup{direction}", create=create, update=update, delete=delete)


for _direction in _PEERS:
    _register(_direction)
