"""What a product would change against a release of it, and the smallest semantic-version step that this allows.

The rules (docs/releasing.md says them for people): a change is *major* when someone who launched the product can lose
data or must change what they entered, *minor* when it adds something or allows more, *patch* otherwise.
"""

from __future__ import annotations

import functools
import io
import json
import re
import zipfile
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, Literal

from lambdas.shared.artifact_bucket import ARCHIVE_KEY
from pipeline.permissions import text, wider
from pipeline.synthesis import template_bytes
from products.releases import ARCHIVE, TEMPLATE
from products.semver import Step
from products.shared.form.patterns import NARROWINGS, RULES, whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pipeline.synthesis import Candidate
    from products.releases import Release

Area = Literal["product", "parameters", "rules", "resources", "iam", "outputs", "seed code"]
AREAS: Final[tuple[Area, ...]] = ("product", "parameters", "rules", "resources", "iam", "outputs", "seed code")
Kind = Literal["added", "removed", "replaced", "changed", "wider"]

SPLIT_VECTORS: Final = "tests/split_vectors.json"
"""What the seed code of a training project holds its division of records to: keys, and the split of each."""
_RECORDS_MOVE: Final = (
    "once a project takes the new seed code, records move between training and test, so figures of old and new models "
    "differ for that reason alone, and they are compared only on records that are test records of both"
)
_ANY_ARCHIVE: Final = "assets/(seed code).zip"
_SCHEMA_REGION: Final = "us-east-1"  # every type exists there; what is create-only does not differ between regions

# Types whose loss is a loss of data or of identity, besides those that cfn-lint lists (its rule I3011).
_MORE_STATEFUL: Final = frozenset(
    {
        "AWS::Athena::WorkGroup",
        "AWS::CodeCommit::Repository",
        "AWS::DataZone::Domain",
        "AWS::DataZone::Project",
        "AWS::ECR::Repository",
        "AWS::Glue::Database",
        "AWS::Glue::Table",
        "AWS::SageMaker::Domain",
        "AWS::SageMaker::FeatureGroup",
        "AWS::SageMaker::MlflowTrackingServer",
        "AWS::SageMaker::ModelPackageGroup",
        "AWS::SageMaker::Space",
        "AWS::SageMaker::UserProfile",
    }
)
_LOWER_BOUNDS: Final = ("MinLength", "MinValue")
_UPPER_BOUNDS: Final = ("MaxLength", "MaxValue")
_WORDS: Final = ("Description", "ConstraintDescription")
_KEPT: Final = frozenset({"Retain", "RetainExceptOnCreate", "Snapshot"})


@dataclass(frozen=True, kw_only=True)
class Change:
    """One difference.

    Attributes:
        area: What kind of thing differs.
        kind: What happened to it.
        name: Its name: a logical id, a path, or the sentence itself for permissions.
        detail: What differs and what that means; may be empty.
        step: Smallest version step that allows it.
    """

    area: Area
    kind: Kind
    name: str
    detail: str
    step: Step

    def as_json(self) -> dict[str, str]:
        """Return the change as ``--json`` prints it."""
        return {
            "area": self.area,
            "kind": self.kind,
            "name": self.name,
            "detail": self.detail,
            "step": str(self.step),
        }

    def __str__(self) -> str:
        what = "new permission" if self.area == "iam" else f"{self.area.removesuffix('s')} {self.name} {self.kind}"
        return (
            f"{what}: {self.name if self.area == 'iam' else self.detail}" if self.detail or self.area == "iam" else what
        )


@dataclass(frozen=True, kw_only=True)
class Diff:
    """All differences between a release and a candidate.

    Attributes:
        changes: The differences, by area, weightiest first.
    """

    changes: tuple[Change, ...]

    @property
    def step(self) -> Step:
        """Smallest version step that allows all changes; `Step.NONE` without changes."""
        return max((change.step for change in self.changes), default=Step.NONE)

    @property
    def reasons(self) -> tuple[Change, ...]:
        """The changes that demand the step."""
        return tuple(change for change in self.changes if change.step is self.step)


def compare(release: Release, candidate: Candidate) -> Diff:
    """Return what releasing `candidate` would change against `release`.

    A template's own version and the digest of its seed code are no differences; seed code is compared file by file.
    """
    before = _neutral((release.path / TEMPLATE).read_bytes())
    after = _neutral(template_bytes(candidate.template, str(release.version)))
    old_archive = (release.path / ARCHIVE).read_bytes() if release.archive_key else None
    changes = [
        *_identity(release, candidate),
        *compare_templates(before, after),
        *_archives(old_archive, candidate.archive),
    ]
    return Diff(changes=_sorted(changes))


def compare_templates(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    """Return the differences between two templates of a product, by area, weightiest first."""
    changes = [
        *_parameters(before.get("Parameters", {}), after.get("Parameters", {})),
        *_form(before, after),
        *_rules(before.get("Rules", {}), after.get("Rules", {})),
        *_resources(before, after),
        *(
            Change(area="iam", kind="wider", name=sentence, detail="", step=Step.MINOR)
            for sentence in wider(before, after)
        ),
        *_outputs(before.get("Outputs", {}), after.get("Outputs", {})),
    ]
    return _sorted(changes)


def _sorted(changes: Iterable[Change]) -> tuple[Change, ...]:
    return tuple(sorted(changes, key=lambda c: (AREAS.index(c.area), -c.step, c.kind, c.name, c.detail)))


def _neutral(template: bytes) -> dict[str, Any]:
    """Return a template without the digest of its archive, which differs whenever one file of the seed code does."""
    neutral: dict[str, Any] = json.loads(ARCHIVE_KEY.sub(_ANY_ARCHIVE, template.decode()))
    return neutral


def _identity(release: Release, candidate: Candidate) -> Iterator[Change]:
    for name, old, new in (
        ("title", release.title, candidate.title),
        ("summary", release.summary, candidate.summary),
    ):
        if old != new:
            yield Change(area="product", kind="changed", name=name, detail=f"{old!r} becomes {new!r}", step=Step.PATCH)
    if release.contract != candidate.contract:
        detail = f"needs version {candidate.contract} of the baseline contract instead of {release.contract}"
        yield Change(area="product", kind="changed", name="contract", detail=detail, step=Step.MINOR)


def _parameters(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    for name, kind, old, new in _matched(before, after):
        if kind == "removed":
            detail = "updates that still pass it fail; a renamed parameter counts as removed"
            yield _parameter(name, kind, detail, Step.MAJOR)
        elif kind == "added" and "Default" not in new:
            yield _parameter(name, kind, "without a default: every update must now supply it", Step.MAJOR)
        elif kind == "added":
            yield _parameter(name, kind, f"default {new['Default']!r}", Step.MINOR)
        else:
            for detail, step in _constraints(old, new):
                yield _parameter(name, kind, detail, step)


def _parameter(name: str, kind: Kind, detail: str, step: Step) -> Change:
    return Change(area="parameters", kind=kind, name=name, detail=detail, step=step)


def _constraints(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, Step]]:
    """Yield each difference between two definitions of a parameter: what it means, and the step it needs."""
    if _is_whole_number_of(old, new):
        yield "fractions are no longer accepted, which nothing behind the form ever took", Step.MINOR
        old = {key: value for key, value in old.items() if key not in ("MinValue", "MaxValue")}
        old |= {"Type": new["Type"], "AllowedPattern": new["AllowedPattern"]}
        if "Default" in old:
            old["Default"] = str(old["Default"])
    if old.get("Type") != new.get("Type"):
        yield f"type {old.get('Type')} becomes {new.get('Type')}: values in use may be refused", Step.MAJOR
    if "Default" in old and "Default" not in new:
        yield f"has lost its default {old['Default']!r}: it must now be supplied", Step.MAJOR
    elif old.get("Default") != new.get("Default"):
        was = repr(old["Default"]) if "Default" in old else "none"
        yield f"default {was} becomes {new['Default']!r}: new launches differ", Step.MINOR
    yield from _allowed_values(old.get("AllowedValues"), new.get("AllowedValues"))
    yield from _pattern(old.get("AllowedPattern"), new.get("AllowedPattern"))
    for bound in (*_LOWER_BOUNDS, *_UPPER_BOUNDS):
        if old.get(bound) == new.get(bound):
            continue
        change = f"{bound} {old.get(bound, '(none)')} becomes {new.get(bound, '(none)')}"
        if _is_narrower(bound, old.get(bound), new.get(bound)):
            yield f"{change}: values in use may be refused", Step.MAJOR
        else:
            yield f"{change}: more values are accepted", Step.MINOR
    if old.get("NoEcho", False) != new.get("NoEcho", False):
        yield f"NoEcho is now {new.get('NoEcho', False)}", Step.PATCH
    for word in _WORDS:
        if old.get(word) != new.get(word):
            yield f"{word} reworded", Step.PATCH


def _is_whole_number_of(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Return whether a number between two bounds became text that is a whole number between the same."""
    return (
        (old.get("Type"), new.get("Type")) == ("Number", "String")
        and {"MinValue", "MaxValue"} <= old.keys()
        and new.get("AllowedPattern") == whole(int(old["MinValue"]), int(old["MaxValue"]))
    )


def _pattern(old: str | None, new: str | None) -> Iterator[tuple[str, Step]]:
    admitted = [found.because for found in NARROWINGS if (found.released, found.now) == (old, new)]
    if new is None and old is not None:
        yield f"pattern {old} was removed: more values are accepted", Step.MINOR
    elif admitted:
        yield f"pattern accepts less than before: {admitted[0]}", Step.MINOR
    elif new != old:
        # Whether one regular expression accepts all that another does cannot be told in general.
        yield f"pattern {old or '(none)'} becomes {new}: values in use may be refused", Step.MAJOR


def _allowed_values(old: list[Any] | None, new: list[Any] | None) -> Iterator[tuple[str, Step]]:
    if old is None and new is not None:
        yield f"only {_listed(new)} are accepted now: other values in use are refused", Step.MAJOR
    elif old is not None and new is None:
        yield f"no longer limited to {_listed(old)}", Step.MINOR
    elif old is not None and new is not None:
        if gone := [value for value in old if value not in new]:
            yield f"{_listed(gone)} no longer accepted: an update with it is refused", Step.MAJOR
        if added := [value for value in new if value not in old]:
            yield f"{_listed(added)} accepted as well", Step.MINOR
        if not gone and not added and old != new:
            yield "allowed values in another order", Step.PATCH


def _is_narrower(bound: str, old: object, new: object) -> bool:
    if new is None:
        return False
    if old is None:
        return True
    was, now = float(str(old)), float(str(new))
    return now > was if bound in _LOWER_BOUNDS else now < was


def _listed(values: Iterable[object]) -> str:
    return ", ".join(map(repr, values))


def _form(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    """Yield what differs in how the template presents itself and decides, parameters and resources apart."""
    for section, name, detail in (
        ("Description", "description", "reworded"),
        ("Metadata", "form", "groups or labels of the console form changed"),
        ("Mappings", "mappings", "values that resources look up changed"),
        ("Conditions", "conditions", "when conditional resources exist has changed"),
        ("Transform", "transform", "macros that CloudFormation applies changed"),
    ):
        if before.get(section) != after.get(section):
            step = Step.MINOR if section in ("Conditions", "Transform") else Step.PATCH
            yield Change(area="product", kind="changed", name=name, detail=detail, step=step)


def _rules(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    for name, kind, old, new in _matched(before, after):
        if kind == "changed" and _wordless(old) == _wordless(new):
            detail, step = "what it says is reworded", Step.PATCH
        elif kind == "removed":
            detail, step = "more combinations of parameters are accepted", Step.MINOR
        elif kind == "added" and name in RULES:
            detail, step = RULES[name], Step.MINOR
        else:
            detail, step = "combinations of parameters in use may be refused", Step.MAJOR
        yield Change(area="rules", kind=kind, name=name, detail=detail, step=step)


def _wordless(rule: Mapping[str, Any]) -> dict[str, Any]:
    """Return a rule without what it says to people."""
    return {**rule, "Assertions": [assertion.get("Assert") for assertion in rule.get("Assertions", [])]}


def _resources(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    old_resources, new_resources = before.get("Resources", {}), after.get("Resources", {})
    replaced = _replaced(old_resources, new_resources)
    for name, kind, old, new in _matched(old_resources, new_resources):
        type_ = (new or old)["Type"]
        if kind == "added":
            yield _resource(name, kind, type_, Step.MINOR)
        elif kind == "removed":
            if is_stateful(type_):
                detail = f"{type_}: what it holds is lost, or left behind without an owner"
                yield _resource(name, kind, detail, Step.MAJOR)
            else:
                yield _resource(name, kind, type_, Step.MINOR)
        elif name not in replaced:
            yield from _resource_changes(name, type_, old, new)
    for name, why in replaced.items():
        old_type = old_resources[name]["Type"]
        detail = f"{old_type}: {why}"
        if is_stateful(old_type):
            yield _resource(name, "replaced", f"{detail}; what the old one holds does not move", Step.MAJOR)
        else:
            yield _resource(name, "replaced", detail, Step.MINOR)


def _resource(name: str, kind: Kind, detail: str, step: Step) -> Change:
    return Change(area="resources", kind=kind, name=name, detail=detail, step=step)


def _resource_changes(name: str, type_: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    stateful = is_stateful(type_)
    if old.get("Condition") != new.get("Condition"):
        condition, was = new.get("Condition"), old.get("Condition")
        if condition is None:
            detail, step = f"{type_}: exists always, no longer only if {was}", Step.MINOR
        else:
            detail = f"{type_}: exists only if {condition}" + (f" instead of {was}" if was else "")
            detail, step = f"{detail}; an update may remove it", Step.MAJOR if stateful else Step.MINOR
        yield _resource(name, "changed", detail, step)
    for policy in ("DeletionPolicy", "UpdateReplacePolicy"):
        was, now = old.get(policy, "Delete"), new.get(policy, "Delete")
        if was != now:
            # Whoever counted on finding the data after termination would lose it.
            is_major = stateful and was in _KEPT and now not in _KEPT
            detail = f"{type_}: {policy} {was} becomes {now}"
            yield _resource(name, "changed", detail, Step.MAJOR if is_major else Step.PATCH)
    ignored = {"Condition", "DeletionPolicy", "UpdateReplacePolicy", "Properties"}
    differing = _differing_properties(old, new) + [
        key for key in sorted({*old, *new} - ignored) if old.get(key) != new.get(key)
    ]
    if differing:
        yield _resource(name, "changed", f"{type_}: {', '.join(differing)}", Step.PATCH)


def _replaced(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, str]:
    """Return the resources that CloudFormation would replace, with the reason.

    A resource is replaced when its type or a create-only property of it changes; and then so is each resource that
    refers to it in a create-only property.
    """
    replaced: dict[str, str] = {}
    common = sorted(set(old) & set(new))
    for name in common:
        type_ = old[name]["Type"]
        if type_ != new[name]["Type"]:
            replaced[name] = f"becomes {new[name]['Type']}"
            continue
        changed = [pointer for pointer in _create_only(type_) if _at(old[name], pointer) != _at(new[name], pointer)]
        if changed:
            replaced[name] = f"{_spelt(changed)} cannot change in place"
    while True:
        follows = {
            name: f"{_spelt([pointer])} refers to {target}, which is replaced"
            for name in common
            if name not in replaced
            for pointer in _create_only(old[name]["Type"])
            for target in sorted(replaced)
            if re.search(rf"\$\{{{re.escape(target)}[.}}]", text(_at(new[name], pointer)))
        }
        if not follows:
            return replaced
        replaced.update(follows)


def is_stateful(type_: str) -> bool:
    """Return whether resources of this type hold data, or an identity that data depends on."""
    return type_ in _stateful_types()


@functools.cache
def _stateful_types() -> frozenset[str]:
    listed = json.loads((files("cfnlint") / "data/AdditionalSpecs/StatefulResources.json").read_text())
    return _MORE_STATEFUL | frozenset(listed["ResourceTypes"])


@functools.cache
def _create_only(type_: str) -> tuple[tuple[str, ...], ...]:
    """Return the create-only properties of a type as paths; those that are so in certain cases only count as well."""
    if type_.startswith("Custom::") or type_ == "AWS::CloudFormation::CustomResource":
        return (("ServiceToken",),)  # documented: another ServiceToken is another provider, hence another resource
    from cfnlint.schema import ResourceNotFoundError  # noqa: PLC0415  # loading the schemas takes over a second
    from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER  # noqa: PLC0415

    try:
        schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema(_SCHEMA_REGION, type_).schema
    except ResourceNotFoundError:
        return ()
    pointers = [*schema.get("createOnlyProperties", ()), *schema.get("conditionalCreateOnlyProperties", ())]
    return tuple(tuple(pointer.removeprefix("/properties/").split("/")) for pointer in pointers)


def _at(resource: Mapping[str, Any], pointer: tuple[str, ...]) -> object:
    """Return the value at a path in the properties of a resource; ``*`` in a path collects from every list element."""
    value: Any = resource.get("Properties", {})
    for position, part in enumerate(pointer):
        if isinstance(value, list):
            rest = pointer[position + (part in ("*", "items")) :]
            return [_at({"Properties": element}, rest) if isinstance(element, dict) else element for element in value]
        if not isinstance(value, dict):
            return value
        if part not in value:
            # An intrinsic function instead of the object: compare it whole.
            return value if len(value) == 1 and next(iter(value)).startswith(("Fn::", "Ref")) else None
        value = value[part]
    return value


def _spelt(pointers: Iterable[tuple[str, ...]]) -> str:
    return ", ".join(".".join(pointer) for pointer in pointers)


def _differing_properties(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    before, after = old.get("Properties", {}), new.get("Properties", {})
    return [key for key in sorted({*before, *after}) if before.get(key) != after.get(key)]


def _outputs(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    for name, kind, old, new in _matched(before, after):
        if kind == "removed":
            yield _output(name, kind, "whoever reads it finds nothing; a renamed output counts as removed", Step.MAJOR)
        elif kind == "added":
            yield _output(name, kind, new.get("Description", ""), Step.MINOR)
        else:
            if old.get("Export") != new.get("Export"):
                detail = "its export changed: stacks that import it fail"
                yield _output(name, kind, detail, Step.MAJOR if "Export" in old else Step.MINOR)
            if old.get("Condition") != new.get("Condition"):
                detail = f"exists only if {new['Condition']}" if "Condition" in new else "exists always now"
                yield _output(name, kind, detail, Step.MAJOR if "Condition" in new else Step.MINOR)
            if old.get("Value") != new.get("Value"):
                yield _output(name, kind, f"{text(old.get('Value'))} becomes {text(new.get('Value'))}", Step.PATCH)
            if old.get("Description") != new.get("Description"):
                yield _output(name, kind, "Description reworded", Step.PATCH)


def _output(name: str, kind: Kind, detail: str, step: Step) -> Change:
    return Change(area="outputs", kind=kind, name=name, detail=detail, step=step)


def _archives(before: bytes | None, after: bytes | None) -> Iterator[Change]:
    """Yield which files of the seed code differ; a division of records that differs needs a major step."""
    old, new = _unzipped(before), _unzipped(after)
    for name, kind, was, now in _matched(old, new):
        if name == SPLIT_VECTORS and old and new and (moved := _moved(was, now)):
            yield Change(area="seed code", kind=kind, name=name, detail=f"{moved}; {_RECORDS_MOVE}", step=Step.MAJOR)
        else:
            step = Step.PATCH if kind == "changed" else Step.MINOR
            yield Change(area="seed code", kind=kind, name=name, detail="", step=step)


def _moved(before: tuple[bytes, int] | None, after: tuple[bytes, int] | None) -> str:
    """Return what is different about the division that two files of vectors describe; nothing if some were added."""
    if not before:
        return "records were divided in another way before"
    if not after:
        return "nothing holds records to their split any longer"
    old, new = ({json.dumps(v, sort_keys=True) for v in json.loads(file)["vectors"]} for file, _ in (before, after))
    gone = len(old - new)
    return f"{gone} of {len(old)} known keys are no longer divided as before" if gone else ""


def _unzipped(archive: bytes | None) -> dict[str, tuple[bytes, int]]:
    """Return the files of an archive: path to content and mode."""
    if archive is None:
        return {}
    with zipfile.ZipFile(io.BytesIO(archive)) as zipped:
        return {entry.filename: (zipped.read(entry), entry.external_attr >> 16) for entry in zipped.infolist()}


def _matched(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, Kind, Any, Any]]:
    """Yield the keys whose values differ, sorted, with what happened and both values ({} where there is none)."""
    for name in sorted({*before, *after}):
        if name not in after:
            yield name, "removed", before[name], {}
        elif name not in before:
            yield name, "added", {}, after[name]
        elif before[name] != after[name]:
            yield name, "changed", before[name], after[name]
