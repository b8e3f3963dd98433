"""Docker Compose stacks on an inventory of hosts."""
