"""The scenarios of the web console, as a browser at the board's network sees it."""

import http.cookiejar
import json
import re
import ssl
import time
import urllib.error
import urllib.request

from machine import Card, expect

CODE = re.compile(r"^Setup code: ([A-Z0-9]{4}-[A-Z0-9]{4})$", re.M)
# QEMU's network forwards to the first by itself, and to the second because `machine.py` says so.
FIRST, SECOND = "10.0.2.15", "10.0.2.16"
NETWORK = "system/network"
UPDATE = "system/update"


class Browser:
    """One browser, which keeps its cookies and looks at no certificate: the board has made its own."""

    def __init__(self, port, user, host=FIRST):
        # What it has in its address bar; the port here is only the way there.
        self.host = host
        self.at, self.user = f"https://127.0.0.1:{port}", dict(zip(("user", "password"), user))
        trust = ssl.create_default_context()
        trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self.opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=trust), cookies)

    def log_in(self):
        return "user" in self.call("POST", "session", self.user)

    def page(self):
        with self.opener.open(f"{self.at}/", timeout=60) as answer:
            return answer.read().decode()

    def upload(self, update):
        return self.call("PUT", f"{UPDATE}/bundle", update, "application/octet-stream")

    def call(self, method, path, body=None, kind="application/json"):
        """What the interface answers; a problem as a text."""
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        headers = {"Sec-Fetch-Site": "same-origin", "Content-Type": kind, "Host": self.host}
        request = urllib.request.Request(f"{self.at}/api/v1/{path}", data, headers, method=method)
        try:
            with self.opener.open(request, timeout=600) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.read().decode()


def web_console(bench):
    """The console on 443, for the user of provisioning, and the board's address: tried, taken back, kept, and given back."""
    bench.set_up()
    with bench.power_on() as machine:
        first, second = Browser(machine.https, bench.user), Browser(machine.moved, bench.user, SECOND)
        page, seconds = machine.wait_for("the page", first.page)
        bench.note("from power to the page", f"{seconds:.0f} s")
        expect("<title>" in page, f"no page: {page[:200]}")
        with urllib.request.build_opener(Stay).open(f"http://127.0.0.1:{machine.http}/", timeout=60) as answer:
            expect(answer.headers["Location"].startswith("https://"), f"80 leads to {answer.headers['Location']}")
        machine.wait_for("a session", first.log_in, 60)
        machine.wait_for("values in the console", lambda: "demo" in str(first.call("GET", "points")), 60)
        change_address(bench, machine, first, second)
        machine.log_in()
        machine.off()


def first_user(bench):
    """Without a user of provisioning, the display's setup code makes the first one."""
    folder = bench.folder / "first-user"
    folder.mkdir(exist_ok=True)
    card = Card(bench.image, folder, bench.card.path.stat().st_size)
    card.put("fieldgate/provision.yaml", "".join(line for line in bench.provision().splitlines(True) if not line.startswith("mqtt:")))
    with bench.power_on(card) as machine:
        (code,), seconds = machine.wait_for("the setup code at the board", lambda: CODE.findall(machine.seen())[-1:])
        bench.note("from power to the setup code on the serial console", f"{seconds:.0f} s")
        browser = Browser(machine.https, ("ada", "correct horse battery"))
        machine.wait_for("the page", browser.page, 120)
        wrong = browser.call("POST", "setup", {**browser.user, "code": "AAAA-AAAA"})
        expect(isinstance(wrong, str), f"a wrong code was taken: {wrong}")
        made = browser.call("POST", "setup", {**browser.user, "code": code})
        expect(isinstance(made, dict), f"no first user: {made}")
        expect("demo" in str(browser.call("GET", "points")), "the first user sees no points")
        machine.wait_for("a display without a code", lambda: "Setup code" not in machine.seen().rsplit("MQTT gateway:", 1)[-1], 120)
        machine.log_in()
        machine.off()
    card.path.unlink()


class Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect."""

    def http_error_302(self, request, answer, code, message, headers):
        return answer

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def by_the_console(bench):
    """An update is uploaded to the console, installed and tried; then the board goes back to the slot before, and stays there."""
    bench.set_up()
    with bench.power_on() as machine:
        browser = Browser(machine.https, bench.user)
        machine.wait_for("a session", browser.log_in)
        machine.log_in()
        old = machine.slot()
        new = "A" if old == "B" else "B"
        machine.wait_for("slots in the console", lambda: len(browser.call("GET", UPDATE)["slots"]) == 2, 120)
        began = time.monotonic()
        taken = browser.upload(bench.bundle.read_bytes())
        expect(isinstance(taken, dict), f"the upload is refused: {taken}")
        machine.wait_for("the upload to be checked", lambda: "bundle" in browser.call("GET", UPDATE), 120)
        bench.note("uploading the update to the console", f"{time.monotonic() - began:.0f} s")
        line = machine.subscribe("fieldgate/demo/+", 30)
        expect(line, "while an update was uploaded no values come")
        began = time.monotonic()
        browser.call("POST", f"{UPDATE}/install", {})
        machine.wait_for("the installation", lambda: ended(browser, "install"), 900)
        bench.note("installing it", f"{time.monotonic() - began:.0f} s")
        view = browser.call("GET", UPDATE)
        expect(view["outlook"]["state"] == "switches", f"after the installation: {view}")
        expect(not machine.run("ls /data/update").strip(), "the upload stayed")
        slots = old
        for slot in (new, old):
            if slot == old:
                browser.call("POST", f"{UPDATE}/next", {"slot": old})
                machine.wait_for("the choice", lambda: ended(browser, "next"), 120)
            browser.call("POST", "system/restart", {"what": "board"})
            slots += slot
            machine.wait_for_slots(slots)
            machine.wait_for("a session", browser.log_in)
            machine.wait_for(f"slot {slot} to stay", lambda slot=slot: stays(browser, slot), 400)
        machine.log_in()
        machine.off()


def ended(browser, act):
    work = browser.call("GET", UPDATE).get("work", {})
    expect(work.get("state") != "refused", f"{act}: {work}")
    return (work.get("act"), work.get("state")) == (act, "done")


def stays(browser, slot):
    view = browser.call("GET", UPDATE)
    runs = [one["name"] for one in view["slots"] if one["running"]]
    return runs == [slot] and view["outlook"]["state"] == "stays"


def change_address(bench, machine, first, second):
    network = first.call("GET", NETWORK)
    names = [one["name"] for one in network["interfaces"] if one["wired"] and one["addresses"]]
    expect(network["managed"] and len(names) == 1, f"not one managed interface: {network}")
    fixed = {"interface": names[0], "address": f"{SECOND}/24", "gateway": "10.0.2.2", "dns": ["10.0.2.3"]}
    refused = first.call("PUT", NETWORK, {**fixed, "address": "10.0.2.0/24"})
    expect("no device may have" in str(refused), f"an address that no device may have: {refused}")

    def state(browser):
        return browser.call("GET", NETWORK)["change"]["state"]

    def at(browser, wanted):
        return browser.log_in() and state(browser) == wanted

    def confirm(browser):
        change = browser.call("GET", NETWORK)["change"]
        answer = browser.call("POST", f"{NETWORK}/confirm", {"id": change["id"]})
        expect(isinstance(answer, dict), f"a confirmation is refused: {answer}")

    first.call("PUT", NETWORK, fixed)
    _, seconds = machine.wait_for("the board at its new address", lambda: at(second, "trying"), 80)
    bench.note("from the wish to the page at the new address", f"{seconds:.0f} s")
    _, seconds = machine.wait_for("the old address again", lambda: at(first, "returned"), 300)
    bench.note("until it was back at the old one, unconfirmed", f"{seconds:.0f} s more")
    first.call("PUT", NETWORK, fixed)
    machine.wait_for("the board at its new address again", lambda: at(second, "trying"), 80)
    confirm(second)
    machine.wait_for("the change to be kept", lambda: state(second) == "kept", 60)
    second.call("PUT", NETWORK, {"interface": names[0], "dhcp": True})
    machine.wait_for("the board at the address that DHCP gives", lambda: at(first, "trying"), 80)
    confirm(first)
    machine.wait_for("that to be kept", lambda: state(first) == "kept", 60)
