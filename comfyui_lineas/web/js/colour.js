// A colour for the sockets and links of steerings; a palette that has one of its own for them keeps it.

import { app } from "../../../scripts/app.js";

const TYPE = "STEERING";
const COLOUR = "#c6e03a";

// Palettes empty the colours of types that they do not know, whenever one is chosen.
function colourOf(table) {
  let chosen = table[TYPE];
  Object.defineProperty(table, TYPE, {
    configurable: true,
    enumerable: true,
    get: () => chosen || COLOUR,
    set: (colour) => (chosen = colour),
  });
}

app.registerExtension({
  name: "lineas.colour",
  setup() {
    colourOf(app.canvas.default_connection_color_byType);
    colourOf(app.canvas.constructor.link_type_colors);
    const style = document.createElement("style");
    style.textContent = `:root { --color-datatype-${TYPE}: ${COLOUR}; }`;
    document.head.append(style);
  },
});
