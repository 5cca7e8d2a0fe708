"""A browser that looks at what history keeps: consumption by hours, days and months, charts after a restart, and events.

Arguments as of console_look.py. The gateway has had a counter `meter/energy` for 40 days, which began again once, and a
point `meter/voltage` for half an hour before its last start. The meter was away for a minute, was told a setpoint, and
went and came eight times, for a reason that is HTML. The last line of the output is a JSON object.
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


def events(page):
    """Marks on the chart and the list below it, by mouse and by keyboard; a reason that is HTML is text."""
    page.goto(BASE + "/#/points/meter/voltage")
    marks = page.locator(".marks button")
    expect(marks.first).to_be_visible()
    boxes = [mark.bounding_box() for mark in marks.all()]
    assert all(box["width"] >= 24 and box["height"] >= 24 for box in boxes), boxes
    assert all(b["x"] - a["x"] >= 24 for a, b in zip(boxes, boxes[1:])), boxes
    away = page.locator('.marks button[aria-label*="no answer within 300 ms"], .marks button[aria-label*="2 events"]').first
    away.hover()
    tells = page.locator(".tells")
    expect(tells).to_contain_text("meter: does not answer · no answer within 300 ms")
    look(page, "events-marks")
    page.mouse.move(5, 5)
    expect(tells).to_have_count(0)
    many = page.locator('.marks button[aria-label^="16 events"]')
    many.focus()
    expect(tells).to_contain_text("<img src=x onerror=")
    expect(tells).to_contain_text("and 10 more before")
    page.keyboard.press("ArrowLeft")
    expect(tells).to_contain_text("setpoint was set to 65.5 · by vera at 10.0.0.7")
    page.keyboard.press("Escape")
    expect(tells).to_have_count(0)
    assert page.evaluate("document.querySelectorAll('.marks button[tabindex=\"0\"]').length") == 1
    lines = page.locator(".events li")
    assert lines.count() == 20, lines.count()
    page.get_by_role("button", name="Show all").click()
    assert lines.count() > 20, lines.count()
    expect(lines.filter(has_text="setpoint was set to 65.5")).to_have_count(1)
    look(page, "events-list")
    assert page.title() != "hit" and page.locator("img").count() == 0
    with page.expect_download() as told:
        page.locator("section[aria-labelledby=h-events] a[download]").click()
    assert open(told.value.path()).read().startswith("time,device,kind,name,value,text,by,left_out,clock")
    page.get_by_role("button", name="24 hours").click()
    expect(marks.first).to_be_visible()
    page.goto(BASE + "/#/devices/meter")
    expect(lines.first).to_be_visible()
    page.get_by_role("button", name="30 days").click()
    expect(lines.filter(has_text="The gateway was started").first).to_be_visible()
    look(page, "events-device")


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
            page.locator(".marks button").first.wait_for()
            page.locator(".marks button").last.focus()
            look(page, f"events-{size}-{language}")
            page.locator("#h-events").scroll_into_view_if_needed()
            page.wait_for_timeout(300)
            look(page, f"events-list-{size}-{language}")
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
        events(page)
        every_size(browser, context.storage_state())
        browser.close()
    print(json.dumps({"wrong": wrong}))


main()
