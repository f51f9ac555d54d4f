"""A headless Chromium, driven over a pipe by its own protocol: no driver, no port, no package."""

import contextlib
import json
import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
# Wider than the window, and not inside of what scrolls or is cut off on purpose.
WIDE = """[...document.querySelectorAll("body *")].filter(e => !e.closest(".scroll, nav, .skip, .sr, svg, #tip"))
  .map(e => [e, e.getBoundingClientRect()]).filter(([e, r]) => r.width && (r.right > innerWidth + 0.5 || r.left < -0.5))
  .map(([e, r]) => `${e.tagName}.${e.className} ${r.left} ${r.right} ${e.textContent.slice(0, 30)}`)"""
CONTRAST = """(() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = colour => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
  };
  const over = (top, below) => below.map((v, i) => i < 3 ? top[3] * top[i] + (1 - top[3]) * v : 1);
  const behind = e => {
    const layers = [];
    for (; e; e = e.parentElement) layers.push(rgba(getComputedStyle(e).backgroundColor));
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const weak = [];
  for (const e of document.querySelectorAll("body *")) {
    const said = [...e.childNodes].filter(n => n.nodeType === 3).map(n => n.textContent.trim()).join("");
    if (!said || ["SCRIPT", "STYLE"].includes(e.tagName) || e.closest("#tip, .skip") || !e.getClientRects().length) continue;
    const ground = behind(e), ink = over(rgba(getComputedStyle(e).color), ground);
    const [high, low] = [light(ink), light(ground)].sort((a, b) => b - a), ratio = (high + 0.05) / (low + 0.05);
    if (ratio < 4.5) weak.push(`${e.tagName}.${e.className} ${said.slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
  return weak;
})()"""
# The protocol's pipes are the file descriptors 3 and 4.
_ON_3_AND_4 = """import os, sys
read, write = os.dup2(int(sys.argv[1]), 100), os.dup2(int(sys.argv[2]), 101)
os.dup2(read, 3); os.dup2(write, 4)
os.execv(sys.argv[3], sys.argv[3:])"""


def path():
    """Where a Chromium is; None: there is none."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Browser:
    """One page of a browser. `events` are those that came, by their methods."""

    def __init__(self, executable, directory):
        ours, theirs = os.pipe(), os.pipe()
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--no-first-run"]
        flags += ["--disable-background-networking", "--disable-component-update", f"--user-data-dir={directory}"]
        wrapped = [sys.executable, "-c", _ON_3_AND_4, str(theirs[0]), str(ours[1]), executable, *flags]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(wrapped, pass_fds=(theirs[0], ours[1]), **quiet)
        os.close(theirs[0])
        os.close(ours[1])
        self._read, self._write = os.fdopen(ours[0], "rb"), os.fdopen(theirs[1], "wb")
        self._buffer, self._id, self._session, self.events = b"", 0, None, []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        self._id += 1
        message = {"id": self._id, "method": method, "params": parameters}
        self._write.write(json.dumps(message | ({"sessionId": self._session} if self._session else {})).encode() + b"\0")
        self._write.flush()
        while (answer := self._next()).get("id") != self._id:
            self.events.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def _next(self):
        while b"\0" not in self._buffer:
            read = self._read.read1(2**20)
            assert read, "the browser is gone"
            self._buffer += read
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def open(self, file, *, width=1200, height=900):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        self.events.clear()
        self.call("Page.navigate", url=f"file://{file}")
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next())

    def run(self, script):
        """The value of an expression in the page."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def press(self, key, text=""):
        for kind in ("keyDown", "keyUp"):
            code = {"Tab": 9, "Enter": 13, "Home": 36, "ArrowLeft": 37, "ArrowRight": 39}.get(key, 0)
            said = {"text": text} if text and kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **said)

    def close(self):
        with contextlib.suppress(OSError):
            self._write.close()
        self._read.close()
        self._process.terminate()
        self._process.wait(10)
