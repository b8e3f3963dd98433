"""What can go wrong while the engines are fetched, built or started."""


class ToolchainError(Exception):
    """One failure, told to a human: what happened, where, and what to do about it."""
