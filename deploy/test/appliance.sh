# shellcheck shell=bash disable=SC2154,SC2317,SC2329
# What the images add to the package. Read by `nspawn` after `service.sh`.

step "provisioning, at a start of the board"
halt
boot_folder=$root/boot/firmware/fieldgate
mkdir -p "$boot_folder"
deploy/install-files debian "$root"
units=$root/usr/lib/systemd/system
# There is no boot partition here, no card, and no slot.
rm "$units/fieldgate-provision.service.d/writable.conf" "$units/boot-firmware.mount"
systemctl --quiet --root "$root" enable fieldgate-provision
cat >"$boot_folder/provision.yaml" <<'YAML'
version: 1
hostname: plant7
timezone: Europe/Berlin
ethernet: {address: 192.168.7.5/24, gateway: 192.168.7.1}
wifi: {country: DE, ssid: Halle, password: geheim geheim}
mqtt: {user: eve, password: "another password"}   # first user
YAML
cat >"$boot_folder/gateway.yaml" <<'YAML'
version: 1
gateway: {name: plant7}
broker: {users: users.yaml}
buses: {demo: {tcp: "127.0.0.1:0", modbus: tcp, simulated: true}}
devices: {meter: {type: sdm630, bus: demo, unit: 1}}
YAML
boot
as_eve() { "$@" -u eve -P "another password"; }
check "the gateway starts with the board" within 20 active
check "with the mapping of the card, for the user of the card" as_eve remote_sub -t 'plant7/meter/#'
check "users of before stay" as_ann remote_sub -t 'plant7/meter/#'
check "the board has its name" eval '[ "$(inside cat /proc/sys/kernel/hostname /etc/hostname | sort -u)" = plant7 ]'
check "and its time zone" eval '[ "$(inside readlink /etc/localtime)" = ../usr/share/zoneinfo/Europe/Berlin ]'
check "the report says that both are taken" eval '[ "$(grep -c ": taken" "$boot_folder/REPORT.txt")" -eq 2 ]'
check "no password is left on the card" eval '! grep -r -e geheim -e "another password" "$boot_folder"'
check "the rest is as it was written" grep -qx 'mqtt: {user: eve, password: }   # first user' "$boot_folder/provision.yaml"
check "the Wi-Fi password is for root only" eval '[ "$(inside stat -c "%U %a" /etc/wpa_supplicant/wpa_supplicant-wlan0.conf)" = "root 600" ]'

halt
sed -i 's/hostname: plant7/hostnam: plant8/' "$boot_folder/provision.yaml"
sed -i 's/type: sdm630/type: sdm63O/' "$boot_folder/gateway.yaml"
boot
check "with mistakes on the card, the gateway starts as before" within 20 active
check "serves what it served" as_eve remote_sub -t 'plant7/meter/#'
check "says the key and its line in the report" grep -q 'fieldgate/provision.yaml:2:1: hostnam: unknown key' "$boot_folder/REPORT.txt"
check "and the type that was meant" grep -q 'did you mean "sdm630"' "$boot_folder/REPORT.txt"
check "and in the journal" journal_has 'hostnam: unknown key' fieldgate-provision
check "and the unit of provisioning has failed" inside systemctl is-failed -q fieldgate-provision

step "good and bad starts"
# A rauc and a reboot that only say what they were asked.
printf '#!/bin/sh\necho "$@" >>/run/asked\n' >"$root/usr/bin/rauc"
chmod +x "$root/usr/bin/rauc"
mark() {
    rm -f "$root/run/asked"
    inside env FIELDGATE_GOOD=/root/good FIELDGATE_OS_RELEASE=/root/release PATH=/root/fake:/usr/bin:/bin sh -c \
        'rm -f /run/asked; /usr/lib/fieldgate/fieldgate-mark-good 1; echo "code $?" >>/run/asked'
    [ "$(inside paste -sd, /run/asked)" = "$1" ]
}
mkdir -p "$root/root/fake"
printf '#!/bin/sh\necho "$@" >>/run/asked\n' >"$root/root/fake/systemctl"
chmod +x "$root/root/fake/systemctl"
echo 'ID=fieldgate IMAGE_VERSION=1' >"$root/root/release"
check "a broker that answers makes the slot good" mark "status mark-good,code 0"
inside mv /usr/bin/fieldgate /usr/bin/away
check "a program that is not there is no mistake of a person" mark "code 1"
inside mv /usr/bin/away /usr/bin/fieldgate
cp "$config" "$work/good.yaml"
sed -i 's/^gateway:/gatewy:/' "$config"
inside systemctl stop fieldgate
check "a mistake of a person does not cost a slot that has worked" mark "status mark-good,code 1"
echo 'ID=fieldgate IMAGE_VERSION=2' >"$root/root/release"
check "a new release that does not come up is started again" mark "reboot,code 1"
inside rm /root/good
check "without one that has worked, nothing is started again" mark "code 1"
cp "$work/good.yaml" "$config"
inside rm /usr/bin/rauc

step "what a person at the board sees"
# The activity LED is played.
led=$root/root/leds/class/leds/ACT
mkdir -p "$led" "$root/etc/systemd/system/fieldgate.service.d"
echo 255 >"$led/max_brightness"
echo 0 | tee "$led/brightness" >"$led/trigger"
sed 's,=-+,&/usr/bin/env FIELDGATE_SYS=/root/leds ,' deploy/console/show.conf >"$root/etc/systemd/system/fieldgate.service.d/show.conf"
inside systemctl daemon-reload
shows() { inside grep -qx "$1" /run/issue.d/fieldgate.issue && [ "$(paste -d, "$led/trigger" "$led/brightness")" = "$2" ]; }
inside systemctl restart fieldgate
check "that the gateway runs" shows "MQTT gateway: running" "heartbeat,0"
inside systemctl kill -s KILL --kill-whom=main fieldgate
check "that it was killed" within 5 shows "MQTT gateway: NOT RUNNING: ended with KILL, see journalctl -u fieldgate" "none,255"
check "that it runs again" within 20 shows "MQTT gateway: running" "heartbeat,255"
sed -i 's/^gateway:/gatewy:/' "$config"
inside systemctl --no-block restart fieldgate
check "a mistake in the configuration" within 20 shows "MQTT gateway: NOT RUNNING: mistakes in its configuration, see journalctl -u fieldgate" "none,255"
cp "$work/good.yaml" "$config"
inside systemctl restart fieldgate
inside systemctl stop fieldgate
check "that it was stopped" within 5 shows "MQTT gateway: stopped" "none,255"
inside systemctl start fieldgate

step "the console on the ports of browsers"
# The container may not set it: systemd-sysctl does on a board.
from=$(sed -n 's/^net.ipv4.ip_unprivileged_port_start = //p' "$root/usr/lib/sysctl.d/60-fieldgate.conf")
ip netns exec "$board" sh -c "echo ${from:?} >/proc/sys/net/ipv4/ip_unprivileged_port_start"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=plant7 \
    -keyout "$root/etc/fieldgate/broker.key" -out "$root/etc/fieldgate/broker.pem" 2>/dev/null
inside chown fieldgate: /etc/fieldgate/broker.key
sed -i 's/^broker: {/&tls: {certificate: broker.pem, key: broker.key}, /' "$config"
echo 'console: {listen: {https: 443, http: 80}}' >>"$config"
inside systemctl restart fieldgate
serves() { inside curl -sk https://127.0.0.1/ | grep -q '<title>'; }
check "HTTPS on 443" within 20 serves
redirects() { [ "$(inside curl -s -o /dev/null -w '%{redirect_url}' http://127.0.0.1/)" = https://127.0.0.1/ ]; }
check "and 80 leads there" within 5 redirects
cp "$work/good.yaml" "$config"
inside systemctl restart fieldgate

step "the console as the card has it"
inside cp /etc/fieldgate/users.yaml /root/users.yaml
inside cp /etc/fieldgate/gateway.yaml /root/gateway.yaml
inside rm -f /etc/fieldgate/broker.pem /etc/fieldgate/broker.key
cp deploy/card/gateway.yaml "$config"
inside sh -c 'echo "users: {}" >/etc/fieldgate/users.yaml'
inside systemctl restart fieldgate
browser() { inside curl -s --cacert /etc/fieldgate/ca.pem "$@"; }
check "the board has made a certificate that its authority signed" within 20 browser -o /dev/null --fail https://localhost/
has_code() { inside grep -qE '^Setup code: [A-Z0-9]{4}-[A-Z0-9]{4}$' /run/issue.d/fieldgate.issue; }
check "the display shows the setup code" within 20 has_code
check "and the address" inside grep -qx 'Console: https://plant7.local' /run/issue.d/fieldgate.issue
fingerprint() {
    inside openssl x509 -in /etc/fieldgate/broker.pem -noout -fingerprint -sha256 | cut -d= -f2 >"$work/want"
    inside sed -n 's/^  //p' /run/issue.d/fieldgate.issue | tr -d '\n' | cmp - <(tr -d '\n' <"$work/want")
}
check "and the fingerprint of the certificate" fingerprint
first_user() {
    local code
    code=$(inside sed -n 's/^Setup code: //p' /run/issue.d/fieldgate.issue)
    browser --fail -H 'Sec-Fetch-Site: same-origin' -H 'Content-Type: application/json' \
        -d "{\"code\": \"$code\", \"user\": \"ada\", \"password\": \"correct horse\"}" https://localhost/api/v1/setup
}
check "with it the first user is made" first_user
check "and then no code is shown" within 20 eval '! has_code'
keys() { [ "$(inside stat -c '%U %a' /etc/fieldgate/ca.key /etc/fieldgate/broker.key | sort -u)" = "fieldgate 600" ]; }
check "the keys are for the daemon only" keys
inside cp /root/users.yaml /etc/fieldgate/users.yaml
cp "$work/good.yaml" "$config"
inside systemctl restart fieldgate

step "growing the data partition"
# No partitions can be made here: sysfs and the tools are played, and the disk is a file.
fake=$root/root/disk
mkdir -p "$fake/sys/class/block" "$fake/sys/devices/card/card1" "$fake/sys/devices/card/card2" "$fake/bin"
truncate -s 256M "$root/root/card"
inside sh -c 'printf "label: dos\n2048,65536,c\n67584,131072,83\n" | sfdisk -q /root/card'
for part in "1 2048 65536" "2 67584 131072"; do
    read -r number start size <<<"$part"
    echo "$number" >"$fake/sys/devices/card/card$number/partition"
    echo "$start" >"$fake/sys/devices/card/card$number/start"
    echo "$size" >"$fake/sys/devices/card/card$number/size"
    ln -s "../../devices/card/card$number" "$fake/sys/class/block/card$number"
done
echo 524288 >"$fake/sys/devices/card/size"
printf '#!/bin/sh\necho /dev/${CARD:-card2}\n' >"$fake/bin/findmnt"
cat >"$fake/bin/sfdisk" <<'SH'
#!/bin/sh
case $* in *relocate*) exit 1 ;; esac
exec /usr/sbin/sfdisk --no-reread --no-tell-kernel -N "$4" /root/card
SH
printf '#!/bin/sh\necho "$0 $*" >>/run/grown\n' | tee "$fake/bin/partx" >"$fake/bin/resize2fs"
chmod +x "$fake"/bin/*
grow() { inside env FIELDGATE_SYS=/root/disk/sys PATH=/root/disk/bin:/usr/bin:/usr/sbin "$@" /usr/lib/fieldgate/fieldgate-growdata; }
check "a partition that is not the last is left alone" eval '! grow CARD=card1 && ! inside test -e /run/grown'
check "the last one grows" grow
check "to the end of the card" eval 'inside sfdisk -l -o sectors /root/card | tail -n 1 | grep -qx " *456704"'
check "and its file system with it" inside grep -q 'resize2fs /dev/card2' /run/grown
check "the first is as it was" eval 'inside sfdisk -d /root/card | grep -q "start= *2048, size= *65536"'
