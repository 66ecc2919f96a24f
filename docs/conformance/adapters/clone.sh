#!/usr/bin/env bash
# Clone what the adapters here are for, each at its revision, into the folder that is given.
set -euo pipefail
adapters=$(dirname "$0")
folder=$1
field() { sed -nE "s/^    \"$1\": \"(.*)\",$/\1/p" "$2"; }
for adapter in "$adapters"/*.py; do
    revision=$(field revision "$adapter")
    home=$(field home "$adapter")
    clone=$folder/${home#https://github.com/}
    [ -n "$revision" ] && [ ! -e "$clone" ] || continue
    git clone --quiet "$home" "$clone"
    git -C "$clone" checkout --quiet "$revision"
done
