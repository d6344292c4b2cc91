# Sourced by the scripts: messages, progress, checked downloads. Needs bash and coreutils.
# shellcheck shell=bash
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

if [[ -t 1 && -z ${NO_COLOR:-} ]]; then bold=$'\e[1m' plain=$'\e[0m'; else bold='' plain=''; fi
step() { printf '%s==> %s%s\n' "$bold" "$*" "$plain"; }
say() { printf '    %s\n' "$*"; }
# die "what failed" "what to do"
die() {
  printf '%sFAILED: %s%s\n' "$bold" "$1" "$plain" >&2
  [[ $# -gt 1 ]] && printf '  What to do: %s\n' "$2" >&2
  exit 1
}

# with_progress "text" command...: runs it quietly, says every few seconds that it still does, shows
# the end of its output when it fails and returns its status.
with_progress() {
  local text=$1 log status=0 pid waited=0 began=$SECONDS
  shift
  log=$(mktemp)
  "$@" >"$log" 2>&1 </dev/null &
  pid=$!
  # The shell starts background work with Ctrl-C ignored: pass it on.
  # shellcheck disable=SC2064
  trap "kill $pid 2>/dev/null; rm -f '$log'; exit 130" INT TERM
  while kill -0 "$pid" 2>/dev/null; do
    # A short nap, so that what ends at once costs no more than that.
    sleep 0.2
    waited=$((waited + 1))
    if ((waited == 10 || waited % 50 == 0)); then say "$text ... $((SECONDS - began)) s"; fi
  done
  wait "$pid" || status=$?
  trap - INT TERM
  if ((status != 0)); then
    printf '    %s: exit status %s. The end of its output:\n' "$text" "$status" >&2
    tail -n 20 "$log" | sed 's/^/      /' >&2
  elif ((waited >= 10)); then
    say "$text: done in $((SECONDS - began)) s"
  fi
  rm -f "$log"
  return "$status"
}

sha256_of() { sha256sum "$1" | cut -d' ' -f1; }
# check_sha256 FILE HEX: an error that shows both, so that a changed upstream file is seen as such.
check_sha256() {
  local actual
  actual=$(sha256_of "$1")
  [[ $actual == "$2" ]] || die "$(basename "$1") has SHA-256 $actual, expected $2" \
    "The download is damaged or not the release this version was made for. Try again; if it stays so, update Switchyard."
}

# make_venv: .venv with pip, for the models' wheels and for the tests.
make_venv() {
  [[ -x $root/.venv/bin/pip ]] && return
  rm -rf "$root/.venv"
  with_progress "Making the Python environment .venv" python3 -m venv "$root/.venv" ||
    die "python3 -m venv does not work" "Install Debian's python3-venv, then run this again."
}
