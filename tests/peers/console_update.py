"""A browser that updates a board, goes back, and restarts it.

Arguments as of console_look.py, without a code: there is a user. In the environment UPDATES, a folder with bundles. The
slots are files, and RAUC and the boot loader's variables are real; what a start of the board does is played here. The
last line of the output is a JSON object.
"""

import json
import os
import subprocess
import time
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

from console_look import BASE, SHOTS, SIZES, look, watch, wrong

USER, PASSWORD = "ada", "correct horse battery"
UPDATES = Path(os.environ["UPDATES"])
PAGE = f"{BASE}/#/system/update"
# RAUC writes a slot of some megabytes within seconds.
PATIENCE = 60_000


def log_in(page):
    page.goto(BASE)
    page.locator("input[name=user]").fill(USER)
    page.locator("input[name=password]").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_selector("nav")


def upload(page, name):
    page.get_by_label("The update").set_input_files(UPDATES / name)
    page.get_by_role("button", name="Upload").click()


def outlook(page, text):
    expect(page.locator("main")).to_contain_text(text, timeout=PATIENCE)


def every_size(browser, state, shot):
    for size, (width, height) in SIZES.items():
        for language in ("en", "de"):
            theme = "dark" if language == "de" else "light"
            context = browser.new_context(storage_state=state, viewport={"width": width, "height": height}, locale=language, color_scheme=theme)
            page = context.new_page()
            watch(page, f"update-{shot}-{size}-{language}")
            page.goto(PAGE)
            page.wait_for_selector("#h-restart")
            look(page, f"update-{shot}-{size}-{language}")
            context.close()


def refused(page):
    """What cannot be installed is said, and is gone."""
    for name, why in (("foreign.raucb", "another kind of board"), ("other.raucb", "another key"), ("noise.raucb", "it is cut, or was never signed"),
                      ("damaged.raucb", "damaged"), ("huge.raucb", "the data partition has room for")):
        upload(page, name)
        expect(page.locator("main")).to_contain_text(why, timeout=PATIENCE)
        expect(page.get_by_role("button", name="Install")).to_have_count(0)


def installed(browser, context, page):
    upload(page, "fieldgate-0.3.0.raucb")
    outlook(page, "Uploaded: 0.3.0, newer than what runs. Its signature is good.")
    every_size(browser, context.storage_state(), "uploaded")
    page.get_by_role("button", name="Discard").click()
    expect(page.get_by_role("button", name="Install")).to_have_count(0)
    upload(page, "fieldgate-0.3.0.raucb")
    page.get_by_role("button", name="Install").click()
    outlook(page, "The update is installed")
    outlook(page, "The next start takes slot B.")
    every_size(browser, context.storage_state(), "installed")


def chosen(page):
    """Back to what runs, and to the other again: the second press counts."""
    for slot in "AB":
        page.get_by_role("button", name="Start this one next").click()
        page.get_by_role("button", name=f"Really start slot {slot} next").click()
        outlook(page, f"The next start takes slot {slot}")


def fallen_back(browser, context, page):
    """As after three starts of the other slot that failed."""
    subprocess.run(["fw_setenv", "BOOT_B_LEFT", "0"], check=True)
    outlook(page, "Slot B did not come up, so slot A runs again.")
    every_size(browser, context.storage_state(), "back")


def restarted(page):
    for name, words, told in (("gateway", "restart fieldgate.service", "The gateway was restarted."), ("board", "reboot", "The board restarts")):
        page.get_by_role("button", name=f"Restart the {name}").click()
        page.get_by_role("button", name=f"Really restart the {name}").click()
        outlook(page, told)
        # It is told first, so that the page hears of it.
        end = time.monotonic() + 30
        while words not in (asked := (UPDATES / "systemctl").read_text()):
            assert time.monotonic() < end, asked
            page.wait_for_timeout(100)


def main():
    SHOTS.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 1440, "height": 900}, locale="en")
        page = context.new_page()
        watch(page, "update")
        log_in(page)
        page.goto(PAGE)
        outlook(page, "The next start takes slot A again.")
        refused(page)
        look(page, "update-refused")
        installed(browser, context, page)
        chosen(page)
        fallen_back(browser, context, page)
        restarted(page)
        browser.close()
    print(json.dumps({"wrong": wrong}))


main()
