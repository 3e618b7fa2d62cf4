"""A headless Chromium, driven over its debugging pipe; and pages to be looked at in it."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from asrkit.model_file import Recognizer

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# It reads commands from descriptor 3 and writes answers to 4; neither may be what becomes them.
_LAUNCH = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3]]
for end, number in zip(ends, (3, 4)):
    os.dup2(end, number)
os.execvp(sys.argv[3], sys.argv[3:])
"""
_KEYS = {" ": "Space", "/": "Slash", "+": "Equal", "-": "Minus"}


class Browser:
    """One page of a Chromium; `console` holds what it logged and every address that it asked for.

    The protocol is a JSON object a message, each ended by a null byte.
    """

    def __init__(self, program: str, profile: Path) -> None:
        from_here, to_here = os.pipe(), os.pipe()
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-c", _LAUNCH, str(from_here[0]), str(to_here[1]), program),
                *("--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu"),
                *("--disable-dev-shm-usage", "--mute-audio", "--hide-scrollbars"),
                *("--autoplay-policy=no-user-gesture-required", f"--user-data-dir={profile}"),
                *("--window-size=1280,1000", "about:blank"),
            ],
            pass_fds=(from_here[0], to_here[1]),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(from_here[0])
        os.close(to_here[1])
        self._commands = os.fdopen(from_here[1], "wb", buffering=0)
        self._answers = os.fdopen(to_here[0], "rb")
        self._rest = b""
        self._number = 0
        self._session = ""
        self.console: list[str] = []
        self.asked_for: list[str] = []
        targets = self._call("Target.getTargets")["targetInfos"]
        (page,) = [each["targetId"] for each in targets if each["type"] == "page"]
        attached = self._call("Target.attachToTarget", targetId=page, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._call(f"{domain}.enable")

    def close(self) -> None:
        """End the program."""
        self._session = ""
        self._call("Browser.close")
        self._commands.close()
        self._process.wait(30)
        self._answers.close()

    def open(self, path: Path, fragment: str = "", **media: str) -> None:
        """Load a file anew; `media` are features such as `prefers_color_scheme="dark"`."""
        features = [{"name": k.replace("_", "-"), "value": v} for k, v in media.items()]
        self._call("Emulation.setEmulatedMedia", features=features)
        self._call("Page.navigate", url="about:blank")
        self.wait("location.href === 'about:blank'")
        self.console, self.asked_for = [], []
        self._call("Page.navigate", url=path.as_uri() + (f"#{fragment}" if fragment else ""))
        self.wait("location.protocol === 'file:' && document.readyState === 'complete'")

    def run(self, expression: str) -> Any:
        """Evaluate JavaScript on the page and give its JSON value."""
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, condition: str) -> None:
        """Wait until a condition holds on the page."""
        until = time.monotonic() + 10
        while not self.run(condition):
            assert time.monotonic() < until, f"never came true: {condition}"
            time.sleep(0.01)

    def texts(self, selector: str) -> list[str]:
        """Give the text of each element that a selector finds."""
        return self.run(
            f"[...document.querySelectorAll({json.dumps(selector)})].map(e => e.textContent)"
        )

    def click(self, selector: str) -> None:
        """Click an element and let the page answer."""
        self.run(f"document.querySelector({json.dumps(selector)}).click()")
        self.settle()

    def press(self, key: str) -> None:
        """Press a key, as somebody at the keyboard would, and let the page answer."""
        code = {"key": key, "code": _KEYS.get(key, f"Key{key.upper()}" if len(key) == 1 else key)}
        text = {"text": key} if len(key) == 1 else {}
        self._call("Input.dispatchKeyEvent", type="keyDown", **code, **text)
        self._call("Input.dispatchKeyEvent", type="keyUp", **code)
        self.settle()

    def settle(self) -> None:
        """Wait until what has been asked of the page is shown."""
        self._call(
            "Runtime.evaluate",
            expression="new Promise(done => requestAnimationFrame(() => setTimeout(done)))",
            awaitPromise=True,
        )

    def emulate(self, medium: str) -> None:
        """Lay the page out for `print` or `screen`."""
        self._call("Emulation.setEmulatedMedia", media=medium)

    def screenshot(self, path: Path, width: int = 1280, height: int = 1000) -> None:
        """Save what is to be seen as PNG."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._call("Emulation.setDeviceMetricsOverride", **size)
        self.settle()
        shot = self._call("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(shot["data"]))

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._commands.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            self._note(answer.get("method", ""), answer.get("params", {}))

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            some = self._answers.read1(1 << 20)
            assert some, f"Chromium has ended with {self._process.poll()}"
            self._rest += some
        message, self._rest = self._rest.split(b"\0", 1)
        return json.loads(message)

    def _note(self, event: str, params: dict[str, Any]) -> None:
        if event == "Runtime.consoleAPICalled":
            self.console.append(str(params["args"]))
        elif event == "Runtime.exceptionThrown":
            self.console.append(str(params["exceptionDetails"]))
        elif event == "Log.entryAdded":
            self.console.append(params["entry"]["text"])
        elif event == "Network.requestWillBeSent":
            self.asked_for.append(params["request"]["url"][:100])


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        pytest.skip(f"no Chromium: none of {', '.join(_NAMES)} is on the PATH")
    browser = Browser(program, tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory, tone_recognizer: Recognizer) -> Path:
    """A model file that recognises tones."""
    from asrkit.model_file import save_recognizer

    path = tmp_path_factory.mktemp("model") / "tones.asr"
    save_recognizer(path, tone_recognizer)
    return path
