#!/bin/sh
set -eu
target="/backup/${LEDGER_NAME:-ledger}-$(date +%F).dump"
ledger export --url http://ledger --output "${target}"
