# A board whose network the console changes, in namespaces of its own: the kernel's interfaces are real, what systemd does
# is played. Started by `unshare -rmnpf --mount-proc`. Wants FIELDGATE, FOLDER with gateway.yaml; what follows is run
# beside the gateway, with the console's code in CODE.
set -eu
mount -t tmpfs none /run
mount -t tmpfs none /etc/systemd
mount -t tmpfs none /usr/lib/systemd/system
mkdir -p /run/fieldgate /run/systemd/network /run/systemd/netif/links /etc/systemd/network
touch /usr/lib/systemd/system/fieldgate-network.path

# A cable between the board and nothing.
ip link set lo up
ip link add plant type veth peer name other
# An address of its own comes seconds after the interface, and a browser ends all that it asks when one comes.
ip link set plant addrgenmode none
ip link set other addrgenmode none
ip link set plant up
ip link set other up
about=$(ip -o link show plant)
index=${about%%:*}
# An interface here has no card: what the kernel would say of one stands in for it.
card=/run/net/plant
mkdir -p "$card/device"
echo 1 | tee "$card/type" >"$card/carrier"
echo "$index" >"$card/ifindex"
echo "$about" | sed 's/.*link.ether \([^ ]*\).*/\1/' >"$card/address"
mount --bind /run/net /sys/class/net

# systemd-networkd: the first file by name counts. It sets an interface up, and tells its file, after it was asked to.
printf '[Match]\nName=plant\n\n[Network]\nAddress=10.99.0.1/24\n' >/etc/systemd/network/80-plant.network
mkdir "$FOLDER/bin"
cat >"$FOLDER/bin/networkd" <<EOF
set -eu
folders="/run/systemd/network /etc/systemd/network"
name=\$(ls \$folders | grep '\.network$' | sort | head -1)
for folder in \$folders; do [ ! -f "\$folder/\$name" ] || file=\$folder/\$name; done
ip addr flush dev plant scope global
ip addr add "\$(sed -n 's/^Address=//p' "\$file")" dev plant
printf 'NETWORK_FILE=%s\n' "\$file" >/run/systemd/netif/links/$index
EOF
cat >"$FOLDER/bin/networkctl" <<EOF
#!/bin/sh
[ "\$1" = reconfigure ] || exit 0
(sleep 1; sh "$FOLDER/bin/networkd") &
EOF
chmod +x "$FOLDER/bin/networkctl"
PATH=$FOLDER/bin:$PATH
sh "$FOLDER/bin/networkd"

# fieldgate-network.path and its service.
(
    mkdir /run/fieldgate-network
    while sleep 0.1; do
        if [ -e /run/fieldgate/network ]; then
            "$FIELDGATE" network take
            "$FIELDGATE" network try || true
            "$FIELDGATE" network return
        fi
    done
) &

"$FIELDGATE" run "$FOLDER/gateway.yaml" --state "$FOLDER/state" 2>"$FOLDER/log" &
CODE=
while [ -z "$CODE" ]; do
    sleep 0.1
    CODE=$(sed -n 's/.*code is //p' "$FOLDER/log")
done
export CODE
"$@"
