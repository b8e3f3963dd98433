#!/usr/bin/env bash
# demo.sh: what `make demo` runs. Plans the example change of both modes and, where a Docker Engine answers, deploys
# the compose one twice: the second time there is nothing left to do. Everything lands in build/demo.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
checkout=$(dirname "$here")
demo=$checkout/build/demo
export PATH=$checkout/.venv/bin:$PATH

# The repositories of the demo are not the one that a CI runs it for.
unset CI GITHUB_ACTIONS GITLAB_CI FORGEJO_ACTIONS GITEA_ACTIONS

# On an engine of the user's own nothing may stay behind.
take_down() {
  for stack in "$demo"/stacks/*/; do
    [[ -d $stack ]] || continue
    docker compose --project-name "$(basename "$stack")" down --volumes --timeout 1 >/dev/null 2>&1 || true
  done
}
trap take_down EXIT

# The change of an example is one: with --detailed-exitcode a plan that finds changes ends with 20.
expect_changes() {
  local code=0
  "$@" --detailed-exitcode || code=$?
  if [[ $code -ne 20 ]]; then
    echo "$0: \`$*\` ended with $code and not with 20, which stands for changes" >&2
    exit 1
  fi
}

title() { printf '\n=== %s\n' "$1"; }

rm -rf "$demo"
mkdir -p "$demo"
"$here/make-repository.sh" "$demo/fleet" fleet >/dev/null
"$here/make-repository.sh" "$demo/estate" estate >/dev/null

title 'Flux: what the change does to the production cluster'
expect_changes sf -C "$demo/fleet" plan --base main

title 'Compose: what the change does to three hosts'
export SF_CONFIG_DOCKER__STACK_DIR=$demo/stacks
sf -C "$demo/estate" plan --base main

if docker info >/dev/null 2>&1; then
  # The other hosts are made up; this one is the machine that sf runs on.
  export SF_CONFIG_DOCKER__TARGETS__SELECTOR__GROUPS='[workshop]'
  title 'Compose: deploy it to the local engine'
  sf -C "$demo/estate" reconcile --base main --no-diffs
  title 'Compose: once more, with nothing left to do'
  sf -C "$demo/estate" reconcile --base main --no-diffs
else
  title 'No Docker Engine answers here, so nothing is deployed'
fi

title 'The artifacts'
find "$demo"/*/sf-out -type f -not -name .gitignore | sort
