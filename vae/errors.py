"""Errors that the user can fix: the command line prints the message and exits with code 2."""


class UserError(ValueError):
    """A request cannot be carried out; the message says what to change."""


class TrainingError(UserError):
    """Training cannot go on."""


class CheckpointError(UserError):
    """A checkpoint is missing, damaged, or belongs to another model."""
