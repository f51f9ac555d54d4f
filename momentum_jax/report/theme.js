// Colours: as the system has them, light or dark.
(() => {
const root = document.documentElement, theme = document.querySelector(".theme"), modes = ["auto", "light", "dark"];
let mode = 0;
const dress = () => {
  if (mode) root.dataset.theme = modes[mode]; else delete root.dataset.theme;
  theme.textContent = "◐ " + modes[mode];
  theme.setAttribute("aria-label", "colours: " + modes[mode]);
};
theme.hidden = false;
theme.onclick = () => { mode = (mode + 1) % 3; dress(); };
dress();
})();
