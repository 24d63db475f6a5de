"""webdriver.py: a headless Chromium, driven by chromedriver with nothing but Python's own library.

Invariant: what was started is ended, and nothing waits for longer than its limit.
"""
import base64
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

LIMIT = 30  # seconds, of any one request
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
KEYS = {"Left": "\ue012", "Up": "\ue013", "Right": "\ue014", "Down": "\ue015", "Home": "\ue011",
    "End": "\ue010", "Enter": "\ue007",
        "Tab": "\ue004", "Escape": "\ue00c", "Space": " "}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Browser:
    def __init__(self, chromium, chromedriver):
        self.folder = tempfile.mkdtemp(prefix="gradus-browser.")
        self.port = free_port()
        self.session = None
        with open(os.path.join(self.folder, "chromedriver.log"), "wb") as log:
            self.driver = subprocess.Popen(
                [chromedriver, "--port=%d" % self.port], stdout=log, stderr=log,
                stdin=subprocess.DEVNULL, start_new_session=True,
                env=dict(os.environ, HOME=self.folder))
        try:
            self.wait_for_driver()
            self.begin(chromium)
        except BaseException:
            self.close()
            raise

    def wait_for_driver(self):
        for _ in range(100):
            try:
                if self.ask("GET", "/status")["ready"]:
                    return
            except OSError:
                pass
            time.sleep(0.1)
        raise RuntimeError("chromedriver does not answer")

    def begin(self, chromium):
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic",
            "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
            "--hide-scrollbars", "--force-device-scale-factor=1",
                 "--user-data-dir=" + os.path.join(self.folder, "profile")]
        answer = self.ask("POST", "/session", {"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": {"binary": chromium, "args": flags},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            "timeouts": {"script": 20000, "pageLoad": 20000}}}})
        self.session = "/session/" + answer["sessionId"]
        # requests of the browser's own first page do not count
        self.do("POST", "/url", {"url": "about:blank"})
        self.console(), self.requests()

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT)
        try:
            text = json.dumps(body if body is not None else {}) if method == "POST" else None
            connection.request(method, path, text, {"Content-Type": "application/json"})
            value = json.loads(connection.getresponse().read().decode())["value"]
        finally:
            connection.close()
        if isinstance(value, dict) and value.get("error"):
            raise RuntimeError(value["error"] + ": " + value.get("message", "").split("\n")[0])
        return value

    def do(self, method, path, body=None):
        return self.ask(method, self.session + path, body)

    def close(self):
        if self.session:
            try:
                self.do("DELETE", "")
            except (OSError, RuntimeError, ValueError):
                pass
        try:
            os.killpg(self.driver.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.driver.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    # ---- what a reader does ----

    def open(self, path, width=1280, height=800, scheme="light"):
        """Opens a file from disk, in a window whose page is so large."""
        self.devtools("Emulation.setDeviceMetricsOverride", width=width, height=height,
            deviceScaleFactor=1, mobile=False)
        self.devtools("Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.do("POST", "/url", {"url": "file://" + os.path.abspath(path)})

    def run(self, script, *arguments):
        """The value that a piece of JavaScript returns; arguments[0] and so on are arguments."""
        return self.do("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def run_async(self, script, *arguments):
        """The same, of a piece that calls its last argument with it."""
        return self.do("POST", "/execute/async", {"script": script, "args": list(arguments)})

    def press(self, *keys):
        events = []
        for key in keys:
            value = KEYS.get(key, key)
            events += [{"type": "keyDown", "value": value}, {"type": "keyUp", "value": value}]
        self.do("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": events}]})

    def move(self, x, y, click=False):
        events = [{"type": "pointerMove", "duration": 0, "x": int(x), "y": int(y)}]
        if click:
            events += [{"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]
        mouse = {"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}}
        self.do("POST", "/actions", {"actions": [{**mouse, "actions": events}]})

    def box(self, selector):
        """Where the first such element is, after it was brought into sight: x, y, width, height."""
        return self.run("""
            const e = document.querySelector(arguments[0]);
            e.scrollIntoView({ block: 'nearest' });
            const b = e.getBoundingClientRect();
            return [b.x, b.y, b.width, b.height]""", selector)

    def click(self, selector):
        x, y, w, h = self.box(selector)
        self.move(x + w / 2, y + h / 2, click=True)

    def screenshot(self, path):
        with open(path, "wb") as f:
            f.write(base64.b64decode(self.do("GET", "/screenshot")))

    # ---- what happened meanwhile ----

    def devtools(self, command, **parameters):
        return self.do("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def console(self):
        """What the console said since it was last asked: one line a message."""
        log = self.do("POST", "/se/log", {"type": "browser"})
        return [entry["level"] + ": " + entry["message"] for entry in log]

    def requests(self):
        """The addresses that were asked for since they were last asked about."""
        found = []
        for entry in self.do("POST", "/se/log", {"type": "performance"}):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                found.append(message["params"]["request"]["url"])
        return found
