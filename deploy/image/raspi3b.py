"""What QEMU's `raspi3b` needs from outside, and what it shows there: its network adapter and its pins.

Knows neither the image nor the gateway. Sources: QEMU's `hw/usb/hcd-dwc2.c` and `hw/gpio/bcm2835_gpio.c`;
Broadcom's BCM2835 ARM Peripherals, sections 6.1 and 9.6 (registers of the pins and of the PWM).
"""

import json
import socket

# The card's device tree, of the kernel in the image.
DEVICE_TREE = "bcm2837-rpi-3-b.dtb"
# U-Boot's last words before the kernel.
HANDED_OVER = "Starting kernel ..."
GPIO = 0x3F200000
GPFSEL, GPSET, GPCLR, GPLEV = GPIO, GPIO + 0x1C, GPIO + 0x28, GPIO + 0x34
PWM = 0x3F20C000
PWM_CONTROL, PWM_RANGE, PWM_DATA = PWM, PWM + 0x10, PWM + 0x14
# What a pin is for; ALT5 of GPIO18 and GPIO19 is the PWM.
INPUT, OUTPUT, ALT5 = 0, 1, 2


class Outside:
    """The two lines into QEMU: one to plug devices, one to the registers of the board."""

    def __init__(self, netdev):
        self.netdev = netdev
        self.plugged_for = 0
        self.monitor, self.monitor_end = socket.socketpair()
        self.bus, self.bus_end = socket.socketpair()
        for line in (self.monitor, self.bus):
            line.settimeout(60)
        self.greeted = False
        self.from_monitor, self.from_bus = self.monitor.makefile("r"), self.bus.makefile("r")

    def ends(self):
        """The descriptors that QEMU has to inherit."""
        return [self.monitor_end.fileno(), self.bus_end.fileno()]

    def arguments(self):
        monitor, bus = self.ends()
        return ["-chardev", f"socket,id=monitor,fd={monitor}", "-mon", "chardev=monitor,mode=control",
                "-chardev", f"socket,id=bus,fd={bus}", "-qtest", "chardev:bus", "-qtest-log", "none"]

    def started(self):
        """QEMU has the other ends, so that reading ends with it."""
        self.monitor_end.close()
        self.bus_end.close()

    def close(self):
        for line in (self.from_monitor, self.from_bus, self.monitor, self.bus):
            line.close()

    def look_at(self, console):
        """Plugs the network adapter in once the kernel has the board, after each start.

        QEMU's USB controller reports what is plugged in once after a reset, and the boot loader, which looks at USB
        for a keyboard, takes that report. A real controller reports it anew when the kernel resets it; QEMU's
        does nothing then. So the adapter is plugged after the boot loader, as any USB device may be.
        """
        starts = console.count(HANDED_OVER)
        if starts == self.plugged_for:
            return
        if self.plugged_for:
            self.command("device_del", id="adapter")
        # Its port is the board's only one: behind a hub, plugging would be the hub's matter.
        self.command("device_add", driver="usb-net", id="adapter", netdev=self.netdev, port="1")
        self.plugged_for = starts

    def command(self, name, **arguments):
        if not self.greeted:
            self.greeted = True
            self.command("qmp_capabilities")
        self.monitor.sendall(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n")
        for line in self.from_monitor:
            answer = json.loads(line)
            if "error" in answer:
                raise OSError(f"QEMU refuses {name}: {answer['error']['desc']}")
            if "return" in answer:
                return
        raise OSError(f"QEMU ended before it answered {name}")

    def word(self, address, value=None):
        """A register of the board as its processor would read or, with a value, write it."""
        request = f"readl {address:#x}" if value is None else f"writel {address:#x} {value:#x}"
        self.bus.sendall(request.encode() + b"\n")
        answer = self.from_bus.readline().split()
        if not answer or answer[0] != "OK":
            raise OSError(f"QEMU refuses {request}: {answer}")
        return int(answer[1], 0) if value is None else None

    def level(self, pin):
        """The level of a pin, whatever drives it: 0 or 1."""
        return self.word(GPLEV + pin // 32 * 4) >> pin % 32 & 1

    def function(self, pin):
        """What a pin is for: INPUT, OUTPUT, or a function of the chip."""
        return self.word(GPFSEL + pin // 10 * 4) >> pin % 10 * 3 & 7

    def duty(self):
        """The duty of PWM channel 0 in percent; nothing if it is off."""
        if not self.word(PWM_CONTROL) & 1:
            return None
        return 100 * self.word(PWM_DATA) / self.word(PWM_RANGE)

    def drive(self, pin, level):
        """Gives an input a level, as a contact would.

        QEMU lets nothing drive a pin from outside, but keeps one level for each pin, whether input or output:
        so the register that sets outputs sets it. It raises no edge, as QEMU's pins have none.
        """
        self.word((GPSET if level else GPCLR) + pin // 32 * 4, 1 << pin % 32)
