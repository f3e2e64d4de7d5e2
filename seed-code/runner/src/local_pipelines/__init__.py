"""Runs the definitions of SageMaker pipelines on one machine, without AWS and Docker."""
