"""The one kind of error whose text is all that a person needs."""


class DeploymentError(Exception):
    """Something that stops the deployment; the text says what, why it matters and what to do."""
