#!/bin/sh
set -eu
echo "$GREETING_WORD from $GREETING_NAME ($GREETING_LANGUAGE)" >/srv/greeting.txt
exec httpd -f -p 8080 -h /srv
