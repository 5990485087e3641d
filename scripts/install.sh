#!/usr/bin/env bash
# Installs Debian packages for who asks:  scripts/install.sh WHO PACKAGE...
set -euo pipefail
who=$1
shift
if ((EUID == 0)); then sudo=(); elif command -v sudo >/dev/null && { [[ -t 0 ]] || sudo -n true 2>/dev/null; }; then sudo=(sudo); else
    echo "$who: these packages are missing and this user may not install them: $*" >&2
    echo "$who: ask an administrator to run: apt-get install $*" >&2
    exit 1
fi
command -v apt-get >/dev/null || {
    echo "$who: install the equivalent of these Debian packages, then run this again: $*" >&2
    exit 1
}
echo "$who: installing $*"
"${sudo[@]}" apt-get update -qq
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
