// The choice is kept only while it differs from the system's, so that the page follows the system again afterwards.

{
  const KEY = "inllama.theme";
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");

  const show = (theme) => {
    if (theme === "dark" || theme === "light") root.dataset.theme = theme;
    else delete root.dataset.theme;
  };

  const toggle = () => {
    const natural = system.matches ? "dark" : "light";
    const next = (root.dataset.theme ?? natural) === "dark" ? "light" : "dark";
    show(next === natural ? undefined : next);
    try {
      if (next === natural) localStorage.removeItem(KEY);
      else localStorage.setItem(KEY, next);
    } catch {
      // Storage is off: the choice lasts until the page is left.
    }
  };

  try {
    show(localStorage.getItem(KEY));
  } catch {
    // Storage is off: the system's colours it is.
  }
  addEventListener("storage", (event) => event.key === KEY && show(event.newValue));
  document.addEventListener("click", (event) => event.target.closest?.("#theme") && toggle());
}
