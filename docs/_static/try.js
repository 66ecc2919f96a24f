// Runs the examples of a page in the browser, by Pyodide, where the reader asks for it.
"use strict";
{
  const button = document.getElementById("try");
  const here = document.currentScript.src;
  const data = document.currentScript.dataset;
  const PYODIDE = data.pyodide ?? "https://cdn.jsdelivr.net/pyodide/v0.27.7/full/";
  const told = button.nextElementSibling;
  const say = (text) => (told.textContent = text);

  async function started() {
    say("Fetching Python, NumPy and this library…");
    const { loadPyodide } = await import(`${PYODIDE}pyodide.mjs`);
    const [python, library] = await Promise.all([
      loadPyodide({ indexURL: PYODIDE }),
      fetch(new URL("lookahead_ref.zip", here)).then((answer) => answer.arrayBuffer()),
    ]);
    await python.loadPackage("numpy");
    const site = python.runPython("import site; site.getsitepackages()[0]");
    python.unpackArchive(library, "zip", { extractDir: site });
    return python;
  }

  // A block and what it printed, as the page shows them.
  function cells() {
    return [...document.querySelectorAll("div.highlight-python")].map((block) => {
      const code = block.querySelector("pre");
      const next = block.nextElementSibling;
      let output = next?.classList.contains("highlight-output") ? next.querySelector("pre") : null;
      if (output === null) {
        output = document.createElement("pre");
        output.hidden = true;
        block.append(output);
      }
      code.contentEditable = "plaintext-only";
      code.spellcheck = false;
      code.addEventListener("keydown", (event) => {
        if (event.key === "Enter" && (event.shiftKey || event.ctrlKey)) {
          event.preventDefault();
          button.click();
        }
      });
      return { code, output };
    });
  }

  async function run(python, examples) {
    const names = python.toPy({ __name__: "__main__" });
    for (const [number, { code, output }] of examples.entries()) {
      say(`Running ${number + 1} of ${examples.length}…`);
      const lines = [];
      python.setStdout({ batched: (line) => lines.push(line) });
      try {
        await python.runPythonAsync(code.innerText, { globals: names, filename: `example ${number + 1}` });
      } catch (error) {
        lines.push(error.message.trim());
        output.dataset.failed = "";
      }
      output.textContent = lines.join("\n");
      output.hidden = lines.length === 0;
      if ("failed" in output.dataset) break;
    }
    names.destroy();
  }

  let ready = null;
  button.addEventListener("click", async () => {
    button.disabled = true;
    const first = ready === null;
    try {
      ready ??= Promise.all([started(), cells()]);
      const [python, examples] = await ready;
      for (const { output } of examples) delete output.dataset.failed;
      await run(python, examples);
      button.textContent = "Run again";
      say("Ran. Click into an example to change it; Shift+Enter runs all of them again.");
    } catch (error) {
      if (first) ready = null;
      say(`Cannot run here: ${error.message} (it needs a network, and a page that is served.)`);
    }
    button.disabled = false;
    document.dispatchEvent(new Event("ran"));
  });
}
