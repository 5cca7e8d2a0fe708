"""The scenario of the Raspberry Pi's own pins, as QEMU's registers show them."""

from machine import Failed, expect
from raspi3b import ALT5, INPUT, OUTPUT

CONTACT, FAN, SIREN, LAMP = 17, 18, 22, 27
PINS = """version: 1
gateway: {name: fieldgate}
broker: {listen: {tcp: 1883}, users: users.yaml}
defaults: {heartbeat: 60s}
devices:
  demo:
    gpio: {chip: pinctrl-bcm2835}
    points:
      contact: {in: GPIO17, pull: up, active_low: true, enum: {0: open, 1: closed}}
      siren: {out: GPIO22, active_low: true, initial: 0, safe: 0, pulse_max: 30s}
      lamp: {out: GPIO27, initial: 0, safe: 0}
  cabinet:
    gpio: {}
    points:
      fan: {pwm: 0, frequency: 1000, initial: 30, safe: 100}
  missing:
    gpio: {}
    points:
      fan: {pwm: 3, frequency: 1000, initial: 30}
"""


def pins(bench):
    """On the Raspberry Pi's own pins: commands move them, a contact is shown, and what the end of the daemon does to them."""
    if bench.board != "raspi3b":
        print("   only on raspi3b")
        return
    bench.card.put("fieldgate/gateway.yaml", PINS)
    with bench.power_on() as machine:
        pin = machine.outside
        machine.wait_for("the lamp", lambda: machine.subscribe("fieldgate/demo/lamp"))
        machine.log_in()
        lines = machine.run("grep -oE 'GPIO(17|22|27) .*' /sys/kernel/debug/gpio").splitlines()
        bench.note("the kernel on the lines", "; ".join(" ".join(line.split()) for line in lines))
        commands(bench, machine, pin)
        pwm(bench, machine, pin)
        contact(bench, machine, pin)
        ends(bench, machine, pin)
        machine.off()


def pwm(bench, machine, pin):
    """The board has two channels: the third of them is refused, and nothing else suffers."""
    expect(pin.function(FAN) == ALT5, "the overlay did not give GPIO18 to the PWM")
    for percent in (55, 0, 100, 30):
        answer = machine.command("fieldgate/cabinet/fan", str(percent))
        expect('"status":"ok"' in answer and pin.duty() == percent, f"{answer}, but the registers say {pin.duty()} %")
    bench.note("PWM channel 0 followed 55, 0, 100, 30", f"its registers now say {pin.duty():.0f} %")
    refused = "".join(machine.subscribe("fieldgate/missing/$state") or [])
    expect("PWM channel 3" in refused and "offline" in refused, f"a channel that is not there: {refused}")
    bench.note("PWM channel 3", refused.split('"error":')[-1][:110])


def shows(machine, topic, text):
    return any(text in line for line in machine.subscribe(topic) or [])


def moved(machine, pin, number, function, level, why):
    """Waits for what QEMU's registers of the pins say, which no program in the machine stands between."""
    def look():
        return (pin.function(number), pin.level(number)) == (function, level)
    try:
        return machine.wait_for(why, look, 120)
    except Failed:
        raise Failed(f"{why}: pin {number} has function {pin.function(number)}, level {pin.level(number)}") from None


def commands(bench, machine, pin):
    moved(machine, pin, LAMP, OUTPUT, 0, "the lamp at the start")
    moved(machine, pin, SIREN, OUTPUT, 1, "the siren, which a low level switches on, at the start")
    for payload, level in (("1", 1), ("0", 0), ("on", 1)):
        answer = machine.command("fieldgate/demo/lamp", payload)
        expect('"status":"ok"' in answer and f'"readback":{"true" if level else "false"}' in answer, f"the answer: {answer}")
        expect((pin.function(LAMP), pin.level(LAMP)) == (OUTPUT, level), f"answered before GPIO27 was {level}")
    bench.note("GPIO27 followed 1, 0 and on", answer)
    machine.wait_for("the lamp's value", lambda: shows(machine, "fieldgate/demo/lamp", '"value":true'))
    answer = machine.command("fieldgate/demo/siren", '{"pulse": "20s"}')
    expect('"status":"ok"' in answer, f"the answer: {answer}")
    moved(machine, pin, SIREN, OUTPUT, 0, "the siren's pulse")
    _, seconds = moved(machine, pin, SIREN, OUTPUT, 1, "the end of the siren's pulse")
    bench.note("GPIO22 went low, and high again by itself", f"after {seconds:.0f} s of a pulse of 20 s")
    expect('"status":"error"' in machine.command("fieldgate/demo/siren", '{"pulse": "45s"}'), "a pulse that is too long was taken")


def contact(bench, machine, pin):
    """The emulated pins have no edges: the daemon looks at a level when it starts."""
    for level, shown in ((1, "open"), (0, "closed"), (1, "open")):
        pin.drive(CONTACT, level)
        machine.run("systemctl restart fieldgate")
        machine.wait_for(f"the contact {shown}", lambda: shows(machine, "fieldgate/demo/contact", f'"value":"{shown}"'))
    expect(pin.function(CONTACT) == INPUT, "the contact's pin is no input")
    bench.note("GPIO17 high, low, high from outside", "the contact open, closed, open")


def ends(bench, machine, pin):
    """What becomes of an output that is on."""
    def switch_on():
        for point, value in (("demo/lamp", "1"), ("cabinet/fan", "55")):
            machine.wait_for(f"{point} on", lambda: '"status":"ok"' in machine.command(f"fieldgate/{point}", value))
        moved(machine, pin, LAMP, OUTPUT, 1, "the lit lamp")

    switch_on()
    machine.run("systemctl stop fieldgate")
    # An emulated pin keeps its level when it becomes an input: a 0 was written before.
    expect((pin.function(LAMP), pin.level(LAMP)) == (INPUT, 0), "an orderly end did not set the lamp's safe level")
    expect((pin.function(SIREN), pin.level(SIREN)) == (INPUT, 1), "an orderly end did not set the siren's safe level")
    expect(pin.duty() == 100, f"an orderly end did not set the fan's safe duty: {pin.duty()} %")
    machine.run("systemctl start fieldgate")
    switch_on()
    machine.run("(sleep 5; kill -9 $(pidof fieldgate)) >/dev/null 2>&1 &")
    moved(machine, pin, LAMP, INPUT, 1, "the pin let go after kill -9")
    expect(pin.duty() == 55, f"kill -9 made the fan's duty {pin.duty()} %")
    _, seconds = moved(machine, pin, LAMP, OUTPUT, 0, "the lamp set to `initial` after kill -9")
    machine.wait_for("the fan set to `initial` after kill -9", lambda: pin.duty() == 30)
    bench.note("kill -9 with GPIO27 on", f"an input at once, an output at 0 again after {seconds:.0f} s; the PWM went on until then")
    switch_on()
    machine.run("systemctl reboot", check=False)
    moved(machine, pin, LAMP, INPUT, 0, "the lamp off before the board starts again")
    machine.wait_for("a second start", lambda: machine.seen().count("fieldgate: slot") == 2)
    expect((pin.function(LAMP), pin.level(LAMP)) == (INPUT, 0), "the boot loader has moved the pin")
    machine.wait_for("the lamp after the second start", lambda: shows(machine, "fieldgate/demo/lamp", '"value":false'))
    moved(machine, pin, LAMP, OUTPUT, 0, "the lamp after the second start")
    bench.note("reboot with GPIO27 on", "off before the end, an input until the daemon starts, then off")
    machine.log_in()
