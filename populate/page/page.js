window.addEventListener("popstate", () => window.location.reload());
document.addEventListener("input", (event) => event.composedPath()[0].closest("form.chooser select")?.form.submit());
document.addEventListener("change", (event) => {
  if (event.target.matches("[data-now]")) event.target.form.requestSubmit();
});
