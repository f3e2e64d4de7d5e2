"""A multi-account AWS organisation on one loopback endpoint: MiniStack, and what it lacks.

MiniStack answers what it knows; a folder or file here either changes what it does differently from AWS, or adds a
service or an operation that it lacks. How to start it, what it emulates, and which rules it has is in README.md.
"""
