window.addEventListener("popstate", () => window.location.reload());
document.addEventListener("input", (event) => event.composedPath()[0].closest("form.chooser select")?.form.submit());
document.addEventListener("change", (event) => {
  if (event.target.matches("[data-now]")) event.target.form.requestSubmit();
});
// By whom lists are saved: kept for this origin only, while cookies are sent to all ports of the host.
document.addEventListener("DOMContentLoaded", () => {
  const given = document.querySelector("[data-save-key]");
  if (!given) return;
  window.localStorage.setItem("vbn-save-key", given.dataset.saveKey);
  window.location.replace("./");
});
document.addEventListener("submit", (event) => {
  const field = event.target.querySelector("input[name=key]");
  if (field) field.value = window.localStorage.getItem("vbn-save-key") ?? "";
});
