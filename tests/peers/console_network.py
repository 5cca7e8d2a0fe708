"""A browser that changes the address of a board, confirms it, and another time does not.

Arguments as of console_look.py. The board is at 10.99.0.1, on the interface `plant`, in the browser's own namespace: what
is changed is real, and an address that is gone does not answer. The last line of the output is a JSON object.
"""

import json
import re
import socket
import time
from urllib.parse import urlsplit

from playwright.sync_api import Error, expect, sync_playwright

from console_look import BASE, CODE, SHOTS, SIZES, look, ours, watch, wrong

USER, PASSWORD = "ada", "correct horse battery"
PORT = urlsplit(BASE).port
ours.update(f"{address}:{PORT}" for address in ("10.99.7.5", "10.99.8.5"))
# The certificate is the board's own.
TRUST = {"ignore_https_errors": True}
TEXTS = {
    "en": ("Log in", re.compile("The old setting returns in (\\d+) s")),
    "de": ("Anmelden", re.compile("kehrt in (\\d+) s zurück")),
}


def at(address):
    return f"https://{address}:{PORT}/#/system/network"


def wait_for(address):
    """Until the board is there."""
    end = time.monotonic() + 150
    while True:
        try:
            socket.create_connection((address, PORT), timeout=2).close()
            return
        except OSError:
            assert time.monotonic() < end, f"the board does not return to {address}"
            time.sleep(0.2)


def visit(page, url):
    """Chromium ends what is under way when an address of its machine comes or goes, which may be part of a page."""
    for tried in range(5):
        try:
            page.goto(url)
            return page.wait_for_selector("main", timeout=10_000)
        except Error:
            if tried == 4:
                raise


def set_up(page):
    visit(page, BASE)
    page.get_by_label("Code").fill(CODE)
    page.get_by_label("User").fill(USER)
    page.locator("input[name=password]").fill(PASSWORD)
    page.locator("input[name=again]").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_selector("nav")


def log_in(page):
    """At another address the browser has no session."""
    page.locator("input[name=user]").fill(USER)
    page.locator("input[name=password]").fill(PASSWORD)
    page.keyboard.press("Enter")
    try:
        page.wait_for_selector("nav")
    except Error as error:
        raise AssertionError(page.locator("body").inner_text()) from error


def change(page, address, shot):
    """Wants an address for the interface, and follows the page to it."""
    visit(page, at("10.99.0.1" if shot == "first" else "10.99.7.5"))
    field = page.get_by_label("Address with the length of the network")
    field.fill("10.99.7.0/24")
    page.get_by_role("button", name="Try the setting").click()
    expect(page.locator("form .failed")).to_contain_text("no device may have")
    look(page, f"network-{shot}-refused")
    field.fill(f"{address}/24")
    page.get_by_role("button", name="Try the setting").click()
    link = page.get_by_role("link", name=address)
    expect(link).to_be_visible(timeout=15_000)
    look(page, f"network-{shot}-go")
    assert link.get_attribute("href") == at(address), link.get_attribute("href")
    link.click()
    page.wait_for_selector("input[name=password]", timeout=15_000)
    log_in(page)
    visit(page, at(address))
    left(page, "en")


def left(page, language):
    """Seconds that are left, and they become fewer."""
    status = page.locator("section[aria-labelledby=h-change] [role=status]")
    expect(status).to_have_text(TEXTS[language][1])

    def seconds():
        return int(TEXTS[language][1].search(status.inner_text())[1])

    before = seconds()
    assert 30 < before <= 90, before
    end = time.monotonic() + 10
    while seconds() >= before:
        assert time.monotonic() < end, f"{before} seconds stay"
        page.wait_for_timeout(200)


def every_size(browser, state, address, shot, wanted):
    for size, (width, height) in SIZES.items():
        for language in ("en", "de"):
            theme = "dark" if language == "de" else "light"
            context = browser.new_context(
                storage_state=state, viewport={"width": width, "height": height}, locale=language, color_scheme=theme, **TRUST
            )
            page = context.new_page()
            watch(page, f"network-{shot}-{size}-{language}")
            visit(page, at(address))
            page.wait_for_selector(wanted)
            look(page, f"network-{shot}-{size}-{language}")
            context.close()


def main():
    SHOTS.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 1440, "height": 900}, locale="en", **TRUST)
        page = context.new_page()
        watch(page, "network")
        set_up(page)
        change(page, "10.99.7.5", "first")
        every_size(browser, context.storage_state(), "10.99.7.5", "trying", "section[aria-labelledby=h-change]")
        page.get_by_role("button", name="Confirm, keep this setting").click()
        expect(page.locator("p.done")).to_contain_text("was confirmed (10.99.7.5)", timeout=15_000)
        expect(page.get_by_label("Address with the length")).to_have_value("10.99.7.5/24")
        # Above the interfaces, also after it has taken the place of what was tried.
        order = page.evaluate("document.querySelector('p.done').compareDocumentPosition(document.querySelector('main form'))")
        assert order & 4, "what became of the change is below the form"
        every_size(browser, context.storage_state(), "10.99.7.5", "kept", "p.done")

        change(page, "10.99.8.5", "second")
        # No one confirms. The page is at an address that goes, as the old one returns.
        old = context.new_page()
        watch(old, "network-returned")
        wait_for("10.99.7.5")
        visit(old, at("10.99.7.5"))
        expect(old.locator("main")).to_contain_text("The old setting is back")
        expect(old.get_by_label("Address with the length")).to_have_value("10.99.7.5/24")
        # It hears of the end if it asks in the moment before its address goes.
        expect(page.locator("main")).to_contain_text(re.compile("The time is over|The old setting is back"), timeout=15_000)
        look(page, "network-gone")
        every_size(browser, context.storage_state(), "10.99.7.5", "returned", "form")
        browser.close()
    print(json.dumps({"wrong": wrong}))


main()
