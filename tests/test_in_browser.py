"""README's example runs in a browser, by Pyodide, and can be edited there.

Needs Chromium, and in LOOKAHEAD_PYODIDE the folder of npm's package ``pyodide``.
"""

import functools
import json
import os
import queue
import re
import runpy
import shutil
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

ROOT = Path(__file__).parents[1]
PYODIDE = os.environ.get("LOOKAHEAD_PYODIDE")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
PAGE = """<!doctype html>
<p><button id="try"></button><span></span></p>
<div class="highlight-python"><div class="highlight"><pre>{code}</pre></div></div>
<div class="highlight-output"><div class="highlight"><pre>as printed once</pre></div></div>
<div class="highlight-python"><div class="highlight"><pre>print(k)</pre></div></div>
<script src="try.js" data-pyodide="/pyodide/" data-packages=""></script>
<script>
const [button, told] = [document.getElementById("try"), document.querySelector("span")];
let edited = false;
document.addEventListener("ran", async () => {{
  const shown = [...document.querySelectorAll("pre")].map((pre) => pre.textContent);
  const body = JSON.stringify([told.textContent, ...shown]);
  await fetch("/said", {{ method: "POST", body }});
  if (edited) return;
  document.querySelectorAll("pre")[2].textContent = "k = 5\\nprint(k)";
  edited = true;
  button.click();
}});
button.click();
</script>
"""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, queue.Queue[Any]]]:
    said: queue.Queue[Any] = queue.Queue()

    class Handler(SimpleHTTPRequestHandler):
        extensions_map: ClassVar = {".mjs": "text/javascript", ".js": "text/javascript"}

        def do_POST(self) -> None:
            said.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    handler = functools.partial(Handler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", said
        server.shutdown()


@pytest.mark.skipif(None in (PYODIDE, CHROMIUM), reason="needs chromium and pyodide")
def test_readmes_example_runs_in_a_browser_and_can_be_edited(
    tmp_path: Path, served: tuple[str, queue.Queue[Any]]
) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    page = PAGE.format(code=code.replace("<", "&lt;"))
    (tmp_path / "index.html").write_text(page, encoding="utf-8")
    shutil.copy(ROOT / "docs" / "_static" / "try.js", tmp_path)
    runpy.run_path(str(ROOT / "docs" / "_ext" / "in_browser.py"))["pack"](
        tmp_path / "lookahead_ref.zip"
    )
    with zipfile.ZipFile(tmp_path / "lookahead_ref.zip", "a") as archive:
        archive.write(Path(__file__).with_name("in_browser_numpy.py"), "numpy.py")
    (tmp_path / "pyodide").symlink_to(str(PYODIDE))

    address, said = served
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]
    with subprocess.Popen(
        [str(CHROMIUM), *options, profile, address],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as browser:
        try:
            message, _, printed, _, error = said.get(timeout=90)
            assert printed == "[1. 2.]", message
            assert "NameError: name 'k' is not defined" in error
            message, _, printed, _, mended = said.get(timeout=30)
            assert (printed, mended) == ("[1. 2.]", "5")
            assert "Ran." in message
        finally:
            browser.terminate()
