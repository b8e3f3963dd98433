#!/usr/bin/env bash
# make-repository.sh OUT fleet|estate
#
# Makes a git repository at OUT from one of the examples: `main` is the example, `change` (checked out) is
# what a pull request would add to it. Dates, names and settings are fixed, so the commit ids are the same
# on every machine and in every run.
set -euo pipefail

usage() {
	echo "usage: $0 OUT fleet|estate" >&2
	exit 2
}

[ $# -eq 2 ] || usage
out=$1
example=$2
case $example in fleet | estate) ;; *) usage ;; esac

if [ -e "$out" ] && { [ ! -d "$out" ] || [ -n "$(ls -A -- "$out")" ]; }; then
	echo "$0: $out exists and is not an empty directory; remove it or name another one" >&2
	exit 1
fi

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
mkdir -p -- "$out"
out=$(cd -- "$out" && pwd)

# Neither the caller's repository nor the user's settings may reach the commits.
while read -r name; do unset "$name"; done < <(git rev-parse --local-env-vars)
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null
export GIT_AUTHOR_NAME='Ada Example' GIT_AUTHOR_EMAIL=ada@example.com
export GIT_COMMITTER_NAME=$GIT_AUTHOR_NAME GIT_COMMITTER_EMAIL=$GIT_AUTHOR_EMAIL

repository_git() {
	git -C "$out" -c core.hooksPath=/dev/null -c core.excludesFile=/dev/null -c core.attributesFile=/dev/null \
		-c core.fileMode=true -c core.autocrlf=false -c commit.gpgSign=false -c gc.auto=0 "$@"
}

# commit DATE MESSAGE: everything in the work tree, ignored or not
commit() {
	repository_git add --all --force
	GIT_AUTHOR_DATE=$1 GIT_COMMITTER_DATE=$1 repository_git commit --quiet --message "$2"
}

git -c init.defaultBranch=main init --quiet --template= --object-format=sha1 "$out"
repository_git config remote.origin.url "https://git.example.com/acme/$example.git"

cp -R -- "$here/$example/." "$out"
commit 2024-03-04T09:00:00+00:00 "Describe the $example"

repository_git switch --quiet --create change
cp -R -- "$here/change/$example/." "$out"
if [ -e "$out/REMOVED" ]; then
	while read -r path; do rm -r -- "${out:?}/$path"; done <"$out/REMOVED"
	rm -- "$out/REMOVED"
fi
commit 2024-03-05T09:00:00+00:00 "Change the $example"
