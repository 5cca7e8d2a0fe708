# shellcheck shell=bash disable=SC2154,SC2317,SC2329
# A change of the network that returns unless it is confirmed, with a real systemd-networkd. Read by `nspawn` after
# `appliance.sh`.

step "a change of the network, tried and taken back"
halt
# An interface here has no card: what the kernel would say of one stands in for it, for the unit alone.
card=$root/root/net/plant
mkdir -p "$card/device" "$root/usr/lib/systemd/system/fieldgate-network.service.d"
printf '1\n' >"$card/type"
printf '[Service]\nBindReadOnlyPaths=/root/net:/sys/class/net\n' \
    >"$root/usr/lib/systemd/system/fieldgate-network.service.d/test.conf"
# Containers manage their interfaces only if they are told to.
rm -f "$root"/etc/systemd/network/*.network
printf '[Match]\nName=plant\n\n[Network]\nAddress=10.99.0.1/24\n' >"$root/usr/lib/systemd/network/30-plant.network"
systemctl --quiet --root "$root" enable systemd-networkd
boot --capability=CAP_NET_ADMIN
has() { inside ip -o address show dev plant | grep -qF " $1 "; }
ask_network() {
    printf '{"id":"%s","wanted":{"interface":"plant","address":"%s"}}' "$1" "$2" >"$root/run-asked"
    inside sh -c 'cat /run-asked >/run/fieldgate/network.new && mv /run/fieldgate/network.new /run/fieldgate/network'
}
state_is() { inside cat /run/fieldgate-network/state | grep -qF "\"state\":\"$1\""; }
check "the gateway looks for changes of the network" within 30 inside systemctl is-active -q fieldgate-network.path
check "the interface is managed" within 20 has 10.99.0.1/24
ask_network one 10.99.7.5/24
check "a new address is tried" within 20 has 10.99.7.5/24
check "the old one is gone meanwhile" eval '! has 10.99.0.1/24'
check "what is tried is not on the card" eval '! ls "$root"/etc/systemd/network/15-*'
check "without a confirmation the old address returns" within 110 has 10.99.0.1/24
check "and it is told" within 5 state_is returned
ask_network two 10.99.7.0/24
check "an address that no device may have is refused" within 10 state_is refused
ask_network three 10.99.7.6/24
check "another one is tried" within 20 has 10.99.7.6/24
halt
boot --capability=CAP_NET_ADMIN
check "a start in the middle brings the old address back" within 30 has 10.99.0.1/24
within 30 inside systemctl is-active -q fieldgate-network.path || true
ask_network four 10.99.7.7/24
within 20 has 10.99.7.7/24 || true
inside sh -c 'printf four >/run/fieldgate/network-confirmed'
check "a confirmed change is kept" within 20 state_is kept
check "on the card" test -f "$root/etc/systemd/network/15-fieldgate-plant.network"
halt
boot --capability=CAP_NET_ADMIN
check "and is there after a start" within 30 has 10.99.7.7/24
