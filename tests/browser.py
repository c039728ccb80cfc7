"""Chromium without a window, driven over a pipe by its DevTools protocol; needs no package besides the browser."""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

SECONDS = 90  # until the browser counts as stuck
_ARGUMENTS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions"),
    "--remote-debugging-pipe",
]
_KEYS = {
    "Enter": {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"},
    "Tab": {"key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9},
    "Escape": {"key": "Escape", "code": "Escape", "windowsVirtualKeyCode": 27},
    "ArrowLeft": {"key": "ArrowLeft", "code": "ArrowLeft", "windowsVirtualKeyCode": 37},
    "ArrowUp": {"key": "ArrowUp", "code": "ArrowUp", "windowsVirtualKeyCode": 38},
    "ArrowRight": {"key": "ArrowRight", "code": "ArrowRight", "windowsVirtualKeyCode": 39},
    "ArrowDown": {"key": "ArrowDown", "code": "ArrowDown", "windowsVirtualKeyCode": 40},
    "End": {"key": "End", "code": "End", "windowsVirtualKeyCode": 35},
}


def chromium() -> str | None:
    """The browser's program, if there is one."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Page:
    """One open page. `complaints` are errors and warnings of its console, exceptions and failed requests, as text."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._out, self._in = to_browser, from_browser
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self.complaints: list[str] = []
        self.requests: list[str] = []
        (target,) = [t for t in self._targets() if t["type"] == "page"][:1]
        attached = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def _targets(self):
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            found = self.call("Target.getTargets")["targetInfos"]
            if any(target["type"] == "page" for target in found):
                return found
        raise TimeoutError("the browser opened no page")

    def call(self, method: str, **parameters):
        """The result of one command of the protocol."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            self._note(answer)

    def _read(self):
        end = time.monotonic() + SECONDS
        while b"\0" not in self._buffer:
            if not select.select([self._in], [], [], max(0.0, end - time.monotonic()))[0]:
                raise TimeoutError("the browser does not answer")
            if not (chunk := os.read(self._in, 1 << 20)):
                raise RuntimeError("the browser has ended")
            self._buffer += chunk
        text, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(text)

    def _note(self, event) -> None:
        method, about = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            details = about["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Runtime.consoleAPICalled" and about["type"] in ("error", "warning", "assert"):
            self.complaints.append(str(about["args"]))
        elif method == "Log.entryAdded" and about["entry"]["level"] in ("error", "warning"):
            self.complaints.append(about["entry"]["text"])
        elif method == "Network.loadingFailed":
            self.complaints.append(about["errorText"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(about["request"]["url"])

    def open(
        self, path: Path, *, width: int = 1280, height: int = 900, dark: bool = False, phone: bool = False
    ) -> None:
        """Load a file and wait until it says that it is drawn."""
        self.call(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}],
        )
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )
        self.call("Page.navigate", url=path.resolve().as_uri())
        self.wait("document.documentElement?.dataset.drawn")

    def run(self, expression: str):
        """The value of a JavaScript expression, promises awaited."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise RuntimeError(f"{expression}: {details.get('exception', {}).get('description') or details['text']}")
        return answer["result"].get("value")

    def wait(self, expression: str):
        """The expression's value once it is true."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            if value := self.run(expression):
                return value
            self.run("new Promise(requestAnimationFrame)")
        raise TimeoutError(f"never true: {expression}; {self.complaints}")

    def click(self, x: float, y: float) -> None:
        """Move to a place of the window and press there."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def click_on(self, selector: str) -> None:
        """Press in the middle of an element, which is brought into view."""
        box = self.run(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            "e.scrollIntoView({block: 'center'}); const b = e.getBoundingClientRect();"
            "return [b.left + b.width / 2, b.top + b.height / 2]; })()"
        )
        self.click(*box)

    def press(self, *names: str) -> None:
        """Press keys one after the other."""
        for name in names:
            text = {} if "text" in _KEYS[name] else {"type": "rawKeyDown"}
            self.call("Input.dispatchKeyEvent", **{"type": "keyDown", **text, **_KEYS[name]})
            self.call("Input.dispatchKeyEvent", type="keyUp", **{k: v for k, v in _KEYS[name].items() if k != "text"})

    def type(self, text: str) -> None:
        """Into what has the focus."""
        self.call("Input.insertText", text=text)

    def text(self, selector: str) -> str:
        """What a person reads in the first element that matches."""
        return self.run(f"document.querySelector({json.dumps(selector)}).innerText")

    def picture(self, path: Path, *, whole: bool = False, clip: str | None = None) -> None:
        """Save what is to be seen, the whole page, or the element that matches `clip`, as PNG."""
        options = {}
        if clip is not None:
            box = self.run(
                f"(() => {{ const b = document.querySelector({json.dumps(clip)}).getBoundingClientRect();"
                "return {x: b.left + scrollX, y: b.top + scrollY, width: b.width, height: b.height, scale: 1}; })()"
            )
            options = {"clip": box, "captureBeyondViewport": True}
        elif whole:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            options = {"clip": {**size, "scale": 1}, "captureBeyondViewport": True}
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", **options)["data"]))


def _pipe() -> tuple[int, int]:
    """The ends to read and to write, of numbers above those that the browser uses."""
    ends = os.pipe()
    moved = fcntl.fcntl(ends[0], fcntl.F_DUPFD_CLOEXEC, 10), fcntl.fcntl(ends[1], fcntl.F_DUPFD_CLOEXEC, 10)
    for end in ends:
        os.close(end)
    return moved


# The browser listens at descriptor 3 and speaks at 4: the pipes are put there before a process becomes it.
_EXEC = "import os, sys; _, r, w, *c = sys.argv; os.dup2(int(r), 3); os.dup2(int(w), 4); os.execv(c[0], c)"


@contextmanager
def browser(profile: Path):
    """A page of a browser of its own, whose profile is a new folder; it ends with the block."""
    program = chromium()
    assert program is not None, "ask chromium() first"
    read, to_browser = _pipe()
    from_browser, write = _pipe()
    command = [program, *_ARGUMENTS, f"--user-data-dir={profile}", "about:blank"]
    with (profile.parent / "chromium.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", _EXEC, str(read), str(write), *command],
            pass_fds=(read, write),
            stdout=log,
            stderr=log,
        )
    os.close(read)
    os.close(write)
    try:
        yield Page(to_browser, from_browser)
    finally:
        os.close(to_browser)  # it ends when nobody speaks to it any more
        os.close(from_browser)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
