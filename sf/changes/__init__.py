"""What a change does to Kubernetes objects and compose services: pure functions from two states to words."""
