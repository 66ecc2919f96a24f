"""The quick start runs in a browser, and can be edited: ``in_browser.py PYODIDE``.

PYODIDE is the folder of a distribution, of the version that the page names, with NumPy's
wheel in it: npm's package has none.
"""

import functools
import html
import json
import queue
import re
import runpy
import shutil
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

ROOT = Path(__file__).resolve().parents[1]
PAGE = """<!doctype html>
<p><button id="try"></button><span></span></p>
{blocks}
<script src="try.js" data-pyodide="/pyodide/"></script>
<script>
const [button, told] = [document.getElementById("try"), document.querySelector("span")];
let edited = false;
document.addEventListener("ran", async () => {{
  const outputs = [...document.querySelectorAll("pre:not([contenteditable])")];
  const shown = outputs.map((pre) => pre.textContent.trim());
  const body = JSON.stringify([told.textContent, ...shown]);
  await fetch("/said", {{ method: "POST", body }});
  if (edited) return;
  const examples = document.querySelectorAll("pre[contenteditable]");
  examples[{number}].textContent = "k = 5\\nprint(k)";
  edited = true;
  button.click();
}});
button.click();
</script>
"""


BLOCK = '<div class="highlight-{}"><div class="highlight"><pre>{}</pre></div></div>'


def lay_out(folder: Path, pyodide: Path) -> list[str]:
    """Make a page with the examples, and what it needs; return what they are to print."""
    text = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(python|output)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    shown = [
        (kind, html.escape(code) if kind == "python" else "not run")
        for kind, code in blocks
    ]
    printed = [code.strip() for kind, code in blocks if kind == "output"]
    page = PAGE.format(
        blocks="\n".join(BLOCK.format(*each) for each in [*shown, ("python", "print(k)")]),
        number=len(printed),
    )
    (folder / "index.html").write_text(page, encoding="utf-8")
    script = ROOT / "docs" / "_static" / "try.js"
    lock = json.loads((pyodide / "pyodide-lock.json").read_text("utf-8"))
    assert f"/v{lock['info']['version']}/" in script.read_text("utf-8"), lock["info"]
    shutil.copy(script, folder)
    pack = runpy.run_path(str(ROOT / "docs" / "_ext" / "in_browser.py"))["pack"]
    pack(folder / "lookahead_ref.zip")
    (folder / "pyodide").symlink_to(pyodide.resolve())
    return printed


def check(said: "queue.Queue[Any]", printed: list[str]) -> None:
    """Compare what the page says, after each of two runs, with what it should."""
    message, *outputs, error = said.get(timeout=120)
    assert outputs == printed, (message, outputs)
    assert "NameError: name 'k' is not defined" in error, error
    message, *outputs = said.get(timeout=60)
    assert outputs == [*printed, "5"], (message, outputs)
    assert message.startswith("Ran."), message


def main(pyodide: Path) -> None:
    said: queue.Queue[Any] = queue.Queue()

    class Handler(SimpleHTTPRequestHandler):
        extensions_map: ClassVar = {".mjs": "text/javascript", ".js": "text/javascript"}

        def do_POST(self) -> None:
            said.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        printed = lay_out(folder, pyodide)
        handler = functools.partial(Handler, directory=name)
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            options = ["--headless", "--no-sandbox", "--disable-gpu"]
            options += [
                "--remote-debugging-port=0",
                f"--user-data-dir={folder / 'profile'}",
            ]
            browser = subprocess.Popen(
                ["chromium", *options, f"http://127.0.0.1:{server.server_port}/"],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                check(said, printed)
            finally:
                browser.terminate()
                browser.wait()
                server.shutdown()
    print("the quick start ran in the browser, and ran again when it was edited")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
