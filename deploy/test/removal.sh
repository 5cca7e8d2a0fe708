# shellcheck shell=bash disable=SC2154,SC2317,SC2329
# What is left when the package goes. Read by `nspawn` last.

step "removing"
check "removed, it is gone" inside dpkg -r fieldgate
check "and the configuration and the state are kept" inside test -e /etc/fieldgate/users.yaml -a -e /var/lib/fieldgate/broker
check "purged, they are gone" inside dpkg -P fieldgate
left() { inside ls -d /etc/fieldgate /var/lib/fieldgate /var/log/fieldgate /etc/systemd/system/multi-user.target.wants/fieldgate.service; }
check "and nothing is left" eval '! left | grep .'
