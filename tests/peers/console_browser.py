"""A browser (Debian's Chromium, steered by Playwright) that uses the console as a person does.

Arguments: the address of a gateway that runs the demonstration's devices and has no user yet, its setup code, the file
axe.min.js, and a folder for screenshots. It sets the gateway up, logs in, watches a value change, writes one, and looks
at every page in both languages, three sizes and both themes. It fails on a request to another host, on a violation of
the content security policy, on an error of a script, on a finding of axe that is serious, on a page that is wider than
its screen, and on a text that is missing. The last line of its output is a JSON object of what was seen.
"""

import json
import os
import re
import subprocess
import sys
import time
import urllib.request

from playwright.sync_api import expect, sync_playwright

from console_look import BASE, CODE, SHOTS, SIZES, look, watch, wrong

USER, PASSWORD = "ada", "correct horse battery"
bytes_first = {}
PAGES = {
    "overview": "#/overview",
    "points": "#/points",
    "point": "#/points/plc/setpoint",
    "devices": "#/devices",
    "device": "#/devices/plc",
    "buses": "#/buses",
    "logs": "#/logs",
    "system": "#/system",
    "config": "#/system/config",
    "tools": "#/system/tools",
    "mqtt": "#/system/mqtt",
    "users": "#/system/users",
    "certificates": "#/system/certificates",
    "network": "#/system/network",
    "backup": "#/system/backup",
}
def set_up(page):
    """From the first start to the overview, by keyboard."""
    page.goto(BASE)
    page.wait_for_selector("form")
    look(page, "setup")
    page.get_by_label("Code").fill("WRON-GGGG")
    page.get_by_label("User").fill(USER)
    page.locator("input[name=password]").fill("short")
    page.locator("input[name=again]").fill("short")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("at least 10 characters")
    page.locator("input[name=password]").fill(PASSWORD)
    page.locator("input[name=again]").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("The code is wrong")
    look(page, "setup-wrong")
    page.get_by_label("Code").fill(CODE)
    page.get_by_label("Code").press("Enter")
    page.wait_for_selector("nav")
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")


def watch_and_write(page):
    """A living value, then one that is written, by keyboard alone."""
    page.goto(BASE + "/#/points")
    page.get_by_role("searchbox").fill("meter-1/voltage")
    cell = page.locator(".rows .space .c-value").first
    expect(page.locator(".rows .space .c-name").first).to_contain_text("meter-1")
    before = cell.inner_text()
    started = time.monotonic()
    while cell.inner_text() == before:
        assert time.monotonic() - started < 20, "the value does not move"
        page.wait_for_timeout(100)
    page.get_by_role("searchbox").fill("plc/setpoint")
    link = page.get_by_role("link", name="plc/setpoint")
    link.focus()
    page.keyboard.press("Enter")
    field = page.get_by_label("New value")
    field.focus()
    page.keyboard.type("42.5")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(page.get_by_role("dialog")).to_contain_text("42.5 °C")
    look(page, "write-confirm")
    page.get_by_role("dialog").get_by_role("button", name="Write").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".done")).to_contain_text("Read back: 42.5 °C.", timeout=15_000)
    expect(page.locator(".big .value")).to_contain_text("42.5", timeout=15_000)
    look(page, "write-done")
    # A value that the configuration forbids.
    field.fill("99")
    field.press("Enter")
    page.get_by_role("dialog").get_by_role("button", name="Write").click()
    expect(page.locator(".write .failed")).to_contain_text("Not written", timeout=15_000)
    look(page, "write-refused")
    # A switch has a choice instead.
    page.goto(BASE + "/#/points/plc/pump")
    page.get_by_label("New value").select_option(label="on")
    page.get_by_role("button", name="Write …").click()
    page.get_by_role("dialog").get_by_role("button", name="Write").click()
    expect(page.locator(".done")).to_contain_text("Written: on", timeout=15_000)


def edit(page):
    """A mistake that the gateway finds while it is typed and mends; then a change that is compared, applied, had back."""
    page.goto(BASE + "/#/system")
    page.get_by_role("link", name=re.compile("^Configuration")).click()
    content = page.locator(".cm-content")
    expect(page.get_by_text("no mistakes")).to_be_visible(timeout=15_000)
    # Nothing has moved a byte.
    expect(page.get_by_role("button", name="Review and apply")).to_be_disabled()
    content.click()
    page.keyboard.press("Control+End")
    page.keyboard.type("\nbroker_: {}")
    expect(page.locator(".mistakes")).to_contain_text("did you mean", timeout=15_000)
    look(page, "config-mistake")
    page.locator(".mistakes button").first.click()
    page.keyboard.press("F8")
    look(page, "config-mistake-place")
    page.get_by_role("button", name="Discard changes").click()
    expect(page.get_by_text("no mistakes")).to_be_visible(timeout=15_000)
    content.click()
    page.keyboard.press("Control+End")
    page.keyboard.type("\nuplinks: {x: {for")
    expect(page.locator(".cm-tooltip-autocomplete")).to_be_visible(timeout=15_000)
    page.wait_for_timeout(200)
    look(page, "config-completion")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Discard changes").click()
    content.click()
    page.keyboard.press("Control+Home")
    page.keyboard.type("# Changed in a browser.\n")
    expect(page.get_by_text("not saved yet")).to_be_visible()
    expect(page.get_by_text("no mistakes")).to_be_visible(timeout=15_000)
    # What is written outlives the page.
    page.reload()
    expect(content).to_contain_text("Changed in a browser", timeout=15_000)
    page.get_by_role("button", name="Review and apply").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("1 line added, 0 removed", timeout=15_000)
    look(page, "config-review")
    dialog.get_by_role("button", name="Save and apply").click()
    expect(page.locator("div.done")).to_contain_text("No device is affected", timeout=15_000)
    look(page, "config-applied")
    page.get_by_role("button", name="Versions").click()
    page.locator(".versions button").nth(1).click()
    expect(dialog).to_contain_text("0 lines added, 1 removed", timeout=15_000)
    look(page, "config-versions")
    dialog.get_by_role("button", name="Load into the editor").click()
    page.get_by_role("button", name="Review and apply").click()
    dialog.get_by_role("button", name="Save and apply").click()
    expect(page.locator("div.done")).to_contain_text("No device is affected", timeout=15_000)


def back_up(page):
    """A backup, looked at and taken back."""
    page.goto(BASE + "/#/system/backup")
    page.get_by_label("Password for private keys").fill("correct horse")
    page.get_by_label("Password again").fill("correct horse")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    file = SHOTS / "backup.tar.gz"
    download.value.save_as(file)
    assert re.fullmatch(r"fieldgate-.*\.tar\.gz", download.value.suggested_filename), download.value.suggested_filename
    page.get_by_label("File").set_input_files({"name": "x.gz", "mimeType": "application/gzip", "buffer": b"no archive"})
    page.get_by_role("button", name="Look at it").click()
    expect(page.get_by_role("alert")).to_contain_text("The gateway refused it", timeout=15_000)
    look(page, "backup-refused")
    page.get_by_label("File").set_input_files(file)
    page.get_by_role("button", name="Look at it").click()
    expect(page.locator(".seen")).to_contain_text("gateway.yaml", timeout=15_000)
    look(page, "backup-seen")
    page.get_by_role("button", name="Restore now").click()
    expect(page.locator("p.done")).to_be_visible(timeout=20_000)
    look(page, "backup-restored")


def messages(page):
    """A message by hand, found among the retained ones; and one where it may not be."""
    page.goto(BASE + "/#/system/mqtt")
    page.locator("input[name=topic]").fill("by/hand")
    page.locator("textarea[name=payload]").fill("21.5 °C")
    page.locator("input[name=retain]").check()
    page.get_by_role("button", name="Publish", exact=True).click()
    expect(page.locator(".done")).to_contain_text("by/hand", timeout=15_000)
    page.locator("input[name=topic]").fill("demo/plc/level")
    page.get_by_role("button", name="Publish", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("only the gateway", timeout=15_000)
    page.reload()
    page.get_by_role("button", name="by/").click()
    expect(page.locator(".tree .tree")).to_contain_text("21.5 °C", timeout=15_000)
    page.get_by_role("button", name="demo/").click()
    expect(page.locator(".tree .tree").nth(1)).to_contain_text("plc/", timeout=15_000)
    look(page, "mqtt-tree")


def people(page):
    """A user with a rule, made, changed and removed."""
    page.goto(BASE + "/#/system/users")
    page.get_by_role("button", name="Add a user").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("User").fill("otto")
    dialog.get_by_label("In the console").select_option("operate")
    dialog.locator("input[name=password]").fill("short")
    dialog.locator("input[name=again]").fill("short")
    dialog.locator("input[name=password]").evaluate("e => e.removeAttribute('minlength')")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert")).to_contain_text("at least 10 characters", timeout=15_000)
    dialog.locator("input[name=password]").fill("otto's password")
    dialog.locator("input[name=again]").fill("otto's password")
    dialog.get_by_label("what these rules permit").check()
    dialog.get_by_role("button", name="Add a rule").click()
    dialog.get_by_label("Topic").fill("demo/plc/+/set")
    dialog.get_by_label("Access").select_option("deny")
    assert dialog.get_by_label("In the console").input_value() == "operate"
    look(page, "users-edit")
    dialog.get_by_role("button", name="Save").click()
    expect(page.locator("tbody")).to_contain_text("demo/plc/+/set", timeout=15_000)
    expect(page.locator("tbody")).to_contain_text("operate")
    page.get_by_role("button", name="Change otto").click()
    dialog.get_by_label("Name").fill("grafana")
    dialog.locator(".tokens select").select_option("view")
    dialog.get_by_label("Last day").fill("2999-12-31")
    dialog.get_by_role("button", name="Make a token").click()
    expect(dialog.get_by_role("status")).to_contain_text("fg_", timeout=15_000)
    secret = dialog.locator(".secret").inner_text()
    look(page, "token-made")
    answer = urllib.request.urlopen(urllib.request.Request(BASE + "/api/v1/overview", headers={"Authorization": f"Bearer {secret}"}))
    assert answer.status == 200 and "set-cookie" not in answer.headers
    dialog.get_by_label("Name").fill("grafana")
    dialog.get_by_role("button", name="Make a token").click()
    expect(dialog.get_by_role("alert")).to_contain_text("already", timeout=15_000)
    dialog.get_by_role("button", name="Remove the token grafana").click()
    expect(dialog.locator(".tokens li")).to_have_count(0, timeout=15_000)
    dialog.get_by_role("button", name="Remove …").click()
    dialog.get_by_role("button", name="Really remove otto").click()
    expect(page.locator("tbody tr")).to_have_count(1, timeout=15_000)


def certificates(page):
    """A certificate that is made, one that does not fit, and one that does."""
    page.goto(BASE + "/#/system/certificates")
    expect(page.get_by_text("There is no certificate yet.")).to_be_visible(timeout=15_000)
    names = page.locator("textarea[name=names]")
    names.fill(names.input_value() + "\nhttps://wrong")
    page.get_by_role("button", name="Make and use it").click()
    expect(page.get_by_role("alert")).to_contain_text("neither the name of a host nor an address", timeout=15_000)
    names.fill("plant7.local 192.168.7.5")
    page.get_by_role("button", name="Make and use it").click()
    expect(page.locator("div.done")).to_be_visible(timeout=15_000)
    expect(page.locator("section", has=page.locator("#h-now"))).to_contain_text("plant7.local, 192.168.7.5")
    expect(page.locator("section", has=page.locator("#h-now"))).to_contain_text("days left")
    look(page, "certificate-made")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download ca.pem").click()
    ca = SHOTS / "ca.pem"
    download.value.save_as(ca)
    assert "BEGIN CERTIFICATE" in ca.read_text()
    pairs = {}
    for name in ("one", "two"):
        key, certificate = SHOTS / f"{name}.key", SHOTS / f"{name}.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "10",
            "-subj", f"/CN={name}.plant.example", "-addext", f"subjectAltName=DNS:{name}.plant.example",
            "-keyout", key, "-out", certificate], check=True, capture_output=True)
        pairs[name] = (certificate, key)
    page.get_by_label("Certificate (PEM)").set_input_files(pairs["one"][0])
    page.get_by_label("Private key (PEM)").set_input_files(pairs["two"][1])
    page.get_by_role("button", name="Check and use it").click()
    expect(page.get_by_role("alert")).to_contain_text('not the key of the certificate "one.plant.example"', timeout=15_000)
    look(page, "certificate-refused")
    page.get_by_label("Private key (PEM)").set_input_files(pairs["one"][1])
    page.get_by_role("button", name="Check and use it").click()
    expect(page.locator("section", has=page.locator("#h-now"))).to_contain_text("one.plant.example", timeout=15_000)
    page.get_by_role("button", name="Make and use it").click()
    expect(page.locator("section", has=page.locator("#h-now"))).to_contain_text("renews it by itself", timeout=15_000)


def compare(page):
    """Several points in one chart."""
    page.goto(BASE + "/#/points/meter-1/voltage_l1")
    if page.locator(".failed").count():
        page.goto(BASE + "/#/points/plc/level")
    expect(page.locator(".trend canvas")).to_be_visible(timeout=30_000)
    page.get_by_label("Add another point").fill("plc/flow")
    page.wait_for_timeout(500)
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator(".legend li")).to_have_count(2)
    page.mouse.move(600, 600)
    look(page, "compare")
    page.get_by_role("button", name="Remove plc/flow from the chart").click()
    expect(page.locator(".legend li")).to_have_count(1)


def commission(page):
    """A scan that finds a unit without a device, which is written into the configuration; a raw read; a test."""
    page.goto(BASE + "/#/system/tools")
    page.locator("select[name=bus]").first.select_option("spare")
    page.locator("input[name=units]").fill("1-3")
    page.locator("input[name=timeout]").fill("200")
    page.get_by_role("button", name="Scan", exact=True).click()
    expect(page.locator("h3")).to_contain_text("2 units answer", timeout=30_000)
    look(page, "scan-found")
    page.get_by_label("Name of unit 1").fill("spare/meter")
    page.get_by_label("Type of unit 1").select_option("sdm630")
    page.get_by_role("button", name="Write into the configuration").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("1 line added, 0 removed", timeout=15_000)
    look(page, "scan-mistake")
    expect(dialog.get_by_role("button", name="Save and apply")).to_be_disabled()
    dialog.get_by_role("button", name="Cancel").click()
    page.get_by_label("Name of unit 1").fill("spare-1")
    page.get_by_role("button", name="Write into the configuration").click()
    look(page, "scan-change")
    dialog.get_by_role("button", name="Save and apply").click()
    expect(page.locator("div.done")).to_contain_text("Devices added: spare-1", timeout=20_000)
    look(page, "scan-applied")
    read = page.locator("section", has=page.locator("#h-read"))
    read.locator("select[name=bus]").select_option("plant")
    read.locator("input[name=address]").fill("10")
    read.locator("input[name=count]").fill("3")
    read.get_by_role("button", name="Read", exact=True).click()
    expect(read.locator("pre")).to_contain_text("hex", timeout=15_000)
    look(page, "read")
    page.goto(BASE + "/#/devices/plc")
    page.get_by_role("button", name="Test now").click()
    expect(page.locator(".done")).to_contain_text("Everything was read", timeout=30_000)
    expect(page.locator("pre.output")).to_contain_text("setpoint")
    look(page, "test")


def every_page(browser, state):
    for size, (width, height) in SIZES.items():
        for language in ("en", "de"):
            theme = "dark" if (size, language) in (("desk", "de"), ("phone", "en")) else "light"
            context = browser.new_context(
                storage_state=state, viewport={"width": width, "height": height}, locale=language, color_scheme=theme
            )
            page = context.new_page()
            watch(page, f"{size}-{language}")
            for name, place in PAGES.items():
                page.goto(BASE + "/" + place)
                page.wait_for_selector("main h1")
                page.wait_for_selector({
                    "overview": ".cards", "points": ".rows .space .row", "point": ".big .value", "devices": "tbody tr",
                    "device": ".rows .space .row", "buses": ".card canvas", "logs": ".log li",
                    "system": ".choice", "config": "[role=status] .q-good", "certificates": "#h-put", "backup": "input[type=file]", "network": "main p.muted", "tools": "select[name=bus]", "mqtt": ".tree li", "users": "tbody tr",
                }[name])
                page.wait_for_timeout(700)
                assert page.evaluate("document.documentElement.lang") == language
                look(page, f"{name}-{size}-{language}-{theme}")
            context.close()


def pictures(browser, state):
    """The pictures of the README, which `tests/console-pictures` takes over."""
    folder = SHOTS / "pictures"
    folder.mkdir(exist_ok=True)
    context = browser.new_context(storage_state=state, viewport={"width": 1200, "height": 800}, locale="en", color_scheme="light")
    page = context.new_page()
    watch(page, "pictures")
    chart = "#/points/plc/level"
    for name, place, ready in [("overview", "#/overview", ".cards"), ("points", "#/points", ".rows .space .row"), ("chart", chart, ".trend canvas")]:
        page.goto(BASE + "/" + place)
        page.wait_for_selector(ready)
        page.wait_for_timeout(1_500)
        page.screenshot(path=folder / f"{name}.png")
    context.close()


def log_in(browser):
    """The login page, a wrong password, and logging out."""
    for language, size in (("en", "desk"), ("de", "phone")):
        width, height = SIZES[size]
        context = browser.new_context(viewport={"width": width, "height": height}, locale=language)
        page = context.new_page()
        watch(page, "login")
        page.goto(BASE)
        page.wait_for_selector("form")
        look(page, f"login-{size}-{language}")
        page.locator("input[name=user]").fill(USER)
        page.locator("input[name=password]").fill("wrong")
        page.keyboard.press("Enter")
        page.wait_for_selector(".failed")
        page.locator("input[name=password]").fill(PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_selector("nav")
        page.locator("button.quiet").click()
        page.wait_for_selector("form")
        context.close()


def first_page(browser, state):
    """What a browser loads for its first page, in bytes as they come over the wire."""
    context = browser.new_context(storage_state=state)
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    session.on("Network.loadingFinished", lambda event: bytes_first.update({event["requestId"]: event["encodedDataLength"]}))
    page.goto(BASE)
    page.wait_for_selector(".cards")
    page.wait_for_timeout(500)
    context.close()
    return sum(bytes_first.values())


def main():
    SHOTS.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 1440, "height": 900}, locale="en")
        page = context.new_page()
        watch(page, "first")
        set_up(page)
        if after := os.environ.get("FIELDGATE_PICTURES_AFTER"):
            # Nothing but the pictures. A chart has a curve when it has run for a while.
            time.sleep(float(after))
            pictures(browser, context.storage_state())
            sys.exit("the pictures were taken; nothing else was looked at")
        watch_and_write(page)
        edit(page)
        back_up(page)
        commission(page)
        messages(page)
        people(page)
        certificates(page)
        compare(page)
        state = context.storage_state()
        cookie = state["cookies"][0]
        assert cookie["httpOnly"] and cookie["sameSite"] == "Strict", cookie
        size = first_page(browser, state)
        every_page(browser, state)
        pictures(browser, state)
        log_in(browser)
        browser.close()
    print(json.dumps({"wrong": wrong, "first_page_bytes": size}))


main()
