#!/bin/sh
# Repackages Debian's engine under the names that Docker's own repository uses, and signs an apt repository of it.
# usage: make-repository.sh DEBS COMPOSE-BINARY ROOT; leaves ROOT/{dists,pool,key.asc,fingerprint}
set -eu
debs=$1 compose=$2 root=$3
. /etc/os-release
arch=$(dpkg --print-architecture)
pool=$root/pool && mkdir -p "$pool"
work=$(mktemp -d)

# repackage NEW-NAME CONFLICTS DEB…: the files of all DEBs, the scripts and fields of the first
repackage() {
    name=$1 conflicts=$2; shift 2
    tree=$work/$name
    dpkg-deb -R "$1" "$tree"
    main=$1; shift
    for other in "$@"; do dpkg-deb -x "$other" "$tree"; done
    version=$(dpkg-deb -f "$main" Version)
    depends=$(dpkg-deb -f "$main" Depends | tr ',' '\n' | sed -E 's/^ +//' \
        | grep -vE '^(containerd|runc|docker-cli|docker\.io)( |$)' | paste -sd, -)
    case $name in docker-ce) depends="$depends, containerd.io, docker-ce-cli" ;; esac
    {
        printf 'Package: %s\nVersion: 5:%s\nArchitecture: %s\n' "$name" "${version#*:}" "$arch"
        printf 'Maintainer: The lab <lab@example.org>\nSection: admin\nPriority: optional\n'
        printf 'Depends: %s\nConflicts: %s\nReplaces: %s\n' "$depends" "$conflicts" "$conflicts"
        printf 'Description: stand-in for the package of this name in the repository of Docker\n'
    } >"$tree/DEBIAN/control"
    rm -f "$tree/DEBIAN/md5sums"
    dpkg-deb -Zgzip -z1 -b "$tree" "$pool/${name}_${arch}.deb" >/dev/null
}

# thin NAME DEPENDS: a package of the files that stand in work/NAME already (perhaps none)
thin() {
    mkdir -p "$work/$1/DEBIAN"
    printf 'Package: %s\nVersion: 5:1.0\nArchitecture: %s\nMaintainer: The lab <lab@example.org>\n%sDescription: stand-in\n' \
        "$1" "$arch" "${2:+Depends: $2
}" >"$work/$1/DEBIAN/control"
    dpkg-deb -Zgzip -z1 -b "$work/$1" "$pool/$1_$arch.deb" >/dev/null
}

repackage containerd.io "containerd, runc" "$debs"/containerd_*.deb "$debs"/runc_*.deb
repackage docker-ce "docker.io" "$debs"/docker.io_*.deb
if ls "$debs"/docker-cli_*.deb >/dev/null 2>&1; then
    repackage docker-ce-cli "docker-cli" "$debs"/docker-cli_*.deb
else
    thin docker-ce-cli "" # bookworm's engine package carries the client
fi
install -D -m 0755 "$compose" "$work/docker-compose-plugin/usr/libexec/docker/cli-plugins/docker-compose"
thin docker-compose-plugin ""
thin docker-buildx-plugin ""

dist=$root/dists/$VERSION_CODENAME
mkdir -p "$dist/stable/binary-$arch"
cd "$root"
apt-ftparchive packages pool >"$dist/stable/binary-$arch/Packages"
gzip -k "$dist/stable/binary-$arch/Packages"
apt-ftparchive -o APT::FTPArchive::Release::Suite="$VERSION_CODENAME" \
    -o APT::FTPArchive::Release::Codename="$VERSION_CODENAME" \
    -o APT::FTPArchive::Release::Components=stable \
    -o APT::FTPArchive::Release::Architectures="$arch" release "$dist" >"$work/Release"
mv "$work/Release" "$dist/Release"
export GNUPGHOME="$work/gnupg" && mkdir -m 0700 "$GNUPGHOME"
gpg --batch --quiet --passphrase '' --quick-generate-key 'Lab Docker repository <lab@example.org>' rsa3072 sign never
gpg --batch --quiet --armor --export >"$root/key.asc"
gpg --batch --with-colons --fingerprint | awk -F: '/^fpr/{print $10; exit}' >"$root/fingerprint"
gpg --batch --quiet --clearsign -o "$dist/InRelease" "$dist/Release"
rm -rf "$work"
