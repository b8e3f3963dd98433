"""Flux: what a change does to which Kustomizations, exactly as kustomize-controller would see it."""
