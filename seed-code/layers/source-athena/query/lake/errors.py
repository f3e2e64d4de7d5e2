"""What is wrong with a table, a grant or a query, in words."""


class LakeError(Exception):
    """The data cannot be had as they were asked for; the message says why, and who can change it."""
