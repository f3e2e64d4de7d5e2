"""Deployment of an approved model to a test and a production account: render, deploy, test, report."""
