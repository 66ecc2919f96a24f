// A button on each block of code that copies it.
document.querySelectorAll("div.highlight > pre").forEach((block) => {
  const button = document.createElement("button");
  button.className = "copy";
  button.type = "button";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    const lines = block.textContent.replace(/^(\$|>>>) /gm, "");
    await navigator.clipboard.writeText(lines.trimEnd());
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
  block.parentElement.append(button);
});
