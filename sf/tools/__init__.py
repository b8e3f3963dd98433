"""One module per foreign program or SDK: its arguments, its output, its errors explained."""
