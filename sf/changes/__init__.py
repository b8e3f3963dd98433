"""What a change does to objects and services: differences, masking, dangers. Pure functions, for every backend."""
