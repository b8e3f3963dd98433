"""Where a run happens and what it is about: forge, event, commits, trust, and what is compared with what."""
