"""A browser that looks at what history keeps: consumption by hours, days and months, and charts after a restart.

Arguments as of console_look.py. The gateway has had a counter `meter/energy` for 40 days, which began again once, and a
point `meter/voltage` for half an hour before its last start. The last line of the output is a JSON object.
"""

import json

from playwright.sync_api import expect, sync_playwright

from console_look import BASE, CODE, SHOTS, SIZES, look, watch, wrong


def set_up(page):
    page.goto(BASE)
    page.get_by_label("Code").fill(CODE)
    page.keyboard.press("Enter")
    page.wait_for_selector("nav")


def painted(page, selector):
    """How many columns of a canvas have something on them, and how many columns it has."""
    return page.evaluate(
        """(selector) => {
          const canvas = document.querySelector(selector);
          const {width, height} = canvas;
          const data = canvas.getContext("2d").getImageData(0, 0, width, height).data;
          const line = getComputedStyle(document.documentElement).getPropertyValue("--line").trim();
          const [r, g, b] = [1, 3, 5].map((at) => parseInt(line.slice(at, at + 2), 16));
          let columns = 0;
          for (let x = 0; x < width; x += 1)
            for (let y = 0; y < height; y += 1) {
              const at = 4 * (y * width + x);
              if (data[at + 3] && Math.abs(data[at] - r) + Math.abs(data[at + 1] - g) + Math.abs(data[at + 2] - b) < 24) {
                columns += 1;
                break;
              }
            }
          return [columns, width];
        }""",
        selector,
    )


def consumption(page):
    """The table and the bars of a counter, by day, month and hour."""
    page.goto(BASE + "/#/points/meter/energy")
    rows = page.locator("section[aria-labelledby=h-used] tbody tr")
    expect(rows.first).to_be_visible()
    days = rows.count()
    assert 30 <= days <= 33, days
    whole = rows.nth(2)
    expect(whole).to_contain_text("24 kWh")
    expect(page.locator("section[aria-labelledby=h-used]")).to_contain_text("1 reset")
    columns, width = painted(page, "section[aria-labelledby=h-used] canvas")
    assert columns > width / 2, (columns, width)
    with page.expect_download() as told:
        page.locator("section[aria-labelledby=h-used] a[download]").click()
    text = open(told.value.path()).read()
    assert text.startswith("from,to,device,point,unit,used,"), text
    assert len(text.splitlines()) == days + 1, text
    page.get_by_role("button", name="Month", exact=True).click()
    expect(page.locator("section[aria-labelledby=h-used] thead")).to_contain_text("Month")
    assert 2 <= rows.count() <= 3, rows.count()
    page.get_by_role("button", name="Hour", exact=True).click()
    expect(page.locator("section[aria-labelledby=h-used] thead")).to_contain_text("Hour")
    expect(rows.nth(4)).to_contain_text("1 kWh")


def courses(page):
    """Half an hour of readings from before the start: in the last hour, and seen in 7 days."""
    page.goto(BASE + "/#/points/meter/voltage")
    chart = ".u-over"
    page.wait_for_selector(chart)
    canvas = ".uplot canvas"
    for _ in range(40):
        columns, width = painted(page, canvas)
        if columns > width / 3:
            break
        page.wait_for_timeout(500)
    assert columns > width / 3, f"the last hour begins anew: {columns} of {width} columns"
    for name, suffix, begin in (
        ("CSV", "csv", b"time,device,point,value,quality,clock,unit\r\n"),
        ("JSON lines", "jsonl", b'{"time":"'),
        ("Parquet", "parquet", b"PAR1"),
        ("InfluxDB lines", "line", b"fieldgate,device=meter,point=voltage,unit=V value="),
    ):
        with page.expect_download() as told:
            page.get_by_role("link", name=name, exact=True).click()
        assert told.value.suggested_filename == f"meter.{suffix}", told.value.suggested_filename
        data = open(told.value.path(), "rb").read()
        assert data.startswith(begin) and len(data) > 1000, (name, data[:100])
    page.get_by_role("button", name="7 days").click()
    page.get_by_role("button", name="Show the whole range").wait_for()
    page.wait_for_timeout(500)
    columns, width = painted(page, canvas)
    assert columns > width / 3, f"7 days with half an hour of readings: {columns} of {width} columns"
    look(page, "history-narrow")
    page.get_by_role("button", name="Show the whole range").click()
    page.get_by_role("button", name="Show the part with readings").wait_for()
    page.wait_for_timeout(500)
    columns, width = painted(page, canvas)
    assert 4 <= columns < width / 10, f"the whole range: {columns} of {width} columns"
    look(page, "history-whole")


def every_size(browser, state):
    for size, (width, height) in SIZES.items():
        for language in ("en", "de"):
            theme = "dark" if language == "de" else "light"
            context = browser.new_context(
                storage_state=state, viewport={"width": width, "height": height}, locale=language, color_scheme=theme
            )
            page = context.new_page()
            watch(page, f"history-{size}-{language}")
            page.goto(BASE + "/#/points/meter/energy")
            page.wait_for_selector("section[aria-labelledby=h-used] tbody tr")
            page.evaluate("document.querySelector(\"#h-used\").scrollIntoView()")
            page.wait_for_timeout(700)
            look(page, f"consumption-{size}-{language}")
            page.goto(BASE + "/#/points/meter/voltage")
            page.wait_for_selector(".u-over")
            page.evaluate("document.querySelector(\"#h-trend\").scrollIntoView()")
            look(page, f"downloads-{size}-{language}")
            context.close()


def main():
    SHOTS.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 1440, "height": 900}, locale="en", accept_downloads=True)
        page = context.new_page()
        watch(page, "history")
        set_up(page)
        consumption(page)
        courses(page)
        every_size(browser, context.storage_state())
        browser.close()
    print(json.dumps({"wrong": wrong}))


main()
