// Two comforts; everything works without them: a button that copies the link, and a hint that steps forward when the
// link to the app led nowhere.
for (const button of document.querySelectorAll("button[data-copy]")) {
  if (!navigator.clipboard) continue;
  button.closest("[hidden]")?.removeAttribute("hidden");
  const label = button.textContent;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = button.dataset.copied;
    button.addEventListener(
      "blur",
      () => {
        button.textContent = label;
      },
      { once: true },
    );
  });
}

// When the app opens, this page goes to the background.
const patienceMilliseconds = 1500;
for (const link of document.querySelectorAll('.sign-up a[href^="dcaccount:"]')) {
  link.addEventListener("click", () => {
    setTimeout(() => {
      if (document.visibilityState !== "visible") return;
      const hint = link.closest(".sign-up").querySelector(".hint");
      hint.classList.add("wanted");
      hint.setAttribute("role", "status");
    }, patienceMilliseconds);
  });
}
