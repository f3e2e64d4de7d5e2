"""The two errors a person using this project can cause, each with a message that says what to do."""


class ConfigError(ValueError):
    """The configuration cannot be used. The message names every key that is wrong."""


class DataError(ValueError):
    """The data cannot be used. The message names the file, the column and the row where that is known."""
