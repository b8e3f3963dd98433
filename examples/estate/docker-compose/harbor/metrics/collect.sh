#!/bin/sh
set -eu
while :; do
	cat /proc/loadavg >/metrics/load.txt
	sleep "$COLLECT_SECONDS"
done
