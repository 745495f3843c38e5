#!/usr/bin/env bash
# deb-test.sh DIR: programs outside the tree against what the packages in DIR hold, and what lintian says of them.
set -euo pipefail
dir=$(cd "$1" && pwd)
consumers=$(dirname "$0")/consumer/run.sh
rm -rf "$dir/root" "$dir/consumers"
for package in libremqtt0 libremqtt-dev; do dpkg-deb -x "$dir/$package"_*.deb "$dir/root"; done
"$consumers" "$dir/root" "/usr/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH)" "$dir/consumers"
for package in "$dir"/libremqtt0_*.deb "$dir"/libremqtt-dev_*.deb; do
    dpkg-deb -W --showformat='${Package} ${Version}: ${Installed-Size} KiB, needs ${Depends}\n' "$package"
done
if command -v lintian >/dev/null; then
    # No bug of Debian's has asked for the package.
    lintian --allow-root --fail-on error,warning --suppress-tags initial-upload-closes-no-bugs "$dir"/remqtt_*.changes
    echo 'lintian: 1 passed, 0 failed'
else
    echo '== lintian skipped: not here (apt install lintian)'
fi
