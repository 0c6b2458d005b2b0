"""Errors that are the user's to mend: the command line prints their sentence and exits with 2."""


class UserError(ValueError):
    """Something asked for cannot be done as asked; the message says what to change."""


class TrainingError(UserError):
    """Training cannot go on."""


class CheckpointError(UserError):
    """A checkpoint is missing, damaged, or of another model."""
