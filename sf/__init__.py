"""sf: plan, review and prove what a Git repository of infrastructure changes."""

__version__ = "0.1.0"
