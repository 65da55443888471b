// Linked fields of several lines take one line of the canvas, with their name beside the socket.

import { app } from "../../../scripts/app.js";
import { after, hasLink, isOurs } from "./nodes.js";

const LINE = 20;

function isText(widget) {
  return widget.type === "customtext" && widget.options?.read_only !== true;
}

function shorten(node, widget) {
  const stock = widget.computeLayoutSize;
  widget.computeLayoutSize = function (...given) {
    const line = { minHeight: LINE, maxHeight: LINE, minWidth: 0 };
    return hasLink(node, widget.name) ? line : stock.apply(this, given);
  };
}

function name(node, context) {
  if (window.LiteGraph?.vueNodesMode || node.flags?.collapsed) return;
  for (const widget of node.widgets.filter(isText)) {
    if (!hasLink(node, widget.name) || widget.y === undefined) continue;
    context.save();
    context.font = node.innerFontStyle ?? "12px sans-serif";
    context.fillStyle = window.LiteGraph?.NODE_TEXT_COLOR ?? "#aaa";
    context.textAlign = "left";
    context.fillText(widget.label ?? widget.name, 20, widget.y + 14);
    context.restore();
  }
}

app.registerExtension({
  name: "lineas.texts",
  nodeCreated(node) {
    if (!isOurs(node)) return;
    const texts = (node.widgets ?? []).filter(isText);
    for (const widget of texts) if (widget.computeLayoutSize) shorten(node, widget);
    if (texts.length) after(node, "onDrawForeground", (context) => name(node, context));
  },
});
