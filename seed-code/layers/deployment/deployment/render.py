"""Templates of a stage: the files in templates/, completed with the model's containers and names that follow content.

What a template says stays as written, with two exceptions. Every ``AWS::SageMaker::Model`` gets the containers of the
package. And in the name of a resource ``${Content}`` becomes 12 hex digits that depend on the resource's properties,
on the values of the parameters in them and on the names of other such resources: SageMaker cannot change a model or an
endpoint configuration, so other content is another resource, and the same content keeps its name.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deployment import images
from deployment.errors import DeploymentError
from deployment.packages import ModelPackage

CONTENT = "${Content}"


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """A template with its parameters.

    Attributes:
        name: E.g. ``base`` or ``endpoint``.
        template: The template.
        parameters: Value of each parameter that has one.
    """

    name: str
    template: Mapping[str, Any]
    parameters: Mapping[str, str]

    @property
    def text(self) -> str:
        """The template as CloudFormation gets it."""
        return json.dumps(self.template, separators=(",", ":"))

    def write(self, folder: Path) -> None:
        """Write template and parameters into a folder, for people and for `read`."""
        folder.mkdir(parents=True, exist_ok=True)
        for kind, content in (("template", self.template), ("parameters", self.parameters)):
            path = folder / f"{self.name}.{kind}.json"
            path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path, name: str) -> Rendered:
        """Return what `write` wrote.

        Raises:
            DeploymentError: Nothing has been rendered.
        """
        try:
            template, parameters = (
                json.loads((folder / f"{name}.{kind}.json").read_text(encoding="utf-8"))
                for kind in ("template", "parameters")
            )
        except FileNotFoundError as err:
            raise DeploymentError(
                f"{err.filename} is missing: nothing has been rendered. Run the step `render` first."
            ) from err
        return cls(name=name, template=template, parameters=parameters)


def load(path: Path) -> dict[str, Any]:
    """Return a template; short forms such as ``!Sub`` become the long ones.

    Names listed as ``Include`` below ``Metadata`` are files beside it, whose content is added to the template.

    Raises:
        DeploymentError: It is missing, or no template.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except FileNotFoundError as err:
        raise DeploymentError(f"{path} is missing, so there is nothing to render. Restore it.") from err
    except yaml.YAMLError as err:
        raise DeploymentError(f"{path.name} is not valid YAML: {err}") from err
    if not isinstance(content, dict) or not isinstance(content.get("Resources"), dict):
        raise DeploymentError(f"{path.name} is no CloudFormation template: it has no Resources.")
    for name in content.get("Metadata", {}).pop("Include", []):
        _include(content, load(path.with_name(f"{name}.yaml")), path.name, name)
    return content


def _include(template: dict[str, Any], part: Mapping[str, Any], name: str, part_name: str) -> None:
    """Add another template's sections to a template; both may declare the same parameter in the same way.

    Raises:
        DeploymentError: Both have something else of the same name.
    """
    for section in ("Parameters", "Mappings", "Conditions", "Rules", "Resources", "Outputs"):
        own = template.setdefault(section, {}) if section in part else {}
        for key, entry in part.get(section, {}).items():
            if key in own and (section != "Parameters" or own[key] != entry):
                raise DeploymentError(
                    f"{name} includes {part_name}.yaml, and both have {key} below {section}. Rename one of them."
                )
            own[key] = entry


def render(
    name: str, template: dict[str, Any], values: Mapping[str, str], containers: list[dict[str, Any]]
) -> Rendered:
    """Return a template for a stage.

    Args:
        name: Name of the template.
        template: As `load` returned it; it is changed.
        values: Values for parameters; those that the template does not declare are left out.
        containers: Containers of every model in it, as `containers_of` returned them.

    Raises:
        DeploymentError: A parameter has no value, or one that is too long.
    """
    declared = template.get("Parameters", {})
    given = {key: value for key, value in values.items() if key in declared}
    missing = [key for key, entry in declared.items() if key not in given and "Default" not in entry]
    if missing:
        raise DeploymentError(
            f"templates/{name}.yaml declares the parameters {', '.join(missing)}, for which nothing gives a value. "
            f"Give them a default, or a value in deployment/steps.py."
        )
    for key, value in given.items():
        if len(value.encode()) > 4096:  # CloudFormation quotas
            raise DeploymentError(f"Parameter {key} of templates/{name}.yaml has more than 4,096 bytes: {value!r}.")
    models = [entry for entry in template["Resources"].values() if entry["Type"] == "AWS::SageMaker::Model"]
    for entry in models:
        properties = entry.setdefault("Properties", {})
        properties.pop("Containers", None)
        properties.pop("PrimaryContainer", None)
        if len(containers) == 1:
            properties["PrimaryContainer"] = containers[0]
        else:
            properties["Containers"] = containers
    _name_by_content(template, {key: given.get(key, entry.get("Default")) for key, entry in declared.items()})
    return Rendered(name=name, template=template, parameters=given)


def containers_of(package: ModelPackage, region: str, *, registered_in: str) -> list[dict[str, Any]]:
    """Return the containers of a package as CloudFormation describes them.

    Args:
        package: With URIs in the stage's bucket (`copying.located`).
        region: Region of the stage.
        registered_in: Region of the registry.

    Raises:
        DeploymentError: An image cannot be had in the region.
    """
    result = []
    for container in package.containers:
        entry: dict[str, Any] = {"Image": images.in_region(container.image, region, registered_in=registered_in)}
        if container.model_data and container.compressed:
            entry["ModelDataUrl"] = container.model_data
        elif container.model_data:
            source = {"S3Uri": container.model_data, "S3DataType": "S3Prefix", "CompressionType": "None"}
            entry["ModelDataSource"] = {"S3DataSource": source}
        if container.environment:
            entry["Environment"] = dict(container.environment)
        if container.hostname:
            entry["ContainerHostname"] = container.hostname
        result.append(entry)
    return result


def _name_by_content(template: dict[str, Any], values: Mapping[str, Any]) -> None:
    """Replace ``${Content}`` in the names of resources."""
    resources = template["Resources"]
    named = [key for key, entry in resources.items() if CONTENT in json.dumps(entry.get("Properties", {}))]
    digests: dict[str, str] = {}

    def digest(key: str, above: tuple[str, ...] = ()) -> str:
        if key in above:
            raise DeploymentError(f"Resources {' -> '.join((*above, key))} name each other; their content has no end.")
        if key not in digests:
            properties = {name: value for name, value in resources[key]["Properties"].items() if name != "Tags"}
            resolved = resolve(properties, (*above, key))
            text = json.dumps([resources[key]["Type"], resolved], sort_keys=True)
            digests[key] = hashlib.sha256(text.encode()).hexdigest()[:12]
        return digests[key]

    def resolve(value: Any, above: tuple[str, ...]) -> Any:
        if isinstance(value, list):
            return [resolve(entry, above) for entry in value]
        if not isinstance(value, dict):
            return value
        if "Ref" in value:
            return known(value["Ref"], above)
        if "Fn::GetAtt" in value:
            target = value["Fn::GetAtt"]
            key, attribute = target if isinstance(target, list) else target.split(".", 1)
            return [known(key, above), attribute]
        if "Fn::If" in value:
            condition = template.get("Conditions", {}).get(value["Fn::If"][0])
            return {"If": [resolve(condition, above), *resolve(value["Fn::If"][1:], above)]}
        if "Condition" in value and len(value) == 1 and isinstance(value["Condition"], str):
            return resolve(template.get("Conditions", {}).get(value["Condition"]), above)
        if "Fn::Sub" in value:
            text = value["Fn::Sub"] if isinstance(value["Fn::Sub"], str) else json.dumps(value["Fn::Sub"])
            names = re.findall(r"\$\{([\w:]+)(?:\.\w+)?\}", text)
            return {"Sub": [text, {name: known(name, above) for name in names if f"${{{name}}}" != CONTENT}]}
        return {name: resolve(member, above) for name, member in value.items()}

    def known(name: str, above: tuple[str, ...]) -> Any:
        if name in values:
            return {"Parameter": values[name]}
        return digest(name, above) if name in named else name

    for key in named:
        resources[key]["Properties"] = json.loads(
            json.dumps(resources[key]["Properties"]).replace(CONTENT, digest(key))
        )


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms."""


def _short_form(loader: _Loader, suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)  # type: ignore[arg-type]
    if suffix in ("Ref", "Condition"):
        return {suffix: value}
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _short_form)
# `2012-10-17` is a text in templates, not a date.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
