#!/usr/bin/env bash
# Packs the images that every cluster needs: pause, and agnhost, the upstream tests' toolbox.
source "$(dirname "$0")/env.sh"

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

cp "$BIN/pause" "$root/"
"$HERE/image.sh" "$PAUSE_IMAGE" "$root" /pause

# Beside agnhost, with sctp in front of it: BusyBox for a shell, and this machine's own network tools
# with their libraries. Upstream's image has the same tools (bash, curl, dig, nc, ip, ss, iperf), from Alpine.
rm "$root/pause"
mkdir -p "$root"/{bin,etc,tmp,uploads}
cp "$BIN/sctp" "$root/agnhost"
cp "$BIN/agnhost" "$root/agnhost.real"
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
for applet in $(busybox --list); do ln -s busybox "$root/bin/$applet"; done
cp --remove-destination "$(command -v busybox)" "$root/bin/busybox"
for tool in bash curl dig nc ip ss iperf3; do
  tool=$(command -v $tool)
  cp --remove-destination --dereference "$tool" "$root/bin/"
  ldd "$tool" | grep -o '/[^ ]*' | xargs cp --parents --dereference --target-directory "$root"
done
"$HERE/image.sh" "$AGNHOST_IMAGES" "$root" /agnhost pause
