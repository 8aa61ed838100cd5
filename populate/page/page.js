// Back leads to what was shown there; a link within the page leads nowhere else.
const address = () => window.location.pathname + window.location.search;
let shown = address();
for (const name of ["pushState", "replaceState"]) {
  const change = window.history[name];
  window.history[name] = function changeAddress(...given) {
    change.apply(this, given);
    shown = address();
  };
}
window.addEventListener("popstate", () => {
  if (address() !== shown) window.location.reload();
});
// A choice is asked for at once; one made by arrow keys or letters, which pass the choices one by one, when Enter
// is pressed or the keyboard goes on.
const OF_CHOICE = "[data-now], form.chooser select";
let lastKey = "";
let unasked = null;
function ask(field) {
  unasked = null;
  keepFocus(field);
  field.form.requestSubmit();
}
document.addEventListener("pointerdown", () => { lastKey = ""; }, true);
document.addEventListener("keydown", (event) => {
  lastKey = event.key;
  if (event.key === "Enter" && unasked === event.composedPath()[0]) {
    event.preventDefault();
    ask(unasked);
  }
}, true);
document.addEventListener("input", (event) => { // which leaves the parts of Panel, unlike "change"
  const field = event.composedPath()[0];
  if (!field.matches?.(OF_CHOICE)) return;
  const passes = field.matches("select, [type=radio]") && !["", "Enter", " "].includes(lastKey);
  if (passes) unasked = field;
  else ask(field);
});
document.addEventListener("focusout", (event) => {
  if (unasked && unasked === event.composedPath()[0]) ask(unasked);
});
// The next page begins where the keyboard was, or at its filters.
const FOCUS = "vbn-focus";
let wanted = window.sessionStorage.getItem(FOCUS);
window.sessionStorage.removeItem(FOCUS);
function nameOf(field) {
  const name = field.matches("button") ? field.textContent.trim() : field.name;
  const value = field.matches("[type=checkbox], [type=radio]") ? field.value : "";
  return JSON.stringify([window.location.pathname, field.type, name, value]);
}
function keepFocus(field) {
  window.sessionStorage.setItem(FOCUS, nameOf(field));
}
let left = 120; // frames of waiting: what is not shown at all takes no focus
function returnFocus(root) {
  const found = wanted && [...root.querySelectorAll("input, select, button")].find((each) => nameOf(each) === wanted);
  if (!found) return;
  found.focus({ preventScroll: true });
  if (root.activeElement === found) wanted = null;
  else if (left-- > 0) window.requestAnimationFrame(() => returnFocus(root)); // not laid out yet
}
document.addEventListener("submit", (event) => {
  const field = event.submitter?.matches(":not(.of-enter)") ? event.submitter : document.activeElement;
  if (event.target.method === "get" && field?.form) keepFocus(field);
});
document.addEventListener("DOMContentLoaded", () => {
  returnFocus(document);
  if (wanted && JSON.parse(wanted)[0] === window.location.pathname)
    document.querySelector("#ask select, #ask input:not([type=hidden])")?.focus({ preventScroll: true });
});
// What Bokeh draws gets names: pictures theirs, tools their titles, handles of sliders the words above them.
function nameParts(root) {
  const name = root.host.getAttribute("aria-label") ?? root.host.getRootNode().host?.getAttribute("aria-label");
  for (const part of root.querySelectorAll(".bk-events:not([aria-label])")) {
    if (!name) break;
    part.setAttribute("role", "img");
    part.setAttribute("aria-label", name);
  }
  for (const tool of root.querySelectorAll("[tabindex][title]:not([aria-label])")) {
    if (!tool.hasAttribute("role")) tool.setAttribute("role", "button");
    tool.setAttribute("aria-label", tool.title);
  }
  const title = root.querySelector(".bk-slider-title")?.firstChild?.textContent.replace(/:\s*$/, "");
  for (const handle of root.querySelectorAll(".noUi-handle")) {
    if (title && handle.getAttribute("aria-label") !== title) handle.setAttribute("aria-label", title);
  }
}
const attachShadow = Element.prototype.attachShadow;
Element.prototype.attachShadow = function attachNamed(options) {
  const root = attachShadow.call(this, options);
  const observer = new MutationObserver(() => {
    nameParts(root);
    returnFocus(root);
  });
  observer.observe(root, { childList: true, subtree: true });
  return root;
};
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
