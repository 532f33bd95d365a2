"use strict";
(() => {
  const root = document.documentElement;
  const $ = (id) => document.getElementById(id);
  const list = $("list"), find = $("find"), sort = $("sort"), nothing = $("nothing");
  const results = [...list.querySelectorAll(":scope > .result")];
  const filters = [...document.querySelectorAll("[data-show]")];
  let show = "";
  root.classList.add("js");

  const apply = () => {
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    let n = 0;
    for (const result of results) {
      const text = result.dataset.text.toLowerCase();
      const fits = (!show || result.dataset.outcome === show) && words.every((word) => text.includes(word));
      result.hidden = !fits;
      n += fits;
    }
    nothing.hidden = n > 0 || !results.length;
    for (const button of filters) button.setAttribute("aria-pressed", String(button.dataset.show === show));
  };
  const showAll = () => { show = ""; find.value = ""; apply(); };
  for (const button of filters) {
    button.addEventListener("click", () => { show = button.dataset.show; apply(); });
  }
  find.addEventListener("input", apply);
  $("clear").addEventListener("click", () => { showAll(); find.focus(); });

  const number = (name, sign) => (a, b) => sign * (Number(a.dataset[name]) - Number(b.dataset[name]));
  const orders = {
    worst: number("worst", 1),
    run: number("run", 1),
    slow: number("seconds", -1),
    test: (a, b) => a.dataset.test.localeCompare(b.dataset.test) || number("run", 1)(a, b),
  };
  sort.addEventListener("change", () => {
    results.sort(orders[sort.value]);
    list.append(...results);
  });

  const opened = () => {
    const target = location.hash.length > 1 && $(decodeURIComponent(location.hash.slice(1)));
    const result = target && target.closest(".result");
    if (!result) return;
    if (result.hidden) showAll();
    result.querySelector("details").open = true;
    result.scrollIntoView();
  };
  addEventListener("hashchange", opened);
  opened();

  document.addEventListener("click", async (event) => {
    const button = event.target.closest(".copy");
    if (!button) return;
    const code = button.parentElement.querySelector("code");
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = document.execCommand("copy") ? "Copied" : "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });

  const theme = $("theme"), themes = ["system", "light", "dark"];
  const remembered = () => { try { return localStorage.getItem("gentest-theme"); } catch { return null; } };
  const setTheme = (name) => {
    if (name === "system") delete root.dataset.theme; else root.dataset.theme = name;
    theme.textContent = `Theme: ${name === "system" ? "auto" : name}`;
    theme.dataset.name = name;
  };
  setTheme(themes.includes(remembered()) ? remembered() : "system");
  theme.addEventListener("click", () => {
    const next = themes[(themes.indexOf(theme.dataset.name) + 1) % themes.length];
    setTheme(next);
    try { localStorage.setItem("gentest-theme", next); } catch { /* a file may have no storage */ }
  });

  const contents = $("contents");
  if (matchMedia("(max-width: 820px)").matches) contents.open = false;

  const step = (by) => {
    const seen = results.filter((result) => !result.hidden);
    if (!seen.length) return;
    const now = seen.findIndex((result) => result.contains(document.activeElement));
    const next = now < 0 ? (by > 0 ? 0 : seen.length - 1) : Math.min(Math.max(now + by, 0), seen.length - 1);
    seen[next].querySelector("summary").focus({ preventScroll: true });
    seen[next].scrollIntoView({ block: "start" });
  };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") { showAll(); find.blur(); return; }
    if (event.target.closest("input, select, textarea")) return;
    if (event.key === "/") { event.preventDefault(); find.focus(); find.select(); }
    if (event.key === "j") step(1);
    if (event.key === "k") step(-1);
  });
})();
