#!/usr/bin/env bash
# Clone what the adapters here are for, each at its revision, into the folder that is given:
# of each repository no more than the folder of its file, as some hold models and results.
set -euo pipefail
adapters=$(dirname "$0")
folder=$1
field() { sed -nE "s/^    \"$1\": \"(.*)\",$/\1/p" "$2"; }
for adapter in "$adapters"/*.py; do
    revision=$(field revision "$adapter")
    [ -n "$revision" ] || continue
    home=$(field home "$adapter")
    clone=$folder/${home#https://github.com/}
    [ -e "$clone" ] || git clone --quiet --filter=blob:none --no-checkout "$home" "$clone"
    git -C "$clone" sparse-checkout set "$(dirname "$(field file "$adapter")")"
    git -C "$clone" checkout --quiet "$revision"
done
