# shellcheck shell=bash disable=SC2154,SC2317,SC2329
# What the web console asks for the system, carried out by real units. Read by `nspawn` after `network.sh`; what needs
# slots is in `update` and in deploy/image/test.

step "what the console asks for the system"
ask_system() {
    printf '{"id":"%s","act":%s}' "$1" "$2" >"$root/run-asked"
    inside sh -c 'cat /run-asked >/run/fieldgate/update.new && mv /run/fieldgate/update.new /run/fieldgate/update'
}
system_says() { inside cat /run/fieldgate-update/state | grep -qF "$1"; }
pid_is_not() { [ "$(inside systemctl show -P MainPID fieldgate)" != "$1" ] && active; }
check "the gateway looks for what is asked" within 30 inside systemctl is-active -q fieldgate-update.path
check "the folder for updates is the gateway's alone" eval '[ "$(inside stat -c "%U %a" /data/update)" = "fieldgate 700" ]'
ask_system one '"look"'
check "without slots, that is told" within 20 system_says '"unknown":"'
check "what was asked for is away" eval '! inside test -e /run/fieldgate/update'
inside sh -c 'head -c 100000 /dev/urandom >/data/update/uploaded.raucb; chown fieldgate /data/update/uploaded.raucb'
ask_system two '"check"'
check "an upload that is none is refused" within 20 system_says '"state":"refused"'
check "and removed" eval '! inside test -e /data/update/uploaded.raucb'
inside ln -s /etc/hostname /data/update/uploaded.raucb
ask_system three '"check"'
check "one that is a link is refused" within 20 system_says 'nothing is uploaded'
check "and what it points to stays" inside test -s /etc/hostname
ask_system four '"world"'
ask_system five '"look"'
check "what is not understood stops nothing" within 20 system_says '"id":"five"'
before=$(inside systemctl show -P MainPID fieldgate)
ask_system six '"restart_gateway"'
check "the gateway is restarted" within 30 pid_is_not "$before"
check "and looks again" within 30 inside systemctl is-active -q fieldgate-update.path
