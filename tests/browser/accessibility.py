"""WCAG 2.2 AA as far as a program can check it: in both sizes, in each theme that a system asks for, and zoomed in."""

from axe_playwright_python.sync_playwright import Axe

from tests.browser.conftest import DESKTOP, PHONE

# A transition caught half way has colours of its own, so nothing moves while axe looks.
STILL = {"color_scheme": "light", "forced_colors": "none", "reduced_motion": "reduce"}
THEMES = {
    "dark": {**STILL, "color_scheme": "dark"},
    "forced colours": {**STILL, "forced_colors": "active"},
    "forced colours, dark": {**STILL, "forced_colors": "active", "color_scheme": "dark"},
}
# 1280 × 1024 at 400 %: nothing may need scrolling both ways (SC 1.4.10).
ZOOMED = {"width": 320, "height": 256}
# axe leaves the rules of WCAG 2.2 out unless they are asked for, such as the size of what is clicked (SC 2.5.8).
_EVERY_RULE = {"rules": {"target-size": {"enabled": True}}}
_CONTRAST = {"runOnly": ["color-contrast"]}
_ONLY_VIOLATIONS = {"resultTypes": ["violations"]}  # details of passed rules would take as long as the rules

_SIDEWAYS = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
# What is cut off, or scrolls sideways inside of a page that does not. A label of one pixel is for screen readers.
_CUT_OFF = """() => [...document.querySelectorAll("body *:not(.sr, .skip, select, textarea, input)")]
    .filter((one) => one.checkVisibility() && getComputedStyle(one).overflowX !== "visible")
    .filter((one) => one.clientWidth > 1 && one.scrollWidth > one.clientWidth + 1)
    .map((one) => one.outerHTML.slice(0, 120))"""


def problems_in_one_look(page, turn):
    """What ``problems`` finds in one size and one theme, which ``turn`` chooses, and zoomed in.

    Four consecutive turns are the four themes, two of them on a phone.
    """
    size = page.viewport_size
    name, theme = [("light", STILL), *THEMES.items()][turn % 4]
    page.emulate_media(**theme)
    page.set_viewport_size((DESKTOP, PHONE)[turn // 2 % 2])
    lines = _axe(page, name, _EVERY_RULE) + _zoomed(page)
    page.emulate_media(**STILL)
    page.set_viewport_size(size)
    return lines


def problems(page):
    """What is wrong with the page as it stands, as lines that say where."""
    size, lines = page.viewport_size, []
    page.emulate_media(**STILL)
    for name, one_size in (("desktop", DESKTOP), ("phone", PHONE)):
        page.set_viewport_size(one_size)
        lines += _axe(page, name, _EVERY_RULE)
    for name, theme in THEMES.items():
        page.emulate_media(**theme)
        lines += _axe(page, name, _CONTRAST)
    page.emulate_media(**STILL)
    lines += _zoomed(page)
    page.set_viewport_size(size)
    return lines


def _zoomed(page):
    page.set_viewport_size(ZOOMED)
    lines = ["zoomed: wider than the window"] if page.evaluate(_SIDEWAYS) else []
    return lines + [f"zoomed: cut off: {html}" for html in page.evaluate(_CUT_OFF)]


def _axe(page, name, options):
    return [
        f"{name}: {violation['id']}: {node['html'][:160]} {node['failureSummary'][:200]}"
        for violation in Axe().run(page, options=options | _ONLY_VIOLATIONS).response["violations"]
        for node in violation["nodes"]
    ]


# A radio button that is not chosen is reached by the arrow keys.
_WANTED = """() => { window.wanted = [...document.querySelectorAll("a[href], button, input, select, textarea, summary")]
    .filter((one) => one.checkVisibility({ visibilityProperty: true }) && !one.closest("[inert]"))
    .filter((one) => !one.disabled && one.type !== "hidden" && (one.type !== "radio" || one.checked)); }"""
# Of what has the focus: its place in the list, and what is wrong with how it shows that.
_FOCUSED = """() => {
    const one = document.activeElement, { outlineStyle, outlineWidth } = getComputedStyle(one);
    const { left, right, top, bottom } = one.getBoundingClientRect();
    const points = [[left + right, top + bottom], [2 * left + 8, 2 * top + 8], [2 * right - 8, 2 * bottom - 8]];
    const hits = points.map(([x, y]) => document.elementFromPoint(x / 2, y / 2)).filter(Boolean);
    const is_seen = hits.some((hit) => one.contains(hit) || hit.contains(one) && hit.matches("label, a, button"));
    const is_marked = outlineStyle !== "none" && parseFloat(outlineWidth) >= 2;
    const faults = [is_seen ? [] : ["nobody sees it"], is_marked ? [] : ["the focus does not show"]].flat();
    return [window.wanted.indexOf(one), faults.map((fault) => `${fault}: ${one.outerHTML.slice(0, 120)}`)];
}"""
_MOST_STOPS = 200


def keyboard_problems(page):
    """What Tab does not reach (SC 2.1.1), and where nobody sees that it is there (SC 2.4.7, 2.4.11), zoomed in."""
    size, lines, reached = page.viewport_size, [], set()
    page.set_viewport_size(ZOOMED)
    page.evaluate("document.activeElement.blur()")
    page.evaluate(_WANTED)
    for _ in range(_MOST_STOPS):
        page.keyboard.press("Tab")
        place, faults = page.evaluate(_FOCUSED)
        if place in reached:
            break
        if place >= 0:
            reached.add(place)
            lines += faults
    missed = page.evaluate("window.wanted.map((one) => one.outerHTML.slice(0, 120))")
    page.set_viewport_size(size)
    return lines + [f"Tab never comes to it: {html}" for place, html in enumerate(missed) if place not in reached]
