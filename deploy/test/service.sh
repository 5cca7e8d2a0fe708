# shellcheck shell=bash disable=SC2154,SC2317,SC2329
# The package and its service. Read by `nspawn`; the functions used here are there.

step "the package and its service"
config=$root/etc/fieldgate/gateway.yaml

install_package() { inside dpkg -i "/root/$1"; }
check "the package installs" install_package fieldgate.deb
holds_what_manifest_says() {
    rm -rf "$work/manifest"
    deploy/install-files package "$work/manifest"
    diff <(cd "$work/manifest" && find . -type f | sort) \
        <(dpkg-deb -c "$package" | awk '$1 ~ /^-/ && $6 !~ /(bin\/fieldgate|copyright)$/ { print $6 }' | sort) || return 1
    (cd "$work/manifest" && find . -type f) | while read -r file; do
        case $file in *.md | *.gz) continue ;; esac
        cmp "$work/manifest/$file" "$root/$file" || return 1
    done
}
check "it holds what deploy/MANIFEST says, and nothing else" holds_what_manifest_says
check "the service is ready within 20 seconds" within 20 active
check "it runs as its own user" eval '[ "$(inside stat -c %U "/proc/$(show fieldgate MainPID)")" = fieldgate ]'
# The sandbox must show it how large they are, and let it start itself anew.
asks_for_huge_pages() {
    [ "$(cat /sys/kernel/mm/transparent_hugepage/hpage_pmd_size)" != 2097152 ] ||
        inside grep -qa hugetlb=1 "/proc/$(show fieldgate MainPID)/environ"
}
check "it asks for huge pages of 2 MiB, if the kernel has them" asks_for_huge_pages
check "its exposure is at most 2.0" inside systemd-analyze security --no-pager --threshold=20 fieldgate
inside systemd-analyze security --no-pager fieldgate | sed -n 's/^→ /        /p'
check "the unit has no mistakes" eval '! inside systemd-analyze verify --man=no fieldgate.service 2>&1 | grep fieldgate'
check "the udev rules have no mistakes" inside udevadm verify /usr/lib/udev/rules.d/60-fieldgate.rules
check "the configuration as delivered is right" inside fieldgate check
check "a program on the board sees values at first start" local_sub -t 'fieldgate/demo/#'
check "the health check says yes" inside fieldgate health
others() { inside stat -c '%U %a' /etc/fieldgate /var/lib/fieldgate /run/fieldgate /etc/fieldgate/users.yaml; }
check "folders and users are for the daemon only" eval '[ "$(others | paste -sd,)" = "fieldgate 750,fieldgate 750,fieldgate 750,fieldgate 600" ]'

refused_outside() { remote_sub -t '#'; [ $? -eq 5 ]; }
check "without users, no client from outside gets in" refused_outside
add_user() { echo "a long password" | inside fieldgate user add ann --stdin; }
check "the first user is added by one command" add_user
check "and gets in from outside, without a restart" within 10 as_ann remote_sub -t 'fieldgate/demo/#'
check "without a password, still no client does" eval '! remote_sub -t "#"'

is_again() { active && [ "$(show fieldgate MainPID)" != "$pid" ]; }
as_ann ip netns exec "$board" mosquitto_pub -h 127.0.0.1 -r -q 1 -t kept -m "across restarts"
pid=$(show fieldgate MainPID)
inside systemctl kill -s KILL --kill-whom=main fieldgate
check "killed with -9, it is back within 10 seconds" within 10 is_again
check "with what was retained" eval '[ "$(as_ann local_sub -t kept)" = "across restarts" ]'

mkdir -p "$root/etc/systemd/system/fieldgate.service.d"
printf '[Service]\nWatchdogSec=3\n' >"$root/etc/systemd/system/fieldgate.service.d/quick.conf"
inside systemctl daemon-reload
inside systemctl restart fieldgate
pid=$(show fieldgate MainPID)
inside systemctl kill -s STOP --kill-whom=main fieldgate
check "frozen, the watchdog has it replaced" within 20 is_again
rm "$root/etc/systemd/system/fieldgate.service.d/quick.conf"
inside systemctl daemon-reload
inside systemctl restart fieldgate

pid=$(show fieldgate MainPID)
printf '  second: {type: sdm630, bus: demo, unit: 2}\n' >>"$config"
inside systemctl reload fieldgate
check "a reload takes over a new device" as_ann local_sub -t 'fieldgate/second/#'
cp "$config" "$work/good.yaml"
sed -i 's/^gateway:/gatewy:/' "$config"
inside systemctl reload fieldgate
place=$(grep -n '^gatewy:' "$config" | cut -d: -f1)
check "a reload with a mistake says its line" within 10 journal_has "gateway.yaml:$place:1: gatewy: unknown key"
check "and changes nothing" as_ann local_sub -t 'fieldgate/second/#'
check "in the same process" eval '[ "$(show fieldgate MainPID)" = "$pid" ]'

inside systemctl restart fieldgate 2>/dev/null || true
check "started with a mistake, it ends with code 1" within 10 is ExecMainStatus 1
check "and the health check ends with code 1" eval 'inside fieldgate health; [ $? -eq 1 ]'
cp "$work/good.yaml" "$config"
check "mended, it starts without a hand" within 40 active
check "an address that is taken ends a second one with code 3" \
    eval 'inside fieldgate run --state /tmp/second --control /tmp/second.sock; [ $? -eq 3 ]'

# What the unit's own limits permit of a serial line, with a pseudo-terminal in an adapter's place.
line() { inside systemd-run -q --wait --pipe "$@" sh -c 'exec 3<>/dev/ttyFG0'; }
chown 0:20 "$(readlink -f "$work/line")" && chmod 660 "$(readlink -f "$work/line")"
check "the group dialout opens a serial line" line -p User=fieldgate -p DevicePolicy=closed -p PrivateUsers=yes
check "another group does not" eval '! line -p User=nobody'

before=$SECONDS
inside systemctl stop fieldgate
check "it stops within ten seconds" [ $((SECONDS - before)) -le 10 ]
check "in order" is Result success
check "and the health check ends with code 4" eval 'inside fieldgate health; [ $? -eq 4 ]'
inside systemctl start fieldgate

# The same package, as if it were the next one.
rm -rf "$work/next" && dpkg-deb -R "$package" "$work/next"
sed -i 's/^Version: .*/&+next/' "$work/next/DEBIAN/control"
echo "# a remark of the next version" >>"$work/next/etc/fieldgate/gateway.yaml"
sed -i '/ etc\/fieldgate\/gateway.yaml$/d' "$work/next/DEBIAN/md5sums" 2>/dev/null || true
dpkg-deb --root-owner-group -Znone -b "$work/next" "$root/root/next.deb" >/dev/null
pid=$(show fieldgate MainPID)
upgrade() { inside dpkg --force-confold -i /root/next.deb; }
check "an upgrade installs" upgrade
check "and starts the new daemon" within 20 is_again
check "keeps the configuration" cmp "$work/good.yaml" "$config"
check "the users" as_ann remote_sub -t 'fieldgate/demo/#'
check "and what was retained" eval '[ "$(as_ann local_sub -t kept)" = "across restarts" ]'
