#!/bin/sh
set -eu
while :; do
	wget -q -O /results/last.txt "$BROKER_URL/next.txt"
	sleep "$POLL_SECONDS"
done
