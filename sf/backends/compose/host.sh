# What sf does on a host. Runs in any POSIX shell; $1 is the operation, the rest is its own.
#
# Names of files come one a line and are relative to the folder of a project. Lines that are for sf and not for a
# person begin with "sf" and a token that nobody else knows.

set -u
umask 077
# A connection that is cut must not end a deployment between two steps.
trap '' PIPE
memory=

fail() {
    printf '%s\n' "$*" >&2
    exit 70
}

event() {
    printf 'sf %s %s\n' "$token" "$*" 2>/dev/null || :
}

engine_socket() {
    case ${DOCKER_HOST:-} in
    unix://*) printf '%s\n' "${DOCKER_HOST#unix://}" ;;
    *)
        rootless=${XDG_RUNTIME_DIR:-/nonexistent}/docker.sock
        if [ ! -S /var/run/docker.sock ] && [ -S "$rootless" ]; then
            printf '%s\n' "$rootless"
        else
            printf '%s\n' /var/run/docker.sock
        fi
        ;;
    esac
}

# look STACK_DIR: the engine's socket, then a tar of all deployment records.
look() {
    engine_socket
    [ -e "$1" ] || return 0
    cd -- "$1" && [ -r . ] || fail "the deployed stacks in $1 cannot be read"
    set -- */.sf/record.json
    [ -e "$1" ] || return 0
    tar -cf - -- "$@"
}

# check STACK_DIR: what is missing for a deployment, one word a line.
check() {
    for program in docker flock tar sha256sum timeout; do
        command -v "$program" >/dev/null || printf 'missing %s\n' "$program"
    done
    place=$1
    until [ -e "$place" ]; do
        place=${place%/*}
        place=${place:-/}
    done
    [ -d "$place" ] && [ -w "$place" ] && [ -x "$place" ] || printf 'unwritable\n'
    printf 'compose %s\n' "$(docker compose version --short 2>/dev/null)"
}

# digest STACK_DIR: for each name on stdin, "f" or "x" (executable) and the sha256 of the file, "-" when it is none.
digest() {
    while IFS= read -r name; do
        name=$1/$name
        if [ -L "$name" ] || [ ! -f "$name" ]; then
            if [ -L "$name" ] || [ -e "$name" ]; then echo other; else echo -; fi
            continue
        fi
        kind=f
        [ -x "$name" ] && kind=x
        sum=$(sha256sum <"$name") || sum='?'
        printf '%s %s\n' "$kind" "${sum%% *}"
    done
}

# answer PROJECT TOKEN: give a deployment that waits what is on stdin: files for its memory, then a tar.
answer() {
    cd -- "$1/.sf" || exit 70
    remember "$1"
    rm -rf answer.new
    mkdir answer.new && tar -xpof - -C answer.new && mv answer.new "answer-$2"
}

lock() {
    mkdir -p -- "$stack_dir" 2>/dev/null || fail "the folder $stack_dir cannot be made"
    exec 9>>"$stack_dir/.lock" || fail "the lock $stack_dir/.lock cannot be written"
    tries=0
    until flock -n 9; do
        [ "$tries" -gt 0 ] || event "waiting $(head -c 200 "$stack_dir/.lock" 2>/dev/null | tr -d '\n')"
        tries=$((tries + 1))
        [ "$tries" -le "$1" ] || {
            event "busy $(head -c 200 "$stack_dir/.lock" 2>/dev/null | tr -d '\n')"
            exit 75
        }
        sleep 1
    done
    printf '%s\n' "$owner" >"$stack_dir/.lock" || fail "the lock $stack_dir/.lock cannot be written"
}

# Variables come before the tar, so that no value is ever in a file: "NAME=" and octal escapes, up to an empty line.
read_variables() {
    while IFS= read -r line && [ -n "$line" ]; do
        value=$(printf '%b.' "${line#*=}")
        export "${line%%=*}=${value%.}"
    done
}

# Where in memory the project in the folder $1 has what must not be on the disk: $memory, empty when there is no place.
memory_of() {
    memory=
    for base in /run /dev/shm; do
        [ -w "$base" ] || continue
        while read -r _ at kind _; do
            case $at:$kind in "$base:tmpfs" | "$base:ramfs") ;; *) continue ;; esac
            memory=$(printf '%s' "$1" | sha256sum)
            memory=$base/sf-memory-$(id -u)-${memory%% *}
            return
        done </proc/mounts
    done
}

# In /dev/shm anybody can make a folder of any name.
own_memory() {
    [ -n "$memory" ] || fail "neither /run nor /dev/shm is a folder in memory for what sf has decrypted"
    [ -d "$memory" ] || mkdir -- "$memory" || fail "$memory cannot be made"
    if [ -L "$memory" ] || [ "$(stat -c %u -- "$memory")" != "$(id -u)" ]; then
        fail "$memory belongs to somebody else"
    fi
}

# Files for the memory of the project in the folder $1, a line each up to an empty one: octal escapes, a blank, and
# a path below "kept" (until the machine starts anew) or "up" (as long as this script runs).
remember() {
    memory_of "$1"
    [ ! -d "$memory/new" ] || rm -rf "$memory/new"
    while IFS= read -r line && [ -n "$line" ]; do
        [ -d "$memory/new" ] || own_memory
        name=$memory/new/${line#* }
        mkdir -p -- "${name%/*}" && printf '%b' "${line%% *}" >"$name" || fail "$memory has no room"
    done
}

# What was remembered takes the place of what was before it, and a link to each file stands in the project's folder.
recall() {
    [ -d "$memory" ] || return 0
    rm -rf "$memory/up" "$memory/kept"
    for part in up kept; do
        [ -d "$memory/new/$part" ] || continue
        mv -- "$memory/new/$part" "$memory/$part" || fail "$memory/$part cannot be made"
        (cd -- "$memory/$part" && find . -type f) >.sf/incoming/linked
        while IFS= read -r name; do
            name=${name#./}
            reach "$name"
            ln -s -- "$memory/$part/$name" .sf/incoming/link || fail "$PWD/$name cannot be made a link"
            replace .sf/incoming/link "$name"
        done <.sf/incoming/linked
    done
}

# What only this script needed.
forget() {
    rm -rf .sf/incoming .sf/decided
    [ -d "$memory" ] || return 0
    if [ -d "$memory/up" ]; then
        (cd -- "$memory/up" && find . -type f) | while IFS= read -r name; do
            if [ -L "$name" ]; then rm -f -- "$name"; fi
        done
    fi
    rm -rf "$memory/up" "$memory/new"
    rmdir -- "$memory" 2>/dev/null || :
}

# The folders that the file $1 is in: made when missing, refused when they are something else.
reach() {
    rest=$1
    folder=.
    while :; do
        case $rest in */*) ;; *) break ;; esac
        folder=$folder/${rest%%/*}
        rest=${rest#*/}
        if [ -L "$folder" ] || { [ -e "$folder" ] && [ ! -d "$folder" ]; }; then
            fail "$PWD/${folder#./} should be a folder of the stack and is something else on the host"
        fi
        [ -d "$folder" ] || { mkdir "$folder" && chmod 755 "$folder"; } || fail "$PWD/$folder cannot be made"
    done
    if [ -d "$1" ] && [ ! -L "$1" ]; then
        fail "$PWD/$1 should be a file of the stack and is a folder on the host"
    fi
}

# Put the file $1 at $2, in one step. A link to a folder would be moved into.
replace() {
    if [ -L "$2" ]; then rm -f -- "$2"; fi
    mv -f -- "$1" "$2" || fail "$PWD/$2 cannot be written"
}

# Remove the file $1 and the folders that it leaves empty. What is behind a link is not ours.
remove() {
    rest=$1
    folder=.
    while :; do
        case $rest in */*) ;; *) break ;; esac
        folder=$folder/${rest%%/*}
        rest=${rest#*/}
        if [ -L "$folder" ]; then return 0; fi
    done
    if [ -d "$1" ] && [ ! -L "$1" ]; then return 0; fi
    rm -f -- "$1" || fail "$PWD/$1 cannot be removed"
    folder=$1
    while :; do
        case $folder in */*) ;; *) break ;; esac
        folder=${folder%/*}
        rmdir -- "$folder" 2>/dev/null || break
    done
}

keep_previous() {
    rm -rf .sf/previous.new
    mkdir .sf/previous.new || fail "$PWD/.sf/previous.new cannot be made"
    while IFS= read -r name; do
        [ -f "$name" ] && [ ! -L "$name" ] || continue
        case $name in */*) mkdir -p ".sf/previous.new/${name%/*}" ;; esac
        cp -p -- "$name" ".sf/previous.new/$name" || fail "$PWD/$name cannot be copied"
    done <.sf/incoming/managed
    rm -rf .sf/previous
    mv .sf/previous.new .sf/previous
}

place() {
    while IFS= read -r name; do reach "$name"; done <.sf/incoming/written
    if [ -e .sf/incoming/keep ]; then keep_previous; fi
    while IFS= read -r name; do replace ".sf/incoming/files/$name" "$name"; done <.sf/incoming/written
    while IFS= read -r name; do remove "$name"; done <.sf/incoming/gone
    recall
    replace .sf/incoming/content.json .sf/content.json
}

# Pass lines on for as long as somebody reads them, and then still take them: what prints must not notice.
drain() {
    while IFS= read -r line || [ -n "$line" ]; do
        printf '%s\n' "$line" 2>/dev/null || :
    done
}

# A signal for our process group is to reach compose, too, and timeout of coreutils makes a group of its own.
compose() {
    foreground=--foreground
    timeout "$foreground" 1 true 2>/dev/null || foreground=
    {
        timeout ${foreground:+"$foreground"} -k 10 "$up_seconds" docker compose "$@" </dev/null 2>&1
        echo $? >.sf/status
    } | drain
    status=$(cat .sf/status)
    rm -f .sf/status
}

# hook FILE: run it, print the end of what it said, and its exit code as an event.
hook() {
    event "hook $1"
    # In a group of its own, all of it ends with its deadline; so a signal for us has to be passed on.
    timeout -k 5 "$hook_seconds" "./$1" >.sf/hook.log 2>&1 </dev/null 9>&- &
    running=$!
    stopped=
    trap 'stopped=yes; kill -TERM "$running" 2>/dev/null' INT TERM
    wait "$running"
    status=$?
    if [ -n "$stopped" ]; then
        wait "$running"
        exit 73
    fi
    trap 'exit 73' INT TERM
    event "said $1"
    tail -c 8192 .sf/hook.log | drain
    rm -f .sf/hook.log
}

# Wait for what sf makes of it. Nobody reads what is printed any more when the connection is cut: then it is over.
await() {
    left=$((answer_seconds * 5))
    until [ -d ".sf/answer-$token" ]; do
        printf '\n' 2>/dev/null || exit 74
        left=$((left - 1))
        [ "$left" -gt 0 ] || exit 74
        sleep 0.2
    done
    rm -rf .sf/decided
    mv ".sf/answer-$token" .sf/decided
    decision=$(cat .sf/decided/decision)
}

restore() {
    [ -d .sf/previous ] || fail "there is no previous release in $PWD"
    while IFS= read -r name; do
        [ -e ".sf/previous/$name" ] || remove "$name"
    done <.sf/incoming/all
    (cd .sf/previous && find . -type f) >.sf/incoming/previous
    while IFS= read -r name; do
        name=${name#./}
        reach "$name"
        cp -p -- ".sf/previous/$name" .sf/incoming/restored || fail "$PWD/$name cannot be restored"
        replace .sf/incoming/restored "$name"
    done <.sf/incoming/previous
    if [ -d .sf/decided/secrets ]; then
        (cd .sf/decided/secrets && find . -type f) >.sf/incoming/secrets
        while IFS= read -r name; do
            reach "${name#./}"
            replace ".sf/decided/secrets/$name" "${name#./}"
        done <.sf/incoming/secrets
    fi
    recall
    replace .sf/decided/content.json .sf/content.json
    replace .sf/decided/pinned.json .sf/pinned.json
    set --
    while IFS= read -r word; do set -- "$@" "$word"; done <.sf/decided/arguments
    compose "$@"
    event "up $status"
}

# End here when the record of the project is not the one that sf has seen.
require_seen() {
    current=-
    if [ -e .sf/record.json ]; then
        current=$(sha256sum <.sf/record.json)
        current=${current%% *}
    fi
    if [ "$current" != "$expected" ]; then
        event stale
        exit 76
    fi
}

# Take the tar on stdin to .sf/incoming.
receive() {
    rm -rf .sf/incoming .sf/answer-* .sf/answer.new .sf/decided
    trap forget EXIT
    mkdir .sf/incoming || fail "$PWD/.sf/incoming cannot be made"
    tar -xpof - -C .sf/incoming || fail "what was sent did not arrive whole in $PWD"
}

# record STACK_DIR PROJECT TOKEN OWNER EXPECTED LOCK_SECONDS: the tar on stdin has a record.json, which replaces the record.
record() {
    stack_dir=$1 token=$3 owner=$4 expected=$5
    lock "$6"
    cd -- "$stack_dir/$2" || fail "there is no folder $stack_dir/$2"
    require_seen
    receive
    replace .sf/incoming/record.json .sf/record.json
    event written
}

# remove STACK_DIR PROJECT TOKEN OWNER EXPECTED LOCK_SECONDS SECONDS ARGUMENT...
# The tar on stdin: gone, the list of files that go, and record.json, which replaces the record; without, that goes too.
remove_stack() {
    stack_dir=$1 project=$2 token=$3 owner=$4 expected=$5 up_seconds=$7
    lock "$6"
    shift 7
    cd -- "$stack_dir/$project" || fail "there is no folder $stack_dir/$project"
    require_seen
    receive
    compose "$@"
    if [ "$status" -eq 0 ]; then
        while IFS= read -r name; do remove "$name"; done <.sf/incoming/gone
        memory_of "$stack_dir/$project"
        [ -z "$memory" ] || rm -rf -- "$memory"
    fi
    if [ "$status" -eq 0 ] && [ -e .sf/incoming/record.json ]; then
        replace .sf/incoming/record.json .sf/record.json
    elif [ "$status" -eq 0 ]; then
        # The record goes last: what was cut off before is found again.
        find .sf -mindepth 1 -maxdepth 1 ! -name record.json -exec rm -rf {} +
        rm -rf .sf
        trap - EXIT
        cd .. && rmdir -- "$project" 2>/dev/null
    fi
    event "down $status"
}

# deploy STACK_DIR PROJECT TOKEN OWNER EXPECTED LOCK_SECONDS HOOK_SECONDS UP_SECONDS ANSWER_SECONDS PRE ARGUMENT...
# PRE is yes (pre.sh is run before compose), no, or script (deploy.sh is run and compose is not).
# On stdin variables, files for the memory and a tar: record.json, content.json, keep (or not), the lists written, gone, managed and all, files/...
deploy() {
    stack_dir=$1 project=$2 token=$3 owner=$4 expected=$5
    lock_seconds=$6 hook_seconds=$7 up_seconds=$8 answer_seconds=$9
    shift 9
    pre=$1
    shift
    lock "$lock_seconds"
    read_variables
    mkdir -p -- "$stack_dir/$project/.sf" && cd -- "$stack_dir/$project" ||
        fail "the folder $stack_dir/$project cannot be made"
    require_seen
    # The shell ends by itself, so that nothing stays behind.
    trap 'exit 73' INT TERM
    trap forget EXIT
    remember "$stack_dir/$project"
    receive
    replace .sf/incoming/record.json .sf/record.json
    place
    event placed
    status=0
    case $pre in
    yes)
        hook pre.sh
        event "ended pre.sh $status"
        ;;
    script)
        hook_seconds=$up_seconds
        hook deploy.sh
        event "ended deploy.sh $status"
        ;;
    esac
    if [ "$status" -eq 0 ] && [ "$pre" != script ]; then
        compose "$@"
        event "up $status"
    fi
    while :; do
        await
        case $decision in
        post)
            hook post.sh
            event "ended post.sh $status"
            ;;
        restore) restore ;;
        keep)
            replace .sf/decided/record.json .sf/record.json
            exit 0
            ;;
        *) exit 0 ;;
        esac
    done
}

operation=$1
shift
case $operation in
look | check | digest | answer | record | deploy) "$operation" "$@" ;;
remove) remove_stack "$@" ;;
*) fail "there is no operation $operation" ;;
esac
