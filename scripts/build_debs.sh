#!/bin/sh
# Builds the Debian packages of a source tree and prints their paths.
#
# Usage: build_debs.sh --repo DIR --out DIR [--no-equivs]
#
# Runs packaging/build-deb.sh of the tree if it exists (with -o and a directory), otherwise dpkg-buildpackage.
# Newer distributions lack some build dependencies, such as python-setuptools in Ubuntu 24.04. Each is
# replaced by an empty package, built with equivs and installed, unless --no-equivs is given. BUILD_DEBS_GONE
# lists them [default: python-setuptools]; packages that apt has are not replaced. If dependencies are still
# missing, the build runs without them (-d).
# Build output goes to stderr. Packages, .changes and .buildinfo are put into --out once all are complete;
# packages of the same name are replaced.
# Exit codes: 0 at least one package, 1 invalid arguments, 2 no package.
set -eu
here=$(dirname -- "$(readlink -f -- "$0")")
# shellcheck source=scripts/lib.sh
. "$here/lib.sh"
help_if_asked "$@"

# The legacy scripts exited with 2 here.
readonly build_failed=2
readonly gone="${BUILD_DEBS_GONE-python-setuptools}"

# Prints the build dependencies that are not installed, as dpkg names them, or nothing.
missing() {
    [ -f "$repo/debian/control" ] || return 0
    (cd -- "$repo" && LC_ALL=C dpkg-checkbuilddeps 2>&1) |
        sed -n 's/^.*Unmet build dependencies: //p'
}

# Whether a package is among the missing ones.
is_missing() {
    printf ' %s ' "$(missing)" | grep -q -F -e " $1 "
}

# stand_in PACKAGE: makes an empty package of this name and installs it.
stand_in() {
    if [ -n "$(apt-cache madison -- "$1" 2>/dev/null)" ]; then
        complain "\`$1\` is missing and is to be had" "install it with \`apt-get install $1\`"
        return 1
    fi
    command -v equivs-build >/dev/null || {
        complain "\`$1\` is missing and equivs is not installed" 'install equivs and build again'
        return 1
    }
    as_root=''
    [ "$(id -u)" -eq 0 ] || as_root='sudo -n'
    cat >"$work/control" <<CONTROL
Section: misc
Priority: optional
Standards-Version: 4.6.2
Package: $1
Version: 99.0
Maintainer: build_debs.sh <root@localhost>
Description: empty package in place of one that is gone
 build_debs.sh of git-muster made it, so that what asks for it can be built.
 It may be removed when nothing is to be built any more.
CONTROL
    # It leaves the package in TMPDIR, if there is one.
    (cd -- "$work" && TMPDIR=$work equivs-build control) >&2 || return
    # Without a password prompt or not at all: nobody sits here.
    $as_root dpkg --install "$work/$1_99.0_all.deb" >&2
}

stand_in_for_all() {
    for package in $gone; do
        is_missing "$package" || continue
        stand_in "$package" || complain "no empty package stands in for \`$package\`; going on without it"
    done
}

# build [-d]: runs dpkg-buildpackage and copies what it made, beside the tree, to the stage.
build() {
    # What an earlier build left would be taken for this one's.
    rm -f -- "$repo/debian/files"
    (cd -- "$repo" && dpkg-buildpackage -us -uc -b "$@") >&2 || return
    made >"$work/made" || return
    while IFS= read -r file; do
        cp -p -- "$repo/../$file" "$stage/" || return
    done <"$work/made"
}

# The names of what the build made: its own list, and the .changes that is made of that.
made() (
    cd -- "$repo" || exit
    name=$(dpkg-parsechangelog --show-field Source) || exit
    version=$(dpkg-parsechangelog --show-field Version) || exit
    cut -d ' ' -f 1 debian/files || exit
    echo "${name}_${version#*:}_$(dpkg --print-architecture).changes"
)

# Builds in the way that the tree has, and without missing dependencies if it must be.
build_packages() {
    if [ -e "$repo/packaging/build-deb.sh" ]; then
        (cd -- "$repo" && ./packaging/build-deb.sh -o "$stage") >&2 && return
        [ -n "$(missing)" ] || return
        complain 'packaging/build-deb.sh failed, maybe over what is missing; going on with dpkg-buildpackage'
        rm -rf -- "${stage:?}"/*
    fi
    lacking=$(missing)
    if [ -n "$lacking" ]; then
        complain "build dependencies are missing, and it is built without them: $lacking" \
            "where the distribution has them, \`apt-get build-dep '$repo'\` installs them"
        build -d
    else
        build
    fi
}

repo='' out='' equivs=yes
while [ $# -gt 0 ]; do
    case $1 in
        --repo | --out)
            [ -n "${2:-}" ] || misused "$1 needs a folder behind it"
            if [ "$1" = --repo ]; then repo=$2; else out=$2; fi
            shift
            ;;
        --no-equivs) equivs='' ;;
        *) misused "\`$1\` means nothing here" ;;
    esac
    shift
done
[ -n "$repo" ] || misused '--repo is needed'
[ -n "$out" ] || misused '--out is needed'
[ -e "$repo/debian/control" ] || [ -e "$repo/packaging/build-deb.sh" ] ||
    fail "$invalid" "\`$repo\` has neither debian/control nor packaging/build-deb.sh; nothing was built" \
        'name a source tree that is packaged for Debian with --repo'
command -v dpkg-buildpackage >/dev/null ||
    fail "$invalid" 'there is no program dpkg-buildpackage; nothing was built' 'install dpkg-dev'
repo=$(cd -- "$repo" && pwd)
mkdir -p -- "$out" || fail "$build_failed" "the folder \`$out\` cannot be made; nothing was built"
out=$(cd -- "$out" && pwd)

work=$(mktemp -d)
# On the disk of --out, so that the packages appear there at once.
stage=$(mktemp -d "$out/.build_debs.XXXXXX")
trap 'rm -rf -- "$work" "$stage"' EXIT
trap 'exit 2' HUP INT TERM

[ -z "$equivs" ] || stand_in_for_all
build_packages || fail "$build_failed" "the build failed; nothing was put into \`$out\`" 'see what it said above'
for package in "$stage"/*.deb; do
    [ -e "$package" ] ||
        fail "$build_failed" "the build made no package; nothing was put into \`$out\`" \
            'see what it said above, and whether debian/control names a package for this machine'
    dpkg-deb --info "$package" >/dev/null ||
        fail "$build_failed" "\`${package##*/}\` is no package; nothing was put into \`$out\`"
done
for file in "$stage"/*; do
    mv -- "$file" "$out/" || fail "$build_failed" "\`${file##*/}\` cannot be put into \`$out\`"
    case $file in
        *.deb) printf '%s\n' "$out/${file##*/}" ;;
    esac
done
