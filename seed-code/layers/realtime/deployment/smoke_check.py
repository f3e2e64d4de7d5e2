"""The last look at prod: a few records, each answered, with finite numbers; then the model card is exported."""

from __future__ import annotations

from deployment import answers, common_steps, deployed
from deployment.answers import JSON
from deployment.calls import Endpoint, Samples, load_samples, usual_type
from deployment.context import Context
from deployment.errors import DeploymentError

_TRIES = 3
"""Times that a record is sent: in prod, other requests can slow one down."""


def run(context: Context) -> None:
    """Ask the endpoint of this build's stage, note what runs there, and export the model card.

    Raises:
        DeploymentError: It does not answer as it should.
    """
    endpoint, samples = Endpoint.of(context), load_samples(context)
    usual = usual_type(context.package.content_types)
    problems = examine(endpoint, samples, context.settings["endpoint_test"]["records"], usual)
    if problems:
        raise DeploymentError(
            f"{endpoint.name} was deployed with {context.package.arn}, and does not answer as it should:\n"
            + "\n".join(f"- {text}" for text in problems)
            + "\nTo go back: reject the package in the registry and start the pipeline again, which deploys the newest "
            "one that is approved."
        )
    print(f"{endpoint.name} answers with version {context.package.version}")
    deployed.write(context)
    common_steps.export_card(context)


def examine(endpoint: Endpoint, samples: Samples, most: int, usual: str = JSON) -> list[str]:
    """Return what is wrong with the answers to some records sent in a type; nothing if all is well."""
    problems = []
    for number in range(min(most, len(samples.records))):
        for _ in range(_TRIES):
            reply = endpoint.ask(samples.body(number, number + 1, usual), usual, usual)
            if reply.status == 200:
                break
        else:
            problems.append(f"record {number + 1}: {_TRIES} requests, the last one {reply.status}: {reply.text[:200]}")
            continue
        try:
            (answer,) = answers.parse(reply.text, usual, samples.expected[number])
        except ValueError as err:
            problems.append(f"record {number + 1}: {err}")
            continue
        problems += [
            f"the answer to record {number + 1} {fault}" for fault in answers.faults(answer, samples.expected[number])
        ]
    return problems
