"""What a browser test of the console looks for on every page.

Arguments: the address of a gateway, its setup code, the file axe.min.js, and a folder for screenshots. `wrong` gets a
line for each request to another host, violation of the content security policy, error of a script, serious finding of
axe, page that is wider than its screen, and text that is missing.
"""

import pathlib
import re
import sys
from urllib.parse import urlsplit

BASE, CODE, AXE, SHOTS = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3]), pathlib.Path(sys.argv[4])
SIZES = {"phone": (360, 740), "tablet": (820, 1180), "desk": (1440, 900)}
# A key of the texts that has no text; not a file that is called like one.
MISSING = re.compile(r"\b(part|mqtt|users|certificates|tokens|config|scan|read|test|tools|backup|system|diff|editor|points|point|quality|state|write|door|setup|overview|devices|buses|logs|level|problem|counters|history|trend|events|event|figures|role|network|update)\.(?!yaml\b)[a-z_.]+\b")

wrong = []
# Hosts that a page may ask.
ours = {urlsplit(BASE).netloc}


def watch(page, name):
    page.on("pageerror", lambda error: wrong.append(f"{name}: {error}"))
    page.on("request", lambda request: seen(request, name))
    page.on("console", lambda message: said(message, name))
    page.add_init_script(
        "addEventListener('securitypolicyviolation', (e) => console.error('CSP ' + e.violatedDirective + ' ' + e.blockedURI))"
    )


def seen(request, name):
    parts = urlsplit(request.url)
    if parts.scheme != "data" and parts.netloc not in ours:
        wrong.append(f"{name}: a request to {request.url}")


def said(message, name):
    # What the gateway refuses as it should is a failed resource to the browser.
    if message.type == "error" and "Failed to load resource" not in message.text:
        wrong.append(f"{name}: {message.text}")


def look(page, name, shot=True):
    """What every page has to be."""
    page.wait_for_timeout(150)
    if shot:
        page.screenshot(path=SHOTS / f"{name}.png")
    text = page.inner_text("body")
    # What quotes the configuration may name any key.
    for quoted in page.locator(".mistakes").all_inner_texts():
        text = text.replace(quoted, "")
    for missing in MISSING.finditer(text):
        wrong.append(f"{name}: the text {missing.group()} is missing")
    if "undefined" in text or "NaN" in text or "[object" in text:
        wrong.append(f"{name}: {text!r}")
    wide = page.evaluate("document.scrollingElement.scrollWidth - innerWidth")
    if wide > 0:
        wrong.append(f"{name}: {wide} pixels wider than the screen")
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    for violation in found["violations"]:
        if violation["impact"] in ("serious", "critical"):
            nodes = [node["html"][:160] + " " + node["failureSummary"][:200] for node in violation["nodes"][:3]]
            wrong.append(f"{name}: axe: {violation['id']}: {violation['help']}: {nodes}")
